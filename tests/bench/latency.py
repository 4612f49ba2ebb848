"""Latency: from when a message was due at the producer until its escalation is in a consumer's hands."""

import logging
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

import msgspec
from confluent_kafka import Consumer, Message, TopicPartition

from tests.bench.machine import cpu_seconds
from tests.bench.pacer import Kept, Schedule
from tests.bench.topics import PARTITIONS, Committed, Watch
from tests.bench.worker import Outputs, Site, Worker, WorkerError
from tests.e2e.brokers import create_topic

log: Final = logging.getLogger(__name__)

RATES: Final = (1_000, 10_000, 20_000)
_WARM_UP_SECONDS: Final = 3.0
# After the last message: how long a worker may take for what it still holds.
_PATIENCE_SECONDS: Final = 120.0
_ROOT: Final = Path(__file__).parent.parent.parent


class Latency(msgspec.Struct, frozen=True):
    """What escalations took at one rate, in seconds."""

    rate: int
    messages: int
    escalations: int
    """How many were timed, after 3 s of warming up."""
    median: float
    percentile_99: float
    percentile_99_9: float
    longest: float
    late_99th: float
    """How late the producer was at the 99th percentile; it is part of the latency."""
    cpu_per_thousand: float
    """CPU seconds of the worker per 1,000 messages."""


class Timed(msgspec.Struct, frozen=True):
    """The escalations of a worker under a steady load."""

    seconds: tuple[tuple[float, float, Message], ...]
    """When each message was due, from the first on; how long its escalation took; and that itself."""
    late_99th: float
    cpu_seconds: float
    """What the worker used."""


def latency(site: Site, records: Sequence[bytes], rate: int, seconds: float) -> Latency:
    """Measure one rate for so many seconds, on topics of its own.

    Raises:
        RuntimeError: if no escalation arrived.
    """
    name = f"latency-{rate}-{uuid.uuid4().hex[:8]}"
    create_topic(site.bootstrap_servers, name, partitions=PARTITIONS)
    outputs = Outputs.create(site.bootstrap_servers, name)
    messages = int(rate * (seconds + _WARM_UP_SECONDS))
    found = timed(Worker(site, name, outputs, name), records, rate, messages)
    times = sorted(took for due, took, _ in found.seconds if due >= _WARM_UP_SECONDS)
    if not times:
        raise RuntimeError(f"no escalation arrived at {rate} messages/s")
    log.info("%d messages/s: median %.1f ms", rate, 1000 * percentile(times, 50))
    return Latency(
        rate=rate,
        messages=messages,
        escalations=len(times),
        median=percentile(times, 50),
        percentile_99=percentile(times, 99),
        percentile_99_9=percentile(times, 99.9),
        longest=times[-1],
        late_99th=found.late_99th,
        cpu_per_thousand=1000 * found.cpu_seconds / messages,
    )


def timed(worker: Worker, records: Sequence[bytes], rate: int, messages: int) -> Timed:
    """Start a worker, send it so many messages at a steady rate, and time its escalations."""
    servers = worker.site.bootstrap_servers
    content = worker.site.folder / "records.jsonl"
    content.write_bytes(b"\n".join(records))
    schedule = Schedule(servers, worker.source, str(content), rate, messages)
    with worker:
        worker.until_ready()
        before = cpu_seconds(worker.pid)
        with paced(schedule) as pacer:
            seen = list(escalated(worker, pacer))
            said, _ = pacer.communicate()
        used = cpu_seconds(worker.pid) - before
    kept = msgspec.json.decode(said, type=Kept)
    seconds = tuple(
        (number / rate, moment - (kept.start + number / rate), one) for number, moment, one in seen
    )
    return Timed(seconds, kept.late_99th, used)


def percentile(ascending: Sequence[float], share: float) -> float:
    """Return the smallest value that so many percent of all do not exceed."""
    rank = -(-len(ascending) * share // 100)
    return ascending[max(0, int(rank) - 1)]


def paced(schedule: Schedule) -> subprocess.Popen[bytes]:
    """Start the pacer; what it says in the end is `Kept`."""
    return subprocess.Popen(
        [sys.executable, "-m", "tests.bench.pacer", msgspec.json.encode(schedule).decode()],
        stdout=subprocess.PIPE,
        cwd=_ROOT,
    )


def escalated(
    worker: Worker, pacer: subprocess.Popen[bytes]
) -> Iterator[tuple[int, float, Message]]:
    """Yield the number of each escalated message, when its escalation was there, and that, until all are.

    All are there once the worker's group has committed everything that was sent: it commits nothing
    whose escalations are not confirmed. Any worker of a group stands for all of it, even one that has ended.

    Raises:
        WorkerError: if that is not so 120 s after the last message.
    """
    servers, topic = worker.site.bootstrap_servers, worker.outputs.escalations
    consumer = Consumer({"bootstrap.servers": servers, "group.id": "latency"})
    consumer.assign([TopicPartition(topic, partition, 0) for partition in range(PARTITIONS)])
    sent, written = Watch(servers, [worker.source]), Watch(servers, [topic])
    committed = Committed(servers, worker.group, worker.source)
    seen, expected, give_up = 0, None, None
    while expected is None or seen < expected:
        escalations = consumer.consume(500, timeout=0.02)
        moment = time.monotonic()
        for one in escalations:
            if one.error() is None:
                seen += 1
                yield _number(one), moment, one
        if expected is None and pacer.poll() is not None:
            give_up = give_up or moment + _PATIENCE_SECONDS
            behind = sent.count() - committed.count()
            if behind == 0:
                expected = written.count()
            elif moment > give_up:
                raise WorkerError(
                    f"{behind} messages not done {_PATIENCE_SECONDS:g} s after the last"
                )
    consumer.close()


def _number(escalation: Message) -> int:
    """Tell from where a message stood in its topic which one it was."""
    headers = dict(escalation.headers() or ())
    offset = int(headers["penjaga-source-offset"])
    return offset * PARTITIONS + int(headers["penjaga-source-partition"])
