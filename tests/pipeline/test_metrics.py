"""Metrics: nothing is lost between the counters, and nothing personal is in them."""

import json
import math
import os
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import get_args

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector, mark_process_dead

from detectors.canary import Canary
from pipeline.feed import Feed
from pipeline.feed_sources import Outcome
from pipeline.feed_store import FeedState
from pipeline.line import Line
from pipeline.metrics import Metrics, Usage
from pipeline.processes import METRICS_FOLDER
from pipeline.settings import Settings, Source
from schemas import Event, Reason
from schemas.labels import taxonomy
from tests.pipeline.events import CANARY, record

SOURCE = "platform.events"
PROMOTION = "slot gacor maxwin free kredit RM10 daftar sekarang wa.me/60123456789"
RECORDS: list[bytes | None] = [
    record(CANARY, "secret-id"),
    record("hello secret"),
    record(PROMOTION),
    b"not json, secret",
    b"[]",
    None,
    record("selamat pagi"),
]


def screened(built: Line, times: int = 1) -> tuple[CollectorRegistry, Metrics]:
    """Count the records so many times."""
    registry = CollectorRegistry()
    metrics = Metrics(registry)
    for _ in range(times):
        metrics.screened(SOURCE, RECORDS, built.screen(SOURCE, RECORDS))
    return registry, metrics


def test_received_is_passed_and_flagged_and_rejected(built: Line) -> None:
    """Per source, over batches."""
    registry, _ = screened(built, times=3)

    def count(name: str) -> float:
        found = [
            sample.value
            for family in registry.collect()
            for sample in family.samples
            if sample.name == f"penjaga_events_{name}_total" and sample.labels["source"] == SOURCE
        ]
        assert found
        return sum(found)

    assert (21, 6, 6, 9) == tuple(count(n) for n in ("received", "passed", "flagged", "rejected"))
    assert 3 * sum(len(r) for r in RECORDS if r) == registry.get_sample_value(
        "penjaga_received_bytes_total", {"source": SOURCE}
    )
    assert 3 == registry.get_sample_value("penjaga_batch_records_count", {"source": SOURCE})


def test_findings_and_verdicts_are_counted_by_closed_sets(built: Line) -> None:
    """By detector, label, action and reason, all of which somebody declared."""
    registry, _ = screened(built)
    names = {r.detector.name for r in built.registered}
    reasons = {reason.value for reason in Reason}
    allowed = {
        "source": {SOURCE},
        "detector": names,
        "label": set(taxonomy().ids),
        "action": {"shadow", "review", "escalate"},
        "reason": reasons,
    }
    pairs = {
        pair
        for family in registry.collect()
        for sample in family.samples
        for pair in sample.labels.items()
        if pair[0] != "le"
    }

    assert {"source", "detector", "label", "action", "reason"} == {name for name, _ in pairs}
    assert all(value in allowed[name] for name, value in pairs)
    assert 1 == registry.get_sample_value(
        "penjaga_verdicts_total", {"label": "canary.seen", "action": "review"}
    )
    assert 1 == registry.get_sample_value(
        "penjaga_findings_total", {"detector": "canary", "label": "canary.seen"}
    )
    assert 1 == registry.get_sample_value(
        "penjaga_events_rejected_total", {"source": SOURCE, "reason": "tombstone"}
    )


def test_nothing_of_a_message_is_exported(built: Line) -> None:
    """No id, no text, no link."""
    registry, metrics = screened(built)
    metrics.escalated(SOURCE, built.screen(SOURCE, RECORDS), datetime.now(UTC))
    exported = generate_latest(registry)

    assert b"penjaga_events_received_total" in exported
    assert not [
        word for word in (b"secret", b"slot", b"wa.me", b"a1", b"hello") if word in exported
    ]


def test_the_delay_counts_from_the_events_own_time(built: Line) -> None:
    """One observation for each escalated event; a clock ahead of ours counts as no delay."""
    registry, metrics = screened(built)
    screening = built.screen(SOURCE, RECORDS)
    event = screening.events[0]
    assert isinstance(event, Event)
    metrics.escalated(SOURCE, screening, event.occurred_at + timedelta(seconds=3))
    metrics.escalated(SOURCE, screening, event.occurred_at - timedelta(hours=1))

    name = "penjaga_escalation_delay_seconds"
    assert 4 == registry.get_sample_value(f"{name}_count", {"source": SOURCE})
    assert 6.0 == registry.get_sample_value(f"{name}_sum", {"source": SOURCE})


def value(registry: CollectorRegistry, name: str, **labels: str) -> float | None:
    """Return a sample of one of Penjaga's metrics."""
    return registry.get_sample_value(f"penjaga_{name}", labels)


def series(registry: CollectorRegistry, name: str) -> dict[str, float]:
    """Return the samples of one of Penjaga's metrics by the values of their labels."""
    return {
        "/".join(sample.labels.values()): sample.value
        for family in registry.collect()
        for sample in family.samples
        if sample.name == f"penjaga_{name}"
    }


