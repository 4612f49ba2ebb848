"""The picture of an evaluation. Apart from the report because only who wants it needs matplotlib."""

from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from pipeline.evaluation import Report
from pipeline.evaluation_report import distinct


def draw(report: Report, path: Path) -> bool:
    """Draw precision over recall, and calibration, as a PNG; without a row of any label, draw nothing.

    Raises:
        OSError: if the file cannot be written.
    """
    shown = {label: one for label, one in distinct(report).items() if one.figures.support}
    if not shown:
        return False
    figure = Figure(figsize=(13, 6), layout="constrained")
    precision, calibration = figure.subplots(1, 2)
    for label, one in shown.items():
        figures = one.figures
        points = one.curve
        (drawn,) = precision.plot(
            [point.recall for point in points],
            [point.precision for point in points],
            marker=".",
            label=f"{label} ({figures.support})",
        )
        if figures.precision and figures.recall:
            at = ([figures.recall.value], [figures.precision.value])
            precision.plot(*at, marker="o", markersize=9, color=drawn.get_color())
        calibration.plot(
            [one.mean_score for one in one.calibration],
            [one.share for one in one.calibration],
            marker="o",
            color=drawn.get_color(),
        )
    calibration.plot([0, 1], [0, 1], color="grey", linestyle=":")
    _axes(
        precision,
        "recall",
        "precision",
        "From each score on; the large dot is the policy's threshold",
    )
    _axes(
        calibration,
        "mean score",
        "share of the label",
        "Calibration; dotted: scores as probabilities",
    )
    precision.legend(
        loc="lower left", frameon=False, fontsize=8, title="label (support)", title_fontsize=8
    )
    figure.savefig(path, format="png", dpi=110, metadata={"Software": None})
    return True


def _axes(axes: Any, x: str, y: str, title: str) -> None:  # noqa: ANN401  # as matplotlib makes them
    axes.set(xlabel=x, ylabel=y, xlim=(-0.02, 1.02), ylim=(-0.02, 1.02))
    axes.set_title(title, fontsize=10)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
