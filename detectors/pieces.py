"""Pieces: how much texts read like something, by the runs of bytes they hold: quickly, for all of them.

A linear model over hashed pieces: every run of 3, 5 and 8 bytes of the folded text adds a weight that
`pipeline.training` fitted. It chooses the few texts that `detectors.reading` weighs closely.

All texts of a batch are weighed at once, by NumPy over their joined bytes: about a microsecond a message.
The hash is that of Fowler, Noll and Vo (FNV-1), with Knuth's multiplicative hash to spread it over the table.
"""

import re
from collections.abc import Sequence
from typing import Any, Final

import msgspec
import numpy as np
from numpy.typing import NDArray

ORDERS: Final = (3, 5, 8)
"""How many bytes a piece has."""
BITS: Final = 17
"""The table has 2 ** BITS weights for each label."""

LONG: Final = 600
"""With so many different pieces of each size a text weighs no more for having more."""

_BASIS: Final = np.uint32(0x811C9DC5)
_PRIME: Final = np.uint32(0x01000193)
_SPREAD: Final = np.uint32(0x9E3779B1)
_SHIFT: Final = np.uint32(32 - BITS)
_NEWLINE: Final = 10
# No piece may hold letters of two texts.
_APART: Final = b"\n" * max(ORDERS)
_AS_ZERO: Final = bytes.maketrans(b"123456789", b"000000000")
_LINK: Final = re.compile(rb"(?:h(?:tt|xx)ps?://|www\.)[^\s]+")
_LONG_NUMBER: Final = re.compile(rb"0{5,}")

Floats = NDArray[np.floating[Any]]


class Pieces:
    """The pieces of many texts: where in the table each is, and which text it is of."""

    __slots__ = ("hashes", "sizes", "starts")

    def __init__(
        self, hashes: tuple[NDArray[np.intp], ...], starts: NDArray[np.intp], sizes: Floats
    ) -> None:
        self.hashes = hashes
        """For each order, the place of the piece that begins at each byte; 0 where none does."""
        self.starts = starts
        """Where the pieces of each text start in these."""
        self.sizes = sizes
        """How many bytes of each text begin a piece."""


def pieces(texts: Sequence[str]) -> Pieces:
    """Cut folded texts, one at least, into pieces. Links count as one sign, and digits are all the same."""
    joined = _APART.join([text.encode() for text in texts])
    joined = _LINK.sub(b"\x02", b"\n%b%b" % (joined, _APART)).translate(_AS_ZERO)
    data = np.frombuffer(_LONG_NUMBER.sub(b"0000", joined), dtype=np.uint8)
    length = len(data) - max(ORDERS)
    is_newline = data == _NEWLINE
    # The newline before a text is its first byte; the others begin nothing.
    starts = np.flatnonzero(is_newline)[: len(texts) * len(_APART) : len(_APART)]
    is_piece = ~(is_newline[:length] & is_newline[1 : length + 1])
    wide = data.astype(np.uint32)
    rolling = np.full(length, _BASIS, dtype=np.uint32)
    hashes = []
    for at in range(max(ORDERS)):
        rolling *= _PRIME
        rolling ^= wide[at : at + length]
        if at + 1 in ORDERS:
            places = ((rolling + np.uint32(at)) * _SPREAD) >> _SHIFT
            hashes.append((places * is_piece).astype(np.intp))
    sizes = np.add.reduceat(is_piece, starts, dtype=np.int32).astype(np.float32)
    return Pieces(tuple(hashes), starts, sizes)


def shares(counts: Floats) -> Floats:
    """Return what each piece weighs in a text of so many, the mean over `ORDERS`.

    One in the root of them all, so that a longer text may say more; from `LONG` on their mean counts.
    """
    held = np.maximum(counts, 1)
    return np.asarray(np.sqrt(np.minimum(held, LONG)) / held)


class Strongest(msgspec.Struct, frozen=True):
    """A piece of a folded text, in code points, and what it adds to the text's margin."""

    start: int
    end: int
    weight: float


class Weights:
    """The weights of one label."""

    def __init__(self, table: NDArray[np.int8], scale: float, bias: float) -> None:
        """Take weights as multiples of `scale`; that of place 0 is 0."""
        self._table = table.astype(np.int16)
        self._table[0] = 0
        self._scale = scale
        self._bias = bias

    def margins(self, of: Pieces) -> Floats:
        """Return the log-odds of each text, as fitted; every repetition counts."""
        return np.asarray(self._bias + self._summed(of) * shares(of.sizes))

    def strongest(self, text: str, most: int) -> tuple[Strongest, ...]:
        """Return the words that weigh most, the heaviest first."""
        words = [(found.start(), found.end()) for found in _WORD.finditer(text)]
        if not words:
            return ()
        weights = self._summed(pieces([f" {text[start:end]} " for start, end in words]))
        heaviest = sorted(range(len(words)), key=lambda n: (-weights[n], n))[:most]
        return tuple(Strongest(*words[n], float(weights[n])) for n in heaviest if weights[n] > 0)

    def _summed(self, of: Pieces) -> Floats:
        weights = sum(self._table.take(hashes) for hashes in of.hashes)
        summed: Floats = self._scale * np.add.reduceat(weights, of.starts, dtype=np.int32)
        return summed


_WORD: Final = re.compile(r"[^\s]{2,24}")
