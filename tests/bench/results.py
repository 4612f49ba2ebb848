"""Results: what a run has measured, as it is kept on disk, and the ratios that a baseline is about."""

from collections.abc import Iterator
from pathlib import Path
from typing import Final, Literal

import msgspec

from tests.bench.compute import BASE, Compute
from tests.bench.corpus import Shares
from tests.bench.drains import Drains
from tests.bench.isolation import Isolation
from tests.bench.latency import Latency
from tests.bench.machine import Machine
from tests.bench.memory import Memory
from tests.bench.restart import Restarted
from tests.bench.startup import Startups
from tests.bench.subjects import Remembered


class Results(msgspec.Struct, frozen=True, omit_defaults=True):
    """One run; a stage that was not run is None."""

    machine: Machine
    corpus: Shares
    compute: Compute | None = None
    drains: Drains | None = None
    latency: tuple[Latency, ...] | None = None
    startup: Startups | None = None
    memory: Memory | None = None
    subjects: Remembered | None = None
    isolation: tuple[Isolation, ...] | None = None
    restart: Restarted | None = None


class Ratio(msgspec.Struct, frozen=True):
    """A quotient of two figures of one run, and by how much it may get worse before that is news."""

    name: str
    value: float
    better: Literal["lower", "higher"]
    tolerance: float

    def worse_by(self, before: float) -> float:
        """Return by what share it is worse than before; negative when it is better."""
        return self.value / before - 1 if self.better == "lower" else before / self.value - 1


class Regression(msgspec.Struct, frozen=True):
    """A ratio that got worse by more than its tolerance."""

    ratio: Ratio
    before: float


# Over four runs on two cores of a virtual machine these ratios differed by 3 to 10 %, and those of whole
# drains by more, because the broker is on the same cores.
_COMPUTE: Final = 0.15
_SMALL: Final = 0.30
_PATTERNS: Final = 0.20
_CPU: Final = 0.25
_RATE: Final = 0.50

_SMALL_SHARE: Final = 0.1


def ratios(results: Results) -> dict[str, Ratio]:
    """Return everything that is compared with the baseline, by name."""
    return {ratio.name: ratio for ratio in (*_compute(results), *_drains(results))}


def regressions(now: Results, baseline: Results) -> list[Regression]:
    """Compare what both have measured."""
    before = ratios(baseline)
    return [
        Regression(ratio, before[name].value)
        for name, ratio in ratios(now).items()
        if name in before and ratio.worse_by(before[name].value) > ratio.tolerance
    ]


def merged(now: Results, baseline: Results | None) -> Results:
    """Return the baseline with the stages of this run in place of its own.

    Raises:
        ValueError: if the two are not of one kind of machine.
    """
    if baseline is None:
        return now
    kept = {
        name: stage
        for name in Results.__struct_fields__
        if getattr(now, name) is None and (stage := getattr(baseline, name)) is not None
    }
    here, there = now.machine, baseline.machine
    if kept and (here.processor, here.cores) != (there.processor, there.cores):
        raise ValueError(
            f"the baseline was measured on {there.cores} cores of {there.processor}; run every stage "
            "to write one for this machine"
        )
    return msgspec.structs.replace(now, **kept)


def read(path: Path) -> Results | None:
    """Read results, None where there are none yet."""
    return msgspec.json.decode(path.read_bytes(), type=Results) if path.exists() else None


def write(path: Path, results: Results) -> None:
    """Write results for people and programs to read."""
    path.write_bytes(msgspec.json.format(msgspec.json.encode(results), indent=2) + b"\n")


def _compute(results: Results) -> Iterator[Ratio]:
    compute = results.compute
    if compute is None:
        return
    yield Ratio("screen : orjson.loads", compute.screen.ratio, "lower", _COMPUTE)
    for name, cost in compute.phases.items():
        # A phase that is next to nothing doubles without anybody's doing.
        tolerance = _COMPUTE if cost.ratio > _SMALL_SHARE * compute.screen.ratio else _SMALL
        yield Ratio(f"{name} : orjson.loads", cost.ratio, "lower", tolerance)
    for many in compute.patterns:
        if many.patterns != BASE:
            name = f"{many.patterns} patterns : {BASE} patterns"
            yield Ratio(name, many.to_base, "lower", _PATTERNS)


def _drains(results: Results) -> Iterator[Ratio]:
    if results.drains is None:
        return
    unit, *others = results.drains.drains
    by_name = {drain.contender: drain for drain in others}
    for drain in others:
        # How the peers fare is not ours to regress.
        if drain.contender.startswith("penjaga"):
            name = f"CPU of {drain.contender} : {unit.contender}"
            yield Ratio(name, drain.cpu_ratio, "lower", _CPU)
    own = by_name.get("penjaga")
    for peer in ("faust", "quix"):
        if own is not None and peer in by_name:
            rate = own.rate_ratio / by_name[peer].rate_ratio
            yield Ratio(f"messages/s of penjaga : {peer}", rate, "higher", _RATE)
