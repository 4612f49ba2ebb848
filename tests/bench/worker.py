"""A worker: the real `penjaga worker` process on a configuration of its own, seen from outside."""

import json
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from http import HTTPStatus
from pathlib import Path
from types import TracebackType
from typing import Final, Self

import msgspec
from confluent_kafka import ConsumerGroupState, KafkaError, KafkaException
from confluent_kafka.admin import AdminClient

from pipeline.behaviours import shipped
from tests.bench.machine import cpu_seconds
from tests.bench.topics import PARTITIONS
from tests.e2e.brokers import create_topic
from tests.e2e.workers import clean_environment, free_port

_NO_COORDINATOR_YET: Final = {
    KafkaError.NOT_COORDINATOR,
    KafkaError.COORDINATOR_NOT_AVAILABLE,
    KafkaError.COORDINATOR_LOAD_IN_PROGRESS,
}


class Mark(msgspec.Struct, frozen=True):
    """A moment, and the CPU time the worker had used by then, in seconds."""

    moment: float
    cpu_seconds: float


class Site(msgspec.Struct, frozen=True):
    """Where the run takes place: a broker, and a folder that is gone afterwards."""

    bootstrap_servers: str
    folder: Path

    @property
    def cache(self) -> Path:
        """Where compiled patterns are kept from one worker to the next."""
        return self.folder / "cache"


class WorkerError(RuntimeError):
    """The worker ended, or took too long; the message holds the end of its log."""


@dataclass(frozen=True)
class Outputs:
    """The topics a worker writes to."""

    escalations: str
    shadow: str
    dead_letters: str
    signals: str
    memory: str

    @classmethod
    def create(cls, bootstrap_servers: str, name: str) -> "Outputs":
        """Create them, empty."""
        kinds = ("escalations", "shadow", "dead-letters", "signals", "memory")
        outputs = cls(*(f"{name}-{kind}" for kind in kinds))
        for topic in outputs.all:
            create_topic(bootstrap_servers, topic, partitions=PARTITIONS)
        return outputs

    @property
    def all(self) -> tuple[str, ...]:
        """Every one."""
        return *self.of_events, self.signals, self.memory

    @property
    def of_events(self) -> tuple[str, ...]:
        """Those that events end in."""
        return self.escalations, self.shadow, self.dead_letters


@dataclass
class Worker:
    """One process. Use as a context manager: it is killed at the end."""

    site: Site
    source: str
    outputs: Outputs
    group: str
    detectors: Sequence[str] = ()
    """Which detectors run; none named is all."""
    isolated: Sequence[str] = ()
    """Which of them run in processes of their own."""
    environment: Mapping[str, str] = field(default_factory=dict)
    processes: int = 1
    cache: Path | None = None
    """Where compiled patterns are kept, if not with the site's."""
    port: int = field(default_factory=free_port)
    name: str = ""
    """Its own, where there are several of a group."""

    def __enter__(self) -> Self:
        """Start it, and return before it is ready."""
        config = self.site.folder / f"{self.group}{self.name}.toml"
        config.write_text(
            f"""
[kafka]
bootstrap_servers = "{self.site.bootstrap_servers}"
group = "{self.group}"
[topics]
escalations = "{self.outputs.escalations}"
shadow = "{self.outputs.shadow}"
dead_letters = "{self.outputs.dead_letters}"
signals = "{self.outputs.signals}"
memory = "{self.outputs.memory}"
[memory]
folder = "{self.memory}"
[web]
port = {self.port}
[detectors]
only = {json.dumps(list(self.detectors))}
isolated = {json.dumps(list(self.isolated))}
[sources."{self.source}"]
{_weightless()}
""",
            encoding="utf-8",
        )
        self._log = self.site.folder / f"{self.group}{self.name}.log"
        with self._log.open("wb") as log:
            self.process = subprocess.Popen(
                [
                    *(sys.executable, "-m", "pipeline", "worker", "--config", str(config)),
                    *(("--processes", str(self.processes)) if self.processes > 1 else ()),
                    # So that it ends with this process, however that ends.
                    "--with-parent",
                ],
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
                env=clean_environment()
                | {"PENJAGA_CACHE_DIR": str(self.cache or self.site.cache)}
                | dict(self.environment),
            )
        self.started = time.monotonic()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.process.kill()
        self.process.communicate()

    @property
    def memory(self) -> Path:
        """Where its group remembers subjects."""
        return self.site.folder / f"{self.group}.memory"

    @property
    def pid(self) -> int:
        """Its process id."""
        return self.process.pid

    def until_joined(self) -> Mark:
        """Wait until the broker has given it partitions; return the last moment at which it had none.

        The broker is asked, which costs the worker nothing.

        Raises:
            WorkerError: if it ends, or has none within 120 s.
        """
        admin = AdminClient({"bootstrap.servers": self.site.bootstrap_servers, "log_level": 0})

        def is_stable() -> bool:
            described = admin.describe_consumer_groups([self.group], request_timeout=10)
            try:
                return described[self.group].result().state is ConsumerGroupState.STABLE
            except KafkaException as error:
                # The first group of a cluster has no coordinator for a moment.
                if error.args[0].code() in _NO_COORDINATOR_YET:
                    return False
                raise

        return self.until(is_stable)

    def until_ready(self) -> Mark:
        """Wait until its own health page says that it is ready."""
        url = f"http://127.0.0.1:{self.port}/health/ready"

        def is_ready() -> bool:
            try:
                with urllib.request.urlopen(url, timeout=10) as answer:
                    return bool(answer.status == HTTPStatus.OK)
            except OSError:
                return False

        return self.until(is_ready)

    def until_reading(self) -> Mark:
        """Wait until it logs that it reads, which is when its detectors are ready."""
        return self.until(lambda: b'"reading ' in self._log.read_bytes())

    def until(
        self, is_done: Callable[[], bool], seconds: float = 120.0, pause: float = 0.01
    ) -> Mark:
        """Ask again after each pause; return the moment of the last no, so that nothing is left out.

        Raises:
            WorkerError: if the worker ends first, or it takes longer than so many seconds.
        """
        give_up = time.monotonic() + seconds
        while time.monotonic() < give_up:
            if self.process.poll() is not None:
                raise WorkerError(f"ended with status {self.process.returncode}:\n{self._tail()}")
            mark = self.mark()
            if is_done():
                return mark
            time.sleep(pause)
        raise WorkerError(f"not done within {seconds:g} s:\n{self._tail()}")

    def mark(self) -> Mark:
        """Return this moment."""
        return Mark(time.monotonic(), cpu_seconds(self.pid))

    def _tail(self) -> str:
        return self._log.read_text(encoding="utf-8", errors="replace")[-2000:]


def _weightless() -> str:
    """Return the shipped behaviours with weights of nought, so that no subject crosses a level.

    Subjects are remembered as ever, but every verdict written is one of an event, which is what is counted.
    """
    lines: list[str] = []
    for name, behaviour in shipped().items():
        row = msgspec.structs.replace(behaviour, weight=0.0, weights={}, sums={}, replies={})
        lines.append(f"[behaviours.{name}]")
        lines += [
            f"{key} = {json.dumps(v)}" for key, v in msgspec.to_builtins(row).items() if v != {}
        ]
    return "\n".join(lines)
