"""Report: results as Markdown."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, Final

from tests.bench.compute import BASE, Compute, Cost
from tests.bench.corpus import Shares
from tests.bench.drains import Drain, Drains
from tests.bench.isolation import ALONE_SECONDS, FIRST_SECONDS, RATE, Isolation
from tests.bench.latency import Latency
from tests.bench.machine import Machine
from tests.bench.memory import Memory
from tests.bench.restart import Restarted
from tests.bench.results import Regression, Results
from tests.bench.startup import Startup, Startups
from tests.bench.subjects import Remembered
from tests.bench.targets import targets
from tests.bench.topics import PARTITIONS

_TUNED: Final = (
    "How the peers run: one process each, a member of a consumer group, orjson for decoding. "
    "confluent-kafka and Quix Streams, which is built on it, have `fetch.queue.backoff.ms = 10`: with the "
    "client's default of 1,000 a consumer that is faster than its queue stands still in a deep backlog "
    "(300,000 messages in 2.5 s instead of 0.7 s). `consume(500)` is used, because 5,000 at a time cost "
    "more. aiokafka has its defaults; fetches of 256 KiB a partition would save it a tenth of its CPU. Faust "
    "runs without its web server and leader election, which nothing here needs; larger buffers, smaller "
    "polls and `stream_wait_empty = false` did not help it. Screening peers produce their verdicts too and "
    "end when those are confirmed. Only the bare clients' drains wait for their last commit. Memory is "
    "summed over the processes of a worker, what they share counted in each."
)


def markdown(results: Results) -> str:
    """Return the whole report."""
    blocks = ["# Benchmark", *_machine(results.machine), *_corpus(results.corpus)]
    kept = targets(results)
    if kept:
        rows = [(one.promise, one.measured, "yes" if one.is_met else "**no**") for one in kept]
        blocks += ["## Targets", _table("Target|Measured|Met", rows)]
    if results.drains:
        blocks += _drains(results.drains)
    if results.compute:
        blocks += _compute(results.compute)
    if results.drains and results.compute:
        blocks += _breakdown(results.drains, results.compute)
    sections: list[tuple[Any, Callable[[Any], Iterable[str]]]] = [
        (results.latency, _latency),
        (results.startup, _startup),
        (results.memory, _memory),
        (results.subjects, _subjects),
        (results.isolation, _isolation),
        (results.restart, _restart),
    ]
    for found, section in sections:
        if found:
            blocks += section(found)
    return "\n\n".join(blocks) + "\n"


def compared(found: Sequence[Regression], compared: int) -> str:
    """Say what got worse since the baseline."""
    if not found:
        return f"None of {compared} ratios is worse than the baseline by more than it may be."
    rows = [
        (
            one.ratio.name,
            f"{one.before:.3g}",
            f"{one.ratio.value:.3g}",
            f"{one.ratio.worse_by(one.before):+.0%}",
            f"{one.ratio.tolerance:.0%}",
        )
        for one in found
    ]
    table = _table("Ratio|Baseline|Now|Worse by|Tolerated", rows)
    return f"## Worse than the baseline\n\n{table}"


def _machine(machine: Machine) -> Iterator[str]:
    libraries = ", ".join(f"{name} {version}" for name, version in machine.libraries.items())
    yield (
        f"{machine.cores} cores of {machine.processor}, {machine.memory_gib:.0f} GiB, {machine.system}, "
        f"{machine.python}. {libraries}. Everything, the broker too, shares these cores."
    )


def _corpus(shares: Shares) -> Iterator[str]:
    languages = ", ".join(f"{name} {share:.0%}" for name, share in shares.languages.items())
    yield (
        f"Corpus, seed {shares.seed}, counted over {shares.messages:,} messages: "
        f"{shares.harmful:.1%} harmful, {shares.non_ascii:.1%} non-ASCII, {shares.with_link:.1%} with a "
        f"link; {languages}; {shares.distinct_texts:.0%} of the texts differ. Texts have "
        f"{shares.text_characters[0]} characters at the median and {shares.text_characters[1]} at the 95th "
        f"percentile, records {shares.record_bytes[0]} and {shares.record_bytes[1]} bytes."
    )


def _drains(drains: Drains) -> Iterator[str]:
    unit = drains.drains[0]
    yield "## Drains"
    yield (
        f"A backlog on Apache Kafka, {drains.partitions} partitions, emptied by each in turn: medians of "
        f"{drains.runs} runs. Timed from before the first fetch until the last message is decoded, or the "
        "last verdict confirmed; CPU is user and system time of the process, all threads, meanwhile. Each "
        "run stands between two of the first row, and the ratios are to their mean. That row went from "
        f"{drains.unit_slowest:,.0f} to {unit.fastest:,.0f} messages/s: so steady was the machine."
    )
    yield _table(
        "Contender|Messages|Messages/s|× aiokafka|CPU, µs per message|× aiokafka|Peak memory, MB",
        [_drain(drain) for drain in drains.drains],
    )
    yield _TUNED


def _drain(drain: Drain) -> tuple[str, ...]:
    return (
        drain.title,
        f"{drain.messages:,}",
        f"{drain.messages_per_second:,.0f}",
        f"{drain.rate_ratio:.2f}",
        # Seconds per 1,000 messages are milliseconds per message.
        f"{1000 * drain.cpu_per_thousand:.2f}",
        f"{drain.cpu_ratio:.2f}",
        f"{drain.peak_bytes / 1e6:.0f}",
    )


def _compute(compute: Compute) -> Iterator[str]:
    yield "## Compute"
    yield (
        f"CPU time per message on one core, medians of {compute.runs} rounds over {compute.messages:,} "
        f"messages in batches of {compute.batch_records}. {compute.flagged:.1%} of them lead to a verdict; "
        f"the shipped detectors have {compute.shipped_patterns:,} patterns."
    )
    yield _table(
        "Phase|µs per message|× `orjson.loads`",
        [
            _cost("`orjson.loads` alone", compute.unit),
            *(_cost(name, cost) for name, cost in compute.phases.items()),
            _cost("**screen**, bytes to verdicts", compute.screen),
        ],
    )
    yield _table(
        f"Patterns|Match, µs per message|× {BASE} patterns|Messages hit|CPU to compile, s",
        [
            (
                f"{cost.patterns:,}",
                f"{cost.match.microseconds:.2f}",
                f"{cost.to_base:.2f}",
                f"{cost.hits:.1%}",
                f"{cost.build_seconds:.2f}",
            )
            for cost in compute.patterns
        ],
    )


def _cost(name: str, cost: Cost) -> tuple[str, str, str]:
    return name, f"{cost.microseconds:.2f}", f"{cost.ratio:.2f}"


def _breakdown(drains: Drains, compute: Compute) -> Iterator[str]:
    worker = next((drain for drain in drains.drains if drain.contender == "penjaga"), None)
    if worker is None:
        return
    total = 1000 * worker.cpu_per_thousand
    parts = {name: cost.microseconds for name, cost in compute.phases.items()}
    parts["fetch, produce, Faust and the rest"] = total - sum(parts.values())
    yield "## Where a worker's time goes"
    yield (
        "The phases as measured above, and what is left of the worker's CPU time. The two were measured "
        "minutes apart, so the rest is an estimate."
    )
    yield _table(
        "Phase|µs per message|Share",
        [
            *((name, f"{spent:.2f}", f"{spent / total:.0%}") for name, spent in parts.items()),
            ("**worker**", f"{total:.2f}", "100%"),
        ],
    )


def _latency(found: Sequence[Latency]) -> Iterator[str]:
    yield "## Latency"
    yield (
        "From when a message was due at the producer until its escalation was in a consumer's hands; all "
        "processes on this machine. The producer keeps its schedule whatever happens (open loop), and what "
        "it sends late counts from when it was due, so no stall hides the messages that it delayed."
    )
    yield _table(
        "Messages/s|Escalations timed|Median, ms|99 %, ms|99.9 %, ms|Longest, ms|Producer late at 99 %, ms|"
        "Worker's CPU, µs per message",
        [
            (
                f"{one.rate:,}",
                f"{one.escalations:,}",
                _milliseconds(one.median),
                _milliseconds(one.percentile_99),
                # Of fewer it would be the longest.
                _milliseconds(one.percentile_99_9) if one.escalations >= 1000 else "–",
                _milliseconds(one.longest),
                _milliseconds(one.late_99th),
                f"{1000 * one.cpu_per_thousand:.1f}",
            )
            for one in found
        ],
    )


def _milliseconds(seconds: float) -> str:
    return f"{1000 * seconds:.1f}"


def _startup(startups: Startups) -> Iterator[str]:
    yield "## Start-up"
    yield f"Seconds on the clock, medians of {startups.runs} starts."
    yield _table(
        "Patterns|`line(...)` alone|Command to reading|Command to ready|Peak memory, MB",
        [_start("compiled anew", startups.cold), _start("from the cache", startups.cached)],
    )


def _start(name: str, start: Startup) -> tuple[str, ...]:
    seconds = (f"{value:.2f}" for value in (start.line, start.reading, start.ready))
    return name, *seconds, f"{start.peak_bytes / 1e6:.0f}"


def _memory(memory: Memory) -> Iterator[str]:
    yield "## Memory"
    yield (
        f"A worker that drained {memory.messages:,} messages held {memory.peak_bytes / 1e6:.0f} MB at most; "
        f"from the second to the last fifth of them it grew by {memory.growth:+.1%}."
    )


def _subjects(found: Remembered) -> Iterator[str]:
    yield "## Subjects"
    yield (
        f"Signals of {found.subjects:,} subjects, one each, on Apache Kafka, {PARTITIONS} partitions. A "
        f"worker that remembers them in RocksDB takes {found.signals_per_second:,.0f} a second, at "
        f"{1000 * found.cpu_per_thousand:.0f} µs of CPU each, holds {found.peak_bytes / 1e6:.0f} MB at most, "
        f"and has {found.disk_bytes / 1e6:.0f} MB on disk. Killed, and started again with an empty disk, it "
        f"has them back after {found.recovery_seconds:.1f} s, and holds "
        f"{found.recovery_peak_bytes / 1e6:.0f} MB at most."
    )


def _isolation(rows: Sequence[Isolation]) -> Iterator[str]:
    yield "## Isolation"
    yield (
        f"A detector that breaks on one message a second, of {RATE:,}, in a process of its own beside all "
        "that are shipped. What 99 % of the others' escalations took no longer than: in the first "
        f"{FIRST_SECONDS:.0f} s, in which it is found out, and in the {ALONE_SECONDS - FIRST_SECONDS:.0f} s "
        "after them, in which it is left alone; that also as a ratio to one that never breaks. Then a trial "
        "every 30 s to 4 minutes costs up to its budget of 1 s."
    )
    yield _table(
        "Detector | The others' escalations | Are the same | At first, ms | Left alone, ms | Ratio",
        (
            (
                f"`{row.detector}`: {row.what[0].lower()}{row.what[1:]}",
                f"{row.escalations:,}",
                "yes" if row.same else "**no**",
                f"{1000 * row.first_99th:,.0f}",
                f"{1000 * row.alone_99th:,.0f}",
                f"{row.alone_ratio:.2f}",
            )
            for row in rows
        ),
    )


def _restart(found: Restarted) -> Iterator[str]:
    yield "## Rolling restart"
    took = ", ".join(f"{seconds:.1f}" for seconds in found.restart_seconds)
    yield (
        f"{found.workers} workers, all on this machine, each replaced in turn while {found.rate:,} messages "
        f"a second come, {found.messages:,} in all: {found.expected:,} escalations expected, {found.found:,} "
        f"found, {found.expected - found.found:,} missing, {found.repeated:,} written again under their own "
        f"id. Each ended with status {' '.join(sorted({str(s) for s in found.statuses}))}; its successor "
        f"was ready after {took} s. An escalation took {found.median:.1f} s at the median and "
        f"{found.longest:.1f} s at worst: that is more than these cores take, so what came meanwhile waited, "
        f"until {found.done_seconds:.0f} s after the first message all was done."
    )


def _table(head: str, rows: Iterable[Sequence[str]]) -> str:
    columns = head.split("|")
    rule = ["---", *["---:"] * (len(columns) - 1)]
    return "\n".join(f"| {' | '.join(row)} |" for row in (columns, rule, *rows))
