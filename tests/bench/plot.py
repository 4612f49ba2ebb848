"""Plot: the results that are worth seeing, as one picture."""

from pathlib import Path
from typing import Any, Final

from tests.bench.results import Results

_OWN: Final = "#b5482f"
_PEER: Final = "#8a9aa8"


def plot(results: Results, path: Path) -> None:
    """Draw what was measured; nothing is written when there is nothing to draw."""
    # Only who draws needs it, and it takes a second to import.
    from matplotlib.figure import Figure  # noqa: PLC0415

    panels: list[Any] = []
    if results.drains:
        panels += [_rates, _cpu]
    if results.latency:
        panels.append(_latency)
    if results.compute:
        panels += [_phases, _patterns]
    if results.memory:
        panels.append(_memory)
    if not panels:
        return
    rows = (len(panels) + 1) // 2
    figure = Figure(figsize=(13, 4.2 * rows), layout="constrained")
    places = list(figure.subplots(rows, 2, squeeze=False).flat)
    for panel, axes in zip(panels, places, strict=False):
        panel(axes, results)
    for axes in places[len(panels) :]:
        axes.remove()
    figure.savefig(path, dpi=110, metadata={"Software": None})


def _rates(axes: Any, results: Results) -> None:
    _bars(axes, results, "messages_per_second", "{:,.0f}")
    axes.set_title("Messages/s (higher is better)", fontsize=10)


def _cpu(axes: Any, results: Results) -> None:
    _bars(axes, results, "cpu_ratio", "{:.2f} ×")
    axes.set_title("CPU per message, in that of bare aiokafka", fontsize=10)


def _bars(axes: Any, results: Results, figure: str, form: str) -> None:
    assert results.drains is not None
    drains = results.drains.drains[::-1]
    names = [drain.title.replace("*", "").replace("`", "") for drain in drains]
    colours = [_OWN if drain.contender.startswith("penjaga") else _PEER for drain in drains]
    values = [getattr(drain, figure) for drain in drains]
    bars = axes.barh(names, values, color=colours)
    axes.bar_label(bars, [form.format(value) for value in values], padding=3, fontsize=8)
    axes.set_xscale("log")
    axes.set_xlim(min(values) / 2, max(values) * 4)
    _bare(axes)


def _latency(axes: Any, results: Results) -> None:
    found = results.latency or ()
    shown = {"median": "median", "percentile_99": "99 %", "percentile_99_9": "99.9 %"}
    for number, (field, name) in enumerate(shown.items()):
        places = [place + 0.27 * (number - 1) for place in range(len(found))]
        values = [1000 * getattr(one, field) for one in found]
        bars = axes.bar(
            places, values, width=0.25, color=_OWN, alpha=0.4 + 0.3 * number, label=name
        )
        axes.bar_label(bars, [f"{value:.0f}" for value in values], fontsize=8)
    axes.set_xticks(range(len(found)), [f"{one.rate:,}/s" for one in found])
    axes.set_title("Produced to escalation seen, ms", fontsize=10)
    axes.legend(frameon=False, fontsize=8)
    _bare(axes)


def _phases(axes: Any, results: Results) -> None:
    assert results.compute is not None
    names = [*results.compute.phases][::-1]
    values = [results.compute.phases[name].microseconds for name in names]
    bars = axes.barh(names, values, color=_OWN)
    axes.bar_label(bars, [f"{value:.2f}" for value in values], padding=3, fontsize=8)
    axes.set_title("Screening a message, µs by phase", fontsize=10)
    _bare(axes)


def _patterns(axes: Any, results: Results) -> None:
    assert results.compute is not None
    costs = results.compute.patterns
    axes.plot(
        [cost.patterns for cost in costs],
        [cost.match.microseconds for cost in costs],
        marker="o",
        color=_OWN,
    )
    axes.set_xscale("log")
    axes.set_ylim(0, 1.3 * max(cost.match.microseconds for cost in costs))
    axes.set_title("Matching a message, µs by number of patterns", fontsize=10)
    _bare(axes)


def _memory(axes: Any, results: Results) -> None:
    assert results.memory is not None
    samples = results.memory.samples
    axes.plot([done for done, _ in samples], [held / 1e6 for _, held in samples], color=_OWN)
    axes.set_ylim(0, 1.3 * results.memory.peak_bytes / 1e6)
    axes.set_title("Memory of a worker, MB, by messages drained", fontsize=10)
    axes.xaxis.set_major_formatter("{x:,.0f}")
    _bare(axes)


def _bare(axes: Any) -> None:
    axes.tick_params(labelsize=8)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
