"""Start-up: how long a worker takes until it reads, without and with its compiled patterns at hand."""

import tempfile
import time
import uuid
from collections.abc import Sequence
from pathlib import Path
from statistics import median

import msgspec

from pipeline.line import line
from pipeline.settings import load
from tests.bench.machine import peak_resident_bytes
from tests.bench.topics import PARTITIONS
from tests.bench.worker import Outputs, Site, Worker
from tests.e2e.brokers import create_topic


class Startup(msgspec.Struct, frozen=True):
    """Medians in seconds, on the wall."""

    line: float
    """Detectors loaded, checked and compiled, in a process that has imported everything."""
    reading: float
    """From the command to the log line that it reads: interpreter, imports, line."""
    ready: float
    """From the command until its health page says ready: broker, group and partitions too."""
    peak_bytes: int


class Startups(msgspec.Struct, frozen=True):
    """The stage's result."""

    runs: int
    cold: Startup
    cached: Startup


def startups(site: Site, runs: int) -> Startups:
    """Start a worker on an empty topic so many times, each time cold and once more."""
    topic = f"startup-{uuid.uuid4().hex[:8]}"
    create_topic(site.bootstrap_servers, topic, partitions=PARTITIONS)
    outputs = Outputs.create(site.bootstrap_servers, topic)
    cold: list[Startup] = []
    cached: list[Startup] = []
    for _ in range(runs):
        with tempfile.TemporaryDirectory(dir=site.folder) as cache:
            for found in (cold, cached):
                group = f"startup-{uuid.uuid4().hex[:8]}"
                worker = Worker(site, topic, outputs, group, cache=Path(cache, "worker"))
                found.append(_start(worker, Path(cache, "line")))
    return Startups(runs, _median(cold), _median(cached))


def _start(worker: Worker, cache: Path) -> Startup:
    start = time.monotonic()
    line(load(None, {}), cache)
    took = time.monotonic() - start
    with worker:
        reading = worker.until_reading().moment
        ready = worker.until_ready().moment
        peak = peak_resident_bytes(worker.pid)
    return Startup(took, reading - worker.started, ready - worker.started, peak)


def _median(starts: Sequence[Startup]) -> Startup:
    return Startup(
        line=median(start.line for start in starts),
        reading=median(start.reading for start in starts),
        ready=median(start.ready for start in starts),
        peak_bytes=max(start.peak_bytes for start in starts),
    )
