"""Training: fit the wording model from labelled JSON lines, and write its weights and its card.

Logistic regression on what `detectors.reading` reads, then a logistic curve that joins its margin with the
sum of a detector's terms; and one on the pieces that `detectors.pieces` cuts, to choose what is read. All are
measured on rows that the model has not seen: five folds, rows of one group (a brand, a text but for its
digits) in one.

    penjaga train FOLDER
"""

import gzip
import hashlib
import json
import tomllib
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from importlib import resources
from itertools import islice
from pathlib import Path
from typing import Any, Final, Protocol

import msgspec
import numpy as np
import regex
from numpy.typing import NDArray
from scipy.optimize import brentq
from scipy.sparse import coo_matrix, csr_matrix, diags, hstack, vstack
from sklearn.linear_model import LogisticRegression

from detectors import reading, thesaurus
from detectors.folding import fold
from detectors.pieces import BITS, ORDERS, pieces, shares
from detectors.reading import BLOCKS, FEWEST
from detectors.wording import Curve, Model
from pipeline import registry
from pipeline.chain import Chain
from pipeline.settings import Detectors
from schemas import Actor, Audience, Conversation, Event

SHIPPED: Final = Path(str(resources.files("detectors") / "models"))
FOLDS: Final = 5
STRENGTH: Final = 30.0
"""Inverse of the regularisation of what chooses texts: of 10, 30 and 100 the best on rows not seen."""
READ_STRENGTH: Final = 0.3
"""That of what reads them; of 0.1 and 0.3, which do as well on cues not seen, the weaker one."""
AT_ONCE: Final = 2
"""So many models are fitted at once; each takes a copy of all features."""
LEAST_ROWS: Final = 3
"""A feature of fewer rows than these is not learned."""


class Family(msgspec.Struct, frozen=True):
    """What is learned for one detector, and how its terms are joined with it."""

    detector: str
    label: str
    """What is harmful: this label, or any of its parts."""
    share: float
    """Scores are probabilities where so many messages are harmful; the lower, the more a text must show."""
    sure: float
    """From which sum on terms are so sure that wording takes nothing away from them."""
    read: float
    """So large a share of ordinary examples is read closely, at most."""
    least: float
    """What scores less, the detector does not report."""


FAMILIES: Final = {
    "gambling": Family("gambling_promotion", "gambling.promotion", 0.015, 0.0, 0.02, 0.4),
    "fraud": Family("scam_texts", "fraud", 0.011, 0.7, 0.02, 0.4),
    "bullying": Family("harassment", "bullying", 0.033, 0.0, 0.05, 0.25),
}
LOST: Final = 0.01
"""So large a share of what is worth reporting may be passed over by what chooses texts."""
_UNREAD: Final = 0.95
"""A text that was not chosen is taken to read like this share of those, or less."""
_LEVELS: Final = 127
_FAR: Final = 50.0
"""No bias lies so far out."""


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


class Closely(msgspec.Struct, frozen=True):
    """Texts as they are read, each block weighed as `Weigher.margins` weighs it."""

    features: Sparse
    places: NDArray[np.intp]
    """Of each column, the place in the table."""
    blocks: NDArray[np.intp]
    """Of each column, which of `BLOCKS` it is of."""
    rarity: Floats
    """Of each column, its inverse document frequency; rare features may weigh more."""
    is_one_word: Mask
    """Of each text, whether it holds no two different words."""


