"""A comparison: the same labelled rows under two configurations. Pure."""

from collections.abc import Sequence

import msgspec
from scipy.stats import binomtest

from pipeline.evaluation import Report, has_alert, score_of, tells
from pipeline.evaluation_figures import NAMES, value
from pipeline.labelled import Row


class Change(msgspec.Struct, frozen=True):
    """A row that has an alert under one configuration and none under the other."""

    file: str
    number: int
    id: str
    truth: str
    score_before: float
    score_after: float
    has_alert: bool
    """Now; before, it was the other way round."""
    is_right: bool


class Compared(msgspec.Struct, frozen=True):
    """What became of one label: its figures by name, and the rows that changed sides."""

    before: dict[str, float | None]
    after: dict[str, float | None]
    better: int
    """Rows that were wrong and are right now."""
    worse: int
    p_value: float
    """McNemar's exact test, two-sided: how likely a split at least as uneven is, were both equally good."""
    changes: tuple[Change, ...]


class Comparison(msgspec.Struct, frozen=True):
    """Every label under another configuration (before) and the one that is measured (after)."""

    before: str
    after: str
    labels: dict[str, Compared]


def compare(
    configurations: tuple[str, str],
    reports: tuple[Report, Report],
    rows: tuple[Sequence[Row], Sequence[Row]],
) -> Comparison:
    """Compare the reports of the same rows, in the same order, under the configurations before and after."""
    before, after = reports
    return Comparison(
        *configurations,
        {
            label: _compared(label, before, after, _changes(label, *rows))
            for label in after.labels
            if label in before.labels
        },
    )


def mcnemar(better: int, worse: int) -> float:
    """Return the two-sided p-value of McNemar's exact test: a sign test over the rows that differ."""
    if not better + worse:
        return 1.0
    return float(binomtest(better, better + worse).pvalue)


def _compared(label: str, before: Report, after: Report, changes: tuple[Change, ...]) -> Compared:
    old, new = before.labels[label].figures, after.labels[label].figures
    better = sum(change.is_right for change in changes)
    worse = len(changes) - better
    return Compared(
        {name: value(old, name) for name in NAMES},
        {name: value(new, name) for name in NAMES},
        better,
        worse,
        mcnemar(better, worse),
        changes,
    )


def _changes(label: str, before: Sequence[Row], after: Sequence[Row]) -> tuple[Change, ...]:
    """Return the rows that changed sides; those whose label leaves open what is right are left out."""
    changes = []
    for old, new in zip(before, after, strict=True):
        of_label = tells(new.truth, label)
        had, has = (has_alert(row.said, label) for row in (old, new))
        if had != has and of_label is not None:
            changes.append(
                Change(
                    new.file,
                    new.number,
                    new.id,
                    new.truth,
                    score_of(old.said, label),
                    score_of(new.said, label),
                    has,
                    has == of_label,
                )
            )
    return tuple(changes)
