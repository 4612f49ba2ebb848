"""The report of an evaluation: as Markdown to read, as JSON for a script."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Final

import msgspec

from pipeline.evaluation import DetectorFigures, Measured, Mistake, Report, family, is_family
from pipeline.evaluation_comparison import Change, Comparison
from pipeline.evaluation_figures import NAMES, Figures, Share, value
from pipeline.labelled import Refused
from pipeline.markdown import LISTED, more, number, plain, section, table
from pipeline.requirement import Checked

_DEFINITIONS: Final = """\
- A row has an *alert* when its verdict for the label is `review` or `escalate`. Its *score* is that of its
  highest finding, 0 without one. A family (`fraud.*`) has the alerts and the highest score of its labels.
- A row labelled by its family alone counts for the family, and is left out of the figures of its labels.
- Precision, F1, Brier score and calibration count a row of any other label as not of this one. ROC-AUC,
  recall at a false-positive rate and false alerts are against benign rows alone.
- Recall at 1 %: at the lowest score that at most 1 % of the benign rows reach. Rows with equal scores are
  alerted together, so ties make it stricter than 1 %, never laxer. In ROC-AUC a tie counts half.
- By language and slice, that score is the one of all rows; by detector, it is the detector's own.
- A family of which there is one label only is told as that label.
- In brackets: 95 % intervals (Wilson). `–`: the rows do not define it."""

_SUMMARY: Final = (
    *(
        "label",
        "support",
        "precision",
        "recall",
        "F1",
        "ROC-AUC",
        "recall at 1 %",
        "recall at 0.1 %",
    ),
    *("false alerts", "per 1,000 benign", "Brier", "calibration error"),
)
_PARTS: Final = (
    *(
        "label",
        "",
        "support",
        "benign",
        "alerts",
        "precision",
        "recall",
        "ROC-AUC",
        "recall at 1 %",
    ),
    *("recall at 0.1 %", "false alerts", "per 1,000 benign"),
)


class Outcome(msgspec.Struct, frozen=True):
    """Everything an evaluation has to tell."""

    configuration: str
    files: tuple[str, ...]
    report: Report
    comparison: Comparison | None
    requirements: tuple[Checked, ...]
    rejected: tuple[Refused, ...]

    @property
    def unmet(self) -> tuple[Checked, ...]:
        """The requirements that were not met."""
        return tuple(one for one in self.requirements if not one.is_met)

    def problems(self) -> Iterator[str]:
        """Say in a line each what makes the evaluation less than sound."""
        for one in self.unmet:
            yield f"not met: {one.text}: measured {number(one.value, 4)}"
        if self.rejected:
            first = self.rejected[0]
            place = f"{first.file}:{first.number}: {first.reason}: {first.detail}"
            yield f"{len(self.rejected)} rejected, the first at {place}"


def json(outcome: Outcome) -> bytes:
    """Return it as JSON; a score that nothing reaches is null."""
    return msgspec.json.format(msgspec.json.encode(outcome), indent=1) + b"\n"


def markdown(outcome: Outcome) -> str:
    """Return it as Markdown; only what was asked for, or is not empty, has a section."""
    report = outcome.report
    every = distinct(report)
    labels = {n: one for n, one in every.items() if one.figures.support or one.figures.alerts}
    parts = [
        *_head(outcome),
        *section("By label", table(_SUMMARY, _summary(labels))),
        *_quiet(every.keys() - labels.keys()),
        *section("By language", _groups(labels, "by_language", "language")),
        *section("By slice", _groups(labels, "by_slice", "slice")),
        *section("By detector", _detectors(labels)),
        *section("Alerts for another label than the row's", _mixed_up(report)),
        *section("Calibration", _calibration(labels)),
        *section("Mistakes to read", list(_mistakes(labels))),
        *(_comparison(outcome.comparison, every) if outcome.comparison else ()),
        *section("Requirements", _requirements(outcome.requirements)),
        *section("Rejected lines", _rejected(outcome.rejected)),
    ]
    return "\n".join(parts) + "\n"


def distinct(report: Report) -> dict[str, Measured]:
    """Return the labels without the families that have one label only, whose figures would be told twice."""
    kinds = Counter(family(label) for label in report.labels if not is_family(label))
    told_twice = {
        family(label)
        for label, one in report.labels.items()
        if not is_family(label) and kinds[family(label)] == 1
        if (whole := report.labels.get(family(label))) and whole.figures == one.figures
    }
    return {label: one for label, one in report.labels.items() if label not in told_twice}


def _head(outcome: Outcome) -> Iterator[str]:
    report = outcome.report
    labelled = report.rows - report.benign
    yield "# Evaluation"
    yield ""
    yield f"Configuration `{outcome.configuration}` on {', '.join(f'`{plain(f)}`' for f in outcome.files)}:"
    yield (
        f"{report.rows:,} rows, {labelled:,} labelled and {report.benign:,} benign, of which "
        f"{report.benign_alerted:,} have an alert of any label; {len(outcome.rejected):,} lines rejected."
    )
    for detector, rows in report.failures.items():
        yield f"**Detector `{detector}` failed on {rows:,} rows**; its findings are missing there."
    yield ""
    yield _DEFINITIONS


def _share(share: Share | None) -> str:
    return "–" if share is None else f"{share.value:.3f} ({share.low:.2f}–{share.high:.2f})"


def _reached(measured: Measured, name: str) -> str:
    share: Share | None = getattr(measured.figures, name)
    if share is None:
        return "–"
    score = measured.thresholds[name]
    return f"{_share(share)} from {score:.4g}" if score <= 1 else f"{_share(share)}: no score"


def _summary(labels: Mapping[str, Measured]) -> Iterator[tuple[str, ...]]:
    for label, measured in labels.items():
        figures = measured.figures
        yield (
            label,
            f"{figures.support:,}",
            _share(figures.precision),
            _share(figures.recall),
            number(figures.f1),
            number(figures.roc_auc),
            _reached(measured, "recall_at_1pct"),
            _reached(measured, "recall_at_0_1pct"),
            f"{figures.false_alerts:,}",
            number(figures.false_alerts_per_1000, 2),
            number(figures.brier, 4),
            number(figures.ece, 4),
        )


def _quiet(labels: Iterable[str]) -> tuple[str, ...]:
    named = ", ".join(sorted(labels))
    return ("", f"Neither a row nor an alert: {named}.") if named else ()


def _part(label: str, name: str, figures: Figures) -> tuple[str, ...]:
    return (
        label,
        name,
        f"{figures.support:,}",
        f"{figures.benign:,}",
        f"{figures.alerts:,}",
        _share(figures.precision),
        _share(figures.recall),
        number(figures.roc_auc),
        number(value(figures, "recall_at_1pct")),
        number(value(figures, "recall_at_0_1pct")),
        f"{figures.false_alerts:,}",
        number(figures.false_alerts_per_1000, 2),
    )


def _groups(labels: Mapping[str, Measured], attribute: str, title: str) -> list[str]:
    """Tell each label's figures by group, without the groups where there is nothing of it to tell."""
    header = (_PARTS[0], title, *_PARTS[2:])
    return table(
        header,
        (
            _part(label, name, figures)
            for label, measured in labels.items()
            for name, figures in getattr(measured, attribute).items()
            if figures.support or figures.alerts
        ),
    )