def test_escalations_are_counted_by_whom_they_reach_and_in_what_language(built: Line) -> None:
    """A language nobody knows is `other`, no language `unknown`; what is only in shadow does not count."""
    registry = CollectorRegistry()
    metrics = Metrics(registry)
    languages = [None, "ms", "ms-MY", "tlh", ""]
    records: list[bytes | None] = [
        record(CANARY, f"m-{n}", **({} if language is None else {"language": language}))
        for n, language in enumerate(languages)
    ]
    metrics.escalated(SOURCE, built.screen(SOURCE, records), datetime.now(UTC))

    begin = f"{SOURCE}/canary.seen"
    assert {f"{begin}/SEV3/public": 5} == series(registry, "escalations_total")
    assert {f"{begin}/unknown": 2, f"{begin}/ms": 2, f"{begin}/other": 1} == series(
        registry, "escalations_by_language_total"
    )


def test_the_canary_leaves_the_time_of_its_confirmation(built: Line) -> None:
    """0 until the first; a batch without one leaves it as it is."""
    registry = CollectorRegistry()
    metrics = Metrics(registry)
    metrics.expect(Settings(sources={SOURCE: Source()}))
    name = "canary_last_seen_timestamp_seconds"
    told = [value(registry, name, source=SOURCE)]
    for text, second in ((CANARY, 5), (PROMOTION, 9)):
        screening = built.screen(SOURCE, [record(text)])
        metrics.escalated(SOURCE, screening, datetime.fromtimestamp(second, UTC))
        told.append(value(registry, name, source=SOURCE))

    assert [0, 5, 5] == told


def test_the_first_event_of_a_batch_stands_for_its_delay(built: Line) -> None:
    """One observation for a batch, whatever was rejected before it; none where nothing could be read."""
    registry = CollectorRegistry()
    metrics = Metrics(registry)
    screening = built.screen(SOURCE, [b"[]", record("hello"), record("hello")])
    event = screening.events[1]
    assert isinstance(event, Event)
    for batch in (screening, built.screen(SOURCE, [b"[]"])):
        metrics.escalated(SOURCE, batch, event.occurred_at + timedelta(seconds=4))

    assert 1 == value(registry, "event_delay_seconds_count", source=SOURCE)
    assert 4 == value(registry, "event_delay_seconds_sum", source=SOURCE)


def test_a_lag_is_told_for_as_long_as_the_partition_is_here() -> None:
    """A partition that went to another worker leaves no old number behind."""
    registry = CollectorRegistry()
    metrics = Metrics(registry)
    metrics.consumed({(SOURCE, 0): 7, (SOURCE, 1): 0}, {}, 2, 1.5)
    before = series(registry, "consumer_lag_records")
    metrics.consumed({(SOURCE, 1): 3}, {}, 0, 0.0)

    assert {f"{SOURCE}/0": 7, f"{SOURCE}/1": 0} == before
    assert {f"{SOURCE}/1": 3} == series(registry, "consumer_lag_records")
    assert 0 == value(registry, "batch_unconfirmed_seconds")


def test_what_expired_is_counted_once() -> None:
    """The consumer tells how much in all, as often as it is asked."""
    registry = CollectorRegistry()
    metrics = Metrics(registry)
    for expired in (5, 5, 12):
        metrics.consumed({}, {SOURCE: expired}, 0, 0.0)

    assert 12 == value(registry, "records_expired_total", source=SOURCE)


def test_what_can_happen_is_zero_before_it_does() -> None:
    """Prometheus sees an increase only from a number that it has seen."""
    registry = CollectorRegistry()
    metrics = Metrics(registry)
    feed = Feed(url="https://lists.example/", label="fraud.phishing", interval_seconds=60.0)
    metrics.expect(Settings(sources={SOURCE: Source()}, feeds={"phish": feed}))
    metrics.installed([Canary()], [SOURCE])

    rejected = series(registry, "events_rejected_total")
    assert {f"{SOURCE}/{reason.value}" for reason in Reason} == set(rejected)
    assert {0} == set(rejected.values())
    assert {"canary/detector.failed": 0, "canary/canary.seen": 0} == series(
        registry, "findings_total"
    )
    assert {
        f"{SOURCE}/canary.seen/SEV3/{audience}" for audience in ("dm", "group", "public")
    } == set(series(registry, "escalations_total"))
    assert 7 == len(series(registry, "escalations_by_language_total"))
    assert 60 == value(registry, "feed_interval_seconds", feed="phish")
    assert 1000 == value(registry, "events_rejected_in_a_row_limit")


class Newer(Canary):
    """A detector whose terms have changed."""

    version = "2"


def test_a_worker_tells_one_version_of_each_detector() -> None:
    """The one before is gone when a list or a term, and so a version, changes."""
    registry = CollectorRegistry()
    metrics = Metrics(registry)
    for detector in (Canary(), Canary(), Newer()):
        metrics.installed([detector], [SOURCE])

    assert {"canary/2": 1} == series(registry, "detector_info")


def test_every_name_has_the_prefix_and_a_unit_prometheus_knows() -> None:
    """Names start with `penjaga_`; durations are seconds and sizes bytes."""
    registry = CollectorRegistry()
    Metrics(registry)
    families = list(registry.collect())

    assert len(families) > 10
    assert all(family.name.startswith("penjaga_") for family in families)
    assert not [f.name for f in families if "millis" in f.name or "kb" in f.name.split("_")]
    assert all(family.documentation.endswith(".") for family in families)


