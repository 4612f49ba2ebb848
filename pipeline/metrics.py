"""Metrics: every name Penjaga exports, in one place.

Label values come from closed sets (sources, topics and feeds of the configuration, partitions of the
sources, labels of the taxonomy, behaviours and levels of the configuration, names and versions of installed
detectors, reasons of rejection, outcomes of a sync, kinds of audience, the languages detectors know); never
an id, a link or text. Not the platform: that is whatever an event says, and a source stands for it.
Conservation holds per source: received = passed + flagged + rejected.

The first word after the prefix says what a metric is about: `events`, `batch`, `consumer`, `verdicts` and
`escalations` for the path of a message; `detector` for a detector's own budget and breaker; `feed` for
lists; `signals`, `correlate`, `subjects` and `table` for the memory of subjects and its recovery. What is
counted per message is counted once for each batch.
"""

import math
import os
from collections import Counter as Tally
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import datetime
from functools import partial
from importlib.metadata import version
from itertools import product
from typing import Final, get_args

from prometheus_client import (
    REGISTRY,
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    Metric,
    ProcessCollector,
    disable_created_metrics,
)
from prometheus_client.registry import Collector

from detectors.contract import Detector
from pipeline.chain import FAILED
from pipeline.delivery import Delivered
from pipeline.feed_sources import Outcome
from pipeline.feed_store import FeedState
from pipeline.guard import Health
from pipeline.processes import METRICS_FOLDER
from pipeline.screen import Screening
from pipeline.settings import Settings
from schemas import ESCALATIONS, Event, Reason
from schemas.labels import taxonomy
from schemas.subject_verdict import SubjectVerdict

# The time a counter was born is noise on a page that people read.
disable_created_metrics()  # type: ignore[no-untyped-call]  # the library has no types for it

_SECONDS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)
_DELAYS: Final = (0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 900, 3600)
CANARY: Final = "canary.seen"
"""The label of a verdict about the canary string."""

_LANGUAGES: Final = ("en", "id", "ms", "ta", "zh")
_OTHER: Final = "other"
_UNKNOWN: Final = "unknown"
_AUDIENCES: Final = ("dm", "group", "public")
_FORMS: Final = ("reference", "dead_letter")
_OUTCOMES: Final = ("counted", "known", "forgotten", "rejected")
_RECORDS: Final = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000)


class Usage(Collector):
    """Memory, processor time and open files of each worker process; the library tells its own only."""

    def __init__(self, pids: Callable[[], Mapping[int, int]]) -> None:
        """Take how to ask for the process ids, by the numbers of the processes."""
        self._pids = pids

    def collect(self) -> Iterator[Metric]:
        """Read them from the system; a process that has just ended has none."""
        families: dict[str, Metric] = {}
        for number, pid in self._pids().items():
            for family in ProcessCollector(pid=partial(int, pid), registry=None).collect():
                known = families.setdefault(
                    family.name, Metric(family.name, family.documentation, family.type)
                )
                for sample in family.samples:
                    known.add_sample(sample.name, {"process": str(number)}, sample.value)
        yield from families.values()


def process_starts(registry: CollectorRegistry = REGISTRY) -> Counter:
    """Return the parent's own counter."""
    return Counter(
        "penjaga_process_starts",
        "Starts of a process by its parent, the first included.",
        ["process"],
        registry=registry,
    )


