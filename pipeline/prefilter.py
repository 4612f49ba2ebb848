"""Prefilters: an expression made wider and cheaper, for an automaton that looks at bytes.

Hyperscan's Unicode classes and counted repeats of them make automata of many megabytes that take a minute to
compile. What it finds is confirmed with `regex` anyway, so it may find too much: here every character
outside ASCII counts as a member of any class that could hold one, counted repeats of such classes lose their
upper bound, and zero-width assertions fall away or become an edge. What matched before still matches.
"""

from collections.abc import Callable
from re import _parser  # type: ignore[attr-defined]  # see `pipeline.factors`
from typing import Final

import regex

_REPEAT: Final = regex.compile(
    r"(?P<times>[*+?]|\{(?P<low>\d+)(?:,(?P<high>\d*))?\}|\{,(?P<most>\d*)\})[?+]?"
)
_CLASS: Final = regex.compile(r"\[\^?\]?(?:\\.|\[:\^?\w+:\]|[^\]\\])*\]", regex.DOTALL)
_SET_ESCAPE: Final = regex.compile(r"\\(?:[pP](?:\{[^}]*\}|\w)|[wWdDsS])")
# A named set or an escaped letter: it may stand for more than the ASCII it is written in. But folded text
# holds no digits and no white space other than ASCII's.
_OPEN_CLASS: Final = regex.compile(r"\[:|\\[^\Wds]")
_LISTED: Final = regex.compile(r"\[(?P<members>[^\\\[\]^&|~-]+)\]")
_CODE_ESCAPE: Final = regex.compile(r"\\(?:x[0-9a-fA-F]{2}|u[0-9a-fA-F]{4}|U[0-9a-fA-F]{8})")
_ZERO_WIDTH: Final = regex.compile(r"\\[bBAZmMG]|\^|\$")
_ASSERTION: Final = regex.compile(r"\(\?<?[=!]")
_GROUP: Final = regex.compile(r"\((?:\?(?::|>|P?<\w+>))?")
_CONTROLS: Final = {"t": "\t", "n": "\n", "r": "\r", "f": "\f", "v": "\v", "a": "\a"}
_ASCII: Final = [chr(code) for code in range(32, 127)]
"""What folded text holds of ASCII: no controls."""

EDGE: Final = 1
"""The byte that stands, in a wider form, where no letter or digit may adjoin."""
WORD_EDGE: Final = 2
"""The byte that stands for `\\b`: no letter or digit on one side of it."""
_PLAIN: Final = frozenset(b" abcdefghijklmnopqrstuvwxyz0123456789")
_ADJOINS: Final = regex.compile(r"\(\?<?!(?P<class>\[(?:\\.|[^\]\\])*\])\)")
_WORD: Final = "abcdefghijklmnopqrstuvwxyz0123456789"


class UnsupportedError(ValueError):
    """The expression uses something that has no wider form here."""


def prefilter(expression: str) -> bytes:
    """Return an expression over UTF-8 bytes, for Hyperscan, that finds every text `expression` matches.

    Raises:
        UnsupportedError: for back-references, inline flags, recursion, and what else is not plain; and where
            nothing is left that a text must hold.

    The form holds edges, for `pipeline.factors`; `without_edges` takes them out.
    """
    out: list[bytes] = []
    at = 0
    while at < len(expression):
        token, at = _token(expression, at)
        repeat = _REPEAT.match(expression, at)
        if repeat:
            at = repeat.end()
        if token is not None:
            out.append(token(repeat))
    wider = b"".join(out)
    shortest, _ = _parser.parse(without_edges(wider)).getwidth()
    if not shortest:
        raise UnsupportedError(expression)
    return wider


def without_edges(wider: bytes) -> bytes:
    """Return a wider form as Hyperscan reads it."""
    return wider.replace(rb"\x%02x" % EDGE, b"").replace(rb"\x%02x" % WORD_EDGE, b"")


_Token = Callable[["regex.Match[str] | None"], bytes]


def _token(expression: str, at: int) -> tuple[_Token | None, int]:
    """Read one token; return how it is written with the repeat that follows, and where it ends."""
    char = expression[at]
    if _ASSERTION.match(expression, at):
        return _edge(expression, at), _closing(expression, at)
    if found := _ZERO_WIDTH.match(expression, at):
        return (_marked(WORD_EDGE) if found[0] == r"\b" else None), found.end()
    if char == "(":
        found = _GROUP.match(expression, at)
        assert found
        if expression.startswith("?", found.end()) or expression.startswith("*", found.end()):
            raise UnsupportedError(expression)
        return (lambda _: b"(?:"), found.end()
    if char == ")":
        return (lambda repeat: b")" + _plain(repeat)), at + 1
    if char == "|":
        return (lambda _: b"|"), at + 1
    if char == "[" and (found := _CLASS.match(expression, at)):
        return _class(found[0]), found.end()
    if found := _SET_ESCAPE.match(expression, at):
        return _class(found[0]), found.end()
    if char == ".":
        return _class("."), at + 1
    return _literal(expression, at)


