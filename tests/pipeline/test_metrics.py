"""Metrics: nothing is lost between the counters, and nothing personal is in them."""

from datetime import UTC, datetime, timedelta

from prometheus_client import CollectorRegistry, generate_latest

from pipeline.line import Line
from pipeline.metrics import Metrics
from schemas import Event, Reason
from schemas.labels import taxonomy
from tests.pipeline.events import CANARY, record

SOURCE = "platform.events"
RECORDS: list[bytes | None] = [
    record(CANARY, "secret-id"),
    record("hello secret"),
    record("slot gacor maxwin free kredit RM10 daftar sekarang wa.me/60123456789"),
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


def test_every_name_has_the_prefix_and_a_unit_prometheus_knows() -> None:
    """Names start with `penjaga_`; durations are seconds and sizes bytes."""
    registry = CollectorRegistry()
    Metrics(registry)
    families = list(registry.collect())

    assert len(families) > 10
    assert all(family.name.startswith("penjaga_") for family in families)
    assert not [f.name for f in families if "millis" in f.name or "kb" in f.name.split("_")]
    assert all(family.documentation.endswith(".") for family in families)
