"""An evaluation's report: which rows count for which label, in which group, and which mistakes are shown."""

import pytest

pytest.importorskip("sklearn", reason="the extra `evaluate` brings scikit-learn")

from pipeline.evaluation import (
    GROUPS,
    Measured,
    MixedUp,
    Report,
    labels_in,
    measure,
    tells,
)
from pipeline.evaluation_figures import NAMES, value
from pipeline.labelled import NOTHING, Row, Said, Shown
from schemas import Evidence, Finding

REVIEW = 0.5


def said(**scores: float) -> Said:
    """Make what was said from scores by label, whose dots are written as two underscores."""
    named = {name.replace("__", "."): score for name, score in scores.items()}
    return Said(named, frozenset(name for name, score in named.items() if score >= REVIEW))


def row(truth: str, *, number: int = 1, language: str = "ms", **scores: float) -> Row:
    """Make a row of which one detector said something."""
    whole = said(**scores) if scores else NOTHING
    by_detector = {"texts": whole} if scores else {}
    return Row("f", number, f"e{number}", truth, language, (), whole, by_detector)


def report(*rows: Row, mistakes: int = 0) -> Report:
    """Measure every label there is."""
    return measure(rows, labels_in(rows), mistakes)


def counts(measured: Measured) -> tuple[int, int, int, int]:
    """Return support, benign rows, alerts and hits."""
    figures = measured.figures
    return figures.support, figures.benign, figures.alerts, figures.hits


@pytest.mark.parametrize(
    ("truth", "label", "expected"),
    [
        ("fraud.phishing", "fraud.phishing", True),
        ("fraud.phishing", "fraud.*", True),
        ("fraud.*", "fraud.*", True),
        ("fraud.*", "fraud.phishing", None),
        ("fraud.job_task", "fraud.phishing", False),
        ("benign", "fraud.*", False),
        ("benign", "fraud.phishing", False),
        ("gambling.promotion", "fraud.*", False),
        ("custom.tickets.resale", "custom.*", True),
    ],
)
def test_what_a_rows_label_tells_of_another(truth: str, label: str, expected: bool | None) -> None:  # noqa: FBT001
    """A label tells of its family; a family leaves open which of its labels it is."""
    assert expected is tells(truth, label)


def test_labels_are_those_given_and_those_found() -> None:
    """With their families; a detector's failure is no label of an event."""
    rows = [row("fraud.*"), row("benign", csea__grooming=0.4, detector__failed=1.0)]

    assert ("csea.*", "csea.grooming", "fraud.*") == labels_in(rows)


FRAUDS = (
    row("fraud.phishing", fraud__phishing=0.9),
    row("fraud.job_task", fraud__phishing=0.8),  # the right family, another label
    row("fraud.*", fraud__phishing=0.7),
    row("benign", fraud__job_task=0.6),
    row("benign"),
)


def test_a_label_is_measured_without_the_rows_that_leave_it_open() -> None:
    """Another label of the family is wrong for it; the family alone is left out."""
    found = report(*FRAUDS).labels["fraud.phishing"]

    assert (1, 2, 2, 1) == counts(found)
    assert 0.5 == value(found.figures, "precision")


def test_a_family_has_the_alerts_and_the_highest_score_of_its_labels() -> None:
    """Whichever of them it was."""
    found = report(*FRAUDS, row("fraud.phishing", fraud__phishing=0.2, fraud__job_task=0.6))
    family = found.labels["fraud.*"]

    assert (4, 2, 5, 4) == counts(family)
    assert [0.6, 0.7, 0.8, 0.9] == [p.score for p in family.curve]


def test_the_whole_report_counts_rows_and_alerts() -> None:
    """A benign row with two alerts is one row."""
    found = report(*FRAUDS, row("benign", fraud__phishing=0.9, gambling__promotion=0.9))

    assert (6, 3, 2) == (found.rows, found.benign, found.benign_alerted)


def test_alerts_for_another_label_are_counted_by_pair() -> None:
    """The most frequent first; a family's own labels are no mix-up for a row of the family."""
    found = report(*FRAUDS, row("benign", fraud__job_task=0.6, detector__failed=1.0))

    assert (
        MixedUp("benign", "fraud.job_task", 2),
        MixedUp("fraud.job_task", "fraud.phishing", 1),
    ) == found.mixed_up


def test_failures_of_detectors_are_told() -> None:
    """A figure with findings missing must say so."""
    found = report(row("benign", detector__failed=1.0), row("benign"))

    assert {"texts": 1} == found.failures
    assert {} == found.labels


def test_languages_share_one_threshold() -> None:
    """In one policy they do, too: here 0.6, since 0.5 would let a benign row through."""
    found = report(
        row("fraud.phishing", language="ms", fraud__phishing=0.6),
        row("fraud.phishing", language="zh", fraud__phishing=0.3),
        row("benign", language="zh"),
        row("benign", language="ms", fraud__phishing=0.5),
        row("benign", language="ta"),
    ).labels["fraud.phishing"]

    assert ["ms", "ta", "zh"] == list(found.by_language)
    assert {"ms": 1.0, "zh": 0.0, "ta": None} == {
        name: value(figures, "recall_at_1pct") for name, figures in found.by_language.items()
    }
    assert {"ms": 1000, "zh": 0, "ta": 0} == {
        name: value(figures, "false_alerts_per_1000") for name, figures in found.by_language.items()
    }


