"""Expressions: what patterns and terms look for, compiled once, whoever asks.

Compiling all that are shipped takes longer than everything else that a start does, so nobody does it twice,
nor before it is needed.
"""

from functools import lru_cache

import regex


class ExpressionError(ValueError):
    """An expression that cannot be used; says why, after the name of whose it is."""


@lru_cache(maxsize=4096)
def compiled(expression: str) -> "regex.Pattern[str]":
    """Compile an expression over folded text, in the syntax of the `regex` library.

    Raises:
        ExpressionError: if it is not valid, or matches the empty text.
    """
    try:
        made = regex.compile(expression)
    except regex.error as error:
        raise ExpressionError(f"is not a regular expression: {error}") from None
    if made.search("") is not None:
        raise ExpressionError("matches the empty text: it would hit every message")
    return made
