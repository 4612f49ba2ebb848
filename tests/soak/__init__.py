"""The soak: a worker at half of its speed for long, while things go wrong around it."""
