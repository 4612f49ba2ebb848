"""Reading: what a text holds, weighed closely: its letters, its words, and the concepts they stand for.

Three kinds of features, each hashed to a place in a table of weights: runs of one to five letters within a
word; words, and pairs of neighbouring words; concepts of the thesaurus, and pairs of concepts anywhere in the
text, in the order in which they first stand there. A pair of concepts is what a sentence says, whatever its
words and its language: *dont*, *tell_others*.

It takes some 15 µs a text of chat in a batch of a hundred, twice that in one of twenty, so texts are chosen
by `detectors.pieces`; whichever detectors ask, each is read once.
"""

import zlib
from collections.abc import Container, Sequence
from functools import cache, lru_cache
from itertools import accumulate, pairwise
from typing import Any, Final, NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from detectors import thesaurus
from detectors.folding import Folded
from detectors.letters import Hashes, Letters, Places, mixed
from detectors.thesaurus import Thesaurus

BLOCKS: Final = {"letters": 19, "words": 18, "concepts": 19}
"""The kinds of features, each with places for 2 ** so many, one after the other in the table."""
SIZES: Final = (1, 2, 3, 4, 5)
"""How many letters a run has."""
FEWEST: Final = (40, 6, 6)
"""With fewer features of a block a text weighs less: one word of an advertisement is none."""
MOST_LETTERS: Final = 4000
"""Of a text, so many letters are read, from its beginning: what is longer would cost memory."""
MOST_CONCEPTS: Final = 40
"""Of a text, so many different concepts are paired."""

ONE_WORD: Final = 2
"""A text with so few features of words has one word: that, and its pair with itself."""

_STARTS: Final = (0, *accumulate(1 << bits for bits in [*BLOCKS.values()][:-1]))
PLACES: Final = sum(1 << bits for bits in BLOCKS.values())
_OF_A_PAIR: Final = np.uint64(0xA24BAED4963EE407)
_TEXT_SHIFT: Final = PLACES.bit_length()
_CONCEPT_SHIFT: Final = 16
_CONCEPT: Final = (1 << _CONCEPT_SHIFT) - 1
_LEVELS: Final = 127
_COARSE: Final = 4

Floats = NDArray[np.floating[Any]]


class Features(NamedTuple):
    """What one text holds: the places of its different features in the table, a block of `BLOCKS` each."""

    letters: NDArray[np.int32]
    words: NDArray[np.int32]
    concepts: NDArray[np.int32]
    named: NDArray[np.int32]
    """Which concepts it holds, by their numbers in the thesaurus, in order of where they first stand."""

    @property
    def is_one_word(self) -> bool:
        """Whether it holds no two different words; a link is none."""
        return len(self.words) <= ONE_WORD


class Reader:
    """Reads folded texts."""

    def __init__(self, known: Thesaurus) -> None:
        """Look concepts up in this thesaurus."""
        self._thesaurus = known

    def read(self, texts: Sequence[str]) -> list[Features]:
        """Return the features of each text."""
        if not texts:
            return []
        letters = Letters([text[:MOST_LETTERS] for text in texts])
        held_by, concepts, places = self._held(letters)
        blocks = (
            _runs(letters),
            _words(letters),
            _with_pairs(held_by, concepts, places, letters.count),
        )
        parts = [
            _different(texts, keys, bits, start, letters.count)
            for (texts, keys), bits, start in zip(blocks, BLOCKS.values(), _STARTS, strict=True)
        ]
        parts.append(_by_text(held_by, concepts.astype(np.int32), letters.count))
        return [Features(*of) for of in zip(*parts, strict=True)]

    def telling(self, features: Features, weigher: "Weigher", most: int) -> tuple[str, ...]:
        """Return the names of the concepts that weigh most for the first label, the heaviest first."""
        concepts = features.named[:MOST_CONCEPTS].astype(np.uint64)
        first, second = np.triu_indices(len(concepts), 1)
        alone = weigher.weights(_places(mixed(concepts)))
        pairs = _places(mixed(_pairs(concepts[first], concepts[second])))
        paired = weigher.weights(pairs) * _are_among(pairs, features.concepts) / 2
        np.add.at(alone, first, paired)
        np.add.at(alone, second, paired)
        heaviest = sorted(range(len(concepts)), key=lambda n: (-alone[n], n))[:most]
        return tuple(self._thesaurus.names[int(concepts[n])] for n in heaviest if alone[n] > 0)

    def _held(self, letters: Letters) -> tuple[Places, Hashes, Places]:
        """Return whose concepts are, and which: those of a text once, in order of where they first stand."""
        found = self._thesaurus.find(letters)
        held = (letters.texts[found.starts] << _CONCEPT_SHIFT) | found.concepts
        order = np.lexsort((found.starts, held))
        held, starts = held[order], found.starts[order]
        first = np.flatnonzero(np.diff(held, prepend=-1))
        order = first[np.lexsort((held[first], starts[first]))]
        held = held[order]
        return held >> _CONCEPT_SHIFT, (held & _CONCEPT).astype(np.uint64), starts[order]


