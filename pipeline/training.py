"""Training: fit the wording model from labelled JSON lines, and write its weights and its card.

Logistic regression on the pieces that `detectors.wording` cuts, then a logistic curve that joins its margin
with the sum of a detector's terms. Both are measured on rows that the model has not seen: five folds, rows of
one group (a brand, a text but for its digits) in one.

    penjaga train FOLDER
"""

import gzip
import hashlib
import json
import tomllib
from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from importlib import resources
from itertools import islice
from pathlib import Path
from typing import Any, Final, Protocol

import msgspec
import numpy as np
import regex
from numpy.typing import NDArray
from scipy.sparse import coo_matrix, csr_matrix, vstack
from sklearn.linear_model import LogisticRegression

from detectors.folding import fold
from detectors.wording import BITS, ORDERS, Curve, Model, distinct, pieces, shares
from pipeline import registry
from pipeline.chain import Chain
from pipeline.settings import Detectors
from schemas import Actor, Audience, Conversation, Event

SHIPPED: Final = Path(str(resources.files("detectors") / "models"))
FOLDS: Final = 5
STRENGTH: Final = 30.0
"""Inverse of the regularisation: of 10, 30 and 100 the best on rows not seen."""


class Family(msgspec.Struct, frozen=True):
    """What is learned for one detector, and how its terms are joined with it."""

    detector: str
    label: str
    """What is harmful: this label, or any of its parts."""
    share: float
    """Scores are probabilities where so many messages are harmful; the lower, the more a text must show."""
    sure: float
    """From which sum on terms are so sure that wording takes nothing away from them."""
    least: float
    """The score from which the detector reports."""
    gate: float
    """A text passes the gate when terms of this sum would make it worth reporting; with more it is
    looked at for these."""


FAMILIES: Final = {
    "gambling": Family("gambling_promotion", "gambling.promotion", 0.01, 0.0, 0.4, 0.4),
    "fraud": Family("scam_texts", "fraud", 0.0065, 0.7, 0.4, 0.4),
    "bullying": Family("harassment", "bullying", 0.02, 0.0, 0.25, 0.1),
}
_LEVELS: Final = 127


Floats = NDArray[np.floating[Any]]
Mask = NDArray[np.bool_]
Sparse = Any
"""A matrix of SciPy's, which has no types."""


