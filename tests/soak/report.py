"""What a soak came to: whether all is there, and whether anything grew."""

from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median
from typing import Final

import msgspec

GROWTH: Final = 0.1
"""By so much a figure may be higher at the end than at its beginning and still not have grown."""


class Sample(msgspec.Struct, frozen=True):
    """The worker at one moment."""

    at: float
    """Seconds from the beginning."""
    resident_bytes: int
    files: int
    threads: int
    lag: int
    """Records that wait."""
    delay: float | None
    """Seconds from the message to its escalation since the last sample, the median; None without one."""
    longest: float | None
    sent: int


class Fault(msgspec.Struct, frozen=True):
    """What went wrong, and how soon it was made good."""

    at: float
    """Seconds from the beginning."""
    name: str
    recovery: float | None
    """Seconds from its end until the worker was less than a second behind; None if it never was."""


class Outcome(msgspec.Struct, frozen=True):
    """A soak."""

    seconds: float
    rate: int
    sent: int
    expected: int
    """Escalations that the same line makes offline."""
    found: int
    repeated: int
    """Written again, under their own id."""
    different: int
    """Of these, with other bytes."""
    restarts: int
    faults: tuple[Fault, ...]
    samples: tuple[Sample, ...]

    def growth(self, figure: Callable[[Sample], float]) -> float:
        """By what share a figure is higher in the last tenth of the time than in the second."""
        first = [figure(s) for s in self.samples if 0.1 <= s.at / self.seconds <= 0.2]
        last = [figure(s) for s in self.samples if s.at / self.seconds >= 0.9]
        if not first or not last:
            return float("inf")
        return median(last) / max(1.0, median(first)) - 1

    @property
    def grown(self) -> dict[str, float]:
        """The growth of each figure that may not grow."""
        return {
            "memory": self.growth(lambda s: s.resident_bytes),
            "open files": self.growth(lambda s: s.files),
            "threads": self.growth(lambda s: s.threads),
        }

    @property
    def is_well(self) -> bool:
        """Whether nothing is missing, nothing differs, every fault was made good, and nothing grew."""
        is_whole = self.found == self.expected and not self.different
        is_whole &= all(fault.recovery is not None for fault in self.faults)
        return is_whole and all(growth <= GROWTH for growth in self.grown.values())


def markdown(outcome: Outcome) -> str:
    """Return the report."""
    lags = [sample.lag for sample in outcome.samples]
    delays = [sample.delay for sample in outcome.samples if sample.delay is not None]
    longest = [sample.longest for sample in outcome.samples if sample.longest is not None]
    grown = ", ".join(f"{name} {growth:+.1%}" for name, growth in outcome.grown.items())
    return (
        f"# Soak\n\n{outcome.seconds / 60:.0f} minutes at {outcome.rate:,} messages a second: "
        f"{outcome.sent:,} messages, {outcome.expected:,} escalations expected, {outcome.found:,} found, "
        f"{outcome.expected - outcome.found:,} missing; {outcome.repeated:,} "
        f"({outcome.repeated / max(1, outcome.expected):.3%}) written again under their own "
        f"id, {outcome.different:,} of them with other bytes. {outcome.restarts} restarts.\n\n"
        f"From the beginning to the end: {grown}. Lag {max(lags, default=0):,} at most, "
        f"{lags[-1] if lags else 0:,} at the end. Delay {median(delays) if delays else 0:.2f} s at the "
        f"median of samples, {max(longest, default=0):.1f} s at most.\n\n"
        f"{_faults(outcome.faults)}\n\n"
        f"{'All is well.' if outcome.is_well else 'SOMETHING IS WRONG.'}\n"
    )


def _faults(faults: Sequence[Fault]) -> str:
    rows = ["| fault | times | seconds until less than one behind: median | longest |"]
    rows.append("| --- | ---: | ---: | ---: |")
    for name in dict.fromkeys(fault.name for fault in faults):
        took = [f.recovery for f in faults if f.name == name and f.recovery is not None]
        times = sum(fault.name == name for fault in faults)
        figures = f"{median(took):.1f} | {max(took):.1f}" if len(took) == times else "never | never"
        rows.append(f"| {name} | {times} | {figures} |")
    return "\n".join(rows)


def plot(outcome: Outcome, path: Path) -> None:
    """Draw memory, files and threads, lag, and delay over time, with the faults."""
    import matplotlib as mpl  # noqa: PLC0415  # of the extra `bench`

    mpl.use("Agg")
    from matplotlib import pyplot as plt  # noqa: PLC0415

    minutes = [sample.at / 60 for sample in outcome.samples]
    figure, axes = plt.subplots(4, 1, figsize=(10, 9), sharex=True, layout="constrained")
    memory, open_, lag, delay = axes
    memory.plot(minutes, [s.resident_bytes / 1e6 for s in outcome.samples])
    memory.set_ylabel("memory, MB")
    open_.plot(minutes, [s.files for s in outcome.samples], label="open files")
    open_.plot(minutes, [s.threads for s in outcome.samples], label="threads")
    open_.legend(frameon=False)
    lag.plot(minutes, [s.lag for s in outcome.samples])
    lag.set_ylabel("lag, records")
    delay.plot(minutes, [s.delay for s in outcome.samples], label="median")
    delay.plot(minutes, [s.longest for s in outcome.samples], label="longest")
    delay.set_yscale("log")
    delay.set_ylabel("delay, s")
    delay.set_xlabel("minutes")
    delay.legend(frameon=False)
    for one in axes:
        one.set_ylim(bottom=None if one is delay else 0)
        for fault in outcome.faults:
            one.axvline(fault.at / 60, color="0.8", zorder=0)
    for fault in outcome.faults:
        memory.annotate(
            fault.name, (fault.at / 60, 0), rotation=90, fontsize=7, color="0.4", va="bottom"
        )
    figure.savefig(path, dpi=110)
    plt.close(figure)
