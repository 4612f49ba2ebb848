"""Every figure of an evaluation, against cases worked out by hand."""

import math

import pytest

np = pytest.importorskip("numpy", reason="the extra `evaluate` brings numpy")
pytest.importorskip("sklearn", reason="the extra `evaluate` brings scikit-learn")

from pipeline.evaluation_figures import (  # noqa: E402
    NAMES,
    Bin,
    Figures,
    Point,
    Sample,
    Share,
    calibration,
    curve,
    figures,
    thresholds,
    value,
)


def sample(
    of_label: list[float],
    benign: list[float],
    other: tuple[float, ...] = (),
    *,
    review: float = 0.5,
) -> Sample:
    """Make a sample from the scores of rows of the label, of benign ones and of those of another label."""
    scores = np.array([*of_label, *benign, *other], float)
    places = np.arange(len(scores))
    positive = places < len(of_label)
    is_benign = ~positive & (places < len(of_label) + len(benign))
    return Sample(positive, is_benign, scores, scores >= review)


def measured(one: Sample) -> Figures:
    """Measure a sample at its own thresholds."""
    return figures(one, thresholds(one))


MIXED = sample([0.9, 0.6, 0.6, 0.0], [0.6, 0.3, 0.0, 0.0, 0.0], (0.8,))


def test_the_counts() -> None:
    """Four rows of the label, five benign; of five alerts three are hits and one is on a benign row."""
    found = measured(MIXED)

    assert (4, 5, 5, 3, 1) == (
        found.support,
        found.benign,
        found.alerts,
        found.hits,
        found.false_alerts,
    )


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("precision", 3 / 5),  # an alert on a row of another label is wrong, too
        ("recall", 3 / 4),
        ("f1", 2 * 3 / (4 + 5)),
        # Of 4 x 5 pairs: 0.9 wins 5; each 0.6 wins 4 and ties 1; 0 ties 3 and loses 2.
        ("roc_auc", (5 + 2 * 4.5 + 1.5) / 20),
        # One of five benign rows, 20 %, has 0.6: only 0.9 will do.
        ("recall_at_1pct", 1 / 4),
        ("recall_at_0_1pct", 1 / 4),
        ("false_alerts_per_1000", 200),
        ("brier", (0.01 + 0.16 + 0.16 + 1 + 0.36 + 0.09 + 0.64) / 10),
        # Bins: four at 0, of which one is of the label; 0.3; three at 0.6, two of the label; 0.8; 0.9.
        ("ece", (4 * 0.25 + 0.3 + 3 * (2 / 3 - 0.6) + 0.8 + 0.1) / 10),
    ],
)
def test_the_figures(name: str, expected: float) -> None:
    """Each is what a pencil gives."""
    assert value(measured(MIXED), name) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize(
    ("benign", "score", "recall"),
    [
        ([0.7] + [0.0] * 99, 0.2, 1.0),  # exactly 1 %, down to the lowest score
        ([0.7] + [0.0] * 98, 0.9, 1 / 4),  # a little more than 1 %
        ([0.7, 0.7] + [0.0] * 98, 0.9, 1 / 4),  # two with one score cannot be told apart
        ([0.7, 0.65] + [0.0] * 98, 0.7, 3 / 4),  # one above, one below
        ([0.0] * 10, 0.2, 1.0),  # no false alert at all
        ([0.95] + [0.0] * 9, math.inf, 0.0),  # the highest score is a benign row's
    ],
)
def test_ties_make_recall_at_a_rate_stricter(
    benign: list[float], score: float, recall: float
) -> None:
    """A score is used only if the share of benign rows that reach it is within the rate."""
    one = sample([0.9, 0.7, 0.7, 0.2], benign)

    assert score == thresholds(one)["recall_at_1pct"]
    assert recall == value(measured(one), "recall_at_1pct")


def test_rows_of_another_label_are_no_false_positives() -> None:
    """They spoil the precision, not what is measured against benign rows."""
    one = sample([0.9, 0.6], [0.0], (0.95,))

    assert (1.0, 1.0, 0.0) == tuple(
        value(measured(one), name) for name in ("roc_auc", "recall_at_1pct", "false_alerts")
    )
    assert 2 / 3 == value(measured(one), "precision")