class Examples(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One file of labelled rows, as `wording.toml` names it."""

    path: str
    licence: str
    labels: dict[str, str] = {}
    weight: float = 1.0
    group: str = ""
    most: int = 0
    is_ordinary: bool = False
    about: tuple[str, ...] = ()
    unread: tuple[str, ...] = ()


class Row(msgspec.Struct, frozen=True):
    """One labelled text."""

    text: str
    label: str
    weight: float
    group: str
    is_ordinary: bool
    language: str
    source: str
    families: frozenset[str]
    """Which families the file is about."""
    unread: frozenset[str] = frozenset()
    """Families that nobody looked for in the file."""


def json_rows(path: str, folders: Sequence[Path]) -> Iterator[dict[str, Any]]:
    """Read the JSON lines of a file, from the first folder that has it.

    Raises:
        FileNotFoundError: if it is in none of the folders.
    """
    found = next((file for folder in folders if (file := folder / path).exists()), None)
    if found is None:
        raise FileNotFoundError(f"{path} is in none of {', '.join(map(str, folders))}")
    opened = gzip.open if found.suffix == ".gz" else open
    with opened(found, "rt", encoding="utf-8") as lines:
        yield from map(json.loads, lines)


def rows_of(examples: Examples, folders: Sequence[Path]) -> Iterator[Row]:
    """Read the rows of a file that have a label to learn from.

    Raises:
        FileNotFoundError: if it is in none of the folders.
    """
    families = frozenset(examples.about)
    for row in islice(json_rows(examples.path, folders), examples.most or None):
        label = examples.labels.get(row["label"]) if examples.labels else row["label"]
        if label is None:
            continue
        attributes = row.get("attributes", {})
        held = attributes.get(examples.group) if examples.group else None
        group = str(held[0]) if held else regex.sub(r"[\W\d]+", "", row["text"].casefold())
        language = row.get("language") or attributes.get("lang", "")
        yield Row(
            row["text"],
            label,
            examples.weight,
            group,
            examples.is_ordinary,
            language,
            Path(examples.path).name,
            families,
            frozenset(examples.unread),
        )


def matrix(texts: Sequence[str]) -> Sparse:
    """Return the pieces of texts as a sparse matrix, each row as `Weights.margins` weighs it."""
    rows, places = [], []
    for start in range(0, len(texts), 500):
        row, place = distinct(pieces(texts[start : start + 500]))
        rows.append(row + start)
        places.append(place)
    row = np.concatenate(rows)
    weights = shares(np.bincount(row, minlength=len(texts)) / len(ORDERS))[row]
    shape = (len(texts), 1 << BITS)
    return csr_matrix((weights, (row, np.concatenate(places))), shape=shape)


def rough_matrix(texts: Sequence[str]) -> Sparse:
    """Return the same, each row as `Weights.rough_margins` weighs it."""
    parts = []
    for start in range(0, len(texts), 500):
        of = pieces(texts[start : start + 500])
        count, length = len(of.starts), len(of.hashes[0])
        row = np.repeat(np.arange(count), np.diff(np.append(of.starts, length)))
        weights = shares(of.sizes)[row]
        # At place 0 no piece begins.
        held = [
            coo_matrix((weights * (place > 0), (row, place)), (count, 1 << BITS))
            for place in of.hashes
        ]
        parts.append(sum(one.tocsr() for one in held))
    return vstack(parts, format="csr")


class Grouped(Protocol):
    """A row of which others are variants."""

    @property
    def group(self) -> str:
        """The same for all of them."""
        ...


def folds(rows: Sequence[Grouped]) -> NDArray[np.int64]:
    """Give each row its fold; rows of one group have the same."""
    digests = (hashlib.sha256(row.group.encode()).digest() for row in rows)
    return np.array([digest[0] % FOLDS for digest in digests])


def fit(features: Sparse, is_positive: Mask, weights: Floats, strength: float = STRENGTH) -> Any:  # noqa: ANN401  # of scikit-learn
    """Fit one label; the strength is the inverse of the regularisation."""
    model = LogisticRegression(C=strength, solver="liblinear", random_state=0)
    return model.fit(features, is_positive, sample_weight=weights)


def quantised(model: Any) -> tuple[bytes, float, float]:  # noqa: ANN401  # of scikit-learn
    """Return the weights as signed bytes, what one of them stands for, and the bias."""
    coefficients = model.coef_[0].copy()
    coefficients[0] = 0.0
    scale = float(np.abs(coefficients).max()) / _LEVELS
    packed = np.round(coefficients / scale).astype(np.int8).tobytes()
    return packed, scale, float(model.intercept_[0])


def unseen(features: Sparse, is_positive: Mask, weights: Floats, fold: NDArray[np.int64]) -> Floats:
    """Return margins of which each is by a model that has not seen the row's group."""
    margins = np.zeros(len(is_positive))
    for number in range(FOLDS):
        there = fold == number
        model = fit(features[~there], is_positive[~there], weights[~there])
        margins[there] = model.decision_function(features[there])
    return margins


def terms_of(name: str, texts: Sequence[str]) -> NDArray[np.float64]:
    """Return the sum of a detector's terms in each text."""
    [registered] = registry.load(Detectors(only=(name,)))
    detector: Any = registered.detector
    chain = Chain([detector])
    sums = np.zeros(len(texts))
    for start in range(0, len(texts), 500):
        events = [_event(text) for text in texts[start : start + 500]]
        for position, candidate in chain.candidates(events, asked_by_all=True)[0].items():
            sums[start + position] = detector.terms(candidate)
    return sums


def _event(text: str) -> Event:
    return Event(
        id="-", platform="training", kind="message", occurred_at=datetime(2026, 1, 1, tzinfo=UTC),
        text=text, actor=Actor(id="-"), audience=Audience(kind="public"),
        conversation=Conversation(id="-"),
    )  # fmt: skip


def curve(family: Family, margins: Floats, terms: Floats, is_positive: Mask) -> Curve:
    """Join margins and terms; examples count as if so many as the family says were harmful."""
    share, wanted = is_positive.mean(), family.share
    weights = np.where(is_positive, wanted / share, (1 - wanted) / (1 - share))
    both = np.column_stack([margins, terms])
    model = LogisticRegression(C=1e6).fit(both, is_positive, sample_weight=weights)
    (margin, term), bias = model.coef_[0], model.intercept_[0]
    least = np.log(family.least / (1 - family.least))
    gate = float((least - bias - term * family.gate) / margin)
    return Curve(
        bias=round(float(bias), 4), margin=round(float(margin), 4), terms=round(float(term), 4),
        gate=round(gate, 4), sure=family.sure,
    )  # fmt: skip


def train(recipe_folder: Path, folders: Sequence[Path]) -> tuple[Model, str]:
    """Fit everything that `wording.toml` in a folder names; return the model and its card.

    Raises:
        FileNotFoundError: if a file of examples is in none of the folders.
    """
    recipe = (recipe_folder / "wording.toml").read_bytes()
    listed = msgspec.convert(tomllib.loads(recipe.decode())["examples"], list[Examples])
    rows = [row for e in listed for row in rows_of(e, (recipe_folder, *folders))]
    folded = [fold(row.text) for row in rows]
    features = matrix([f.squeezed or f.text for f in folded])
    fold_of, weights = folds(rows), np.array([row.weight for row in rows])
    lessons, curves, figures = [], {}, []
    for name, family in FAMILIES.items():
        used = np.array([name not in row.unread for row in rows])
        is_positive = np.array([_is_a(row.label, family.label) for row in rows])
        if not is_positive.any():
            continue
        margins = unseen(features[used], is_positive[used], weights[used], fold_of[used])
        read = [row for row, is_used in zip(rows, used, strict=True) if is_used]
        terms = terms_of(family.detector, [row.text for row in read])
        curves[name] = curve(family, margins, terms, is_positive[used])
        ways = (margins, terms, curves[name].scores(margins, terms))
        figures += measured(name, read, ways, is_positive[used])
        lessons.append((family.label, is_positive, used))
        lessons += _kinds(name, rows)
    tables, names, scales, biases = [], [], [], []
    for label, is_positive, used in lessons:
        packed, scale, bias = quantised(fit(features[used], is_positive[used], weights[used]))
        tables.append(packed)
        names.append(label)
        scales.append(scale)
        biases.append(bias)
    digest = hashlib.sha256(recipe)
    for row in rows:
        digest.update(f"{row.label}\x00{row.weight}\x00{row.text}\n".encode())
    made = Model(
        ORDERS, BITS, digest.hexdigest()[:8], tuple(names), tuple(scales), tuple(biases),
        b"".join(tables), curves,
    )  # fmt: skip
    template = (SHIPPED / "wording.card.md").read_text(encoding="utf-8")
    return made, card(template, listed, rows, figures, made)


def _is_a(label: str, wanted: str) -> bool:
    return label == wanted or label.startswith(f"{wanted}.")


def _kinds(family: str, rows: Sequence[Row]) -> list[tuple[str, Mask, Mask]]:
    """Return, where a family has several labels, how to tell which it is: among rows that say."""
    counts = Counter(row.label for row in rows if row.label.startswith(f"{family}."))
    said = np.array([row.label in counts for row in rows])
    return [
        (kind, np.array([row.label == kind for row in rows]), said)
        for kind in sorted(counts)
        if len(counts) > 1 and counts[kind] >= FOLDS
    ]


def measured(
    family: str, rows: Sequence[Row], scores: Sequence[Floats], is_positive: Mask
) -> list[tuple[str, ...]]:
    """Return the recall at 1 % and 0.1 % of each way of scoring, by language, on rows not seen."""
    is_own = np.array([not row.is_ordinary and family in row.families for row in rows])
    languages = np.array([row.language for row in rows])
    out = []
    for language in sorted({*languages[is_positive]}):
        there = is_own & (languages == language)
        good, bad = there & is_positive, there & ~is_positive
        if not bad.any():
            continue
        cells = [
            f"{(of[good] > np.sort(of[bad])[::-1][int(share * bad.sum())]).mean():.3f}"
            for of in scores
            for share in (0.01, 0.001)
        ]
        out.append((family, str(language), f"{good.sum():,}", f"{bad.sum():,}", *cells))
    return out


def card(
    template: str,
    listed: Sequence[Examples],
    rows: Sequence[Row],
    figures: Sequence[tuple[str, ...]],
    model: Model,
) -> str:
    """Fill in the model card."""
    counts = Counter((row.source, row.label != "benign") for row in rows)
    files = {Path(examples.path).name: examples.licence for examples in listed}
    sources = [
        (name, f"{counts[name, True]:,}", f"{counts[name, False]:,}", licence)
        for name, licence in files.items()
    ]
    curves = [
        f"- {family}: log-odds = {c.bias} + {c.margin} × margin + {c.terms} × terms, a probability where "
        f"{FAMILIES[family].share:.1%} of messages are harmful; gate at margin {c.gate}"
        f"; where terms add up to {c.sure} or more, never less than their sum"
        for family, c in model.curves.items()
    ]
    ways = [f"{way} {share}" for way in ("wording", "terms", "both") for share in ("1 %", "0.1 %")]
    return template.format(
        digest=model.digest,
        sources=table(("file", "harmful", "harmless", "licence and whom to credit"), sources),
        figures=table(("family", "language", "harmful", "harmless", *ways), figures),
        curves="\n".join(curves),
    )


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a table in Markdown."""
    lines = (head, ["---"] * len(head), *rows)
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def write(recipe_folder: Path, folders: Sequence[Path], out: Path) -> str:
    """Train, write the model and its card into a folder, and return the card."""
    model, text = train(recipe_folder, folders)
    (out / "wording.msgpack").write_bytes(msgspec.msgpack.encode(model))
    (out / "wording.md").write_text(text, encoding="utf-8")
    return text
