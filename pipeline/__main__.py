"""`python -m pipeline` is `penjaga`."""

from pipeline.cli import main

main()