def closely(texts: Sequence[str]) -> Closely:
    """Read texts."""
    read = [
        features
        for start in range(0, len(texts), 500)
        for features in reading.reader().read(texts[start : start + 500])
    ]
    matrices, places, blocks, rarities = [], [], [], []
    for block, fewest in enumerate(FEWEST):
        held = [of[block] for of in read]
        known, columns, counts = np.unique(
            np.concatenate(held), return_inverse=True, return_counts=True
        )
        rows = np.repeat(np.arange(len(texts)), [len(of) for of in held])
        kept = np.flatnonzero(counts >= LEAST_ROWS)
        all_of = csr_matrix((np.ones(len(rows)), (rows, columns)), (len(texts), len(known)))[
            :, kept
        ]
        weights = 1.0 / np.sqrt(np.maximum(np.diff(all_of.indptr), fewest))
        matrices.append(diags(weights) @ all_of)
        places.append(known[kept])
        blocks.append(np.full(len(kept), block))
        rarities.append(np.log((1 + len(texts)) / (1 + counts[kept])) + 1)
    return Closely(
        hstack(matrices).tocsr(), np.concatenate(places), np.concatenate(blocks),
        np.concatenate(rarities), np.array([of.is_one_word for of in read]),
    )  # fmt: skip


def matrix(texts: Sequence[str]) -> Sparse:
    """Return the pieces of texts as a sparse matrix, each row as `Weights.margins` weighs it."""
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


def fit(features: Sparse, is_positive: Mask, weights: Floats, strength: float) -> Any:  # noqa: ANN401  # of scikit-learn
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


def without_each(
    features: Sparse, is_positive: Mask, weights: Floats, fold: NDArray[np.int64], strength: float
) -> list[Any]:
    """Fit one label once for each fold, without its rows."""

    def without(number: int) -> Any:  # noqa: ANN401  # of scikit-learn
        left = fold != number
        return fit(features[left], is_positive[left], weights[left], strength)

    with ThreadPoolExecutor(AT_ONCE) as pool:
        return list(pool.map(without, range(FOLDS)))


def unseen(
    features: Sparse, is_positive: Mask, weights: Floats, fold: NDArray[np.int64], strength: float
) -> Floats:
    """Return margins of which each is by a model that has not seen the row's group."""
    margins = np.zeros(len(is_positive))
    for number, model in enumerate(without_each(features, is_positive, weights, fold, strength)):
        margins[fold == number] = model.decision_function(features[fold == number])
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


def curve(
    family: Family, margins: Floats, terms: Floats, is_positive: Mask, rows: Sequence[Row]
) -> Curve:
    """Join margins and terms; examples count as if so many as the family says were harmful.

    Those of each language count the same together, or the curve would be that of the language with most.

    Raises:
        ValueError: if a text of more terms or a higher margin would score less.
    """
    weights = np.array([row.weight for row in rows])
    share, wanted = np.average(is_positive, weights=weights), family.share
    languages = np.array([row.language for row in rows])
    held = sorted({*languages[is_positive]})
    each = weights[is_positive].sum() / len(held)
    for language in held:
        own = is_positive & (languages == language)
        weights[own] *= each / weights[own].sum()
    weights *= np.where(is_positive, wanted / share, (1 - wanted) / (1 - share))
    both = np.column_stack([margins, terms])
    model = LogisticRegression(C=1e6).fit(both, is_positive, sample_weight=weights)
    (margin, term), bias = model.coef_[0], model.intercept_[0]
    if min(margin, term) < 0 or not margin:
        raise ValueError(f"{family.label}: margin or terms tell the contrary ({margin}, {term})")
    return Curve(
        bias=round(float(bias), 4), margin=round(float(margin), 4), terms=round(float(term), 4),
        unread=0.0, sure=family.sure,
    )  # fmt: skip


def unread(margins: Floats, is_read: Mask) -> float:
    """Return what the margin of a text is taken for that was not chosen; 0 where all were."""
    left = margins[~is_read]
    return round(float(np.quantile(left, _UNREAD)), 4) if len(left) else 0.0


def gate(chosen_by: Floats, is_ordinary: Mask, share: float, is_worth: Mask) -> float:
    """Return the margin that all but `LOST` of what is worth reading reaches.

    But no lower than so large a share of ordinary texts reach; of all, where none is ordinary.
    """
    of = chosen_by[is_ordinary] if is_ordinary.any() else chosen_by
    least = np.quantile(of, 1.0 - share)
    if is_worth.any():
        least = max(least, np.quantile(chosen_by[is_worth], LOST, method="lower"))
    return round(float(least), 4)


