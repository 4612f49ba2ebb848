"""Training of the cues of grooming: from labelled turns of talk to the weights of `detectors.drawing_in`.

Logistic regressions over what is read of the folded texts, as `pipeline.training` fits wording: whether a
turn draws in at all and, of those that do, by which process; whether it replies as a child who is drawn in
may, and how. What the same words mean in harmless talk is learned from it: a coach who asks for an age, a
mother who asks for a picture.
"""

import hashlib
import math
import tomllib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Annotated, Final

import msgspec
import numpy as np
from sklearn.metrics import roc_auc_score

from detectors import thesaurus
from detectors.folding import fold
from detectors.wording import Model
from pipeline.training import (
    SHIPPED,
    Choice,
    Floats,
    Lesson,
    balanced,
    closely,
    fit,
    folds,
    gate,
    json_rows,
    learn,
    matrix,
    model,
    table,
    unseen,
    unseen_of,
)

STRENGTH: Final = 10.0
"""Inverse of the regularisation of what chooses turns."""
LEAST: Final = 0.1
"""How likely a cue has to be for `detectors.drawing_in` to tell of it."""


class Turns(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A file of labelled turns, as `cues.toml` names it."""

    path: str
    licence: str


class Ordinary(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A file of ordinary messages."""

    path: str
    licence: str
    languages: dict[str, str]
    """The source's own names of languages, and ours."""
    share: float
    """As how many rows all of one language count, before `harmless`."""
    most: int = 0
    only: tuple[str, ...] = ()
    """The labels of rows to take; empty, all."""


class Kind(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Cues of which it is learned whether there is any, under `name`, and which."""

    name: str
    cues: frozenset[str]
    not_from: str = ""
    """Turns of this side say nothing of whether there is any."""
    read: float
    """So large a share of ordinary examples is read closely, at most."""
    rarer: Annotated[float, msgspec.Meta(gt=0.0)] = 1.0
    """So many times rarer than among the examples, against turns that show none, it is taken to be."""


class Recipe(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`cues.toml`."""

    kinds: list[Kind]
    harmless: dict[str, float]
    """How many times as much as those with a cue all other rows of a language count."""
    examples: list[Turns]
    ordinary: list[Ordinary] = []


class Turn(msgspec.Struct, frozen=True):
    """One labelled text."""

    text: str
    cues: frozenset[str]
    by: str
    """`sender`, `recipient`, or empty for whoever writes ordinary messages."""
    group: str
    language: str
    source: str
    weight: float = 1.0


def turns_of(recipe: Recipe, folders: Sequence[Path]) -> list[Turn]:
    """Read all rows.

    Raises:
        FileNotFoundError: if a file is in none of the folders.
    """
    turns = [
        Turn(
            row["text"], frozenset(row["cues"]), row["by"],
            row.get("conversation") or row["text"].casefold(), row["language"], Path(one.path).name,
        )
        for one in recipe.examples
        for row in json_rows(one.path, folders)
    ]  # fmt: skip
    for file in recipe.ordinary:
        rows = [
            (row["text"], file.languages[row.get("language") or row["attributes"]["lang"]])
            for row in islice(json_rows(file.path, folders), file.most or None)
            if not file.only or row["label"] in file.only
        ]
        counts = Counter(language for _, language in rows)
        turns += [
            Turn(
                text, frozenset(), "", text, language, Path(file.path).name,
                file.share / counts[language],
            )
            for text, language in rows
        ]  # fmt: skip
    return _balanced(turns, recipe.harmless)


def _balanced(turns: Sequence[Turn], harmless: Mapping[str, float]) -> list[Turn]:
    """Weigh rows so that no language by itself tells of a cue more than another."""
    with_cue: Counter[str] = Counter()
    without: dict[str, float] = {}
    for turn in turns:
        if turn.cues:
            with_cue[turn.language] += 1
        else:
            without[turn.language] = without.get(turn.language, 0.0) + turn.weight
    factors = {
        language: harmless[language] * with_cue[language] / weight
        for language, weight in without.items()
    }
    return [
        turn if turn.cues else msgspec.structs.replace(turn, weight=turn.weight * factors[turn.language])
        for turn in turns
    ]  # fmt: skip


def lessons(kinds: Sequence[Kind], turns: Sequence[Turn]) -> Iterator[Lesson]:
    """Yield what there is to learn: of each kind whether there is any cue, then which it is.

    The former is learned from all turns, the latter from those that have one.
    """
    weights = np.array([turn.weight for turn in turns])
    alike = np.ones(len(turns))
    for kind in kinds:
        any_of = np.array([bool(turn.cues & kind.cues) for turn in turns])
        sides = np.array([not kind.not_from or turn.by != kind.not_from for turn in turns])
        yield Lesson(kind.name, any_of, sides, weights)
    for kind in kinds:
        any_of = np.array([bool(turn.cues & kind.cues) for turn in turns])
        for cue in sorted(kind.cues):
            yield Lesson(cue, np.array([cue in turn.cues for turn in turns]), any_of, alike)


def train(recipe_folder: Path, folders: Sequence[Path]) -> tuple[Model, str]:
    """Fit every cue from what `cues.toml` in a folder names; return the model and its card.

    Raises:
        FileNotFoundError: if a file of examples is in none of the folders.
    """
    content = (recipe_folder / "cues.toml").read_bytes()
    recipe = msgspec.convert(tomllib.loads(content.decode()), Recipe)
    turns = turns_of(recipe, (recipe_folder, *folders))
    folded = [fold(turn.text) for turn in turns]
    views = [f.squeezed or f.text for f in folded]
    cut, read, fold_of = matrix(views), closely(views), folds(turns)
    is_ordinary = np.array([not turn.by for turn in turns])
    chosen, learned, figures = [], [], []
    kinds = {kind.name: kind for kind in recipe.kinds}
    for lesson in lessons(recipe.kinds, turns):
        used, said = lesson.used, unseen_of(read, lesson, fold_of)
        shown = (lesson.shows[used], lesson.weights[used])
        balance = balanced(said[used], *shown, ~is_ordinary[used])
        by_reading = balance.margins(said)
        one = learn(read, lesson, balance)
        figures.append(_measured(lesson, by_reading, turns))
        if kind := kinds.get(lesson.name):
            rarer = math.log(kind.rarer)
            one = msgspec.structs.replace(one, bias=one.bias - rarer)
            margins = unseen(cut[used], *shown, fold_of[used], STRENGTH)
            likely = 1.0 / (1.0 + np.exp(rarer - by_reading[used]))
            is_worth = lesson.shows[used] & (likely >= LEAST)
            least = gate(margins, is_ordinary[used], kind.read, is_worth)
            chosen.append(Choice(lesson.name, fit(cut[used], *shown, STRENGTH), least))
        learned.append(one)
    digest = hashlib.sha256(content + thesaurus.shipped().keys)
    for turn in turns:
        digest.update(f"{','.join(sorted(turn.cues))}\x00{turn.by}\x00{turn.text}\n".encode())
    made = model(digest.hexdigest()[:8], chosen, learned, read.places, {})
    template = (SHIPPED / "cues.card.md").read_text(encoding="utf-8")
    return made, _card(template, recipe, turns, figures, made)


def _measured(lesson: Lesson, margins: Floats, turns: Sequence[Turn]) -> tuple[str, ...]:
    """Return how well turns are told apart."""
    cells = []
    for language in (*sorted({turn.language for turn in turns if turn.by}), ""):
        of = lesson.used & np.array([bool(t.by) and language in ("", t.language) for t in turns])
        cells.append(
            f"{roc_auc_score(lesson.shows[of], margins[of]):.2f}" if lesson.shows[of].any() else ""
        )
    return lesson.name, f"{lesson.shows[lesson.used].sum():,}", *cells


def _card(
    template: str,
    recipe: Recipe,
    turns: Sequence[Turn],
    figures: Sequence[tuple[str, ...]],
    model: Model,
) -> str:
    """Fill in the model card."""
    counts = Counter((turn.source, bool(turn.cues)) for turn in turns)
    files = {Path(one.path).name: one.licence for one in recipe.examples}
    files |= {Path(one.path).name: one.licence for one in recipe.ordinary}
    sources = [
        (name, f"{counts[name, True]:,}", f"{counts[name, False]:,}", licence)
        for name, licence in files.items()
    ]
    languages = sorted({turn.language for turn in turns if turn.by})
    return template.format(
        digest=model.digest,
        features=f"{model.closely.known:,}",
        sources=table(("file", "with a cue", "without", "licence and whom to credit"), sources),
        figures=table(("cue", "turns", *languages, "all"), figures),
    )


def write(recipe_folder: Path, folders: Sequence[Path], out: Path) -> str:
    """Train, write the model and its card into a folder, and return the card."""
    model, text = train(recipe_folder, folders)
    (out / "cues.msgpack").write_bytes(msgspec.msgpack.encode(model))
    (out / "cues.md").write_text(text, encoding="utf-8")
    return text