def sliced(truth: str, *slices: str, **scores: float) -> Row:
    """Make a row of some slices."""
    return Row("f", 1, "e", truth, "ms", slices, said(**scores))


def test_a_row_counts_in_each_of_its_slices() -> None:
    """And one language alone is no group."""
    found = report(
        sliced("gambling.promotion", "styled", "spaced", gambling__promotion=0.9),
        sliced("gambling.promotion", "plain"),
        sliced("benign", "plain", gambling__promotion=0.7),
    ).labels["gambling.promotion"]

    assert {"plain": (1, 1, 1, 0), "spaced": (1, 0, 1, 1), "styled": (1, 0, 1, 1)} == {
        name: (f.support, f.benign, f.alerts, f.hits) for name, f in found.by_slice.items()
    }
    assert {} == found.by_language


def test_of_very_many_slices_the_largest_are_told() -> None:
    """Slicing by something that every row has another of ends."""
    rows = [sliced("fraud.*", f"s{n % 150}") for n in range(200)]
    found = report(*rows).labels["fraud.*"]

    assert GROUPS == len(found.by_slice)
    assert {f"s{n}" for n in range(50)} <= set(found.by_slice)


def test_each_detector_is_measured_alone() -> None:
    """As if the others were not there, and with what only it has found."""
    links, texts = said(fraud__phishing=0.9), said(fraud__phishing=0.6)
    weak = said(fraud__phishing=0.4)

    def of(truth: str, **detectors: Said) -> Row:
        strongest = max(detectors.values(), key=lambda one: one.scores["fraud.phishing"])
        return Row("f", 1, "e", truth, "ms", (), strongest, detectors)

    found = report(
        of("fraud.phishing", links=links, texts=texts),
        of("fraud.phishing", texts=texts),
        of("fraud.phishing", links=weak),
        of("benign", texts=texts),
        row("benign"),
    ).labels["fraud.phishing"]
    told = {
        name: (one.figures.alerts, one.figures.hits, one.figures.false_alerts, one.alone)
        for name, one in found.by_detector.items()
    }

    assert {"links": (1, 1, 0, 0), "texts": (3, 2, 1, 1)} == told
    assert 2 / 3 == value(found.by_detector["links"].figures, "recall_at_1pct")
    assert 0.0 == value(found.by_detector["texts"].figures, "recall_at_1pct")


def test_mistakes_are_chosen_to_be_read() -> None:
    """Wrong alerts from the highest score down; misses from the first to the last."""
    wrong = [
        row("benign", number=n, gambling__promotion=score)
        for n, score in enumerate((0.6, 0.9, 0.7, 0.2), 1)
    ]
    missed = [row("gambling.promotion", number=n) for n in range(11, 22)]
    found = report(*wrong, *missed, mistakes=3).labels["gambling.promotion"].mistakes

    assert [(2, 0.9), (3, 0.7), (1, 0.6)] == [(m.number, m.score) for m in found.wrong_alerts]
    assert [11, 16, 21] == [m.number for m in found.misses]


def test_a_mistake_shows_its_own_evidence() -> None:
    """The terms of the label it is about, with their weights, and the text that was kept."""

    def finding(label: str, term: str) -> Finding:
        return Finding(
            detector="texts",
            version="1",
            label=label,
            score=0.7,
            start=0,
            end=4,
            reason="r",
            evidence=(Evidence(term, 0.7, 0, 4),),
        )

    findings = (finding("gambling.promotion", "bonus"), finding("fraud.phishing", "lure"))
    scores = said(gambling__promotion=0.7)
    one = Row("f", 4, "e4", "benign", "ms", (), scores, {}, Shown("free bonus", findings))
    (mistake,) = report(one, mistakes=5).labels["gambling.promotion"].mistakes.wrong_alerts

    assert ("f", 4, "e4", "benign") == (mistake.file, mistake.number, mistake.id, mistake.truth)
    assert ("texts: bonus +0.70",) == mistake.evidence
    assert "free bonus" == mistake.text


def test_a_familys_mistakes_are_those_of_its_labels() -> None:
    """They are shown once, except where rows are labelled by the family."""
    labelled = (row("fraud.phishing"), row("benign", fraud__phishing=0.9))

    assert 1 == len(report(*labelled, mistakes=1).labels["fraud.phishing"].mistakes.misses)
    assert 0 == len(report(*labelled, mistakes=1).labels["fraud.*"].mistakes.misses)
    assert 1 == len(report(*labelled, row("fraud.*"), mistakes=1).labels["fraud.*"].mistakes.misses)


def test_no_rows_are_no_fault() -> None:
    """A label that is asked for is measured, and has no figure."""
    found = measure((), ("fraud.*",))

    assert (0, 0) == (found.rows, found.benign)
    assert {None, 0} == {value(found.labels["fraud.*"].figures, name) for name in NAMES}
