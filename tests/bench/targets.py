"""Targets: what was promised, beside what was measured."""

from collections.abc import Iterator

import msgspec

from tests.bench.results import Results


class Target(msgspec.Struct, frozen=True):
    """A promise, the figure, and whether it is kept."""

    promise: str
    measured: str
    is_met: bool


def targets(results: Results) -> list[Target]:
    """Return those that the stages of this run say something about."""
    return [*_drains(results), *_compute(results), *_others(results)]


def _drains(results: Results) -> Iterator[Target]:
    drains = {d.contender: d for d in results.drains.drains} if results.drains else {}
    own = drains.get("penjaga")
    if own is None:
        return
    yield Target(
        "Kafka to confirmed escalations: at most 5 × the CPU of bare aiokafka",
        f"{own.cpu_ratio:.2f} ×",
        own.cpu_ratio <= 5,
    )
    if faust := drains.get("faust"):
        times = own.rate_ratio / faust.rate_ratio
        yield Target(
            "at least 7 × the messages/s of a Faust agent that only decodes",
            f"{times:.1f} ×",
            times >= 7,
        )
    if quix := drains.get("quix"):
        times = own.rate_ratio / quix.rate_ratio
        yield Target("faster than Quix Streams that only decodes", f"{times:.2f} ×", times > 1)
    yield Target(
        "100,000 messages/s per process",
        f"{own.messages_per_second:,.0f} at the median, {own.fastest:,.0f} at best",
        own.fastest >= 100_000,
    )


def _compute(results: Results) -> Iterator[Target]:
    compute = results.compute
    if compute is None:
        return
    screen = compute.screen.microseconds
    yield Target("screen: at most 6 µs per message", f"{screen:.2f} µs", screen <= 6)
    by_count = {cost.patterns: cost for cost in compute.patterns}
    if (thousands := by_count.get(3_000)) is not None:
        match = thousands.match.microseconds
        yield Target("matching 3,000 patterns: at most 1 µs", f"{match:.2f} µs", match <= 1)
    if (most := by_count.get(100_000)) is not None:
        yield Target(
            "100,000 literals: at most 1.5 × the cost of 100",
            f"{most.to_base:.2f} ×",
            most.to_base <= 1.5,
        )


def _others(results: Results) -> Iterator[Target]:
    for latency in results.latency or ():
        if latency.rate == 20_000:
            yield Target(
                "99 % of escalations within 100 ms at 20,000 messages/s",
                f"{1000 * latency.percentile_99:.0f} ms",
                latency.percentile_99 < 0.1,
            )
    if startup := results.startup:
        yield Target(
            "reading within 3 s of the start, with cached patterns",
            f"{startup.cached.reading:.1f} s (ready after {startup.cached.ready:.1f} s)",
            startup.cached.reading < 3,
        )
    if memory := results.memory:
        yield Target(
            "a worker's memory under 400 MB and flat",
            f"{memory.peak_bytes / 1e6:.0f} MB; {memory.growth:+.1%} over {memory.messages:,} messages",
            memory.peak_bytes < 400e6 and memory.growth < 0.05,
        )
    if found := results.subjects:
        yield Target(
            "20,000 signals/s per process",
            f"{found.signals_per_second:,.0f}",
            found.signals_per_second >= 20_000,
        )
        yield Target(
            "1 million subjects in less than 700 MB",
            f"{found.subjects:,} in {max(found.peak_bytes, found.recovery_peak_bytes) / 1e6:.0f} MB",
            found.subjects >= 1_000_000
            and max(found.peak_bytes, found.recovery_peak_bytes) < 700e6,
        )
        yield Target(
            "1 million subjects recovered within 60 s",
            f"{found.subjects:,} in {found.recovery_seconds:.1f} s",
            found.subjects >= 1_000_000 and found.recovery_seconds < 60,
        )