def _are_among(places: Places, held: NDArray[np.int32]) -> NDArray[np.bool_]:
    """Whether each is one of those held, which are in order."""
    if not len(held):
        return np.zeros(len(places), dtype=bool)
    at = np.minimum(np.searchsorted(held, places), len(held) - 1)
    return np.asarray(held[at] == places)


def _with_pairs(texts: Places, concepts: Hashes, at: Places, count: int) -> tuple[Places, Hashes]:
    """Return the keys of concepts, and of the pairs of those of one text.

    What begins at one place is one word that means several things: no pair.
    """
    starts = np.searchsorted(texts, np.arange(count))
    few = np.arange(len(texts)) - starts[texts] < MOST_CONCEPTS
    of, held, at = texts[few], concepts[few], at[few]
    after = np.searchsorted(of, of, side="right") - np.arange(1, len(of) + 1)
    first = np.repeat(np.arange(len(of)), after)
    second = first + np.arange(1, len(first) + 1) - np.repeat(np.cumsum(after) - after, after)
    apart = at[first] != at[second]
    first, second = first[apart], second[apart]
    keys = np.concatenate([concepts, _pairs(held[first], held[second])])
    return np.concatenate([texts, of[first]]), mixed(keys)


def _pairs(first: Hashes, second: Hashes) -> Hashes:
    return ((first + np.uint64(1)) << np.uint64(_CONCEPT_SHIFT)) + second


def _places(keys: Hashes) -> Places:
    """Return the places of concepts and their pairs."""
    bits = BLOCKS["concepts"]
    return (keys >> np.uint64(64 - bits)).astype(np.intp) + _STARTS[-1]


def _runs(letters: Letters) -> tuple[Places, Hashes]:
    starts, keys = [], []
    for size in SIZES:
        at = letters.runs(size)
        starts.append(at)
        keys.append(letters.hashes(at, at + size))
    return letters.texts[np.concatenate(starts)], np.concatenate(keys)


def _words(letters: Letters) -> tuple[Places, Hashes]:
    starts, ends = letters.words()
    keys, texts = letters.hashes(starts, ends), letters.texts[starts]
    beside = texts[1:] == texts[:-1]
    pairs = mixed(keys[:-1] * _OF_A_PAIR + keys[1:])[beside]
    return np.concatenate([texts, texts[1:][beside]]), np.concatenate([keys, pairs])


def _different(
    texts: Places, keys: Hashes, bits: int, start: int, count: int
) -> list[NDArray[np.int32]]:
    """Return the places of each text, each once."""
    places = (keys >> np.uint64(64 - bits)).astype(np.intp) + start
    held = _each_once((texts << _TEXT_SHIFT) | places)
    return _by_text(held >> _TEXT_SHIFT, (held & ((1 << _TEXT_SHIFT) - 1)).astype(np.int32), count)


def _by_text(texts: Places, values: NDArray[np.int32], count: int) -> list[NDArray[np.int32]]:
    """Return the values of each text, which come in order of their texts."""
    ends = np.searchsorted(texts, np.arange(1, count)).tolist()
    return [values[first:last] for first, last in pairwise([0, *ends, len(values)])]


def _each_once(values: Places) -> Places:
    """Return different values in order; a sort is faster here than the hash table of `np.unique`."""
    values.sort()
    return values[np.concatenate([[True], values[1:] != values[:-1]])] if len(values) else values


class Weights(msgspec.Struct, frozen=True):
    """Fitted weights of several labels, as they are kept."""

    labels: tuple[str, ...]
    scales: tuple[float, ...]
    """What one step of a label's weights stands for."""
    biases: tuple[float, ...]
    places: bytes
    """Of known features in order, how far each is from the one before, 32 bits each; compressed."""
    steps: bytes
    """For each label a signed byte for each of them; compressed."""

    @property
    def known(self) -> int:
        """How many features have weights."""
        return len(zlib.decompress(self.places)) // 4


