"""Wording: how much a text reads like what was labelled as harmful, by the pieces of its words.

A linear model over hashed pieces: every run of 3, 5 and 8 bytes of the folded text adds a weight that
`pipeline.training` fitted. It knows what no list of terms can hold, and finds texts without any telling
word; terms know what it has never seen. So detectors use both.

All texts of a batch are weighed at once, by NumPy over their joined bytes: about a microsecond a message.
The hash is that of Fowler, Noll and Vo (FNV-1), with Knuth's multiplicative hash to spread it over the table.
"""

import re
from collections.abc import Iterable, Sequence
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any, Final, Protocol

import msgspec
import numpy as np
from numpy.typing import NDArray

from schemas import Evidence

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
_PLACES: Final = (1 << BITS) - 1
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


def distinct(of: Pieces) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Return the number of a text and the place of a piece, for every different piece of each text."""
    ends = np.append(of.starts[1:], len(of.hashes[0]))
    texts = np.repeat(np.arange(len(of.starts)), ends - of.starts) << BITS
    held = np.unique(np.concatenate([texts | hashes for hashes in of.hashes]))
    held = held[held & _PLACES > 0]
    return held >> BITS, held & _PLACES


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
        """Return the log-odds of each text, as fitted; 0 is as likely as not among the examples.

        What is said again adds nothing, or any word would weigh enough if only it were repeated.
        """
        texts, places = distinct(of)
        count = len(of.starts)
        summed = np.bincount(texts, self._table[places], minlength=count) * self._scale
        counts = np.bincount(texts, minlength=count) / len(ORDERS)
        return np.asarray(self._bias + summed * shares(counts))

    def rough_margins(self, of: Pieces) -> Floats:
        """Return about the same, sooner: here every repetition counts."""
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


class Model(msgspec.Struct, frozen=True):
    """A fitted model as it is kept: for each label a table of weights."""

    orders: tuple[int, ...]
    bits: int
    digest: str
    """Stands for the examples and the code it was fitted from."""
    labels: tuple[str, ...]
    scales: tuple[float, ...]
    biases: tuple[float, ...]
    tables: bytes
    """Signed bytes, a table of 2 ** `bits` for each label."""
    curves: dict[str, "Curve"]
    """How margin and terms together make a score, by family."""

    def weights(self, label: str) -> Weights:
        """Return the weights of a label.

        Raises:
            ValueError: if the model has none, or was made for other pieces.
        """
        if (self.orders, self.bits) != (ORDERS, BITS):
            raise ValueError(
                "the model was fitted for pieces of other sizes: run the training again"
            )
        at = self.labels.index(label)
        size = 1 << self.bits
        table = np.frombuffer(self.tables, dtype=np.int8, count=size, offset=at * size)
        return Weights(table, self.scales[at], self.biases[at])


class Curve(msgspec.Struct, frozen=True):
    """A logistic curve: the log-odds of a score are `bias + margin * m + terms * t`."""

    bias: float
    margin: float
    terms: float
    gate: float
    """A text with at least this rough margin is looked at whatever terms it holds."""
    sure: float
    """From this sum of terms on, a score is never less than the sum."""

    def scores(self, margins: Floats, terms: Floats) -> Floats:
        """Return the score of each text, 0..1."""
        odds = self.bias + self.margin * margins + self.terms * terms
        scores: Floats = 1.0 / (1.0 + np.exp(-odds))
        sure: Floats = np.clip(np.where(terms >= self.sure, terms, 0.0), 0.0, 1.0)
        return np.maximum(scores, sure, out=scores)

    def score(self, margin: float, terms: float) -> float:
        """Return the score of one text, to four decimals."""
        return round(float(self.scores(np.array([margin]), np.array([terms]))[0]), 4)


class FoldedText(Protocol):
    """A text as `detectors.folding` folds it, which imports this module."""

    text: str

    def span(self, start: int, end: int) -> tuple[int, int]:
        """Map a span of the folded text to the original."""
        ...


class FoldedTexts(Protocol):
    """A batch of folded texts, with their pieces."""

    @property
    def pieces(self) -> Pieces:
        """The pieces of all texts."""
        ...


@cache
def shipped(name: str = "wording") -> Model:
    """Load a model of `detectors/models`."""
    path = Path(str(resources.files("detectors") / "models" / f"{name}.msgpack"))
    return msgspec.msgpack.decode(path.read_bytes(), type=Model)


class Wording:
    """The shipped model for one family, as its detector uses it."""

    def __init__(self, family: str, label: str) -> None:
        """Take the curve of a family and the weights of a label."""
        model = shipped()
        self.version = model.digest
        self.curve = model.curves[family]
        self._weights = model.weights(label)
        self._term = f"{family}.wording"

    def chosen(self, texts: FoldedTexts) -> Sequence[int]:
        """Return the positions of texts to look at whatever terms they hold."""
        margins = self._weights.rough_margins(texts.pieces)
        return [int(at) for at in np.flatnonzero(margins >= self.curve.gate)]

    def margins(self, texts: Sequence[str]) -> Sequence[float]:
        """Return the margin of each text, given as the view that is to be weighed."""
        return [float(margin) for margin in self._weights.margins(pieces(texts))] if texts else []

    def may_reach(self, score: float, terms: float) -> bool:
        """Say whether terms could make a score in a text that was not chosen."""
        return self.curve.score(self.curve.gate, terms) >= score

    def join(
        self, folded: FoldedText, margin: float, terms: Sequence[Evidence]
    ) -> tuple[float, tuple[Evidence, ...]]:
        """Return the score, and all evidence in order of its place: what wording adds makes up the sum.

        Where no term speaks for it, wording is placed on the word that weighs most.
        """
        summed = round(sum(evidence.weight for evidence in terms), 4)
        score = self.curve.score(margin, summed)
        if score == round(min(1.0, max(0.0, summed)), 4):
            return score, tuple(terms)
        start = end = 0
        if not any(evidence.weight > 0 for evidence in terms):
            for strongest in self._weights.strongest(folded.text, 1):
                start, end = folded.span(strongest.start, strongest.end)
        wording = Evidence(self._term, round(score - summed, 4), start, end)
        return score, tuple(sorted((*terms, wording), key=lambda e: (e.start, e.end, e.term)))


class Kinds:
    """Which of several labels a text reads most like."""

    def __init__(self, labels: Iterable[str]) -> None:
        """Take the weights of those labels that the model knows."""
        model, wanted = shipped(), sorted(labels)
        self._weights = {label: model.weights(label) for label in wanted if label in model.labels}
        self._first = wanted[0]

    def of(self, text: str) -> str:
        """Return the label with the highest margin; the first by name where the model knows none."""
        cut = pieces([text])
        margins = {label: float(w.margins(cut)[0]) for label, w in self._weights.items()}
        return max(margins, key=lambda label: margins[label], default=self._first)
