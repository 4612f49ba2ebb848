"""A small linear model of what names of phishing hosts look like.

It knows character n-grams of the registered label and its shape, nothing else: no list is consulted and
nothing is fetched. What it was trained on, and where it fails, is in `detectors/models/hosts.md`.
"""

import math
import struct
from functools import cache, lru_cache
from importlib import resources
from pathlib import Path
from typing import Final
from zlib import crc32

import msgspec
import regex

from detectors.links import Link

MAGIC: Final = b"penjaga-hosts-1\n"
_HEADER: Final = struct.Struct("<Bff")
"""Bits of a feature's index, the bias, and what an 8-bit weight is multiplied by."""

SHORTEST_GRAM: Final = 2
LONGEST_GRAM: Final = 6
SHAPE_VALUE: Final = 0.3
LONGEST_LABEL: Final = 40
_TRADE: Final = regex.compile(
    "bank|banc|banque|credit|financ|capital|union|saving|trust|invest|insur|news|times|press|daily|herald"
    "|tribune|journal|post|gazette|leader|sport|game|club|communit"
)
"""Words of trades whose honest sites are many and are in no training list: the model does not see them."""
_OPEN_COUNTRIES: Final = frozenset(
    "ai bz cc cf co fm ga gg gq im io la ly me ml nu pw sh st su tk to tv vc ws".split()
)
"""Country codes sold to anybody, so that they say nothing of a country."""
_OLD_SUFFIXES: Final = frozenset("com net org info biz".split())
"""Suffixes that speak for or against a name: the others are too new for the lists of honest names."""
_CONSONANTS: Final = regex.compile("[bcdfghjklmnpqrstvwxz]+")
_RUNS: Final = regex.compile(r"[^\W\d_]+|\d+|[-_]+")

_FLOOR: Final = 0.3
_CEILING: Final = 0.7
_FIRST: Final = 1.0
_SLOPE: Final = 0.22
"""From the logit `_FIRST` on, the weight grows from `_FLOOR` by `_SLOPE` for each unit, up to `_CEILING`."""
_MOST_PARTS: Final = 3


class Part(msgspec.Struct, frozen=True):
    """A run of letters that makes a host look like a trap: what it adds, and where it stands in `looks`."""

    weight: float
    start: int
    end: int


class Judgement(msgspec.Struct, frozen=True):
    """What the model makes of a host: the strongest parts, and all the rest of its weight in one sum."""

    weight: float
    parts: tuple[Part, ...]
    rest: float


class HostScorer:
    """The model: hashed features and 8-bit weights."""

    def __init__(self, model: bytes) -> None:
        """Take a model as `detectors.models.training` writes it.

        Raises:
            ValueError: if it is none.
        """
        if not model.startswith(MAGIC):
            raise ValueError("not a model of hosts: it begins with other bytes")
        head = len(MAGIC) + _HEADER.size
        bits, self._bias, self._unit = _HEADER.unpack_from(model, len(MAGIC))
        if len(model) != head + 2**bits:
            raise ValueError(f"not a model of hosts: {len(model)} bytes, expected {head + 2**bits}")
        self._mask = 2**bits - 1
        self._weights = memoryview(model)[head:].cast("b")
        self.digest = f"{crc32(model):08x}"
        self.size = len(model)

    @classmethod
    @cache
    def shipped(cls) -> "HostScorer":
        """Load `detectors/models/hosts.bin`."""
        path = Path(str(resources.files("detectors") / "models" / "hosts.bin"))
        return cls(path.read_bytes())

    def logit(self, label: str, suffix: str) -> float:
        """Return the log-odds that the model gives a registered label under a suffix."""
        return self._scored(label[:LONGEST_LABEL], suffix)[0]

    def judge(self, link: Link) -> Judgement | None:
        """Return what a link's host adds to its score, or `None` if that is nothing."""
        label = link.name[:LONGEST_LABEL]
        logit, value = self._scored(label, link.suffix)
        if logit < _FIRST:
            return None
        weight = round(min(_CEILING, _FLOOR + _SLOPE * (logit - _FIRST)), 4)
        at = len(link.subdomain) + 1 if link.subdomain else 0
        parts = tuple(
            Part(share, at + start, at + end) for share, start, end in self._strongest(label, value)
        )
        return Judgement(weight, parts, round(weight - sum(part.weight for part in parts), 4))

    def _scored(self, label: str, suffix: str) -> tuple[float, float]:
        """Return the logit, and what an n-gram's weight is multiplied by in it."""
        grams, shapes = features(label, suffix, mask=self._mask)
        weights = self._weights
        value = self._unit / math.sqrt(len(grams))
        logit = self._bias + value * sum([weights[i] for i in grams])
        return logit + SHAPE_VALUE * self._unit * sum([weights[i] for i in shapes]), value

    def _strongest(self, label: str, value: float) -> list[tuple[float, int, int]]:
        """Return the strongest runs of a label: what all n-grams inside add up to, and the place."""
        shown = _shown(label)
        grams = _grams(shown, self._mask)
        # Of each run of so many signs, from each place where one can begin.
        sums = [0] * max(1, len(shown) - LONGEST_GRAM + 1)
        weights, last = self._weights, len(sums) - 1
        seen: set[int] = set()
        for index, start, size in grams:
            if index not in seen:
                seen.add(index)
                weight = weights[index]
                first = start + size - LONGEST_GRAM
                for run in range(max(first, 0), min(start, last) + 1):
                    sums[run] += weight
        value *= _SLOPE
        runs = [
            # Less one for the sign that marks the beginning.
            (round(total * value, 4), max(0, first - 1), min(first + LONGEST_GRAM - 1, len(label)))
            for first, total in enumerate(sums)
        ]
        kept: list[tuple[float, int, int]] = []
        for share, begin, stop in sorted(runs, key=lambda found: (-found[0], found[1])):
            is_apart = all(stop <= start or end <= begin for _, start, end in kept)
            if share > 0 and stop > begin and is_apart:
                kept.append((share, begin, stop))
        return kept[:_MOST_PARTS]


