"""Look-alikes: how near a label comes to a name, for the eye and for hasty fingers.

Letters of other scripts are folded to what they look like before (Unicode TR39); here it is the letters and
digits of ASCII that pass for one another (`rn` and `m`, `1` and `l`), and the keys that lie side by side.
"""

from collections.abc import Container, Iterable
from functools import lru_cache
from itertools import pairwise
from typing import Final

import msgspec
from rapidfuzz.distance import OSA
from rapidfuzz.process import extract_iter

_ROWS: Final = ("qwertyuiop", "asdfghjkl", "zxcvbnm")
_NEIGHBOURS: Final = frozenset(
    frozenset(pair)
    for upper, lower in zip(_ROWS, (*_ROWS[1:], ""), strict=True)
    for pair in (
        *pairwise(upper),
        *zip(upper, lower, strict=False),
        *zip(upper[1:], lower, strict=False),
    )
)
"""Keys side by side on a QWERTY board."""
_TWINS: Final = frozenset(
    frozenset(pair) for pair in "0o 1l 1i il 5s 3e 4a 8b 6g 9g gq 2z 7t uv vw nm nh ce".split()
)
"""Characters that pass for one another at a glance."""
_SKELETON: Final = str.maketrans("01345i", "oleasl")
_MERGED: Final = (("rn", "m"), ("vv", "w"), ("cl", "d"), ("nn", "m"))
"""Pairs of letters that look like one."""

_TWIN: Final = 0.5
_NEIGHBOUR: Final = 0.7
_DOUBLED: Final = 0.5
_SWAPPED: Final = 0.7
_OTHER: Final = 1.0


class Near(msgspec.Struct, frozen=True):
    """A name that a label comes near to, and at what distance: 0 where both look the same."""

    name: str
    distance: float


class Names:
    """Names to compare labels with."""

    def __init__(self, names: Iterable[str], innocent: Container[str] = frozenset()) -> None:
        """Index names; those too short to have typos, and `innocent` labels, are never near anything."""
        self._innocent = innocent
        self._names = frozenset(name for name in names if len(name) >= _SHORTEST)
        listed = sorted(self._names)
        self._skeletons = {skeleton(name): name for name in listed}
        self._by_length: dict[int, list[str]] = {}
        for name in listed:
            # An edit adds or drops one letter at most.
            for length in range(len(name) - _MOST_EDITS, len(name) + _MOST_EDITS + 1):
                self._by_length.setdefault(length, []).append(name)

    def nearest(self, label: str) -> Near | None:
        """Return the name that a label passes for or misses by a slip, if any; not the name itself."""
        if label in self._names or label in self._innocent or len(label) < _SHORTEST - 1:
            return None
        same = self._skeletons.get(skeleton(label))
        if same is not None:
            return Near(same, 0.0)
        listed = self._by_length.get(len(label), ())
        candidates = extract_iter(label, listed, scorer=OSA.distance, score_cutoff=_MOST_EDITS)
        near = (Near(name, distance(label, name)) for name, _, _ in candidates)
        allowed = (n for n in near if n.distance <= _allowed(len(n.name)))
        return min(allowed, key=lambda n: (n.distance, n.name), default=None)


_SHORTEST: Final = 6
_MIDDLING: Final = 8
_LONG: Final = 11
_MOST_EDITS: Final = 2


def _allowed(length: int) -> float:
    """Return the distance within which a label means a name of so many letters."""
    if length < _MIDDLING:
        return _SWAPPED
    return _OTHER if length < _LONG else _OTHER + _SWAPPED


@lru_cache(maxsize=4096)
def skeleton(label: str) -> str:
    """Return a label with the characters that look alike made the same."""
    for pair, single in _MERGED:
        label = label.replace(pair, single)
    return label.translate(_SKELETON)


def distance(written: str, name: str) -> float:
    """Return the cheapest way from a name to what was written, in edits of 0.5 to 1 each.

    An edit is a letter changed, added, dropped or two swapped. It costs less where the eye or the hand is
    easily misled: letters that look alike, keys side by side, a letter doubled.
    """
    before: list[float] = []
    row = [0.0]
    for at, letter in enumerate(written):
        row.append(row[-1] + _added(written, at, letter))
    for down, wanted in enumerate(name, 1):
        above = row
        row = [above[0] + _added(name, down - 1, wanted)]
        for across, letter in enumerate(written, 1):
            best = min(
                above[across - 1] + _changed(letter, wanted),
                above[across] + _added(name, down - 1, wanted),
                row[across - 1] + _added(written, across - 1, letter),
            )
            is_swap = (
                down > 1
                and across > 1
                and letter == name[down - 2]
                and written[across - 2] == wanted
            )
            if is_swap and letter != wanted:
                best = min(best, before[across - 2] + _SWAPPED)
            row.append(best)
        before = above
    return row[-1]


def _changed(a: str, b: str) -> float:
    if a == b:
        return 0.0
    pair = frozenset((a, b))
    return _TWIN if pair in _TWINS else _NEIGHBOUR if pair in _NEIGHBOURS else _OTHER


def _added(word: str, at: int, letter: str) -> float:
    """Return the cost of one letter more or less: little where it doubles the one before or after."""
    beside = (word[at - 1] if at else "", word[at + 1] if at + 1 < len(word) else "")
    if letter in beside:
        return _DOUBLED
    return (
        _NEIGHBOUR if any(frozenset((letter, other)) in _NEIGHBOURS for other in beside) else _OTHER
    )
