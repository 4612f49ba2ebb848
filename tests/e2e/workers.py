"""Workers as processes: started, killed and read from as an operator's supervisor would."""

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Self

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, RecordsToDelete
from prometheus_client.parser import text_string_to_metric_families

from pipeline.embedded import PARTITIONS
from pipeline.settings import Settings, load
from pipeline.writes import Headers
from tests.e2e.brokers import Broker

CANARY = "PENJAGA-CANARY-7f3a91c4"


def free_port() -> int:
    """Return a port nobody listens on."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
        return port


@dataclass
class Site:
    """A configuration on disk, the broker it points at, and the workers started with it."""

    broker: Broker
    folder: Path
    source: str
    escalations: str
    shadow: str
    overflow: str
    dead_letters: str
    signals: str
    memory: str
    group: str
    extra: str = ""
    port: int = field(default_factory=free_port)
    processes: list[subprocess.Popen[bytes]] = field(default_factory=list)

    @classmethod
    def make(
        cls,
        broker: Broker,
        folder: Path,
        unique: Callable[[str], str],
        extra: str = "",
        escalation_bytes: int | None = None,
    ) -> "Site":
        """Name every topic for this test alone, create them, and write the configuration."""
        topics = (
            "events",
            "escalations",
            "shadow",
            "overflow",
            "dead-letters",
            "signals",
            "memory",
        )
        names = [unique(n) for n in (*topics, "group")]
        site = cls(broker, folder, *names, extra=extra)
        for topic in names[:-1]:
            config = {} if topic == site.source else {"message.timestamp.type": "LogAppendTime"}
            if topic == site.escalations and escalation_bytes:
                config["max.message.bytes"] = str(escalation_bytes)
            broker.create_topic(topic, config)
        site.config.write_text(
            f"""
[kafka]
instance = "worker"
bootstrap_servers = "{broker.bootstrap_servers}"
group = "{site.group}"
[topics]
escalations = "{site.escalations}"
shadow = "{site.shadow}"
overflow = "{site.overflow}"
dead_letters = "{site.dead_letters}"
signals = "{site.signals}"
memory = "{site.memory}"
[memory]
folder = "{folder / "memory"}"
[web]
port = {site.port}
{extra.replace("SOURCE", site.source) or f'[sources."{site.source}"]'}
"""
        )
        return site

    @property
    def config(self) -> Path:
        return self.folder / "penjaga.toml"

    @property
    def log(self) -> Path:
        return self.folder / "worker.log"

    @property
    def settings(self) -> Settings:
        return load(self.config, {})

    def start(
        self, environment: dict[str, str] | None = None, *arguments: str
    ) -> subprocess.Popen[bytes]:
        """Start one worker."""
        with self.log.open("ab") as log:
            process = subprocess.Popen(
                [
                    *(sys.executable, "-m", "pipeline", "worker"),
                    *("--config", str(self.config), *arguments),
                ],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=clean_environment() | (environment or {}),
            )
        self.processes.append(process)
        return process

    def penjaga(
        self, *arguments: str, environment: dict[str, str] | None = None
    ) -> subprocess.CompletedProcess[bytes]:
        """Run another `penjaga` command with this configuration."""
        return subprocess.run(
            [sys.executable, "-m", "pipeline", *arguments, "--config", str(self.config)],
            capture_output=True,
            timeout=120,
            check=False,
            env=clean_environment() | (environment or {}),
        )

    def metrics(self) -> dict[str, float]:
        """Read the worker's metrics, summed over their labels."""
        return metrics_at(self.port)

    def log_messages(self) -> list[str]:
        """Return what the workers logged."""
        return [json.loads(line)["message"] for line in self.log.read_text().splitlines()]

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for process in self.processes:
            if process.poll() is None:
                process.send_signal(signal.SIGKILL)
                process.wait()
        if error is not None and self.log.exists():
            error.add_note("worker log ended with:\n" + self.log.read_text()[-3000:])