def _detectors(labels: Mapping[str, Measured]) -> list[str]:
    def row(label: str, name: str, one: DetectorFigures) -> tuple[str, ...]:
        return (*_part(label, name, one.figures), f"{one.alone:,}")

    return table(
        (_PARTS[0], "detector", *_PARTS[2:], "hits alone"),
        (
            row(label, name, one)
            for label, measured in labels.items()
            for name, one in measured.by_detector.items()
        ),
    )


def _mixed_up(report: Report) -> list[str]:
    return table(
        ("label of the row", "alert", "rows"),
        ((one.truth, one.alert, f"{one.rows:,}") for one in report.mixed_up),
    )


def _calibration(labels: Mapping[str, Measured]) -> list[str]:
    return table(
        ("label", "scores", "rows", "mean score", "share of the label"),
        (
            (
                label,
                f"{one.low:.1f}–{one.high:.1f}",
                f"{one.rows:,}",
                number(one.mean_score),
                number(one.share),
            )
            for label, measured in labels.items()
            if measured.figures.support
            for one in measured.calibration
        ),
    )


def _mistakes(labels: Mapping[str, Measured]) -> Iterator[str]:
    for label, measured in labels.items():
        kinds = {
            "wrong alerts, the highest scores first": measured.mistakes.wrong_alerts,
            "misses, taken evenly from all": measured.mistakes.misses,
        }
        for kind, mistakes in kinds.items():
            if mistakes:
                yield f"### {label}: {kind}"
                yield ""
            for mistake in mistakes:
                yield from _mistake(mistake)


