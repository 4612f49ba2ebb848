"""A rolling restart under load, as Kubernetes does it: one worker after the other, and nothing is lost."""

import asyncio
import json
import signal
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from subprocess import Popen

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer

from pipeline.embedded import PARTITIONS
from tests.e2e.brokers import Broker
from tests.e2e.workers import CANARY, Site, event, free_port

Unique = Callable[[str], str]

WORKERS = 3


class Load:
    """A steady producer and a reader of escalations, which know when each message went and came."""

    def __init__(self, site: Site, rate: int) -> None:
        self._site = site
        self._rate = rate
        self._is_over = False
        self.sent: dict[str, float] = {}
        self.delays: dict[str, float] = {}
        self.repeated = 0

    def stop(self) -> None:
        self._is_over = True

    async def produce(self) -> None:
        """Send so many a second; each is escalated. Return when all are confirmed."""
        servers = self._site.broker.bootstrap_servers
        async with AIOKafkaProducer(bootstrap_servers=servers, acks="all", linger_ms=5) as producer:
            began, futures = time.monotonic(), []
            while not self._is_over:
                number = len(self.sent)
                # What is due by now: a moment's delay here does not thin the load.
                if number >= (time.monotonic() - began) * self._rate:
                    await asyncio.sleep(0.005)
                    continue
                value = event(number, CANARY)
                self.sent[json.loads(value)["id"]] = time.monotonic()
                futures.append(await producer.send(self._site.source, value, b"%d" % number))
            await asyncio.gather(*futures)

    async def consume(self) -> None:
        """Note each escalation's delay, the first time it comes; return when none is missing."""
        consumer = AIOKafkaConsumer(
            self._site.escalations,
            bootstrap_servers=self._site.broker.bootstrap_servers,
            auto_offset_reset="earliest",
        )
        async with consumer:
            while not self._is_over or len(self.delays) < len(self.sent):
                for records in (await consumer.getmany(timeout_ms=50)).values():
                    now = time.monotonic()
                    for record in records:
                        name = json.loads(record.value)["event"]["id"]
                        self.repeated += name in self.delays
                        self.delays.setdefault(name, now - self.sent[name])


class Fleet:
    """Workers that are members of one group, each on a port of its own, under no fixed name."""

    def __init__(
        self, site: Site, count: int = WORKERS, environment: dict[str, str] | None = None
    ) -> None:
        self._site = site
        self._environment = {"PENJAGA_KAFKA_INSTANCE": ""} | (environment or {})
        self._ports = [free_port() for _ in range(count)]
        self.workers = [self._start(port) for port in self._ports]

    def _start(self, port: int) -> Popen[bytes]:
        return self._site.start(self._environment | {"PENJAGA_WEB_PORT": str(port)})

    def partitions(self) -> list[int]:
        """Return how many partitions each says it reads; 0 where nobody answers."""
        return [self._partitions(port) for port in self._ports]

    @staticmethod
    def _partitions(port: int) -> int:
        try:
            with urllib.request.urlopen(
                f"http://127.0.0.1:{port}/health/ready", timeout=5
            ) as answer:
                count: int = json.load(answer)["partitions"]
                return count
        except (OSError, urllib.error.HTTPError):
            return 0

    async def ready(self) -> None:
        """Wait until each reads, and no partition is read twice or by nobody."""
        async with asyncio.timeout(60):
            while True:
                shares = await asyncio.to_thread(self.partitions)
                if min(shares) > 0 and sum(shares) == PARTITIONS:
                    return
                await asyncio.sleep(0.1)

    async def restart(self, number: int) -> int:
        """Stop one as Kubernetes does, and start another in its place; return the status of the first."""
        worker = self.workers[number]
        worker.send_signal(signal.SIGTERM)
        status = await asyncio.wait_for(asyncio.to_thread(worker.wait), 60)
        self.workers[number] = self._start(self._ports[number])
        return status


@pytest.mark.parametrize(
    ("rate", "rounds", "detectors"),
    [
        pytest.param(200, 1, '[detectors]\nonly = ["canary"]\n', id="quick"),
        pytest.param(1000, 3, "", id="long", marks=pytest.mark.soak),
    ],
)
async def test_nothing_is_lost_while_workers_are_replaced(  # noqa: PLR0913, PLR0917  # fixtures
    kafka: Broker,
    unique: Unique,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    rate: int,
    rounds: int,
    detectors: str,
) -> None:
    """Each worker ends with 0 and is replaced under load; every message is escalated."""
    with Site.make(kafka, tmp_path, unique, extra=f"{detectors}[sources.SOURCE]\n") as site:
        fleet = Fleet(site)
        await fleet.ready()
        load = Load(site, rate)
        ends = []
        async with asyncio.timeout(60 + 60 * rounds), asyncio.TaskGroup() as group:
            group.create_task(load.produce())
            group.create_task(load.consume())
            for number in [*range(WORKERS)] * rounds:
                await asyncio.sleep(1)
                ends.append(await fleet.restart(number))
                await fleet.ready()
            load.stop()

    ordered = sorted(load.delays.values())
    with capsys.disabled():
        print(  # noqa: T201  # the figure is what this is run for
            f"\n{len(ends)} restarts at {rate}/s: {len(load.sent)} sent, {load.repeated} came twice; "
            f"delay {ordered[len(ordered) // 2]:.2f} s at the median, "
            f"{ordered[len(ordered) * 99 // 100]:.2f} s at 99 %, {ordered[-1]:.2f} s at worst"
        )
    assert [0] * WORKERS * rounds == ends
    assert len(load.sent) > rate * rounds
    assert load.sent.keys() == load.delays.keys()
