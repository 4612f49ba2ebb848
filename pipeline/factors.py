"""Factors: strings that a text must hold for an expression to match in it.

Hyperscan 5.4.12 can miss a match of a composed expression. It does not find
`(?:he|this (?:guy|man|person)|my (?:coach|uncle|ex)) (?:then |always )?(?:told|said)` in
` when i get back like he told me to`, under every flag that keeps its meaning. Its literal matcher has no
such gap and is faster, so it is given literals wherever every match holds some, as RE2's FilteredRE2 does;
`regex` then decides.

What an expression requires is written as alternatives of clauses: a match needs all clauses of one
alternative, and of a clause any one string. So `(?:jual|beli) .{0,20}(?:akaun|rekening)` is one alternative
of two clauses. Strings hold for text in which every run of blanks is one blank.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from functools import cache, lru_cache
from itertools import islice, product
from math import fsum
from re import _constants as op  # type: ignore[attr-defined]  # the standard library's own parser,
from re import _parser  # type: ignore[attr-defined]  # its tree has not changed since Python 2
from typing import Any, Final

import msgspec

from pipeline.prefilter import EDGE, WORD_EDGE
from pipeline.traffic import traffic

DIGIT: Final = 3
"""The byte that stands for any digit in a string; ten strings a digit would be too many."""

Strings = frozenset[bytes]
"""Of which a text must hold one.