class Metrics:
    """The counters and histograms of one worker."""

    def __init__(self, registry: CollectorRegistry = REGISTRY) -> None:
        """Register every metric with `registry`."""
        self.received = Counter(
            "penjaga_events_received", "Records read.", ["source"], registry=registry
        )
        self.received_bytes = Counter(
            "penjaga_received_bytes", "Bytes of record values read.", ["source"], registry=registry
        )
        self.passed = Counter(
            "penjaga_events_passed", "Events without a verdict.", ["source"], registry=registry
        )
        self.flagged = Counter(
            "penjaga_events_flagged", "Events with a verdict.", ["source"], registry=registry
        )
        self.rejected = Counter(
            "penjaga_events_rejected",
            "Records sent to the dead-letter topic.",
            ["source", "reason"],
            registry=registry,
        )
        self.verdicts = Counter(
            "penjaga_verdicts",
            "Verdicts by label and action.",
            ["label", "action"],
            registry=registry,
        )
        self.findings = Counter(
            "penjaga_findings", "Findings by detector.", ["detector", "label"], registry=registry
        )
        self.escalations = Counter(
            "penjaga_escalations",
            "Confirmed escalations: verdicts whose action is review or escalate.",
            ["source", "label", "severity", "audience"],
            registry=registry,
        )
        self.languages = Counter(
            "penjaga_escalations_by_language",
            "Confirmed escalations by the language that the platform tells; all but five are other.",
            ["source", "label", "language"],
            registry=registry,
        )
        self.detector_info = Gauge(
            "penjaga_detector_info",
            "1 for the version of a detector that this worker runs; its terms and model are part of it.",
            ["detector", "version"],
            registry=registry,
            multiprocess_mode="livemax",
        )
        self.overruns = Counter(
            "penjaga_detector_overruns",
            "Times a detector took longer than its budget.",
            ["detector"],
            registry=registry,
        )
        self.stopped = Gauge(
            "penjaga_detector_stopped",
            "1 while a detector that was changed flags too much, and what it flags is not escalated.",
            ["detector"],
            registry=registry,
            multiprocess_mode="livemax",
        )
        self.breaker_open = Gauge(
            "penjaga_detector_breaker_open",
            "Processes that leave a detector alone after repeated failures.",
            ["detector"],
            registry=registry,
            multiprocess_mode="livesum",
        )
        self.writes = Counter(
            "penjaga_writes_confirmed", "Writes the broker confirmed.", ["topic"], registry=registry
        )
        self.reduced = Counter(
            "penjaga_writes_reduced",
            "Escalations too large for their topic, by what was written instead: reference, dead_letter.",
            ["form"],
            registry=registry,
        )
        self.batch_records = Histogram(
            "penjaga_batch_records",
            "Records per batch.",
            ["source"],
            buckets=_RECORDS,
            registry=registry,
        )
        self.screen_seconds = Histogram(
            "penjaga_screen_seconds",
            "Time to screen a batch.",
            ["source"],
            buckets=_SECONDS,
            registry=registry,
        )
        self.delivery_seconds = Histogram(
            "penjaga_delivery_seconds",
            "Time until the broker had confirmed every write of a batch.",
            ["source"],
            buckets=_SECONDS,
            registry=registry,
        )
        self.escalation_delay_seconds = Histogram(
            "penjaga_escalation_delay_seconds",
            "From the event's own time to its confirmed escalation.",
            ["source"],
            buckets=_DELAYS,
            registry=registry,
        )
        self.event_delay_seconds = Histogram(
            "penjaga_event_delay_seconds",
            "From an event's own time to the confirmation of its batch; the first of each batch is taken.",
            ["source"],
            buckets=_DELAYS,
            registry=registry,
        )
        self.lag = Gauge(
            "penjaga_consumer_lag_records",
            "Records of a partition that this worker has yet to confirm, as far as the broker has told.",
            ["source", "partition"],
            registry=registry,
            multiprocess_mode="livesum",
        )
        self.held_back = Counter(
            "penjaga_escalations_held_back",
            "Escalations beyond a quota, which went to the overflow topic.",
            ["source", "label"],
            registry=registry,
        )
        self.expired = Counter(
            "penjaga_records_expired",
            "Records that retention took before they were read: nobody has looked at them.",
            ["source"],
            registry=registry,
        )
        self.chunks = Gauge(
            "penjaga_consumer_chunks",
            "Chunks of records in hand: fetched and not confirmed.",
            registry=registry,
            multiprocess_mode="livesum",
        )
        self.assignments = Counter(
            "penjaga_consumer_assignments",
            "Times partitions were assigned to this worker, none included.",
            registry=registry,
        )
        self.unconfirmed_seconds = Gauge(
            "penjaga_batch_unconfirmed_seconds",
            "How long the batch that is longest in hand has been waiting for the broker's confirmation.",
            registry=registry,
            multiprocess_mode="livemax",
        )
        self.rejected_in_a_row = Gauge(
            "penjaga_events_rejected_in_a_row",
            "Records rejected since the last good one; tombstones do not count.",
            ["source"],
            registry=registry,
            multiprocess_mode="livemax",
        )
        self.rejected_in_a_row_limit = Gauge(
            "penjaga_events_rejected_in_a_row_limit",
            "So many stop the worker: screening.dead_letters_in_a_row.",
            registry=registry,
            multiprocess_mode="livemax",
        )
        self.canary_seen = Gauge(
            "penjaga_canary_last_seen_timestamp_seconds",
            "When the verdict about a canary string was last confirmed; 0 if never since the start.",
            ["source"],
            registry=registry,
            multiprocess_mode="max",
        )
        self.last_batch = Gauge(
            "penjaga_last_batch_timestamp_seconds",
            "When the last batch was confirmed.",
            ["source"],
            registry=registry,
            multiprocess_mode="max",
        )
        self.assigned_partitions = Gauge(
            "penjaga_assigned_partitions",
            "Source partitions this worker reads.",
            registry=registry,
            multiprocess_mode="livesum",
        )
        self.feed_age_seconds = Gauge(
            "penjaga_feed_age_seconds",
            "Since the source of a list last confirmed it; infinite if it never has.",
            ["feed"],
            registry=registry,
            multiprocess_mode="livemostrecent",
        )
        self.feed_entries = Gauge(
            "penjaga_feed_entries",
            "Names of a list that this worker looks for, or takes out of the other lists.",
            ["feed"],
            registry=registry,
            multiprocess_mode="livemostrecent",
        )
        self.feed_interval_seconds = Gauge(
            "penjaga_feed_interval_seconds",
            "How often a list is meant to be fetched.",
            ["feed"],
            registry=registry,
            multiprocess_mode="livemostrecent",
        )
        self.feed_sync = Gauge(
            "penjaga_feed_last_sync",
            "1 for what became of a list in the last sync, 0 for what else could have.",
            ["feed", "outcome"],
            registry=registry,
            multiprocess_mode="livemostrecent",
        )
        self.signals = Counter(
            "penjaga_signals_received",
            "Signals read, by what came of them: counted, known already, forgotten (a request), rejected.",
            ["outcome"],
            registry=registry,
        )
        self.crossings = Counter(
            "penjaga_subjects_crossings",
            "Subjects that crossed a level, once their verdicts were confirmed.",
            ["behaviour", "level"],
            registry=registry,
        )
        self.correlate_seconds = Histogram(
            "penjaga_correlate_seconds",
            "Time to add a batch of signals to the memory of their subjects.",
            buckets=_SECONDS,
            registry=registry,
        )
        self.table_recovery_seconds = Gauge(
            "penjaga_table_recovery_seconds",
            "How long the memory took to be read back when partitions were last assigned.",
            registry=registry,
            multiprocess_mode="livemax",
        )
        self.table_recovering = Gauge(
            "penjaga_table_recovering",
            "1 while the memory is read back after partitions were assigned, and nothing is screened.",
            registry=registry,
            multiprocess_mode="livemax",
        )
        # A gauge with the name and the value an `Info` would have: the library keeps no `Info` of several
        # processes, and the page must read the same for one and for many.
        self.configuration = Gauge(
            "penjaga_configuration_info",
            "What this worker runs.",
            ["digest", "version"],
            registry=registry,
            multiprocess_mode="livemax",
        )
        self._versions: dict[str, str] = {}
        self._lagging: set[tuple[str, str]] = set()
        self._expired: dict[str, int] = {}

    def expect(self, settings: Settings) -> None:
        """Export zeros for what can happen to each source, so that its first time is an increase."""
        for source in settings.sources:
            self.received.labels(source)
            self.expired.labels(source)
            self.received_bytes.labels(source)
            self.passed.labels(source)
            self.flagged.labels(source)
            for reason in Reason:
                self.rejected.labels(source, reason.value)
            self.rejected_in_a_row.labels(source).set(0)
            self.canary_seen.labels(source).set(0)
        for form in _FORMS:
            self.reduced.labels(form)
        for outcome in _OUTCOMES:
            self.signals.labels(outcome)
        for behaviour, level in product(settings.behaviours, sorted(ESCALATIONS)):
            self.crossings.labels(behaviour, level)
        self.rejected_in_a_row_limit.set(settings.screening.dead_letters_in_a_row)
        for name, feed in settings.feeds.items():
            self.feed_interval_seconds.labels(name).set(feed.interval_seconds)

    def configured(self, digest: str, former: str = "") -> None:
        """Say what this worker runs, and that it does not run what it ran before."""
        release = version("penjaga")
        if former and former != digest:
            _forget(self.configuration, former, release)
        self.configuration.labels(digest, release).set(1)

    def installed(self, detectors: Iterable[Detector], sources: Iterable[str]) -> None:
        """Say which version of each detector this worker runs; export zeros for what it can find."""
        versions = {}
        for detector in detectors:
            name, now = detector.name, detector.version
            versions[name] = now
            before = self._versions.get(name)
            if before == now:
                continue
            if before is not None:
                _forget(self.detector_info, name, before)
            self.detector_info.labels(name, now).set(1)
            self.findings.labels(name, FAILED)
            for source, label in product(sources, detector.labels):
                self.findings.labels(name, label)
                self.held_back.labels(source, label)
                for audience in _AUDIENCES:
                    self.escalations.labels(source, label, taxonomy().severity(label), audience)
                for language in (*_LANGUAGES, _OTHER, _UNKNOWN):
                    self.languages.labels(source, label, language)
        self._versions = versions

    def consumed(
        self,
        lags: Mapping[tuple[str, int], int],
        expired: Mapping[str, int],
        chunks: int,
        unconfirmed_seconds: float,
    ) -> None:
        """Say how far behind this worker is, what expired before it, and what it has in hand.

        `lags` by source and partition; `expired` by source, all since the start.
        """
        for source, count in expired.items():
            self.expired.labels(source).inc(count - self._expired.get(source, 0))
        self._expired = dict(expired)
        now = {(source, str(partition)): lag for (source, partition), lag in lags.items()}
        for source, partition in self._lagging - now.keys():
            _forget(self.lag, source, partition)
        for (source, partition), lag in now.items():
            self.lag.labels(source, partition).set(lag)
        self._lagging = set(now)
        self.chunks.set(chunks)
        self.unconfirmed_seconds.set(unconfirmed_seconds)

    def feeds(
        self, states: Mapping[str, FeedState], entries: Mapping[str, int], now: datetime
    ) -> None:
        """Say how the lists of bad links fare; `entries` names all that are configured."""
        for name, count in entries.items():
            state = states.get(name)
            self.feed_entries.labels(name).set(count)
            self.feed_age_seconds.labels(name).set(state.age_seconds(now) if state else math.inf)
            for outcome in get_args(Outcome):
                is_last = state is not None and state.outcome == outcome
                self.feed_sync.labels(name, outcome).set(is_last)

    def screened(self, source: str, records: list[bytes | None], screening: Screening) -> None:
        """Count a batch once its writes are confirmed, so that a crash counts nothing twice."""
        self.received.labels(source).inc(len(records))
        self.received_bytes.labels(source).inc(sum(len(r) for r in records if r))
        self.batch_records.labels(source).observe(len(records))
        self.passed.labels(source).inc(screening.passed)
        self.flagged.labels(source).inc(screening.flagged)
        rejections = Tally(rejected.reason.value for rejected in screening.rejected.values())
        for reason, count in rejections.items():
            self.rejected.labels(source, reason).inc(count)
        findings = Tally((f.detector, f.label) for fs in screening.findings.values() for f in fs)
        for (detector, label), count in findings.items():
            self.findings.labels(detector, label).inc(count)
        verdicts = Tally((v.label, v.action) for vs in screening.verdicts.values() for v in vs)
        for (label, action), count in verdicts.items():
            self.verdicts.labels(label, action).inc(count)

    def delivered(self, delivered: Delivered) -> None:
        """Count what the broker confirmed."""
        for written, count in delivered.topics.items():
            self.writes.labels(written).inc(count)
        for form, count in delivered.reduced.items():
            self.reduced.labels(form).inc(count)

    def correlated(
        self,
        received: int,
        counted: int,
        forgotten: int,
        rejected: int,
        verdicts: Iterable[tuple[int, SubjectVerdict]],
    ) -> None:
        """Count a batch of signals once everything it caused is confirmed."""
        known = received - counted - forgotten - rejected
        for outcome, count in zip(_OUTCOMES, (counted, known, forgotten, rejected), strict=True):
            self.signals.labels(outcome).inc(count)
        for _, verdict in verdicts:
            self.crossings.labels(verdict.behaviour, verdict.level).inc()

    def detectors(
        self, former: Mapping[str, Health], health: Mapping[str, Health], stopped: frozenset[str]
    ) -> None:
        """Say how the detectors fare, what has come about since they fared so, and who is stopped."""
        for name, now in health.items():
            self.stopped.labels(name).set(name in stopped)
            before = former[name].overruns if name in former else 0
            self.overruns.labels(name).inc(now.overruns - before)
            self.breaker_open.labels(name).set(now.state == "open")

    def escalated(self, source: str, screening: Screening, now: datetime) -> None:
        """Count the escalations of a batch that is confirmed, and how long after each event that was."""
        first = next((event for event in screening.events if isinstance(event, Event)), None)
        if first is not None:
            self.event_delay_seconds.labels(source).observe(_delay(first, now))
        delay = self.escalation_delay_seconds.labels(source)
        escalations: Tally[tuple[str, str, str]] = Tally()
        languages: Tally[tuple[str, str]] = Tally()
        for position, verdicts in screening.verdicts.items():
            asking = [v for v in verdicts if v.action in ESCALATIONS]
            escalated = [v for v in asking if v.id not in screening.held_back]
            for verdict in asking:
                if verdict.id in screening.held_back:
                    self.held_back.labels(source, verdict.label).inc()
            escalations.update((v.label, v.severity, v.event.audience) for v in escalated)
            languages.update((v.label, _language(v.event.language)) for v in escalated)
            event = screening.events[position]
            if escalated and isinstance(event, Event):
                delay.observe(_delay(event, now))
            if any(v.label == CANARY for v in verdicts):
                self.canary_seen.labels(source).set(now.timestamp())
        for kind, count in escalations.items():
            self.escalations.labels(source, *kind).inc(count)
        for (label, language), count in languages.items():
            self.languages.labels(source, label, language).inc(count)


def _delay(event: Event, now: datetime) -> float:
    return max(0.0, (now - event.occurred_at).total_seconds())


def _language(told: str | None) -> str:
    """Return one of a closed set for a language tag, which may be anything."""
    language = (told or "").partition("-")[0].lower()
    if not language:
        return _UNKNOWN
    return language if language in _LANGUAGES else _OTHER


def _forget(gauge: Gauge, *labels: str) -> None:
    """Stop exporting a series; what several processes share cannot be removed, and is 0 from then on."""
    gauge.labels(*labels).set(0)
    if METRICS_FOLDER not in os.environ:
        gauge.remove(*labels)
