"""Overview: what somebody on call wants to know of a worker in the first ten seconds.

A pure function of samples of the worker's own metrics, so that one process and many are seen alike, and the
page says nothing that Prometheus does not. What is flagged red here is what alerts are about.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise
from typing import Final, Literal

import msgspec
from prometheus_client import Metric

from pipeline.chain import FAILED
from pipeline.processes import Vitals
from pipeline.recent import Row
from pipeline.settings import Settings

State = Literal["ok", "warn", "bad"]

SAMPLES: Final = 61
"""How many samples are kept: five minutes, at one each `SAMPLE_SECONDS`."""
SAMPLE_SECONDS: Final = 5.0

RATE_SECONDS: Final = 10.0
"""Rates are those of this last while."""
BEHIND_SECONDS: Final = 60.0
"""More work than this waiting is falling behind; a sixth of it is worth a look."""
_LOOK_SECONDS: Final = BEHIND_SECONDS / 6
_UNCONFIRMED_SECONDS: Final = 30.0
_STARTING_SECONDS: Final = 60.0
_REJECTED_SHARE: Final = 0.01
_STALE_INTERVALS: Final = 3.0

_RECEIVED: Final = "penjaga_events_received_total"
_REJECTED: Final = "penjaga_events_rejected_total"
_VERDICTS: Final = "penjaga_verdicts_total"
_FINDINGS: Final = "penjaga_findings_total"
_OVERRUNS: Final = "penjaga_detector_overruns_total"
_DELAY: Final = "penjaga_escalation_delay_seconds_bucket"
_LAG: Final = "penjaga_consumer_lag_records"
_SIGNALS: Final = "penjaga_signals_received_total"
_CROSSINGS: Final = "penjaga_subjects_crossings_total"

COUNTED: Final = frozenset(
    {
        _RECEIVED,
        "penjaga_events_passed_total",
        "penjaga_events_flagged_total",
        _REJECTED,
        _VERDICTS,
        _FINDINGS,
        _OVERRUNS,
        _DELAY,
        _LAG,
        _SIGNALS,
        _CROSSINGS,
        "penjaga_batch_unconfirmed_seconds",
        "penjaga_canary_last_seen_timestamp_seconds",
        "penjaga_configuration_info",
        "penjaga_detector_breaker_open",
        "penjaga_detector_info",
        "penjaga_events_rejected_in_a_row",
        "penjaga_events_rejected_in_a_row_limit",
        "penjaga_feed_age_seconds",
        "penjaga_feed_entries",
        "penjaga_feed_interval_seconds",
        "penjaga_feed_last_sync",
        "penjaga_table_recovering",
        "penjaga_table_recovery_seconds",
    }
)
"""The samples that the overview is made of."""


class Sample(msgspec.Struct, frozen=True):
    """What the metrics said at one moment."""

    at: float
    """Unix time, in seconds."""
    values: dict[str, list[tuple[dict[str, str], float]]]

    @classmethod
    def of(cls, at: float, metrics: Iterable[Metric]) -> "Sample":
        """Keep what the overview is made of."""
        values: dict[str, list[tuple[dict[str, str], float]]] = {}
        for metric in metrics:
            for sample in metric.samples:
                if sample.name in COUNTED:
                    values.setdefault(sample.name, []).append((sample.labels, sample.value))
        return cls(at, values)

    def total(self, name: str, **labels: str) -> float:
        """Add up what a metric says with these labels."""
        return sum(
            value
            for found, value in self.values.get(name, ())
            if all(found.get(key) == label for key, label in labels.items())
        )

    def by(self, name: str, label: str) -> dict[str, float]:
        """Add up what a metric says, by the values of one label."""
        sums: dict[str, float] = {}
        for found, value in self.values.get(name, ()):
            sums[found.get(label, "")] = sums.get(found.get(label, ""), 0.0) + value
        return sums


class Reason(msgspec.Struct, frozen=True):
    """One thing that is not as it should be."""

    state: State
    words: str


class LabelRow(msgspec.Struct, frozen=True):
    """Verdicts of one label."""

    label: str
    recent: int
    """Within the samples."""
    total: int
    series: tuple[int, ...]
    """From each sample to the next, the oldest first."""


class DetectorRow(msgspec.Struct, frozen=True):
    """How one detector fares."""

    name: str
    state: Literal["fine", "failing", "left alone"]
    is_isolated: bool
    findings: int
    failures: int
    overruns: int


class FeedRow(msgspec.Struct, frozen=True):
    """How one list of bad links fares."""

    name: str
    entries: int
    age_seconds: float | None
    """None: its source has never confirmed it."""
    outcome: str
    is_stale: bool


class MemoryRow(msgspec.Struct, frozen=True):
    """How the memory of subjects fares."""

    store: str
    signals_per_second: float
    crossings: dict[str, int]
    recovery_seconds: float


class ProcessRow(msgspec.Struct, frozen=True):
    """One worker process."""

    number: int
    pid: int
    partitions: int
    is_alive: bool


class Overview(msgspec.Struct, frozen=True):
    """Everything the status page shows."""

    at: float
    watched_seconds: float
    """How far back the samples go, five minutes at most."""
    state: State
    headline: str
    reasons: tuple[Reason, ...]
    per_second: float
    rates: tuple[float, ...]
    """Messages/s from each sample to the next, the oldest first."""
    waiting: int
    """Records that are not confirmed yet."""
    lag: dict[str, int]
    delay_p50: float | None
    """Seconds from an event's own time to its confirmed escalation: the upper bound of a bucket."""
    delay_p99: float | None
    received: int
    passed: int
    flagged: int
    rejected: dict[str, int]
    canary_seconds: float | None
    """Since the canary was last seen."""
    labels: tuple[LabelRow, ...]
    detectors: tuple[DetectorRow, ...]
    feeds: tuple[FeedRow, ...]
    memory: MemoryRow
    processes: tuple[ProcessRow, ...]
    recent: tuple[Row, ...]
    configuration: str
    version: str
    sources: tuple[str, ...]


