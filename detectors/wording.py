"""Wording: how much a text reads like what was labelled as harmful.

Two linear models that `pipeline.training` fitted. One over pieces of bytes weighs every text within a
microsecond and chooses the few that may be harmful; the other reads those closely: their letters, their words
and what they stand for. They find what no list of terms can hold; terms know what they have never seen. So
detectors use both.
"""

import math
from collections.abc import Iterable, Sequence
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Final

import msgspec
import numpy as np

from detectors import reading
from detectors.folding import Folded, FoldedBatch
from detectors.pieces import BITS, ORDERS, Floats, Weights
from detectors.reading import Weigher
from schemas import Evidence

FEW_TERMS: Final = 0.4
"""The sum of terms that a text is chosen for: with so many it would be worth reporting."""
MOST_NAMED: Final = 3
"""So many concepts are named as the reason."""
_TRIFLE: Final = 1e-4
WARNS: Final = -0.4
"""A term that weighs so little says that the text warns of what it quotes; its wording then tells nothing."""


class Model(msgspec.Struct, frozen=True):
    """Two fitted models as they are kept: one to choose texts, one to read them."""

    orders: tuple[int, ...]
    bits: int
    digest: str
    """Stands for the examples and the code it was fitted from."""
    labels: tuple[str, ...]
    """Of the tables by which texts are chosen."""
    scales: tuple[float, ...]
    biases: tuple[float, ...]
    gates: tuple[float, ...]
    """A text whose pieces have at least this margin is read whatever terms it holds."""
    tables: bytes
    """Signed bytes, a table of 2 ** `bits` for each label."""
    closely: reading.Weights
    """The weights of what is read."""
    curves: dict[str, "Curve"]
    """How margin and terms together make a score, by family."""

    def weights(self, label: str) -> Weights:
        """Return the weights by which texts are chosen for a label.

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

    def gate(self, label: str) -> float:
        """Return the margin from which a text is read for a label that texts are chosen for."""
        return self.gates[self.labels.index(label)]


class Curve(msgspec.Struct, frozen=True):
    """A logistic curve: the log-odds of a score are `bias + margin * m + terms * t`."""

    bias: float
    margin: float
    terms: float
    unread: float
    """What the margin of a text that was not chosen is taken for."""
    sure: float
    """From this sum of terms on, a score is never less than the sum."""

    def scores(self, margins: Floats, terms: Floats) -> Floats:
        """Return the score of each text, 0..1."""
        odds = self.bias + self.margin * margins + self.terms * terms
        scores: Floats = 1.0 / (1.0 + np.exp(-odds))
        sure: Floats = np.clip(np.where(terms >= self.sure, terms, 0.0), 0.0, 1.0)
        return np.maximum(scores, sure, out=scores)

    def wanting(self, margins: Floats, score: float) -> Floats:
        """Return the sum of terms that makes at least this score, for each margin; a trifle less, as scores
        and sums are rounded.
        """  # noqa: D205 - one sentence
        odds = math.log((score - _TRIFLE) / (1.0 - score + _TRIFLE))
        wanting = (odds - self.bias - self.margin * margins) / self.terms - _TRIFLE
        least: Floats = np.minimum(wanting, max(self.sure, score) - _TRIFLE)
        return least

    def score(self, margin: float, terms: float) -> float:
        """Return the score of one text, to four decimals."""
        likely = 1.0 / (1.0 + math.exp(-(self.bias + self.margin * margin + self.terms * terms)))
        return round(max(likely, min(terms, 1.0) if terms >= self.sure else 0.0), 4)


@cache
def shipped(name: str = "wording") -> Model:
    """Load a model of `detectors/models`."""
    path = Path(str(resources.files("detectors") / "models" / f"{name}.msgpack"))
    return msgspec.msgpack.decode(path.read_bytes(), type=Model)


class Chooser:
    """Chooses what is read closely: texts that pass the gate of one of these labels."""

    def __init__(self, model: Model, labels: Sequence[str]) -> None:
        """Take the tables and gates of labels that texts are chosen for."""
        self._gates = [(model.weights(label), model.gate(label)) for label in labels]
        self._name = " ".join((model.digest, *labels))

    def positions(self, texts: FoldedBatch) -> list[int]:
        """Return the positions of the texts; those of a batch are chosen once, whoever asks."""
        opened = texts.opened.get(self._name)
        if opened is None:
            pieces = texts.pieces
            passed = [weights.margins(pieces) >= gate for weights, gate in self._gates]
            opened = np.flatnonzero(np.any(passed, axis=0)).tolist()
            texts.opened[self._name] = opened
        return opened


class Wording:
    """The shipped model for one family, as its detector uses it."""

    def __init__(self, family: str, label: str, least: float, kinds: Iterable[str] = ()) -> None:
        """Take the curve of a family, the weights of a label, and of its kinds those that the model knows.

        Scores below the least are of no use.
        """
        model = shipped()
        self.version = model.digest
        self.curve = model.curves[family]
        self._least = least
        self._chooses = model.weights(label)
        self._chooser = Chooser(model, [label])
        self._weigher = Weigher(model.closely, [label])
        wanted = sorted(kinds)
        self._kinds = Weigher(model.closely, [k for k in wanted if k in model.closely.labels])
        self._first = wanted[0] if wanted else label
        self._term = f"{family}.wording"

    def opens(self, texts: FoldedBatch) -> Sequence[int]:
        """Return the positions of texts that are read, whatever terms they hold."""
        return self._chooser.positions(texts)

    def wanting(self, texts: FoldedBatch) -> dict[int, float]:
        """Return the positions of texts of which few terms would make the least score, and how few."""
        opened = self.opens(texts)
        wanting = self.curve.wanting(
            np.array(self.margins([texts[position] for position in opened])), self._least
        )
        return {
            position: terms
            for position, terms in zip(opened, wanting.tolist(), strict=True)
            if terms <= FEW_TERMS
        }

    @property
    def least_terms(self) -> float:
        """The sum of terms that makes the least score in a text that was not chosen."""
        return float(self.curve.wanting(np.array([self.curve.unread]), self._least)[0])

    def margins(self, texts: Sequence[Folded]) -> list[float]:
        """Return the margin of each text; of one word or none no more than of a text that was not chosen.

        What stands beside it, a link or a number, is for terms and for the detectors of links.
        """
        features = reading.read(texts)
        margins: list[float] = self._weigher.margins(features)[:, 0].tolist()
        return [
            min(margin, self.curve.unread) if of.is_one_word else margin
            for margin, of in zip(margins, features, strict=True)
        ]

    def kind(self, text: Folded) -> str:
        """Return the label of a kind that a text reads most like; the first by name where none is known."""
        if not self._kinds.labels:
            return self._first
        [margins] = self._kinds.margins(reading.read([text]))
        return self._kinds.labels[int(margins.argmax())]

    def concepts(self, text: Folded, evidence: Iterable[Evidence]) -> str:
        """Name what a text speaks of that weighs most, in brackets; empty where wording added nothing.

        The names are those of the thesaurus and never of the text.
        """
        if not any(one.term == self._term and one.weight > 0 for one in evidence):
            return ""
        [features] = reading.read([text])
        named = reading.reader().telling(features, self._weigher, MOST_NAMED)
        return f" ({', '.join(name.replace('_', ' ') for name in named)})" if named else ""

    def score(self, margin: float, terms: float) -> float:
        """Return the score of a text, 0 where it is less than the least."""
        score = self.curve.score(margin, terms)
        return score if score >= self._least else 0.0

    def join(
        self, folded: Folded, margin: float, terms: Sequence[Evidence]
    ) -> tuple[float, tuple[Evidence, ...]]:
        """Return the score, and all evidence in order of its place; what wording adds makes up the sum.

        Where no term speaks for it, wording is placed on the word that weighs most. A score below the least
        is 0 and has no evidence.
        """
        summed = round(sum(evidence.weight for evidence in terms), 4)
        if any(evidence.weight <= WARNS for evidence in terms):
            margin = min(margin, self.curve.unread)
        score = self.score(margin, summed)
        if not score:
            return 0.0, ()
        if score == round(min(1.0, max(0.0, summed)), 4):
            return score, tuple(terms)
        start = end = 0
        if not any(evidence.weight > 0 for evidence in terms):
            for strongest in self._chooses.strongest(folded.text, 1):
                start, end = folded.span(strongest.start, strongest.end)
        wording = Evidence(self._term, round(score - summed, 4), start, end)
        return score, tuple(sorted((*terms, wording), key=lambda e: (e.start, e.end, e.term)))