def packed(bits: int, bias: float, unit: float, weights: bytes) -> bytes:
    """Return a model as bytes: `2**bits` signed 8-bit weights, each in steps of `unit`."""
    return MAGIC + _HEADER.pack(bits, bias, unit) + weights


def features(label: str, suffix: str, *, mask: int) -> tuple[set[int], set[int]]:
    """Return the indices of a host's features: the n-grams of its label, and its shape."""
    shown = _shown(label)
    grams = {index for index, _, _ in _grams(shown, mask)}
    if "-" in label:
        grams.update(crc32(b"=" + word) & mask for word in shown[1:-1].split(b"-"))
    return grams, {crc32(s.encode()) & mask for s in _shape(label, suffix)}


def _shown(label: str) -> bytes:
    """Return a label as the model sees it, with signs for its beginning and end."""
    shown = _TRADE.sub(lambda trade: "*" * len(trade[0]), label)
    return f"^{shown}$".encode("ascii", "replace")


def _grams(shown: bytes, mask: int) -> list[tuple[int, int, int]]:
    """Return index, place and size of every n-gram."""
    length = len(shown) + 1
    return [
        (crc32(shown[start : start + size]) & mask, start, size)
        for size in range(SHORTEST_GRAM, LONGEST_GRAM + 1)
        for start in range(length - size)
    ]


def is_of_country(suffix: str) -> bool:
    """Tell whether a suffix is a country's own: what is registered there is no worse for it.

    Most traps under such suffixes are honest sites that were broken into.
    """
    last = suffix.rpartition(".")[2]
    return len(last) == 2 and last not in _OPEN_COUNTRIES  # noqa: PLR2004


@lru_cache(maxsize=4096)
def _shape(label: str, suffix: str) -> tuple[str, ...]:
    """Describe a label: its length, digits, hyphens, vowels and runs, alone and with its suffix."""
    digits = sum(c.isdigit() for c in label)
    letters = sum(c.isalpha() for c in label) or 1
    hyphens = label.count("-")
    vowels = round(8 * sum(c in "aeiou" for c in label) / letters)
    consonants = min(max(map(len, _CONSONANTS.findall(label)), default=0), 7)
    size = min(len(label) // 2, 12)
    runs = "".join(_run(run) for run in _RUNS.findall(label))[:24]
    alone = (
        f"#l{size}",
        f"#h{min(hyphens, 4)}",
        f"#v{vowels}",
        f"#c{consonants}",
        f"#d{min(digits, 6)}",
    )
    if suffix not in _OLD_SUFFIXES:
        return (*alone, f"#r{runs}")
    return (
        *alone,
        f"#r{runs}",
        f".{suffix}",
        f".{suffix}|l{size // 2}",
        f".{suffix}|c{consonants}",
        f".{suffix}|h{min(hyphens, 3)}",
        f".{suffix}|d{min(digits, 3)}",
    )


def _run(run: str) -> str:
    if run.isdigit():
        return f"0{min(len(run), 4)}"
    return f"a{min(len(run) // 3, 4)}" if run.isalpha() else "-"
