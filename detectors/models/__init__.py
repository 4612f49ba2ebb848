"""Fitted models, what they were fitted from, and how."""
