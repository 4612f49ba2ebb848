"""Evaluation: how well the line does on labelled rows. Pure: rows in, a frozen report out.

A row counts for its own label and for the family of that (`fraud.*`), which has an alert when any of its
labels has. One labelled by its family alone may be of any label of the family: it counts for the family, and
is left out of the figures of those labels. `pipeline.evaluation_figures` says what each figure means.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

import msgspec
import numpy as np

from pipeline.chain import FAILED
from pipeline.evaluation_figures import (
    Bin,
    Bools,
    Figures,
    Point,
    Sample,
    calibration,
    curve,
    figures,
    thresholds,
)
from pipeline.labelled import BENIGN, NOTHING, Row, Said

GROUPS: Final = 100
"""Figures are told for so many languages, and for so many slices: those with the most rows."""


class DetectorFigures(msgspec.Struct, frozen=True):
    """What one detector does, as if its findings were the only ones, at thresholds of its own."""

    figures: Figures
    alone: int
    """Hits of this detector on rows that no other detector has an alert for."""


class Mistake(msgspec.Struct, frozen=True):
    """A row that was missed, or has an alert it should not have, with what there was to see in it."""

    file: str
    number: int
    id: str
    truth: str
    score: float
    evidence: tuple[str, ...]
    text: str


class Mistakes(msgspec.Struct, frozen=True):
    """Wrong alerts, those with the highest scores first; misses, taken evenly from all of them."""

    wrong_alerts: tuple[Mistake, ...] = ()
    misses: tuple[Mistake, ...] = ()


class Measured(msgspec.Struct, frozen=True):
    """Everything about one label or family. `thresholds` are the scores at which recall at a rate is told."""

    figures: Figures
    thresholds: dict[str, float]
    calibration: tuple[Bin, ...]
    curve: tuple[Point, ...]
    by_language: dict[str, Figures]
    by_slice: dict[str, Figures]
    by_detector: dict[str, DetectorFigures]
    mistakes: Mistakes


class MixedUp(msgspec.Struct, frozen=True):
    """How many rows of one label had an alert for another."""

    truth: str
    alert: str
    rows: int


class Report(msgspec.Struct, frozen=True):
    """What the line did on all rows."""

    rows: int
    benign: int
    benign_alerted: int
    """Benign rows with an alert of any label."""
    failures: dict[str, int]
    """By detector, the rows on which it failed, so that its findings are missing."""
    labels: dict[str, Measured]
    mixed_up: tuple[MixedUp, ...]


def family(label: str) -> str:
    """Return the family of a label, or itself: `fraud.*` for `fraud.phishing`."""
    return f"{label.partition('.')[0]}.*"


def is_family(label: str) -> bool:
    """Tell whether it stands for all labels of a family."""
    return label.endswith(".*")


def tells(truth: str, label: str) -> bool | None:
    """Tell whether a row labelled `truth` is of `label`; `None` where that leaves it open."""
    if truth == BENIGN:
        return False
    if is_family(label):
        return family(truth) == label
    return None if truth == family(label) else truth == label


def score_of(said: Said, label: str) -> float:
    """Return the highest score that was found for a label, or for any of a family; 0 without one."""
    return max((score for name, score in said.scores.items() if tells(name, label)), default=0.0)


def has_alert(said: Said, label: str) -> bool:
    """Tell whether there is an alert for a label, or for any of a family."""
    return any(tells(name, label) for name in said.alerts)


def labels_in(rows: Iterable[Row]) -> tuple[str, ...]:
    """Return every label that is given or found, and their families, in order."""
    named: set[str] = set()
    for row in rows:
        named.add(row.truth)
        named.update(row.said.scores)
    named -= {BENIGN, FAILED}
    return tuple(sorted(named | {family(label) for label in named}))


def measure(rows: Sequence[Row], labels: Iterable[str], mistakes: int = 0) -> Report:
    """Measure each label on all rows, and keep so many mistakes of each kind to read."""
    table = _Table(rows)
    benign = int(table.benign.sum())
    return Report(
        rows=len(rows),
        benign=benign,
        benign_alerted=sum(
            row.truth == BENIGN and bool(row.said.alerts - {FAILED}) for row in rows
        ),
        failures=_failures(rows),
        labels={label: _measured(table, label, mistakes) for label in labels},
        mixed_up=_mixed_up(rows),
    )


def _failures(rows: Iterable[Row]) -> dict[str, int]:
    failed = Counter(
        name for row in rows for name, said in row.by_detector.items() if FAILED in said.scores
    )
    return dict(sorted(failed.items()))


def _mixed_up(rows: Iterable[Row]) -> tuple[MixedUp, ...]:
    pairs = Counter(
        (row.truth, alert)
        for row in rows
        for alert in row.said.alerts - {FAILED}
        if tells(row.truth, alert) is False
    )
    ordered = sorted(pairs.items(), key=lambda item: (-item[1], item[0]))
    return tuple(MixedUp(truth, alert, count) for (truth, alert), count in ordered)


class _Table:
    """The rows by column; what was said is sparse, since most rows have no finding."""

    def __init__(self, rows: Sequence[Row]) -> None:
        self.rows = rows
        self.truths = sorted({row.truth for row in rows})
        places = {truth: place for place, truth in enumerate(self.truths)}
        self.codes = np.array([places[row.truth] for row in rows], int)
        self.benign = self.of([truth == BENIGN for truth in self.truths])
        self.said = {n: row.said for n, row in enumerate(rows) if row.said is not NOTHING}
        self.by_detector: dict[str, dict[int, Said]] = {}
        for number, row in enumerate(rows):
            for name, said in row.by_detector.items():
                self.by_detector.setdefault(name, {})[number] = said
        self.languages = _groups([(row.language,) for row in rows])
        self.slices = _groups([row.slices for row in rows])

    def of(self, truths: Sequence[bool]) -> Bools:
        """Return which rows have one of the truths that are marked."""
        marked: Bools = np.array(truths, bool)
        return np.take(marked, self.codes)

    def sample(self, label: str, said: Mapping[int, Said]) -> Sample:
        """Return all rows as one label sees them."""
        scores, alerts = np.zeros(len(self.rows)), np.zeros(len(self.rows), bool)
        for number, one in said.items():
            scores[number] = score_of(one, label)
            alerts[number] = has_alert(one, label)
        positive = self.of([tells(truth, label) is True for truth in self.truths])
        return Sample(positive, self.benign, scores, alerts)


def _groups(names: Sequence[Sequence[str]]) -> dict[str, Bools]:
    """Return which rows belong to each group; one group alone would tell nothing."""
    counts = Counter(name for own in names for name in own)
    if len(counts) == 1:
        return {}
    groups = {name: np.zeros(len(names), bool) for name, _ in counts.most_common(GROUPS)}
    for number, own in enumerate(names):
        for name in own:
            if name in groups:
                groups[name][number] = True
    return dict(sorted(groups.items()))


def _measured(table: _Table, label: str, mistakes: int) -> Measured:
    known = table.of([tells(truth, label) is not None for truth in table.truths])
    sample = table.sample(label, table.said)
    whole = sample.only(known)
    at = thresholds(whole)
    detectors = {
        name: table.sample(label, said).only(known) for name, said in table.by_detector.items()
    }
    wanted = mistakes if not is_family(label) or label in table.truths else 0
    return Measured(
        figures(whole, at),
        at,
        calibration(whole),
        curve(whole),
        {name: figures(sample.only(known & group), at) for name, group in table.languages.items()},
        {name: figures(sample.only(known & group), at) for name, group in table.slices.items()},
        {
            name: DetectorFigures(figures(own, thresholds(own)), _alone(name, detectors))
            for name, own in sorted(detectors.items())
            if own.scores.any()
        },
        _mistakes(table, label, sample, known, wanted),
    )


def _alone(name: str, detectors: Mapping[str, Sample]) -> int:
    hits = detectors[name].alerts & detectors[name].positive
    for other, sample in detectors.items():
        if other != name:
            hits = hits & ~sample.alerts
    return int(hits.sum())


def _mistakes(table: _Table, label: str, sample: Sample, known: Bools, wanted: int) -> Mistakes:
    wrong = np.flatnonzero(known & sample.alerts & ~sample.positive)
    missed = np.flatnonzero(sample.positive & ~sample.alerts)
    highest = sorted(wrong, key=lambda number: (-sample.scores[number], number))[:wanted]
    spread = missed[np.linspace(0, len(missed) - 1, min(wanted, len(missed))).astype(int)]
    return Mistakes(
        tuple(_mistake(table.rows[int(n)], label, float(sample.scores[n])) for n in highest),
        tuple(_mistake(table.rows[int(n)], label, float(sample.scores[n])) for n in spread),
    )


def _mistake(row: Row, label: str, score: float) -> Mistake:
    findings = row.shown.findings if row.shown else ()
    evidence = tuple(
        f"{finding.detector}: {part.term} {part.weight:+.2f}"
        for finding in findings
        if tells(finding.label, label)
        for part in finding.evidence
    )
    text = row.shown.text if row.shown else ""
    return Mistake(row.file, row.number, row.id, row.truth, score, evidence, text)
