"""Letters: texts side by side as numbers, of which any run has its hash at once.

What NumPy needs to look up every word, phrase and piece of a batch of texts without a loop. The hash of a
run is that of Rabin and Karp, from sums over prefixes, modulo 2 ** 64.
"""

import re
import unicodedata
from collections.abc import Sequence
from functools import cache
from typing import Final

import numpy as np
from numpy.typing import NDArray

Hashes = NDArray[np.uint64]
Places = NDArray[np.intp]
Mask = NDArray[np.bool_]

_BASE: Final = np.uint64(0x9E3779B97F4A7C15)
"""Odd, so that it has an inverse; else any would do: this is 2 ** 64 over the golden ratio."""
_INVERSE: Final = np.uint64(pow(int(_BASE), -1, 1 << 64))
_MIX: Final = np.uint64(0xD6E8FEB86659FD93)
_HALF: Final = np.uint64(32)

_LINK: Final = re.compile(r"(?:h(?:tt|xx)ps?://|www\.)\S+")
_LONG_NUMBER: Final = re.compile(r"\d{5,}")
_BETWEEN: Final = "\n"
_KINDS: Final = 0x20000
_IDEOGRAPHS: Final = ((0x3040, 0x3100), (0x3400, 0xA000), (0xF900, 0xFB00), (0x20000, 0x32000))
_OTHER, _WORD, _IDEOGRAPH, _BLANK = range(4)


@cache
def _kinds() -> NDArray[np.uint8]:
    """Say of every code point whether it is part of a word, a word by itself, or blank."""
    kinds = np.zeros(_KINDS, dtype=np.uint8)
    for point in range(_KINDS):
        if unicodedata.category(chr(point))[0] in "LMN":
            kinds[point] = _WORD
    for start, end in _IDEOGRAPHS:
        kinds[start:end] = _IDEOGRAPH
    kinds[ord(" ")] = kinds[ord(_BETWEEN)] = _BLANK
    return kinds


def mixed(hashes: Hashes) -> Hashes:
    """Spread hashes over all their bits."""
    hashes = (hashes ^ (hashes >> _HALF)) * _MIX
    return hashes ^ (hashes >> _HALF)


class Letters:
    """Texts, one after the other, each between two line ends and with a blank on both sides.

    A link is one sign, every digit is 0 and a long number is four of them: which it is would be learned by
    heart.
    """

    __slots__ = ("_prefix", "_unpower", "codes", "count", "kinds", "texts")

    def __init__(self, texts: Sequence[str]) -> None:
        """Take folded texts; a line end in one of them counts as a blank."""
        self.count = len(texts)
        joined = _BETWEEN.join(f" {text.replace(_BETWEEN, ' ')} " for text in texts)
        joined = _LONG_NUMBER.sub("0000", _LINK.sub("\x02", joined))
        codes = np.frombuffer(joined.encode("utf-32-le"), dtype=np.uint32).copy()
        codes[(codes >= ord("1")) & (codes <= ord("9"))] = ord("0")
        self.codes = codes
        self.kinds = _kinds()[np.minimum(codes, _KINDS - 1)]
        self.texts = np.cumsum(codes == ord(_BETWEEN))
        """The number of the text that each letter belongs to."""
        powers = np.cumprod(np.full(len(codes), _BASE))
        self._prefix = np.zeros(len(codes) + 1, dtype=np.uint64)
        np.cumsum((codes + np.uint64(1)) * powers, out=self._prefix[1:])
        self._unpower = np.cumprod(np.full(len(codes), _INVERSE))

    def __len__(self) -> int:
        """Return how many letters there are."""
        return len(self.codes)

    def hashes(self, starts: Places, ends: Places) -> Hashes:
        """Return the hash of each run; the same letters have the same wherever they stand."""
        run = (self._prefix[ends] - self._prefix[starts]) * self._unpower[starts]
        return mixed(run.astype(np.uint64, copy=False))

    def words(self) -> tuple[Places, Places]:
        """Return where words start and end; an ideograph is one."""
        is_word, single = self.kinds == _WORD, self.kinds == _IDEOGRAPH
        before = np.concatenate([[False], is_word[:-1]])
        after = np.concatenate([is_word[1:], [False]])
        starts = np.flatnonzero(single | (is_word & ~before))
        ends = np.flatnonzero(single | (is_word & ~after)) + 1
        return starts, ends

    def runs(self, size: int) -> Places:
        """Return where runs of so many letters start that hold no blank but at their ends.

        A run of one letter is no blank; no run is of two texts, for between them are three blanks.
        """
        count = len(self.codes) - size + 1
        if count <= 0:
            return np.empty(0, dtype=np.intp)
        blank = self.kinds == _BLANK
        if size == 1:
            return np.flatnonzero(~blank)
        blanks = np.concatenate([[0], np.cumsum(blank)])
        at = np.arange(count)
        inside = blanks[at + size - 1] - blanks[at + 1]
        is_one = inside == 0
        if size == 2:  # noqa: PLR2004 - two blanks are no run
            is_one &= ~(blank[:count] & blank[1:])
        return np.flatnonzero(is_one)


def hashes_of(texts: Sequence[str]) -> Hashes:
    """Return the hash that a run of the letters of each text has."""
    letters = Letters(texts)
    breaks = np.flatnonzero(letters.codes == ord(_BETWEEN))
    starts = np.concatenate([[0], breaks + 1]) + 1
    ends = np.concatenate([breaks, [len(letters)]]) - 1
    return letters.hashes(starts, ends)
