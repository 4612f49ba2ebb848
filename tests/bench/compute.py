"""Compute: what a message costs before and after Kafka, in CPU time, phase by phase.

Every phase is called as the pipeline calls it, on batches as the worker takes them. The unit is
`orjson.loads` of the same records in the same round: a ratio stays when the machine slows down.
"""

import time
from collections import defaultdict, deque
from collections.abc import Callable, Hashable, Sequence
from statistics import median
from typing import Final

import msgspec
import orjson

from detectors.contract import Pattern
from detectors.folding import Folded, fold_batch
from pipeline.database import PatternDatabase
from pipeline.line import Line, line
from pipeline.settings import Settings, load
from pipeline.writes import Record, writes
from schemas import Event
from tests.bench.corpus import Corpus, batches
from tests.bench.terms import terms

PHASES: Final = ("decode", "fold", "match", "detectors", "policy", "encode")
"""The parts of `screen`, and the encoding of what it leads to."""

BASE: Final = 100
"""The number of patterns that the cost of others is compared with."""

QUICK_PATTERNS: Final = (10, BASE, 1_000, 3_000, 10_000)
PATTERNS: Final = (*QUICK_PATTERNS, 100_000)


class Cost(msgspec.Struct, frozen=True):
    """The CPU time of one message: median microseconds, and median ratio to the unit of its round."""

    microseconds: float
    ratio: float


class PatternCost(msgspec.Struct, frozen=True):
    """What it costs to match so many patterns."""

    patterns: int
    match: Cost
    to_base: float
    """Ratio to the cost of `BASE` patterns in the same round."""
    build_seconds: float
    """CPU time to compile them, without a cache."""
    hits: float
    """The share of messages in which one was found."""


class Compute(msgspec.Struct, frozen=True):
    """The stage's result."""

    messages: int
    runs: int
    batch_records: int
    shipped_patterns: int
    unit: Cost
    screen: Cost
    """From bytes to verdicts."""
    phases: dict[str, Cost]
    flagged: float
    """The share of messages with a verdict."""
    patterns: tuple[PatternCost, ...]


def compute(corpus: Corpus, runs: int, counts: Sequence[int]) -> Compute:
    """Measure the phases, then matching with each of these numbers of patterns, `BASE` among them."""
    settings = load(None, {})
    ready = line(settings, None)
    parts = batches(corpus.records, settings.screening.batch_records)
    messages = len(corpus.records)
    source = next(iter(settings.sources))
    # The first round warms caches up and is left out.
    rounds = [_phases(settings, ready, parts) for _ in range(runs + 1)][1:]
    return Compute(
        messages=messages,
        runs=runs,
        batch_records=settings.screening.batch_records,
        shipped_patterns=sum(len(detector.patterns) for detector in ready.chain.detectors),
        unit=_cost(rounds, "unit", messages),
        screen=_cost(rounds, "screen", messages),
        phases={name: _cost(rounds, name, messages) for name in PHASES},
        flagged=sum(ready.screen(source, part).flagged for part in parts) / messages,
        patterns=_pattern_costs(parts, messages, runs, counts),
    )


def _phases(settings: Settings, ready: Line, parts: list[list[bytes]]) -> "_Laps":
    """Take each batch through the whole of `screen`, then through its phases one by one."""
    source = next(iter(settings.sources))
    mapping, chain, policy = ready.mappings[source], ready.chain, ready.policy
    laps = _Laps()
    for part in parts:
        laps.start()
        _decode_and_drop(part)
        laps.end("unit")
        screening = ready.screen(source, part)
        laps.end("screen")
        writes(_records(source, part), screening, settings.topics)
        laps.end("encode")
        decoded = mapping.decode_batch(part)
        laps.end("decode")
        events = [event for event in decoded if isinstance(event, Event)]
        laps.start()
        folded = fold_batch(event.text for event in events)
        laps.end("fold")
        chain.database.scan(folded)
        laps.end("match")
        found = chain.findings(events)
        laps.end("chain")
        for position, findings in found.items():
            policy.decide(events[position], findings)
        laps.end("policy")
    laps["detectors"] = max(0.0, laps["chain"] - laps["fold"] - laps["match"])
    return laps


def _decode_and_drop(part: list[bytes]) -> None:
    """Decode without keeping anything, as the drains of the bare clients do."""
    deque(map(orjson.loads, part), maxlen=0)


def _records(source: str, values: Sequence[bytes]) -> Callable[[int], Record]:
    return lambda at: Record(source, 0, at, None, values[at])


def _pattern_costs(
    parts: list[list[bytes]], messages: int, runs: int, counts: Sequence[int]
) -> tuple[PatternCost, ...]:
    building = _Laps()
    databases = {}
    for count in counts:
        patterns = [Pattern(f"term.{n}", term) for n, term in enumerate(terms(count))]
        building.start()
        databases[count] = PatternDatabase(patterns, None)
        building.end(count)
    rounds = [_matching(databases, parts) for _ in range(runs + 1)][1:]
    return tuple(
        PatternCost(
            patterns=count,
            match=_cost(rounds, count, messages),
            to_base=median(laps[count] / laps[BASE] for laps in rounds),
            build_seconds=building[count],
            hits=sum(len(databases[count].scan(_folded(part))) for part in parts) / messages,
        )
        for count in counts
    )


def _matching(databases: dict[int, PatternDatabase], parts: list[list[bytes]]) -> "_Laps":
    """Scan each batch with every database."""
    laps = _Laps()
    for part in parts:
        laps.start()
        _decode_and_drop(part)
        laps.end("unit")
        for count, database in databases.items():
            # A text squeezes itself when first asked, so each scan gets its own.
            folded = _folded(part)
            laps.start()
            database.scan(folded)
            laps.end(count)
    return laps


def _folded(part: list[bytes]) -> Sequence[Folded]:
    return fold_batch(orjson.loads(record)["text"] for record in part)


class _Laps(defaultdict[Hashable, float]):
    """CPU seconds by what they were spent on; time between `end` and `start` counts for nothing."""

    def __init__(self) -> None:
        super().__init__(float)
        self._mark = 0.0

    def start(self) -> None:
        self._mark = time.process_time()

    def end(self, name: Hashable) -> None:
        """Count the time since the last mark for `name`, and start the next lap."""
        now = time.process_time()
        self[name] += now - self._mark
        self._mark = now


def _cost(rounds: Sequence[_Laps], name: Hashable, messages: int) -> Cost:
    return Cost(
        microseconds=median(laps[name] for laps in rounds) / messages * 1e6,
        ratio=median(laps[name] / laps["unit"] for laps in rounds),
    )