def _edge(expression: str, at: int) -> _Token | None:
    """Return an edge for a negative look-around at a class that holds every letter and digit of ASCII."""
    found = _ADJOINS.match(expression, at)
    if found is None:
        return None
    member = regex.compile(found["class"])
    return _marked(EDGE) if all(member.fullmatch(c) for c in _WORD) else None


def _marked(mark: int) -> _Token:
    return lambda repeat: escaped(bytes([mark])) if repeat is None else b""


def _literal(expression: str, at: int) -> tuple[_Token, int]:
    char, end = expression[at], at + 1
    if char == "\\":
        if found := _CODE_ESCAPE.match(expression, at):
            char, end = chr(int(found[0][2:], base=16)), found.end()
        else:
            char, end = expression[at + 1], at + 2
            if char in _CONTROLS:
                char = _CONTROLS[char]
            elif char.isalnum():
                raise UnsupportedError(expression)
    elif char == "{":  # what is no repeat may be a fuzzy match, such as `{e<=1}`
        raise UnsupportedError(expression)
    body = escaped(char.encode())
    if len(char.encode()) > 1:
        body = b"(?:" + body + b")"
    return (lambda repeat: body + _plain(repeat)), end


def escaped(string: bytes) -> bytes:
    """Write bytes as an expression that matches just them."""
    return b"".join(bytes([b]) if b in _PLAIN else rb"\x%02x" % b for b in string)


def _class(source: str) -> _Token:
    """Write a class as the ASCII it holds, plus any byte beyond ASCII unless it plainly holds none."""
    if (listed := _LISTED.fullmatch(source)) and not source.isascii():
        # `[預预]` is exact as alternatives, and exact strings make factors.
        body = b"(?:" + b"|".join(escaped(char.encode()) for char in listed["members"]) + b")"
        return lambda repeat: body + _plain(repeat)
    member = regex.compile(source)
    held = b"".join(rb"\x%02x" % ord(c) for c in _ASCII if member.fullmatch(c))
    is_ascii = (
        source.startswith("[")
        and not source.startswith("[^")
        and source.isascii()
        and not _OPEN_CLASS.search(source)
    )
    if is_ascii and not held:  # a newline, which no folded text has
        raise UnsupportedError(source)
    if is_ascii:
        return lambda repeat: b"[" + held + b"]" + _plain(repeat)
    if source == r"\d":  # folded text holds no other digits
        return lambda repeat: b"[0-9]" + _plain(repeat)
    if source == r"\s":  # nor other white space
        return lambda repeat: escaped(b" ") + _plain(repeat)
    if held:
        single = b"(?:[" + held + rb"]|[\x80-\xff]{1,4})"
        many = b"[" + held + rb"\x80-\xff]"
        return lambda repeat: (
            single + _plain(repeat)
            if repeat is None or repeat["times"] == "?"
            else many + _widened(repeat)
        )
    return lambda repeat: rb"[\x80-\xff]" + _widened(repeat)


def _plain(repeat: "regex.Match[str] | None") -> bytes:
    """Write a repeat as Hyperscan reads it: not lazy, not possessive, with its lower bound."""
    if repeat is None:
        return b""
    if repeat["most"] is not None:
        return b"{0,%s}" % repeat["most"].encode()
    return repeat["times"].encode()


def _widened(repeat: "regex.Match[str] | None") -> bytes:
    """Drop upper bounds and let a single one be four: a character is up to four bytes."""
    if repeat is None:
        return b"{1,4}"
    if repeat["times"] == "?":
        return b"{0,4}"
    if repeat["times"] in "*+":
        return repeat["times"].encode()
    low = int(repeat["low"] or 0)
    return {0: b"*", 1: b"+"}.get(low, b"{%d,}" % low)


def _closing(expression: str, at: int) -> int:
    """Return where the group that opens at `at` ends."""
    depth = 0
    while at < len(expression):
        if expression[at] == "\\":
            at += 2
            continue
        if expression[at] == "[" and (found := _CLASS.match(expression, at)):
            at = found.end()
            continue
        depth += {"(": 1, ")": -1}.get(expression[at], 0)
        at += 1
        if depth == 0:
            return at
    raise UnsupportedError(expression)
