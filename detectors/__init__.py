"""Detectors: what each finds, the contract they keep, and the terms they look for."""
