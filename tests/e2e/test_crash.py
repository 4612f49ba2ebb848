"""Workers killed and joined at random while messages stream in: nothing is lost."""

import asyncio
import random
import signal
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pytest

from pipeline.app import COMMIT_SECONDS
from pipeline.transport import CHUNKS_IN_HAND
from tests.e2e.brokers import Broker
from tests.e2e.test_delivery import expected_ids
from tests.e2e.workers import CANARY, Reader, Site, committed, event, free_port, send

if TYPE_CHECKING:
    import subprocess

Unique = Callable[[str], str]

FLAGGED_EVERY: Final = 20
# More than any process reads on the machines this runs on; only the bound on duplicates hangs on it.
RECORDS_PER_SECOND: Final = 200_000
WORKERS: Final = ("a", "b", "c")


class Crew:
    """Up to three workers with names of their own, any of which may die at any time."""

    def __init__(self, site: Site, seed: int) -> None:
        self.site = site
        self.random = random.Random(seed)  # noqa: S311  # a course of events, not a secret
        self.running: dict[str, subprocess.Popen[bytes]] = {}
        self.ports = {name: free_port() for name in WORKERS}
        self.kills = self.starts = 0

    def start(self, name: str) -> None:
        """Start a worker, or start it again under its name."""
        self.running[name] = self.site.start(
            {"PENJAGA_WEB_PORT": str(self.ports[name]), "PENJAGA_KAFKA_INSTANCE": name}
        )
        self.starts += 1

    def kill(self, name: str) -> None:
        """Take a worker's power away."""
        worker = self.running.pop(name)
        worker.send_signal(signal.SIGKILL)
        worker.wait()
        self.kills += 1

    async def rage(self, until: Callable[[], bool]) -> None:
        """Every few seconds one of the three dies, or comes back."""
        while not until():
            name = self.random.choice(WORKERS)
            if name in self.running:
                self.kill(name)
            else:
                self.start(name)
            await asyncio.sleep(self.random.uniform(1, 4))


async def stream(site: Site, values: list[bytes | None], seconds: float) -> None:
    """Send all values, spread over so many seconds."""
    size = max(100, len(values) // int(10 * seconds))
    for start in range(0, len(values), size):
        part = values[start : start + size]
        await send(site.broker.bootstrap_servers, site.source, part)
        await asyncio.sleep(seconds * size / len(values) / 2)


@pytest.mark.parametrize(
    ("count", "seconds"),
    [(30_000, 15), pytest.param(500_000, 120, marks=pytest.mark.soak)],
)
async def test_workers_killed_and_joined_at_random_lose_nothing(  # noqa: PLR0913, PLR0917  # fixtures
    kafka: Broker,
    unique: Unique,
    tmp_path: Path,
    count: int,
    seconds: float,
    record_property: Callable[[str, object], None],
) -> None:
    """Every escalation is there, under one id with one content; what is there twice is little, and stated."""
    values: list[bytes | None] = [
        event(n, CANARY if n % FLAGGED_EVERY == 0 else "hello") for n in range(count)
    ]
    extra = '[detectors]\nonly = ["canary"]\n[sources."SOURCE"]'
    with Site.make(kafka, tmp_path, unique, extra) as site:
        expected = expected_ids(site, values)
        crew = Crew(site, seed=3)
        async with Reader(kafka.bootstrap_servers, [site.escalations]) as reader:
            crew.start(WORKERS[0])
            sending = asyncio.create_task(stream(site, values, seconds))
            raging = asyncio.create_task(crew.rage(sending.done))
            await reader.until(lambda: sending.done() and raging.done(), seconds=10 * seconds)
            await sending
            await raging
            for name in set(WORKERS) - crew.running.keys():
                crew.start(name)
            await reader.until(lambda: expected <= set(reader.keys(site.escalations)))
            offset = end = -1
            async with asyncio.timeout(60):
                while offset != count:
                    offset, end = await committed(kafka.bootstrap_servers, site.group, site.source)
        bodies: dict[bytes, set[bytes]] = {}
        for record in reader.records:
            bodies.setdefault(record.key, set()).add(record.value)
        twice = len(reader.records) - len(bodies)
        in_hand = CHUNKS_IN_HAND * site.settings.screening.batch_records
        at_risk = in_hand + int(COMMIT_SECONDS * RECORDS_PER_SECOND)
        for name, value in (("kills", crew.kills), ("starts", crew.starts), ("twice", twice)):
            record_property(name, value)
        print(  # noqa: T201  # `-s` shows it
            f"{count} messages, {crew.kills} kills, {crew.starts} starts: {len(expected)} escalations, "
            f"{twice} of them twice ({twice / len(expected):.2%})"
        )

        assert crew.kills >= 3
        assert expected == set(bodies)
        assert {1} == {len(same) for same in bodies.values()}
        assert (count, count) == (offset, end)
        assert twice <= crew.kills * at_risk / FLAGGED_EVERY