def overview(
    samples: Sequence[Sample],
    now: Sample,
    processes: Mapping[int, Vitals],
    settings: Settings,
    recent: Sequence[Row] = (),
) -> Overview:
    """Say how a worker fares from samples of its metrics, the oldest first, and one of this moment."""
    series = [*samples, now]
    first = series[0]
    per_second = _rate(series, _RECEIVED)
    rows = tuple(ProcessRow(n, v.pid, v.partitions, v.is_running) for n, v in processes.items())
    detectors = _detectors(first, now, settings)
    feeds = _feeds(now)
    p50, p99 = _quantile(first, now, 0.5), _quantile(first, now, 0.99)
    waiting = int(now.total(_LAG))
    watched_seconds = now.at - first.at
    is_recovering = now.total("penjaga_table_recovering") > 0
    reasons = sorted(
        [
            *_about_processes(rows, watched_seconds, is_recovering=is_recovering),
            *_about_delivery(first, now),
            *_about_lag(waiting, per_second),
            *_about_detectors(detectors),
            *_about_feeds(feeds),
        ],
        key=lambda reason: reason.state != "bad",
    )
    info = next((labels for labels, v in now.values.get("penjaga_configuration_info", ()) if v), {})
    seen = max(now.by("penjaga_canary_last_seen_timestamp_seconds", "source").values(), default=0.0)
    return Overview(
        at=now.at,
        watched_seconds=watched_seconds,
        state=reasons[0].state if reasons else "ok",
        headline=reasons[0].words if reasons else _good(per_second, waiting, rows),
        reasons=tuple(reasons),
        per_second=per_second,
        rates=tuple(_between(a, b, _RECEIVED) for a, b in pairwise(samples)),
        waiting=waiting,
        lag={source: int(lag) for source, lag in now.by(_LAG, "source").items()},
        delay_p50=p50,
        delay_p99=p99,
        received=int(now.total(_RECEIVED)),
        passed=int(now.total("penjaga_events_passed_total")),
        flagged=int(now.total("penjaga_events_flagged_total")),
        rejected={k: int(v) for k, v in now.by(_REJECTED, "reason").items() if v},
        canary_seconds=max(0.0, now.at - seen) if seen else None,
        labels=_labels(samples, now),
        detectors=detectors,
        feeds=feeds,
        memory=MemoryRow(
            store=settings.memory.store,
            signals_per_second=_rate(series, _SIGNALS),
            crossings={k: int(v) for k, v in now.by(_CROSSINGS, "behaviour").items() if v},
            recovery_seconds=now.total("penjaga_table_recovery_seconds"),
        ),
        processes=rows,
        recent=tuple(recent),
        configuration=info.get("digest", ""),
        version=info.get("version", ""),
        sources=tuple(settings.sources),
    )


