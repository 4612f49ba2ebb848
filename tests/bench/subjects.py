"""Subjects: how fast very many are remembered, in how much memory, and how fast that comes back."""

import logging
import shutil
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Final

import msgspec
from confluent_kafka import Producer

from schemas.signal import Signal, signal_id, subject
from tests.bench.machine import peak_resident_bytes
from tests.bench.topics import PARTITIONS, Watch
from tests.bench.worker import Outputs, Site, Worker
from tests.e2e.brokers import create_topic
from tests.e2e.workers import metrics_at

log: Final = logging.getLogger(__name__)

_PLATFORM: Final = "chat"
_LABEL: Final = "csea.grooming"
_RECOVERY: Final = "penjaga_table_recovery_seconds"
_START: Final = datetime(2026, 1, 1, tzinfo=UTC)


class Remembered(msgspec.Struct, frozen=True):
    """The stage's result."""

    subjects: int
    """Each with one signal."""
    signals_per_second: float
    """On the wall, from the first fetch until the last is on the memory topic; the broker beside it."""
    cpu_per_thousand: float
    """Seconds, of 1,000 signals."""
    peak_bytes: int
    disk_bytes: int
    recovery_seconds: float
    """As the worker tells it, after a kill and with nothing left on its disk."""
    recovery_peak_bytes: int


def remembering(site: Site, subjects: int) -> Remembered:
    """Let a worker remember so many subjects, kill it, take away its disk, and start it again."""
    name = f"subjects-{uuid.uuid4().hex[:8]}"
    create_topic(site.bootstrap_servers, name, partitions=PARTITIONS)
    outputs = Outputs.create(site.bootstrap_servers, name)
    _fill(site.bootstrap_servers, outputs.signals, subjects)
    watch = Watch(site.bootstrap_servers, [outputs.memory])
    with Worker(site, name, outputs, name) as worker:
        begun = worker.until_joined()
        ended = worker.until(lambda: watch.count() >= subjects, seconds=3600, pause=0.1)
        peak = peak_resident_bytes(worker.pid)
        kept = worker.memory
    on_disk = sum(file.stat().st_size for file in kept.rglob("*") if file.is_file())
    shutil.rmtree(kept)
    with Worker(site, name, outputs, name) as worker:
        # It is not before its memory is back.
        worker.until_ready()
        recovery = metrics_at(worker.port)[_RECOVERY]
        recovery_peak = peak_resident_bytes(worker.pid)
    return Remembered(
        subjects,
        subjects / (ended.moment - begun.moment),
        1000 * (ended.cpu_seconds - begun.cpu_seconds) / subjects,
        peak,
        on_disk,
        recovery,
        recovery_peak,
    )


def _signals(count: int) -> Iterator[Signal]:
    """Yield a signal of each of so many conversations, as a message with two likely cues makes it."""
    for number in range(count):
        one = subject("conversation", _PLATFORM, f"c-{number:08d}")
        yield Signal(
            id=signal_id(_PLATFORM, f"m-{number}", _LABEL, one),
            subject=one,
            label=_LABEL,
            score=0.12,
            cues=("age_access", "isolation_secrecy"),
            strengths=(0.4, 0.3),
            event_id=f"m-{number:010d}",
            platform=_PLATFORM,
            occurred_at=_START + timedelta(milliseconds=number),
            actor_id=f"u-{number % 300_000:08d}",
            counterparts=(f"u-{7 * number % 300_000:08d}",),
            audience="dm",
        )


def _fill(bootstrap_servers: str, topic: str, count: int) -> None:
    producer = Producer(
        {
            "bootstrap.servers": bootstrap_servers,
            "linger.ms": 20,
            "queue.buffering.max.messages": count + 1,
        }
    )
    for number, signal in enumerate(_signals(count)):
        producer.produce(
            topic,
            msgspec.json.encode(signal),
            signal.subject.encode(),
            partition=number % PARTITIONS,
        )
    if left := producer.flush(120):
        raise RuntimeError(f"{left} signals for topic {topic} were not confirmed within 120 s")