WORKER = """
import os, sys
from prometheus_client import CollectorRegistry
from pipeline.metrics import Metrics
metrics = Metrics(CollectorRegistry())
metrics.received.labels("a").inc(int(sys.argv[1]))
metrics.batch_records.labels("a").observe(int(sys.argv[1]))
metrics.last_batch.labels("a").set(int(sys.argv[1]))
metrics.assigned_partitions.set(int(sys.argv[1]))
metrics.configuration.labels(digest="d", version="v").set(1)
print(os.getpid())
"""


def work(folder: Path, number: int) -> int:
    """Count `number` in a process that shares its metrics, and return its id."""
    ran = subprocess.run(
        [sys.executable, "-c", WORKER, str(number)],
        env=os.environ | {METRICS_FOLDER: str(folder)},
        capture_output=True,
        check=True,
    )
    return int(ran.stdout)


def test_processes_are_added_up(tmp_path: Path) -> None:
    """Counters and histograms for ever, partitions while their process lives; of times the latest counts."""
    first, _ = work(tmp_path, 3), work(tmp_path, 4)
    registry = CollectorRegistry()
    MultiProcessCollector(registry, str(tmp_path))
    partitions = registry.get_sample_value("penjaga_assigned_partitions")
    mark_process_dead(first, str(tmp_path))
    source = {"source": "a"}

    assert (7, 4) == (partitions, registry.get_sample_value("penjaga_assigned_partitions"))
    assert 7 == registry.get_sample_value("penjaga_events_received_total", source)
    assert 2 == registry.get_sample_value("penjaga_batch_records_count", source)
    assert 4 == registry.get_sample_value("penjaga_last_batch_timestamp_seconds", source)
    assert 1 == registry.get_sample_value(
        "penjaga_configuration_info", {"digest": "d", "version": "v"}
    )


def test_one_process_and_several_export_the_same_names_types_and_labels(tmp_path: Path) -> None:
    """A dashboard need not know how many there are."""
    work(tmp_path, 3)
    several, one = CollectorRegistry(), CollectorRegistry()
    MultiProcessCollector(several, str(tmp_path))
    metrics = Metrics(one)
    metrics.received.labels("a").inc(3)
    metrics.batch_records.labels("a").observe(3)
    metrics.last_batch.labels("a").set(3)
    metrics.assigned_partitions.set(3)
    metrics.configuration.labels(digest="d", version="v").set(1)

    def exported(registry: CollectorRegistry) -> set[str]:
        return {
            json.dumps([family.name, family.type, sample.name, sample.labels, sample.value])
            for family in registry.collect()
            for sample in family.samples
        }

    assert len(exported(one)) > 10
    assert exported(one) == exported(several)


def test_each_configured_list_has_an_age_its_entries_and_one_last_outcome() -> None:
    """Also one that was never synced, whose age is infinite: an alert on age misses none."""
    registry = CollectorRegistry()
    metrics = Metrics(registry)
    at = datetime(2026, 1, 31, tzinfo=UTC)
    states = {"a": FeedState(outcome="shrunk", checked_at=at, confirmed_at=at)}
    metrics.feeds(states, {"a": 7, "b": 0}, at + timedelta(hours=1))

    def values(name: str) -> dict[str, float]:
        return {
            "/".join(sample.labels.values()): sample.value
            for family in registry.collect()
            for sample in family.samples
            if sample.name == name
        }

    assert {"a": 3600.0, "b": math.inf} == values("penjaga_feed_age_seconds")
    assert {"a": 7, "b": 0} == values("penjaga_feed_entries")
    outcomes = values("penjaga_feed_last_sync")
    assert {f"{feed}/{outcome}" for feed in "ab" for outcome in get_args(Outcome)} == set(outcomes)
    assert ["a/shrunk"] == [name for name, value in outcomes.items() if value]


def test_a_worker_tells_one_configuration_at_a_time() -> None:
    """The one before is gone; the same one again changes nothing."""
    registry = CollectorRegistry()
    metrics = Metrics(registry)
    for digest, former in (("a", ""), ("b", "a"), ("b", "b")):
        metrics.configured(digest, former)

    told = [s for f in registry.collect() for s in f.samples if s.name.endswith("_info")]
    assert [("b", 1)] == [(sample.labels["digest"], sample.value) for sample in told]


def test_the_usage_of_each_process_is_told_by_its_number() -> None:
    """As the library tells it of its own process; one that has ended is left out."""
    registry = CollectorRegistry()
    registry.register(Usage(lambda: {3: os.getpid(), 4: 2**22 + 1}))
    memory = registry.get_sample_value("process_resident_memory_bytes", {"process": "3"})

    assert memory is not None
    assert memory > 1e6
    assert registry.get_sample_value("process_cpu_seconds_total", {"process": "3"}) is not None
    assert registry.get_sample_value("process_cpu_seconds_total", {"process": "4"}) is None