def _mistake(mistake: Mistake) -> Iterator[str]:
    evidence = "; ".join(mistake.evidence) or "nothing found"
    yield plain(
        f"- `{mistake.file}:{mistake.number}` `{mistake.id}`, {mistake.truth}, score {mistake.score:.2f}: "
        f"{evidence}"
    )
    yield ""
    yield f"      {plain(mistake.text)}"
    yield ""


def _comparison(comparison: Comparison, labels: Iterable[str]) -> Iterator[str]:
    told = {label: comparison.labels[label] for label in labels}
    yield from ("", f"## Compared with configuration `{comparison.before}`", "")
    yield from table(
        ("label", "figure", "before", "after", "difference"),
        (
            (label, name, _short(old), _short(new), _difference(old, new))
            for label, one in told.items()
            for name in NAMES
            if (old := one.before[name]) != (new := one.after[name])
        ),
    ) or ["No figure differs."]
    yield ""
    yield from table(
        ("label", "better", "worse", "McNemar's exact p"),
        (
            (label, f"{one.better:,}", f"{one.worse:,}", f"{one.p_value:.4g}")
            for label, one in told.items()
            if one.changes
        ),
    ) or ["No row changed sides."]
    for label, one in told.items():
        if one.changes:
            yield from ("", f"### {label}: rows that changed sides", "")
            yield from table(
                ("line", "id", "label of the row", "score before", "after", "now"),
                map(_change, one.changes[:LISTED]),
            )
            yield from more(len(one.changes))


def _change(change: Change) -> tuple[str, ...]:
    return (
        f"{change.file}:{change.number}",
        change.id,
        change.truth,
        f"{change.score_before:.2f}",
        f"{change.score_after:.2f}",
        f"{'alert' if change.has_alert else 'no alert'}, {'right' if change.is_right else 'wrong'}",
    )


def _short(figure: float | None) -> str:
    return "–" if figure is None else f"{figure:.4g}"


def _difference(old: float | None, new: float | None) -> str:
    return "–" if old is None or new is None else f"{new - old:+.4g}"


def _requirements(requirements: Iterable[Checked]) -> list[str]:
    return table(
        ("required", "measured", ""),
        (
            (one.text, number(one.value, 4), "met" if one.is_met else "NOT MET")
            for one in requirements
        ),
    )


def _rejected(rejected: Sequence[Refused]) -> list[str]:
    if not rejected:
        return []
    counts = Counter(one.reason for one in rejected)
    return [
        *table(("reason", "lines"), ((name, f"{n:,}") for name, n in counts.most_common())),
        "",
        *(
            plain(f"- `{one.file}:{one.number}` {one.reason}: {one.detail}")
            for one in rejected[:LISTED]
        ),
        *more(len(rejected)),
    ]
