"""Factors: strings of which a text must hold one, for an expression to match in it.

Hyperscan 5.4.12 can miss a match of a composed expression. It does not find
`(?:he|this (?:guy|man|person)|my (?:coach|uncle|ex)) (?:then |always )?(?:told|said)` in
` when i get back like he told me to`, under every flag that keeps its meaning. Its literal matcher has no
such gap and is faster, so it is given literals wherever an expression has some that every match holds, as
RE2's FilteredRE2 does; `regex` then decides.
"""

from collections.abc import Iterable, Sequence
from re import _constants as op  # type: ignore[attr-defined]  # the standard library's own parser,
from re import _parser  # type: ignore[attr-defined]  # whose tree has not changed since Python 2
from typing import Any, Final

import msgspec

LEAST_BYTES: Final = 2
"""A shorter string is in too many texts to tell anything."""
MOST_STRINGS: Final = 512
_MOST_ALTERNATIVES_OF_A_CLASS: Final = 12

Strings = frozenset[bytes]


class _Part(msgspec.Struct, frozen=True):
    """What is known of a part of an expression.

    `exact`: all the strings it can match, if they are few. `factor`: strings of which each match holds one.
    `edge`: strings with one of which each match starts and with one of which it ends.
    """

    exact: Strings | None = None
    factor: Strings | None = None
    edge: Strings | None = None


_NOTHING: Final = _Part(exact=frozenset({b""}))
_ANYTHING: Final = _Part()


def factors(wider: bytes) -> Strings | None:
    """Return strings of which every text that `wider` matches holds one; None if they tell nothing.

    `wider` is an expression over bytes as `pipeline.prefilter` writes it.
    """
    part = _sequence(_parser.parse(wider))
    best = _better(part.factor, part.exact)
    if best is None or min(map(len, best)) < LEAST_BYTES:
        return None
    return frozenset(s for s in best if not any(o in s for o in best if o != s))


def _sequence(nodes: Iterable[Any]) -> _Part:
    """Multiply what is exact; wherever that ends, what was read so far is a factor."""
    run: Strings = frozenset({b""})
    factor: Strings | None = None
    broken = False
    for code, argument in nodes:
        part = _node(code, argument)
        product = _product(run, part.exact)
        if product is not None:
            run = product
            continue
        broken = True
        read = _product(run, part.edge) or run
        factor = _better(_better(factor, read), part.factor)
        run = part.exact or part.edge or frozenset({b""})
    factor = _better(factor, run)
    return _Part(exact=None if broken else run, factor=factor)


def _node(code: Any, argument: Any) -> _Part:  # noqa: ANN401, PLR0911  # a tree of the standard library's
    if code is op.LITERAL:
        return _Part(exact=frozenset({bytes([argument])}))
    if code is op.IN:
        return _class(argument)
    if code is op.SUBPATTERN:
        return _sequence(argument[3])
    if code is op.BRANCH:
        return _branch([_sequence(branch) for branch in argument[1]])
    if code in (op.MAX_REPEAT, op.MIN_REPEAT):
        return _repeat(*argument)
    if code is op.AT:
        return _NOTHING
    return _ANYTHING


def _class(members: Sequence[Any]) -> _Part:
    if members[0][0] is op.NEGATE:
        return _ANYTHING
    held: set[bytes] = set()
    for code, argument in members:
        low, high = argument if code is op.RANGE else (argument, argument)
        if not isinstance(low, int) or high - low >= _MOST_ALTERNATIVES_OF_A_CLASS:
            return _ANYTHING
        held |= {bytes([byte]) for byte in range(low, high + 1)}
    return _Part(exact=frozenset(held)) if len(held) <= _MOST_ALTERNATIVES_OF_A_CLASS else _ANYTHING


def _branch(parts: Sequence[_Part]) -> _Part:
    exact: set[bytes] = set()
    factor: set[bytes] = set()
    is_exact = has_factor = True
    for part in parts:
        best = _better(part.factor, part.exact)
        has_factor = has_factor and best is not None
        factor |= best or set()
        is_exact = is_exact and part.exact is not None
        exact |= part.exact or set()
    return _Part(
        exact=frozenset(exact) if is_exact and len(exact) <= MOST_STRINGS else None,
        factor=frozenset(factor) if has_factor and len(factor) <= MOST_STRINGS else None,
    )


def _repeat(low: int, high: int, body: Iterable[Any]) -> _Part:
    part = _sequence(body)
    if low == 0:
        if high == 1 and part.exact is not None:
            return _Part(exact=part.exact | {b""})
        return _ANYTHING
    if low == high == 1:
        return part
    return _Part(factor=_better(part.factor, part.exact), edge=part.exact)


def _product(left: Strings, right: Strings | None) -> Strings | None:
    if right is None or len(left) * len(right) > MOST_STRINGS:
        return None
    return frozenset(a + b for a in left for b in right)


def _better(one: Strings | None, other: Strings | None) -> Strings | None:
    """Prefer strings that are longer, then fewer; one that may be empty tells nothing."""
    held = [s for s in (one, other) if s and b"" not in s]
    return max(held, key=lambda s: (min(*map(len, s), 6), -len(s)), default=None)