def test_the_stricter_rate_counts_a_thousand() -> None:
    """One of 1,000 benign rows is 0.1 %, two are not."""
    once = sample([0.9, 0.7], [0.7] + [0.0] * 999)
    twice = sample([0.9, 0.7], [0.7, 0.7] + [0.0] * 998)

    assert (1.0, 0.5) == tuple(value(measured(one), "recall_at_0_1pct") for one in (once, twice))


def test_recall_at_a_rate_can_be_told_at_the_thresholds_of_more_rows() -> None:
    """A slice without a benign row has no threshold of its own, but a recall at the whole's."""
    part = sample([0.9, 0.6], [])

    assert {} == thresholds(part)
    assert 0.5 == value(figures(part, thresholds(MIXED)), "recall_at_1pct")


def undefined(one: Sample) -> set[str]:
    """Return the names of the figures that a sample does not define."""
    found = measured(one)
    return {name for name in NAMES if getattr(found, name) is None}


FROM_PAIRS = {"roc_auc", "recall_at_1pct", "recall_at_0_1pct"}


def test_without_a_row_of_the_label() -> None:
    """What remains are false alerts and how far scores are from 0."""
    one = sample([], [0.8, 0.0])

    assert {"precision", "recall", "f1", *FROM_PAIRS} == undefined(one)
    assert (1, 500.0, 0.32) == tuple(
        round(value(measured(one), name) or 0, 6)
        for name in ("false_alerts", "false_alerts_per_1000", "brier")
    )
    assert () == curve(one)


def test_without_a_benign_row() -> None:
    """There is no rate of false alerts, and nothing to rank against."""
    one = sample([0.8, 0.2], [])

    assert {"false_alerts_per_1000", *FROM_PAIRS} == undefined(one)
    assert (1.0, 0.5) == (value(measured(one), "precision"), value(measured(one), "recall"))


def test_without_an_alert() -> None:
    """Recall and F1 are 0; there is nothing whose precision could be told."""
    one = sample([0.2], [0.0])

    assert {"precision"} == undefined(one)
    assert (0.0, 0.0) == (value(measured(one), "recall"), value(measured(one), "f1"))


def test_without_any_row() -> None:
    """Nothing is defined, and nothing fails."""
    one = sample([], [])

    assert {"support", "benign", "alerts", "hits", "false_alerts"} == set(NAMES) - undefined(one)
    assert () == calibration(one)


def test_an_interval_is_wilsons() -> None:
    """For 3 of 10: (p + z²/2n ± z √(pq/n + z²/4n²)) / (1 + z²/n), with z = 1.959964."""
    share = Share.of(3, 10)
    z, p, n = 1.959964, 0.3, 10
    centre, root = p + z * z / (2 * n), z * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n))

    assert share is not None
    assert share.value == pytest.approx(0.3)
    assert share.low == pytest.approx((centre - root) / (1 + z * z / n), abs=1e-6)
    assert share.high == pytest.approx((centre + root) / (1 + z * z / n), abs=1e-6)
    assert Share.of(0, 0) is None


def test_the_reliability_table() -> None:
    """A score on an edge is in the upper bin, 1 is in the last; empty bins are left out."""
    one = sample([0.3, 1.0, 0.7], [0.2999, 0.0, 0.9])
    table = calibration(one)

    assert [
        Bin(0.0, 0.1, 1, 0.0, 0.0),
        Bin(0.2, 0.3, 1, 0.2999, 0.0),
        Bin(0.3, 0.4, 1, 0.3, 1.0),
        Bin(0.7, 0.8, 1, 0.7, 1.0),
        Bin(0.9, 1.0, 2, 0.95, 0.5),
    ] == list(table)


def test_the_curve_ends_where_nothing_was_found() -> None:
    """A point for each score from which on precision or recall change, and none for 0."""
    points = curve(MIXED)

    assert (
        Point(0.3, 3 / 6, 3 / 4),
        Point(0.6, 3 / 5, 3 / 4),
        Point(0.8, 1 / 2, 1 / 4),
        Point(0.9, 1 / 1, 1 / 4),
    ) == points
