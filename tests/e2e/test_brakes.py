"""Brakes, through the running loop: a detector that was changed and floods, and one that is spared."""

import asyncio
import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from tests.e2e.brokers import Broker
from tests.e2e.test_delivery import stopped
from tests.e2e.workers import CANARY, Reader, Site, event, plugin, send

Unique = Callable[[str], str]

EXTRA = """
[detectors]
only = ["canary", "eager"]
[brakes]
flood_messages = 500
[screening]
batch_records = 50
[sources."SOURCE"]
"""
EAGER = '''
"""A detector that finds something in everything."""

from detectors.contract import Pattern
from schemas import Finding


class Eager:
    """Find harm in every greeting.

    Misses: nothing, which is what is wrong with it.
    """

    name = "eager"
    version = "2"
    labels = frozenset({"LABEL"})
    patterns = (Pattern("hello", "hello"),)

    def scan(self, candidates):
        for candidate in candidates:
            yield candidate, Finding(
                detector=self.name, version=self.version, label="LABEL", score=0.9, start=0, end=5,
                reason="a greeting",
            )
'''


def install(folder: Path, label: str) -> dict[str, str]:
    """Install the detector for one label; return what the worker's environment needs."""
    return plugin(folder / "packages", "eager", EAGER.replace("LABEL", label))


def labels(reader: Reader) -> Counter[tuple[str, str]]:
    """Count the verdicts of events by topic and label."""
    verdicts = ((r.topic, json.loads(r.value)) for r in reader.records)
    return Counter((topic, one["label"]) for topic, one in verdicts if "event" in one)


async def until_told(site: Site, is_stopped: float) -> None:
    """Wait until the worker tells whether its detector is stopped."""
    async with asyncio.timeout(30):
        while site.metrics().get("penjaga_detector_stopped") != is_stopped:  # noqa: ASYNC110
            await asyncio.sleep(0.2)


async def test_a_changed_detector_that_floods_stops_escalating(
    kafka: Broker, unique: Unique, tmp_path: Path
) -> None:
    """What it finds goes to the shadow topic, the canary is escalated; once it is old, all is as before."""
    flood = [event(n, CANARY if n % 100 == 0 else "hello") for n in range(1_000)]
    later = [event(n, "hello") for n in range(2_000, 2_600)]
    with Site.make(kafka, tmp_path, unique, EXTRA) as site:
        environment = install(tmp_path, "gambling.promotion")
        worker = site.start(environment)
        async with Reader(kafka.bootstrap_servers, [site.escalations, site.shadow]) as reader:
            await send(kafka.bootstrap_servers, site.source, flood)
            await reader.until(lambda: labels(reader).total() >= 1_000)
            first = labels(reader)
            await until_told(site, 1)
            log = site.log_messages()
            worker.terminate()
            await stopped(worker)
            kept = next((tmp_path / "memory").rglob("detectors.json"))
            seen = json.loads(kept.read_text())
            seen["eager"]["2"] -= 25 * 3600
            kept.write_text(json.dumps(seen))
            site.start(environment)
            await send(kafka.bootstrap_servers, site.source, later)
            await reader.until(lambda: labels(reader).total() >= 1_600)
            await until_told(site, 0)
        then = labels(reader) - first

    assert 10 == first[site.escalations, "canary.seen"]
    assert 100 < first[site.escalations, "gambling.promotion"] < 400
    assert 590 < first[site.shadow, "gambling.promotion"] < 890
    assert any("eager was changed lately" in message for message in log)
    assert {(site.escalations, "gambling.promotion"): 600} == then


async def test_childrens_safety_is_escalated_whatever_floods(
    kafka: Broker, unique: Unique, tmp_path: Path
) -> None:
    """A detector of a spared label is never stopped."""
    flood = [event(n, "hello") for n in range(1_000)]
    with Site.make(kafka, tmp_path, unique, EXTRA) as site:
        site.start(install(tmp_path, "csea.grooming"))
        await send(kafka.bootstrap_servers, site.source, flood)
        async with Reader(kafka.bootstrap_servers, [site.escalations, site.shadow]) as reader:
            await reader.until(lambda: labels(reader).total() >= 1_000)
        await until_told(site, 0)

        assert {(site.escalations, "csea.grooming"): 1_000} == labels(reader)


async def test_what_is_more_than_a_quota_overflows_and_nothing_is_missing(
    kafka: Broker, unique: Unique, tmp_path: Path
) -> None:
    """The first hundred reach people, the rest waits on the overflow topic, and all are counted."""
    flood = [event(n, "hello") for n in range(1_000)]
    quota = f'[quotas."gambling.*"]\nescalations_a_minute = 100\n{EXTRA}'.replace(
        "flood_messages = 500", "changed_hours = 0"
    )
    with Site.make(kafka, tmp_path, unique, quota) as site:
        site.start(install(tmp_path, "gambling.promotion"))
        await send(kafka.bootstrap_servers, site.source, flood)
        async with Reader(kafka.bootstrap_servers, [site.escalations, site.overflow]) as reader:
            await reader.until(lambda: labels(reader).total() >= 1_000)
        ids = {r.key for r in reader.records if b'"behaviour":' not in r.value}
        found = labels(reader)
        async with asyncio.timeout(30):
            while (told := site.metrics())["penjaga_events_received_total"] < 1_000:  # noqa: ASYNC110
                await asyncio.sleep(0.2)

    assert 100 <= found[site.escalations, "gambling.promotion"] < 200
    assert 1_000 == found.total() == len(ids)
    assert found[site.overflow, "gambling.promotion"] == told["penjaga_escalations_held_back_total"]
    assert {"review", "escalate"} >= {
        json.loads(r.value)["action"] for r in reader.records if r.topic == site.overflow
    }