def train(recipe_folder: Path, folders: Sequence[Path]) -> tuple[Model, str]:
    """Fit everything that `wording.toml` in a folder names; return the model and its card.

    Raises:
        FileNotFoundError: if a file of examples is in none of the folders.
    """
    recipe = (recipe_folder / "wording.toml").read_bytes()
    listed = msgspec.convert(tomllib.loads(recipe.decode())["examples"], list[Examples])
    rows = [row for e in listed for row in rows_of(e, (recipe_folder, *folders))]
    folded = [fold(row.text) for row in rows]
    views = [f.squeezed or f.text for f in folded]
    cut, read = matrix(views), closely(views)
    fold_of, weights = folds(rows), np.array([row.weight for row in rows])
    chosen, lessons, curves, figures = [], [], {}, []
    for name, family in FAMILIES.items():
        used = np.array([name not in row.unread for row in rows])
        is_positive = np.array([_is_a(row.label, family.label) for row in rows])
        if not is_positive.any():
            continue
        lesson = Lesson(family.label, is_positive, used, weights)
        seen = [row for row, is_used in zip(rows, used, strict=True) if is_used]
        is_ordinary = np.array([row.is_ordinary for row in seen])
        is_about = np.array([name in row.families for row in seen]) & ~is_ordinary
        shown = (is_positive[used], weights[used])
        said = unseen_of(read, lesson, fold_of)[used]
        balance = balanced(said, *shown, is_about)
        margins = balance.margins(said)
        chosen_by = unseen(cut[used], *shown, fold_of[used], STRENGTH)
        terms = terms_of(family.detector, [row.text for row in seen])
        # Of one word no more is taken than of a text that was not chosen, as `Wording.margins` has it.
        many = ~read.is_one_word[used]
        joined = curve(
            family, margins[many], terms[many], is_positive[used][many],
            [row for row, holds_more in zip(seen, many, strict=True) if holds_more],
        )  # fmt: skip
        is_worth = is_positive[used] & many & (joined.scores(margins, terms) >= family.least)
        least = gate(chosen_by, is_ordinary, family.read, is_worth)
        is_read = chosen_by >= least
        left = unread(margins[many], is_read[many])
        curves[name] = msgspec.structs.replace(joined, unread=left)
        margins = np.where(many, margins, np.minimum(margins, left))
        scores = joined.scores(margins, terms)
        ways = (margins, terms, np.where(is_read | (terms > 0), scores, 0.0))
        figures += measured(name, seen, ways, is_positive[used])
        chosen.append(Choice(family.label, fit(cut[used], *shown, STRENGTH), least))
        lessons.append((lesson, balance))
        lessons += [(Lesson(*kind, weights, is_coarse=True), ALIKE) for kind in _kinds(name, rows)]
    digest = hashlib.sha256(recipe + thesaurus.shipped().keys)
    for row in rows:
        digest.update(f"{row.label}\x00{row.weight}\x00{row.text}\n".encode())
    with ThreadPoolExecutor(AT_ONCE) as pool:
        learned = list(pool.map(lambda of: learn(read, *of), lessons))
    made = model(
        digest.hexdigest()[:8], chosen, learned, read.places, curves,
    )  # fmt: skip
    template = (SHIPPED / "wording.card.md").read_text(encoding="utf-8")
    return made, card(template, listed, rows, figures, made)


class Choice(msgspec.Struct, frozen=True):
    """What chooses texts for a label: a fitted model, and the margin from which it does."""

    label: str
    fitted: Any
    gate: float


class Lesson(msgspec.Struct, frozen=True):
    """One thing to learn by reading: which rows show it, from which it is learned, what each weighs."""

    name: str
    shows: Mask
    used: Mask
    weights: Floats
    is_coarse: bool = False
    """Whether its weights may be kept in coarser steps."""


class Learned(msgspec.Struct, frozen=True):
    """What was learned of a label: a weight for each known feature, and the bias."""

    label: str
    weights: Floats
    bias: float
    is_coarse: bool = False