def _good(per_second: float, waiting: int, processes: Sequence[ProcessRow]) -> str:
    if per_second < 1 and not waiting:
        partitions = sum(row.partitions for row in processes)
        return f"Nothing to do: all read, {_count(partitions, 'partition')} watched"
    words = "nothing waiting" if not waiting else f"{waiting:,} in hand"
    return f"Keeping up: {_count(round(per_second), 'message')} a second, {words}"


def _about_processes(
    rows: Sequence[ProcessRow], watched_seconds: float, *, is_recovering: bool
) -> Iterable[Reason]:
    for row in rows:
        if not row.is_alive:
            is_new = row.pid == 0 and watched_seconds < _STARTING_SECONDS
            yield Reason(
                "warn" if is_new else "bad",
                f"Process {row.number} does not answer: look at its log; it is replaced when it ends",
            )
    if not any(row.partitions for row in rows):
        if is_recovering:
            yield Reason("warn", "Reading memory back: partitions changed hands")
        elif watched_seconds < _STARTING_SECONDS:
            yield Reason("warn", "Starting: no partitions assigned yet")
        else:
            yield Reason(
                "bad", "Nothing to read: no partitions; are there more workers than partitions?"
            )


def _about_delivery(first: Sample, now: Sample) -> Iterable[Reason]:
    stuck = now.total("penjaga_batch_unconfirmed_seconds")
    if stuck > _UNCONFIRMED_SECONDS:
        yield Reason(
            "bad", f"Delivery is stuck: the broker has confirmed nothing for {_seconds(stuck)}"
        )
    in_a_row = max(now.by("penjaga_events_rejected_in_a_row", "source").values(), default=0.0)
    limit = now.total("penjaga_events_rejected_in_a_row_limit")
    if limit and in_a_row >= limit / 2:
        yield Reason(
            "bad",
            f"{int(in_a_row):,} records in a row were rejected, {int(limit):,} stop the worker: did their "
            "format change?",
        )
    rejected, received = _gained(first, now, _REJECTED), _gained(first, now, _RECEIVED)
    if rejected > _REJECTED_SHARE * received:
        yield Reason("warn", f"{rejected / received:.0%} of records were rejected of late")


def _about_lag(waiting: int, per_second: float) -> Iterable[Reason]:
    if not waiting:
        return
    behind = waiting / per_second if per_second else math.inf
    if behind <= _LOOK_SECONDS:
        return
    if math.isinf(behind):
        yield Reason("bad", f"Standing still: {_count(waiting, 'message')} waiting, none confirmed")
        return
    state: State = "bad" if behind > BEHIND_SECONDS else "warn"
    words = f"{waiting:,} messages waiting, {_seconds(behind)} of work at this rate"
    yield Reason(state, f"{'Falling behind' if state == 'bad' else 'Catching up'}: {words}")


def _about_detectors(rows: Sequence[DetectorRow]) -> Iterable[Reason]:
    for row in rows:
        if row.state == "left alone":
            yield Reason("warn", f"Detector {row.name} keeps failing and is left alone for a while")
        elif row.state == "failing":
            yield Reason("warn", f"Detector {row.name} has failed of late; the others go on")


def _about_feeds(rows: Sequence[FeedRow]) -> Iterable[Reason]:
    for row in rows:
        if row.is_stale:
            age = "never" if row.age_seconds is None else f"{_seconds(row.age_seconds)} ago"
            yield Reason("warn", f"List {row.name} is stale: last confirmed {age}")