class Weigher:
    """Weighs what was read."""

    def __init__(self, weights: Weights, labels: Sequence[str] | None = None) -> None:
        """Take fitted weights, of these labels only if any are given.

        Raises:
            ValueError: if a label has no weights.
        """
        self.labels = weights.labels if labels is None else tuple(labels)
        columns = [weights.labels.index(label) for label in self.labels]
        self._scales = np.array(weights.scales)[columns]
        self._biases = np.array(weights.biases)[columns]
        self._row = _rows(weights.places)
        steps = _steps(weights.steps, len(weights.labels))
        self._steps = [steps[column] for column in columns]

    def margins(self, features: Sequence[Features]) -> Floats:
        """Return the log-odds of each text for each label, as fitted.

        A feature of no example says nothing; the others of a block weigh one in the root of their number, or
        of `FEWEST`.
        """
        if not features:
            return np.empty((0, len(self.labels)))
        held = [of[block] for block in range(len(BLOCKS)) for of in features]
        counts = np.fromiter(map(len, held), dtype=np.intp, count=len(held))
        rows = self._row.take(np.concatenate(held))
        known = _totals((rows > 0).view(np.int8), counts).reshape(len(BLOCKS), -1)
        roots = np.sqrt(np.maximum(known, np.array(FEWEST)[:, None]))
        sums = [_totals(of.take(rows), counts).reshape(roots.shape) for of in self._steps]
        margins: Floats = np.stack([(of / roots).sum(axis=0) for of in sums], axis=1)
        margins *= self._scales
        margins += self._biases
        return margins

    def weights(self, places: Places) -> Floats:
        """Return what places weigh for the first label, each by itself."""
        weights: Floats = self._steps[0].take(self._row[places]) * self._scales[0]
        return weights


@lru_cache(maxsize=4)
def _rows(places: bytes) -> NDArray[np.int32]:
    """Return, for every place of the table, which known feature it is, from 1; 0 is none."""
    known = np.cumsum(np.frombuffer(zlib.decompress(places), dtype=np.uint32))
    rows = np.zeros(PLACES, dtype=np.int32)
    rows[known] = np.arange(1, len(known) + 1)
    return rows


@lru_cache(maxsize=4)
def _steps(steps: bytes, labels: int) -> NDArray[np.int8]:
    """Return a row of steps for each label, which all who weigh share; what is unknown, in front, has 0."""
    own = np.frombuffer(zlib.decompress(steps), dtype=np.int8).reshape(labels, -1)
    return np.hstack([np.zeros((labels, 1), dtype=np.int8), own])


def _totals(values: NDArray[np.int8], counts: Places) -> NDArray[np.int32]:
    """Return the sum of the first so many values, of so many that follow, and so on."""
    totals = np.zeros(len(counts), dtype=np.int32)
    # `reduceat` knows no empty sum.
    some = np.flatnonzero(counts)
    if len(some):
        starts = np.cumsum(counts) - counts
        totals[some] = np.add.reduceat(values, starts[some], dtype=np.int32)
    return totals


def quantised(
    labels: Sequence[str],
    weights: Floats,
    biases: Sequence[float],
    places: Places,
    coarse: Container[str] = (),
) -> Weights:
    """Keep weights, a row for each place in order and a column for each label, in steps of a byte.

    Those of `coarse` labels take every fourth step only: they compress to half, and which of them is the
    likeliest is seldom close.
    """
    scales = np.abs(weights).max(axis=0) / _LEVELS
    steps = np.round(weights / scales)
    each = np.array([_COARSE if label in coarse else 1 for label in labels])
    steps = (np.round(steps / each) * each).clip(-_LEVELS, _LEVELS).astype(np.int8)
    return Weights(
        tuple(labels), tuple(map(float, scales)), tuple(map(float, biases)),
        zlib.compress(np.diff(places, prepend=0).astype(np.uint32).tobytes(), 9),
        zlib.compress(np.ascontiguousarray(steps.T).tobytes(), 9),
    )  # fmt: skip


@cache
def reader() -> Reader:
    """Return the reader that knows the shipped thesaurus."""
    return Reader(Thesaurus(thesaurus.shipped()))


def read(folded: Sequence[Folded]) -> list[Features]:
    """Return the features of folded texts; each keeps them for whoever asks next."""
    unread = [one for one in folded if one.features is None]
    views = [one.squeezed or one.text for one in unread]
    for one, features in zip(unread, reader().read(views), strict=True):
        one.features = features
    return [one.features for one in folded if one.features is not None]