def metrics_at(port: int) -> dict[str, float]:
    """Read the metrics of whoever serves them on a port of loopback, summed over their labels."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as response:
        text = response.read().decode()
    totals: dict[str, float] = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            totals[sample.name] = totals.get(sample.name, 0.0) + sample.value
    return totals


def plugin(packages: Path, name: str, code: str) -> dict[str, str]:
    """Put a detector, a class named as its module but capitalised, into a folder as an installed package.

    Returns what the environment of a worker needs to find it.
    """
    info = packages / f"{name}-1.dist-info"
    info.mkdir(parents=True)
    (packages / f"{name}.py").write_text(code)
    (info / "METADATA").write_text(f"Name: {name}\nVersion: 1\n")
    (info / "entry_points.txt").write_text(
        f"[penjaga.detectors]\n{name} = {name}:{name.capitalize()}\n"
    )
    return {"PYTHONPATH": str(packages)}


def clean_environment() -> dict[str, str]:
    """Return the environment without settings of whoever runs the tests."""
    keep = {"PENJAGA_CACHE_DIR"}
    return {
        k: v
        for k, v in os.environ.items()
        if (not k.startswith("PENJAGA_") or k in keep) and k != "KAFKA_BOOTSTRAP_SERVERS"
    }


def event(number: int, text: str) -> bytes:
    """Return a canonical event."""
    return json.dumps(
        {
            "id": f"m-{number:06d}",
            "platform": "test",
            "kind": "message",
            "occurred_at": "2026-01-01T00:00:00Z",
            "text": text,
            "actor": {"id": f"u-{number % 50}"},
            "audience": {"kind": "group"},
        }
    ).encode()


async def send(
    servers: str,
    topic: str,
    values: Iterable[bytes | None],
    *,
    key: bytes | None = None,
    headers: Headers = (),
) -> None:
    """Send records spread over the topic's partitions, or to that of a key; return when all are confirmed."""
    async with AIOKafkaProducer(
        bootstrap_servers=servers, acks="all", linger_ms=5, max_request_size=64 * 1024 * 1024
    ) as producer:
        futures = [
            await producer.send(
                topic, value, b"%d" % number if key is None else key, headers=list(headers)
            )
            for number, value in enumerate(values)
        ]
        await asyncio.gather(*futures)


class Reader:
    """Everything on some topics from the beginning, as it comes."""

    def __init__(self, servers: str, topics: Sequence[str]) -> None:
        self._consumer = AIOKafkaConsumer(
            *topics,
            bootstrap_servers=servers,
            auto_offset_reset="earliest",
            max_partition_fetch_bytes=64 * 1024 * 1024,
        )
        self.records: list = []

    async def __aenter__(self) -> Self:
        await self._consumer.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._consumer.stop()

    def keys(self, topic: str) -> list[bytes]:
        return [r.key for r in self.records if r.topic == topic]

    async def until(self, enough: Callable[[], bool], seconds: float = 60) -> None:
        """Read until `enough()` holds.

        Raises:
            TimeoutError: if it does not within `seconds`.
        """
        async with asyncio.timeout(seconds):
            while not enough():
                for records in (await self._consumer.getmany(timeout_ms=200)).values():
                    self.records += records


def _places(topic: str) -> list[TopicPartition]:
    return [TopicPartition(topic, partition) for partition in range(PARTITIONS)]


async def committed(servers: str, group: str, topic: str) -> tuple[int, int]:
    """Return what a group has committed on a topic and what there is, summed over partitions."""
    # Otherwise this would commit, too, where it thinks the group should go on.
    consumer = AIOKafkaConsumer(bootstrap_servers=servers, group_id=group, enable_auto_commit=False)
    await consumer.start()
    try:
        consumer.assign(_places(topic))
        ends = await consumer.end_offsets(_places(topic))
        offsets = [await consumer.committed(place) or 0 for place in _places(topic)]
    finally:
        await consumer.stop()
    return sum(offsets), sum(ends.values())


async def expire(servers: str, topic: str, before: int) -> None:
    """Delete the records of each partition below an offset, as retention would; -1: all there are."""
    admin = AIOKafkaAdminClient(bootstrap_servers=servers)
    await admin.start()
    try:
        await admin.delete_records({place: RecordsToDelete(before) for place in _places(topic)})
    finally:
        await admin.close()


async def commit(servers: str, group: str, topic: str, offset: int) -> None:
    """Commit the same offset on every partition for a group that nobody is in."""
    consumer = AIOKafkaConsumer(bootstrap_servers=servers, group_id=group, enable_auto_commit=False)
    await consumer.start()
    try:
        consumer.assign(_places(topic))
        await consumer.commit(dict.fromkeys(_places(topic), offset))
    finally:
        await consumer.stop()