def _labels(samples: Sequence[Sample], now: Sample) -> tuple[LabelRow, ...]:
    """Return the labels that ever had a verdict, those of late first."""
    totals = now.by(_VERDICTS, "label")
    oldest = samples[0].by(_VERDICTS, "label") if samples else {}
    points = [sample.by(_VERDICTS, "label") for sample in samples]
    rows = [
        LabelRow(
            label=label,
            recent=int(total - oldest.get(label, 0.0)),
            total=int(total),
            series=tuple(int(b.get(label, 0.0) - a.get(label, 0.0)) for a, b in pairwise(points)),
        )
        for label, total in totals.items()
        if total
    ]
    return tuple(sorted(rows, key=lambda row: (-row.recent, -row.total, row.label)))


def _detectors(first: Sample, now: Sample, settings: Settings) -> tuple[DetectorRow, ...]:
    findings = now.by(_FINDINGS, "detector")
    is_open = now.by("penjaga_detector_breaker_open", "detector")
    rows = []
    for labels, value in now.values.get("penjaga_detector_info", ()):
        if not value:
            continue
        name = labels["detector"]
        failures = now.total(_FINDINGS, detector=name, label=FAILED)
        overruns = now.total(_OVERRUNS, detector=name)
        before = first.total(_FINDINGS, detector=name, label=FAILED)
        is_failing = failures > before or overruns > first.total(_OVERRUNS, detector=name)
        rows.append(
            DetectorRow(
                name=name,
                state="left alone" if is_open.get(name) else "failing" if is_failing else "fine",
                is_isolated=name in settings.detectors.isolated,
                findings=int(findings.get(name, 0.0) - failures),
                failures=int(failures),
                overruns=int(overruns),
            )
        )
    return tuple(sorted(rows, key=lambda row: (row.state == "fine", row.name)))


def _feeds(now: Sample) -> tuple[FeedRow, ...]:
    ages = now.by("penjaga_feed_age_seconds", "feed")
    intervals = now.by("penjaga_feed_interval_seconds", "feed")
    entries = now.by("penjaga_feed_entries", "feed")
    outcomes = {
        labels["feed"]: labels["outcome"]
        for labels, value in now.values.get("penjaga_feed_last_sync", ())
        if value
    }
    return tuple(
        FeedRow(
            name=name,
            entries=int(entries.get(name, 0.0)),
            age_seconds=None if math.isinf(age) else age,
            outcome=outcomes.get(name, ""),
            is_stale=age > _STALE_INTERVALS * intervals.get(name, math.inf) or math.isinf(age),
        )
        for name, age in sorted(ages.items())
    )


def _gained(first: Sample, now: Sample, name: str) -> float:
    """Return by how much a counter grew; one that was reset counts from nought."""
    before, after = first.total(name), now.total(name)
    return after - before if after >= before else after


def _between(first: Sample, now: Sample, name: str) -> float:
    seconds = now.at - first.at
    return _gained(first, now, name) / seconds if seconds > 0 else 0.0


def _rate(series: Sequence[Sample], name: str) -> float:
    """Return the rate of the last `RATE_SECONDS`, or of what there is."""
    now = series[-1]
    since = next((s for s in reversed(series) if now.at - s.at >= RATE_SECONDS), series[0])
    return _between(since, now, name)


def _quantile(first: Sample, now: Sample, share: float) -> float | None:
    """Return the upper bound of the bucket where a share of the delays since `first` lies below."""
    before = first.by(_DELAY, "le")
    counts = sorted(
        (float(le), count - before.get(le, 0.0)) for le, count in now.by(_DELAY, "le").items()
    )
    if not counts or counts[-1][1] <= 0:
        return None
    bound = next(le for le, count in counts if count >= share * counts[-1][1])
    return counts[-2][0] if math.isinf(bound) else bound


def _count(number: int, what: str) -> str:
    return f"{number:,} {what}{'' if number == 1 else 's'}"


def _seconds(seconds: float) -> str:
    """Say a length of time in words."""
    for unit, size in (("day", 86_400), ("hour", 3_600), ("minute", 60)):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}s"
    return f"{seconds:.0f} s"
