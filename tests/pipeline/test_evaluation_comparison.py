"""A comparison of two configurations on the same rows."""

import pytest

pytest.importorskip("sklearn", reason="the extra `evaluate` brings scikit-learn")

from pipeline.evaluation import labels_in, measure
from pipeline.evaluation_comparison import Change, Comparison, compare, mcnemar
from pipeline.labelled import NOTHING, Row, Said


@pytest.mark.parametrize(
    ("better", "worse", "expected"),
    [
        (0, 0, 1.0),
        (1, 0, 1.0),
        (3, 3, 1.0),
        (5, 1, 2 * (1 + 6) / 2**6),
        (1, 5, 2 * (1 + 6) / 2**6),
        (8, 0, 2 / 2**8),
    ],
)
def test_the_p_value_is_that_of_a_sign_test(better: int, worse: int, expected: float) -> None:
    """Twice the tail of the binomial distribution with one half, at most 1."""
    assert mcnemar(better, worse) == pytest.approx(expected)


def rows(truths: list[str], scores: list[float], review: float) -> list[Row]:
    """Make rows with a phishing score each, which is an alert from `review` on."""
    label = "fraud.phishing"
    return [
        Row(
            "f",
            number,
            f"e{number}",
            truth,
            said=Said({label: score}, frozenset({label} if score >= review else ()))
            if score
            else NOTHING,
        )
        for number, (truth, score) in enumerate(zip(truths, scores, strict=True), 1)
    ]


TRUTHS = ["fraud.phishing", "fraud.phishing", "benign", "fraud.*", "benign"]
SCORES = [0.9, 0.6, 0.6, 0.6, 0.0]


def compared(before: float, after: float) -> Comparison:
    """Compare the same rows under two thresholds."""
    old, new = (rows(TRUTHS, SCORES, review) for review in (before, after))
    labels = labels_in(new)
    return compare(("o", "n"), (measure(old, labels), measure(new, labels)), (old, new))


def test_rows_that_changed_sides_are_named() -> None:
    """With what became of them; a row whose label leaves it open is right neither way."""
    found = compared(0.8, 0.5).labels["fraud.phishing"]

    assert (
        Change("f", 2, "e2", "fraud.phishing", 0.6, 0.6, has_alert=True, is_right=True),
        Change("f", 3, "e3", "benign", 0.6, 0.6, has_alert=True, is_right=False),
    ) == found.changes
    assert (1, 1, 1.0) == (found.better, found.worse, found.p_value)


def test_the_family_counts_every_row_of_it() -> None:
    """A row that is labelled by its family can be told right or wrong there."""
    found = compared(0.8, 0.5).labels["fraud.*"]

    assert ([2, 3, 4], 2, 1) == ([c.number for c in found.changes], found.better, found.worse)


def test_the_other_way_round_the_signs_turn() -> None:
    """What was better is worse, and an alert is none."""
    found = compared(0.5, 0.8).labels["fraud.*"]

    assert (1, 2) == (found.better, found.worse)
    assert {False} == {change.has_alert for change in found.changes}


def test_figures_stand_side_by_side() -> None:
    """Those of both configurations, a figure that is not defined included."""
    found = compared(0.95, 0.5)
    phishing = found.labels["fraud.phishing"]

    assert ("o", "n") == (found.before, found.after)
    assert (0.0, 1.0) == (phishing.before["recall"], phishing.after["recall"])
    assert (None, 2 / 3) == (phishing.before["precision"], phishing.after["precision"])
    assert phishing.before["roc_auc"] == phishing.after["roc_auc"]


def test_nothing_changes_under_the_same_configuration() -> None:
    """No rows, and no difference."""
    found = compared(0.5, 0.5).labels["fraud.phishing"]

    assert ((), 0, 0, 1.0) == (found.changes, found.better, found.worse, found.p_value)
    assert found.before == found.after