A leading or trailing `EDGE` says that no ASCII letter or digit adjoins, `DIGIT` stands for any of the ten.
"""
Alternative = tuple[Strings, ...]
"""Clauses of which a text must satisfy all; the one that is rarest in ordinary talk comes first."""

MOST_STRINGS: Final = 256
MOST_ALTERNATIVES: Final = 64
MOST_COMMON: Final = 0.1
"""Strings that are in more of the ordinary messages tell less than the expression itself."""
_MOST_MEMBERS: Final = 12
_MOST_COPIES: Final = 4
_QUICK: Final = 1000

_BLANK: Final = 0x20
_DIGITS: Final = frozenset(b"0123456789")
_ALNUM: Final = frozenset((*b"abcdefghijklmnopqrstuvwxyz", *_DIGITS, DIGIT))
_EDGES: Final = bytes((EDGE, WORD_EDGE))

_SHORT: Final = 5
"""Up to so many bytes the edges are looked for too; a longer string is seldom part of another word."""
_GRAM: Final = 4
_UNSEEN: Final = 0.1
"""What a gram that the sample does not hold counts as, of its sentences."""
_SAMPLE: Final = 4000
_START: Final = datetime(2026, 1, 1, tzinfo=UTC)
_AS_ZERO: Final = bytes.maketrans(b"123456789" + bytes([DIGIT]), b"0" * 10)


class _Part(msgspec.Struct, frozen=True):
    """What is known of a part of an expression.

    `exact`: all the strings it can match, if they are few. Otherwise `known`: the alternatives of which each
    match satisfies one, a single empty one where nothing is known; and `head` and `tail`: strings with one of
    which each match starts, and ends.
    """

    exact: Strings | None = None
    known: tuple[Alternative, ...] = ((),)
    head: Strings = frozenset({b""})
    tail: Strings = frozenset({b""})

    @property
    def needs(self) -> tuple[Alternative, ...]:
        """The alternatives of which each match satisfies one."""
        # Most parts become one with their neighbours before anybody asks.
        return self.known if self.exact is None else _clause(self.exact)


_EMPTY: Final[Strings] = frozenset({b""})
_BLANKS: Final[Strings] = frozenset({b" "})
_NOTHING: Final = _Part(exact=_EMPTY)
_ANYTHING: Final = _Part()


def _exactly(strings: Strings) -> _Part:
    return _Part(strings, head=strings, tail=strings)


def requirements(wider: bytes) -> tuple[Alternative, ...] | None:
    """Return what a text must hold for `wider` to match in it; None if that tells nothing.

    `wider` is an expression over bytes as `pipeline.prefilter` writes it.
    """
    part = _sequence(_parser.parse(wider))
    needs = part.needs
    if not all(needs) or sum(min(map(frequency, a)) for a in needs) > MOST_COMMON:
        return None
    return tuple(map(_ordered, needs))


def frequency(strings: Strings) -> float:
    """Estimate the share of ordinary messages that hold one of the strings; more than 1 is possible.

    A string is as common as the rarest of its runs of up to four bytes in the ordinary talk of the simulated
    platform (`pipeline.traffic`).
    """
    return fsum(_share(string) for string in strings)


def _ordered(alternative: Alternative) -> Alternative:
    """Put the rarest clause first, then the others, which are looked for where it is, the shortest first."""
    telling: list[Strings] = []
    for clause in alternative:
        if not any(_implies(held, clause) for held in telling):
            telling = [*(held for held in telling if not _implies(clause, held)), clause]
    first = min(telling, key=_rarity)
    rest = (clause for clause in telling if clause != first)
    return (first, *sorted(rest, key=lambda clause: (len(clause), sorted(clause))))


def _implies(one: Strings, other: Strings) -> bool:
    """Whether what satisfies one clause satisfies the other too; False where telling would take long."""
    if one <= other:
        return True
    is_quick = len(one) * len(other) <= _QUICK
    return is_quick and all(any(part in string for part in other) for string in one)


def _rarity(strings: Strings) -> tuple[float, list[bytes]]:
    """Order clauses, the rarest first, and in the same order every time."""
    return frequency(strings), sorted(strings)


@lru_cache(maxsize=2**17)
def _share(string: bytes) -> float:
    # What stands at an edge is mostly a blank.
    string = string.replace(bytes([EDGE]), b" ").translate(_AS_ZERO)
    counts = _grams()
    runs = (string[at : at + _GRAM] for at in range(max(1, len(string) - _GRAM + 1)))
    return min(counts.get(run, _UNSEEN) for run in runs) / _SAMPLE


@cache
def _grams() -> Counter[bytes]:
    """Count, for each run of up to four bytes, the messages of the sample that hold it; all digits are 0."""
    talk = (sent.event.text for sent in traffic(1, start=_START) if not sent.expected)
    counts: Counter[bytes] = Counter()
    for message in islice(talk, _SAMPLE):
        text = f" {message} ".casefold().encode().translate(_AS_ZERO)
        counts.update({text[at : at + n] for n in range(1, _GRAM + 1) for at in range(len(text))})
    return counts


def _sequence(nodes: Iterable[Any]) -> _Part:
    """Multiply what is exact; wherever that ends, what was read so far is a clause."""
    nodes = list(nodes)
    inside = _inside_edges(nodes)
    if inside is not None:
        return inside
    run = _EMPTY
    head: Strings | None = None
    clauses: list[tuple[Alternative, ...]] = []
    for code, argument in nodes:
        part = _node(code, argument)
        longer = _product(run, part.exact)
        if longer is not None:
            run = longer
            continue
        read = _product(run, part.head) or run
        head = head or read
        clauses += [_clause(read), part.needs]
        run = part.tail
    if head is None:
        return _exactly(run)
    return _Part(None, _all_of([*clauses, _clause(run)]), head, run)


def _inside_edges(nodes: Sequence[Any]) -> _Part | None:
    """Read `edge (one|other) edge` as `edge one edge` or `edge other edge`: most terms are so written."""
    others = [at for at, node in enumerate(nodes) if not _is_edge(node)]
    if len(others) != 1 or len(nodes) == 1:
        return None
    [at] = others
    code, argument = nodes[at]
    if code is op.SUBPATTERN:
        return _sequence([*nodes[:at], *argument[3], *nodes[at + 1 :]])
    if code is op.BRANCH:
        return _branch(
            [_sequence([*nodes[:at], *branch, *nodes[at + 1 :]]) for branch in argument[1]]
        )
    return None


def _is_edge(node: Any) -> bool:  # noqa: ANN401
    return node[0] is op.LITERAL and node[1] in _EDGES


def _node(code: Any, argument: Any) -> _Part:  # noqa: ANN401, PLR0911  # a tree of the standard library's
    if code is op.LITERAL:
        return _exactly(frozenset({bytes([argument])}))
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
        if not isinstance(low, int) or high - low >= _MOST_MEMBERS:
            return _ANYTHING
        held |= {bytes([byte]) for byte in range(low, high + 1)}
    if held == {bytes([digit]) for digit in _DIGITS}:
        return _exactly(frozenset({bytes([DIGIT])}))
    return _exactly(frozenset(held)) if len(held) <= _MOST_MEMBERS else _ANYTHING


def _branch(parts: Sequence[_Part]) -> _Part:
    if all(part.exact is not None for part in parts):
        exact = _union(part.exact or _EMPTY for part in parts)
        return _exactly(exact) if len(exact) <= MOST_STRINGS else _Part(known=_clause(exact))
    return _Part(
        None,
        _any_of([part.needs for part in parts]),
        _few(_union(part.head for part in parts)),
        _few(_union(part.tail for part in parts)),
    )


def _union(sets: Iterable[Strings]) -> Strings:
    return frozenset[bytes]().union(*sets)


def _few(strings: Strings) -> Strings:
    return strings if len(strings) <= MOST_STRINGS else _EMPTY


def _repeat(low: int, high: int, body: Sequence[Any]) -> _Part:
    part = _sequence(body)
    if part.exact == _BLANKS:  # a run of blanks is one, where these strings are looked for
        return part if low else _exactly(_BLANKS | _EMPTY)
    if low == 0:
        if high == 1 and part.exact is not None:
            return _exactly(part.exact | _EMPTY)
        return _ANYTHING
    if part.exact is None:
        return _Part(None, part.needs, part.head, part.tail)
    copies = _copies(part.exact, low) or part.exact
    if high == low <= _MOST_COPIES and copies is not part.exact:
        return _exactly(copies)
    return _Part(None, _clause(copies), copies, copies)


def _copies(strings: Strings, count: int) -> Strings | None:
    """Return what so many of them in a row can be, up to a length that tells enough."""
    row: Strings | None = _EMPTY
    for _ in range(min(count, _MOST_COPIES)):
        row = _product(row, strings) if row is not None else None
    return row


def _product(left: Strings, right: Strings | None) -> Strings | None:
    if right is None or len(left) * len(right) > MOST_STRINGS:
        return None
    return frozenset(a + b for a in left for b in right)


def _clause(strings: Strings) -> tuple[Alternative, ...]:
    """Return the one clause that these strings make, or what says nothing."""
    settled = {_settled(string) for string in strings}
    if not all(_is_telling(string) for string in settled):
        return ((),)
    # A string that holds another adds nothing to it.
    shortest = sorted(settled, key=len)
    kept: list[bytes] = []
    for string in shortest:
        if not any(other in string for other in kept):
            kept.append(string)
    return ((frozenset(kept),),)


def _settled(string: bytes) -> bytes:
    """Keep edges at the ends only, where they can be looked for; make runs of blanks one."""
    left, right = string.lstrip(_EDGES), string.rstrip(_EDGES)
    body = string.translate(None, _EDGES)
    while b"  " in body:
        body = body.replace(b"  ", b" ")
    if not body:
        return b""
    before, after = string[: len(string) - len(left)], string[len(right) :]
    # The edge of a word is a place without a letter on one side only; which one, the string must say.
    is_short = len(body) <= _SHORT
    starts = is_short and (EDGE in before or (WORD_EDGE in before and body[0] in _ALNUM))
    ends = is_short and (EDGE in after or (WORD_EDGE in after and body[-1] in _ALNUM))
    return bytes([EDGE] * starts) + body + bytes([EDGE] * ends)


def _is_telling(string: bytes) -> bool:
    """Whether a string is long or odd enough to be worth looking for."""
    body = string.strip(_EDGES)
    return len(body) > 1 or (len(body) == 1 and body[0] not in _ALNUM and body[0] != _BLANK)


def _any_of(parts: Sequence[tuple[Alternative, ...]]) -> tuple[Alternative, ...]:
    """Join alternatives; those that are one clause each become one clause."""
    alternatives = list(dict.fromkeys(a for part in parts for a in part))
    if not all(alternatives):
        return ((),)
    single = [a[0] for a in alternatives if len(a) == 1]
    joined = [(_union(single),)] if single else []
    return (*joined, *(a for a in alternatives if len(a) > 1))


def _all_of(parts: Sequence[tuple[Alternative, ...]]) -> tuple[Alternative, ...]:
    """Multiply alternatives out, the few first; where they grow too many, the part becomes a clause."""
    alternatives: list[Alternative] = [()]
    for part in sorted(parts, key=len):
        if not all(part):
            continue
        held = part if len(alternatives) * len(part) <= MOST_ALTERNATIVES else (_weaker(part),)
        alternatives = [tuple(dict.fromkeys((*a, *b))) for a, b in product(alternatives, held)]
    return tuple(alternatives)


def _weaker(alternatives: Sequence[Alternative]) -> Alternative:
    """Return one clause that holds wherever one of the alternatives does: the rarest string of each."""
    return (_union(min(a, key=_rarity) for a in alternatives),)
