"""Metrics: every name Penjaga exports, in one place.

Label values come from closed sets (sources, topics and feeds of the configuration, labels of the taxonomy,
names of installed detectors, reasons of rejection, outcomes of a sync); never an id, a link or text.
Conservation holds per source: received = passed + flagged + rejected.
"""

import math
import os
from collections import Counter as Tally
from collections.abc import Callable, Collection, Iterator, Mapping
from datetime import datetime
from functools import partial
from importlib.metadata import version
from typing import Final, get_args

from faust.types import TP
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

from pipeline.feed_sources import Outcome
from pipeline.feed_store import FeedState
from pipeline.guard import Health
from pipeline.processes import METRICS_FOLDER
from pipeline.screen import Screening
from schemas import Event

# The time a counter was born is noise on a page that people read.
disable_created_metrics()  # type: ignore[no-untyped-call]  # the library has no types for it

_SECONDS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)
_DELAYS: Final = (0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 900, 3600)
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
        self.overruns = Counter(
            "penjaga_detector_overruns",
            "Times a detector took longer than its budget.",
            ["detector"],
            registry=registry,
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
        self.lag = Gauge(
            "penjaga_consumer_lag_records",
            "Records of a partition that are not confirmed yet; 0 once it is read elsewhere.",
            ["source", "partition"],
            registry=registry,
            multiprocess_mode="livemax",
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
        self.feed_sync = Gauge(
            "penjaga_feed_last_sync",
            "1 for what became of a list in the last sync, 0 for what else could have.",
            ["feed", "outcome"],
            registry=registry,
            multiprocess_mode="livemostrecent",
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

    def configured(self, digest: str, former: str = "") -> None:
        """Say what this worker runs, and that it does not run what it ran before."""
        release = version("penjaga")
        if former and former != digest:
            self.configuration.labels(former, release).set(0)
            if METRICS_FOLDER not in os.environ:  # what several processes share cannot be removed
                self.configuration.remove(former, release)
        self.configuration.labels(digest, release).set(1)

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

    def lags(self, former: Collection[TP], lags: Mapping[TP, int]) -> None:
        """Say how far behind each partition is; those `former`ly read have no lag here any more."""
        for topic, partition in {*former} - lags.keys():
            self.lag.labels(topic, str(partition)).set(0)
        for (topic, partition), lag in lags.items():
            self.lag.labels(topic, str(partition)).set(lag)

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
        for findings in screening.findings.values():
            for finding in findings:
                self.findings.labels(finding.detector, finding.label).inc()
        for verdicts in screening.verdicts.values():
            for verdict in verdicts:
                self.verdicts.labels(verdict.label, verdict.action).inc()

    def detectors(self, former: Mapping[str, Health], health: Mapping[str, Health]) -> None:
        """Say how the detectors fare, and what has come about since they fared as before."""
        for name, now in health.items():
            before = former[name].overruns if name in former else 0
            self.overruns.labels(name).inc(now.overruns - before)
            self.breaker_open.labels(name).set(now.state == "open")

    def escalated(self, source: str, screening: Screening, now: datetime) -> None:
        """Observe how long after each event its escalation was confirmed."""
        delay = self.escalation_delay_seconds.labels(source)
        for position, verdicts in screening.verdicts.items():
            event = screening.events[position]
            if isinstance(event, Event) and any(
                v.action in ("review", "escalate") for v in verdicts
            ):
                delay.observe(max(0.0, (now - event.occurred_at).total_seconds()))