class Balance(msgspec.Struct, frozen=True):
    """How much each block counts, and the bias then; without any, as they were fitted."""

    shares: tuple[float, ...] = (1.0,) * len(BLOCKS)
    bias: float | None = None

    def margins(self, said: Floats) -> Floats:
        """Return the margin of each row of `unseen_of`."""
        blocks, biases = said[:, :-1], said[:, -1]
        margins: Floats = blocks @ self.shares + (biases if self.bias is None else self.bias)
        return margins


ALIKE: Final = Balance()


def learn(read: Closely, lesson: Lesson, balance: Balance) -> Learned:
    """Fit one label to what was read, and weigh each block by its share."""
    features = read.features[lesson.used] @ diags(read.rarity)
    shows, weights = lesson.shows[lesson.used], lesson.weights[lesson.used]
    fitted = fit(features, shows, weights, READ_STRENGTH)
    weighed = fitted.coef_[0] * read.rarity * np.array(balance.shares)[read.blocks]
    bias = float(fitted.intercept_[0]) if balance.bias is None else balance.bias
    return Learned(lesson.name, weighed, bias, lesson.is_coarse)


def unseen_of(read: Closely, lesson: Lesson, fold: NDArray[np.int64]) -> Floats:
    """Return what each block says of every row, by what was learned from other folds; then the bias.

    Rows that are not used have 0.
    """
    used = lesson.used
    features = read.features @ diags(read.rarity)
    models = without_each(
        features[used], lesson.shows[used], lesson.weights[used], fold[used], READ_STRENGTH
    )
    said = np.zeros((len(used), len(BLOCKS) + 1))
    for number, model in enumerate(models):
        there = used & (fold == number)
        for block in range(len(BLOCKS)):
            weights = np.where(read.blocks == block, model.coef_[0], 0.0)
            said[there, block] = features[there] @ weights
        said[there, -1] = model.intercept_[0]
    return said


def balanced(said: Floats, shows: Mask, weights: Floats, telling: Mask) -> Balance:
    """Return how much each block should count, the mean of all being 1.

    How much of what was fitted holds for rows not seen differs from block to block; `telling` rows tell. The
    bias makes rows as likely on the whole as they are often.
    """
    if shows[telling].all() or not shows[telling].any():
        return ALIKE
    second = LogisticRegression(C=1e6)
    second.fit(said[telling, :-1], shows[telling], sample_weight=weights[telling])
    counts = second.coef_[0].clip(0.0)
    if not counts.any():
        return ALIKE
    shares = counts / counts.mean()
    margins = said[:, :-1] @ shares
    expected = np.average(shows, weights=weights)
    bias = brentq(
        lambda b: np.average(1.0 / (1.0 + np.exp(-margins - b)), weights=weights) - expected,
        -_FAR, _FAR,
    )  # fmt: skip
    return Balance(tuple(shares.tolist()), float(bias))


def model(
    digest: str,
    choices: Sequence[Choice],
    learned: Sequence[Learned],
    places: NDArray[np.intp],
    curves: dict[str, Curve],
) -> Model:
    """Put together what chooses texts and what reads them."""
    packed = [quantised(choice.fitted) for choice in choices]
    return Model(
        ORDERS, BITS, digest, tuple(choice.label for choice in choices),
        tuple(scale for _, scale, _ in packed), tuple(bias for _, _, bias in packed),
        tuple(choice.gate for choice in choices), b"".join(table for table, _, _ in packed),
        reading.quantised(
            [one.label for one in learned], np.column_stack([one.weights for one in learned]),
            [one.bias for one in learned], places,
            {one.label for one in learned if one.is_coarse},
        ),
        curves,
    )  # fmt: skip


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
        f"{FAMILIES[family].share:.1%} of messages are harmful; where terms add up to {c.sure} or more, "
        f"never less than their sum"
        for family, c in model.curves.items()
    ]
    ways = [f"{way} {share}" for way in ("wording", "terms", "both") for share in ("1 %", "0.1 %")]
    return template.format(
        digest=model.digest,
        features=f"{model.closely.known:,}",
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
