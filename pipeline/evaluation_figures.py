"""The figures of an evaluation: scores and alerts of some rows in, as arrays; numbers with their meaning out.

* A row has an *alert* when its verdict for the label is `review` or `escalate`; its *score* is that of its
  highest finding, 0 without one.
* Precision, F1, the Brier score and calibration take a row of any other label for one that is not of this
  label. False alerts, ROC-AUC and recall at a false-positive rate are measured against benign rows alone.
* Recall at a rate is that at the lowest score which no more than that share of the benign rows reaches. Rows
  with equal scores are alerted together, so ties make it stricter than the rate, never laxer. In ROC-AUC a
  tie counts half.
* A figure that the rows do not define is `None`, never 0: without a row of the label there is neither
  precision nor recall, without an alert there is no precision, without a benign row there is no rate of them.
"""

from collections.abc import Mapping
from typing import Final

import msgspec
import numpy as np
from numpy.typing import NDArray
from scipy.stats import binomtest
from sklearn.metrics import brier_score_loss, precision_recall_curve, roc_auc_score, roc_curve

RATES: Final = {"recall_at_1pct": 0.01, "recall_at_0_1pct": 0.001}
"""The false-positive rates at which recall is told."""

# k / 10 as Python writes it, so that a score of 0.3 is in the bin that starts at 0.3.
_EDGES: Final = np.arange(1, 10) / 10
_CONFIDENCE: Final = 0.95

Bools = NDArray[np.bool_]
Floats = NDArray[np.float64]


class Sample(msgspec.Struct, frozen=True):
    """Some rows as arrays of equal length, for one label. No row is both positive and benign."""

    positive: Bools
    benign: Bools
    scores: Floats
    alerts: Bools

    def only(self, chosen: Bools) -> "Sample":
        """Return the chosen rows."""
        return Sample(
            self.positive[chosen], self.benign[chosen], self.scores[chosen], self.alerts[chosen]
        )


class Share(msgspec.Struct, frozen=True):
    """A share of a count, with its 95 % interval (Wilson 1927)."""

    value: float
    low: float
    high: float

    @classmethod
    def of(cls, part: int, whole: int) -> "Share | None":
        """Return `part` of `whole`; of nothing there is no share."""
        if not whole:
            return None
        interval = binomtest(part, whole).proportion_ci(_CONFIDENCE, method="wilson")
        return cls(part / whole, float(interval.low), float(interval.high))


class Figures(msgspec.Struct, frozen=True, kw_only=True):
    """What was measured on some rows."""

    support: int
    """How many are of the label."""
    benign: int
    alerts: int
    hits: int
    """Alerts on rows of the label."""
    false_alerts: int
    """Alerts on benign rows."""
    precision: Share | None
    recall: Share | None
    f1: float | None
    roc_auc: float | None
    recall_at_1pct: Share | None
    recall_at_0_1pct: Share | None
    false_alerts_per_1000: float | None
    """Per 1,000 benign rows."""
    brier: float | None
    """Mean squared distance of the score from 1 for a row of the label, from 0 for another."""
    ece: float | None
    """Expected calibration error: how far scores are from the share that is right, over ten equal bins."""


NAMES: Final = Figures.__struct_fields__


class Bin(msgspec.Struct, frozen=True):
    """Rows whose scores lie from `low` up to, but without, `high` (the last bin holds 1, too)."""

    low: float
    high: float
    rows: int
    mean_score: float
    share: float
    """How many of them are of the label; equal to the mean score if scores were probabilities."""


class Point(msgspec.Struct, frozen=True):
    """Precision and recall if every row from `score` on had an alert."""

    score: float
    precision: float
    recall: float


def value(figures: Figures, name: str) -> float | None:
    """Return a figure by its name, without its interval."""
    figure = getattr(figures, name)
    return figure.value if isinstance(figure, Share) else figure


def thresholds(sample: Sample) -> dict[str, float]:
    """Return the score that belongs to each of `RATES`; infinity where even the highest is too many.

    Without rows of the label, or without benign ones, there are none.
    """
    compared = sample.only(sample.positive | sample.benign)
    if not (compared.positive.any() and compared.benign.any()):
        return {}
    false, _, score = roc_curve(compared.positive, compared.scores, drop_intermediate=False)
    return {name: float(score[false <= rate][-1]) for name, rate in RATES.items()}


def figures(sample: Sample, at: Mapping[str, float]) -> Figures:
    """Measure; recall at a rate is told at the thresholds `at`, which may be those of more rows."""
    support, benign = int(sample.positive.sum()), int(sample.benign.sum())
    alerts = int(sample.alerts.sum())
    hits = int((sample.alerts & sample.positive).sum())
    false_alerts = int((sample.alerts & sample.benign).sum())
    reached = {
        name: Share.of(int((sample.scores[sample.positive] >= score).sum()), support)
        for name, score in at.items()
    }
    return Figures(
        support=support,
        benign=benign,
        alerts=alerts,
        hits=hits,
        false_alerts=false_alerts,
        precision=Share.of(hits, alerts) if support else None,
        recall=Share.of(hits, support),
        f1=2 * hits / (support + alerts) if support else None,
        roc_auc=_roc_auc(sample),
        recall_at_1pct=reached.get("recall_at_1pct"),
        recall_at_0_1pct=reached.get("recall_at_0_1pct"),
        false_alerts_per_1000=1000 * false_alerts / benign if benign else None,
        brier=_brier(sample),
        ece=_calibration_error(sample),
    )


def _roc_auc(sample: Sample) -> float | None:
    compared = sample.only(sample.positive | sample.benign)
    if not (compared.positive.any() and compared.benign.any()):
        return None
    return float(roc_auc_score(compared.positive, compared.scores))


def _brier(sample: Sample) -> float | None:
    if not sample.scores.size:
        return None
    return float(brier_score_loss(sample.positive, sample.scores, pos_label=True))


def _calibration_error(sample: Sample) -> float | None:
    if not sample.scores.size:
        return None
    bins = calibration(sample)
    return sum(one.rows * abs(one.mean_score - one.share) for one in bins) / sample.scores.size


def calibration(sample: Sample) -> tuple[Bin, ...]:
    """Return the reliability table: ten bins of equal width, empty ones left out."""
    places = np.digitize(sample.scores, _EDGES)
    found = []
    for number in np.unique(places):
        held = places == number
        found.append(
            Bin(
                low=int(number) / 10,
                high=(int(number) + 1) / 10,
                rows=int(held.sum()),
                mean_score=float(sample.scores[held].mean()),
                share=float(sample.positive[held].mean()),
            )
        )
    return tuple(found)


def curve(sample: Sample) -> tuple[Point, ...]:
    """Return precision and recall from each score on; what has no finding can have no alert, so 0 is none."""
    if not sample.positive.any():
        return ()
    precision, recall, scores = precision_recall_curve(
        sample.positive, sample.scores, drop_intermediate=True
    )
    return tuple(
        Point(float(score), float(p), float(r))
        for score, p, r in zip(scores, precision[:-1], recall[:-1], strict=True)
        if score > 0
    )
