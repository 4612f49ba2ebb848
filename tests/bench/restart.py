"""Restart: workers of one group replaced one after the other, as a deployment does, at full load."""

import logging
import threading
import time
import uuid
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Final

import msgspec

from pipeline.line import line
from pipeline.settings import load
from schemas import Verdict
from tests.bench.corpus import escalations
from tests.bench.latency import escalated, paced, percentile
from tests.bench.pacer import Kept, Schedule
from tests.bench.topics import PARTITIONS
from tests.bench.worker import Outputs, Site, Worker
from tests.e2e.brokers import create_topic

log: Final = logging.getLogger(__name__)

WORKERS: Final = 3
RATE: Final = 20_000
SECONDS: Final = 40.0
_BETWEEN_SECONDS: Final = 4.0


class Restarted(msgspec.Struct, frozen=True):
    """What became of the messages."""

    rate: int
    workers: int
    messages: int
    expected: int
    """Escalations that the same line makes offline."""
    found: int
    repeated: int
    """Written again, under their own id."""
    restart_seconds: tuple[float, ...]
    """From telling each to stop until its successor was ready."""
    statuses: tuple[int, ...]
    median: float
    longest: float
    """Seconds from when a message was due until its escalation was there."""
    done_seconds: float
    """From the first message until the last escalation."""


def restarted(
    site: Site, records: Sequence[bytes], rate: int = RATE, seconds: float = SECONDS
) -> Restarted:
    """Replace each worker once while messages come at a steady rate."""
    name = f"restart-{uuid.uuid4().hex[:8]}"
    create_topic(site.bootstrap_servers, name, partitions=PARTITIONS)
    outputs = Outputs.create(site.bootstrap_servers, name)
    content = site.folder / "restart.jsonl"
    content.write_bytes(b"\n".join(records))
    schedule = Schedule(site.bootstrap_servers, name, str(content), rate, int(rate * seconds))
    expected = _expected(records, schedule.messages, site.cache)
    restarts: list[tuple[float, int]] = []
    with ExitStack() as running:

        def start(number: int) -> Worker:
            worker = Worker(site, name, outputs, name, name=f"-{number}")
            return running.enter_context(worker)

        workers = [start(number) for number in range(WORKERS)]
        for worker in workers:
            worker.until_ready()

        def replace() -> None:
            for number, worker in enumerate(workers):
                time.sleep(_BETWEEN_SECONDS)
                began = time.monotonic()
                worker.process.terminate()
                status = worker.process.wait(60)
                start(WORKERS + number).until_ready()
                restarts.append((time.monotonic() - began, status))
                log.info("replaced one within %.1f s, status %d", *restarts[-1])

        replacing = threading.Thread(target=replace)
        with paced(schedule) as pacer:
            replacing.start()
            seen = list(escalated(workers[0], pacer))
            said, _ = pacer.communicate()
        replacing.join()
    kept = msgspec.json.decode(said, type=Kept)
    first: dict[tuple[int, str], float] = {}
    for number, moment, message in seen:
        label = msgspec.json.decode(message.value(), type=Verdict).label
        first.setdefault((number, label), moment - kept.start)
    times = sorted(at - number / rate for (number, _), at in first.items())
    return Restarted(
        rate=rate,
        workers=WORKERS,
        messages=schedule.messages,
        expected=expected,
        found=len(first),
        repeated=len(seen) - len(first),
        restart_seconds=tuple(took for took, _ in restarts),
        statuses=tuple(status for _, status in restarts),
        median=percentile(times, 50),
        longest=times[-1],
        done_seconds=max(first.values()),
    )


def _expected(records: Sequence[bytes], messages: int, cache: Path) -> int:
    """Return how many escalations so many messages make, of records that are sent over and over."""
    settings = load(None, {})
    ready, source = line(settings, cache), next(iter(settings.sources))
    made = escalations(ready, source, records)
    whole, rest = divmod(messages, len(records))
    return whole * sum(made) + sum(made[:rest])
