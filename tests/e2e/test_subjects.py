"""What is remembered outlives crashes and goes from worker to worker; every crossing is told once."""

import asyncio
import json
import shutil
import signal
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec
from aiokafka import AIOKafkaProducer

from pipeline.correlate import Heard, correlate_batch
from pipeline.line import line
from pipeline.options import cache_folder
from pipeline.subject_records import shown
from tests.e2e.brokers import Broker
from tests.e2e.test_delivery import stopped
from tests.e2e.workers import Reader, Site, committed, free_port

Unique = Callable[[str], str]

CONVERSATION = (
    "how old are you",
    "add me on snapchat",
    "are you home alone",
    "i'll buy you robux",
    "this is our little secret",
    "can we meet up",
)
"""One process each, none of which is reviewed by itself."""
EXTRA = """
[detectors]
only = ["grooming_cues"]
[behaviours.grooming_conversation]
subject = "conversation"
label = "csea.grooming"
labels = ["csea.*"]
counts = "cues"
weight = 0.5
least = 3
[sources."SOURCE"]
"""
"""A term makes its process as likely as not, so the third crosses review and the fourth escalation."""


def said(conversation: int, number: int) -> bytes:
    """Return one message of a conversation."""
    return json.dumps(
        {
            "id": f"m-{conversation}-{number}",
            "platform": "test",
            "kind": "message",
            "occurred_at": f"2026-01-01T00:{number:02}:00Z",
            "text": CONVERSATION[number],
            "actor": {"id": f"a-{conversation}"},
            "audience": {"kind": "dm", "recipient_ids": [f"r-{conversation}"]},
            "conversation": {"id": f"c-{conversation}"},
        }
    ).encode()


def messages(conversations: int, numbers: Sequence[int]) -> list[bytes]:
    """Return those messages of all conversations, interleaved."""
    return [said(c, n) for n in numbers for c in range(conversations)]


async def send(site: Site, values: Sequence[bytes]) -> None:
    """Send messages, keyed by their conversation so that each stays in order."""
    async with AIOKafkaProducer(bootstrap_servers=site.broker.bootstrap_servers) as producer:
        for value in values:
            key = json.loads(value)["conversation"]["id"].encode()
            await producer.send(site.source, value, key)
        await producer.flush()


def expected(site: Site, values: Sequence[bytes]) -> dict[bytes, bytes]:
    """Return the verdicts of subjects that have to come, by id, as the pure functions make them."""
    built = line(site.settings, cache_folder())
    told = built.screen(site.source, list(values)).signals
    heard = [Heard(one.subject, one) for position in sorted(told) for one in told[position]]
    verdicts = correlate_batch({}, heard, built.watch).verdicts
    return {verdict.id.encode(): msgspec.json.encode(verdict) for _, verdict in verdicts}


def of_subjects(reader: Reader) -> Iterator[tuple[bytes, bytes]]:
    """Yield id and bytes of each verdict of a subject."""
    return ((r.key, r.value) for r in reader.records if b'"behaviour":' in (r.value or b""))


def memory_folders(site: Site) -> list[Path]:
    """Return the folders in which workers keep their memory."""
    return sorted(path.parent for path in (site.folder / "memory").rglob("lock"))


async def test_killed_in_mid_conversation_each_crossing_comes_with_one_id(
    kafka: Broker, unique: Unique, tmp_path: Path
) -> None:
    """Killed four times, once losing its disk too: the same verdicts, byte for byte, as without."""
    conversations = 150
    with Site.make(kafka, tmp_path, unique, EXTRA) as site:
        wanted = expected(site, messages(conversations, range(6)))
        async with Reader(kafka.bootstrap_servers, [site.escalations, site.memory]) as reader:
            await send(site, messages(conversations, [0, 1]))
            worker = site.start()
            for number in range(2, 6):
                before = len(reader.keys(site.memory))
                sending = asyncio.create_task(send(site, messages(conversations, [number])))
                await reader.until(lambda n=before: len(reader.keys(site.memory)) > n)
                worker.send_signal(signal.SIGKILL)
                await stopped(worker)
                await sending
                if number == 4:
                    shutil.rmtree(tmp_path / "memory")
                worker = site.start()
            await reader.until(lambda: wanted.keys() <= dict(of_subjects(reader)).keys())
            async with asyncio.timeout(30):
                offset, end = -1, 0
                while offset != end:
                    offset, end = await committed(kafka.bootstrap_servers, site.group, site.signals)
            metrics = site.metrics()
        bodies: dict[bytes, set[bytes]] = {}
        for key, value in of_subjects(reader):
            bodies.setdefault(key, set()).add(value)

    assert 2 * conversations == len(wanted)
    assert {key: {value} for key, value in wanted.items()} == bodies
    assert metrics["penjaga_table_recovery_seconds"] > 0
    assert 0 == metrics["penjaga_table_recovering"]
    assert [] == list(Path.cwd().glob(f"*{site.group}*-data"))


async def test_a_conversation_goes_on_at_another_worker(
    kafka: Broker, unique: Unique, tmp_path: Path
) -> None:
    """A second worker takes half of the partitions, then the first leaves; nobody's memory is missing."""
    conversations = 40
    with Site.make(kafka, tmp_path, unique, EXTRA) as site:
        wanted = expected(site, messages(conversations, range(6)))
        async with Reader(kafka.bootstrap_servers, [site.escalations, site.memory]) as reader:

            async def say(number: int, total: int) -> None:
                await send(site, messages(conversations, [number]))
                # The conversation and its sender.
                await reader.until(lambda: len(remembered(reader, site)) >= total)

            first = site.start({"PENJAGA_KAFKA_INSTANCE": "a"})
            await say(0, 2 * conversations)
            await say(1, 2 * conversations)
            second = {"PENJAGA_KAFKA_INSTANCE": "b", "PENJAGA_WEB_PORT": str(free_port())}
            site.start(second)
            await reader.until(lambda: len(list(shared(site))) == 2)
            await send(site, messages(conversations, [2]))
            first.terminate()
            await stopped(first)
            await send(site, messages(conversations, [3, 4, 5]))
            await reader.until(lambda: wanted.keys() <= dict(of_subjects(reader)).keys())

    assert wanted == dict(of_subjects(reader))
    assert len(wanted) == len(list(of_subjects(reader)))
    assert ["a", "b"] == [folder.name for folder in memory_folders(site)]


def remembered(reader: Reader, site: Site) -> set[bytes]:
    """Return the subjects that something is kept of."""
    return set(reader.keys(site.memory))


def tombstones(reader: Reader, site: Site) -> list[bytes]:
    """Return of whom the topic was told that nothing is kept any more."""
    return [r.key for r in reader.records if r.topic == site.memory and r.value is None]


def shared(site: Site) -> Iterator[Path]:
    """Yield the workers' folders that hold the memory of at least one partition."""
    return (folder for folder in memory_folders(site) if any(folder.rglob("*.db")))


async def test_a_subject_is_shown_and_forgotten_by_a_running_worker(
    broker: Broker, unique: Unique, tmp_path: Path
) -> None:
    """Nothing is left of it anywhere, and what comes later counts from nothing; others stay."""
    with Site.make(broker, tmp_path, unique, EXTRA) as site:
        async with Reader(broker.bootstrap_servers, [site.escalations, site.memory]) as reader:
            site.start({"PENJAGA_MEMORY_STORE": "memory"})
            await send(site, messages(2, [0, 1]))
            subjects = {f"conversation:test:c-{n}".encode() for n in range(2)}
            await reader.until(lambda: subjects <= remembered(reader, site))
            await until_kept(site, "conversation:test:c-0", 2)
            before = await show(site, "conversation:test:c-0")
            forgotten = await asyncio.to_thread(
                site.penjaga, "subjects", "forget", "conversation:test:c-0"
            )
            gone = await show(site, "conversation:test:c-0")
            await send(site, messages(2, [2]))
            await until_kept(site, "conversation:test:c-1", 3)
            await until_kept(site, "conversation:test:c-0", 1)
            metrics = site.metrics()
            await reader.until(lambda: dict(of_subjects(reader)) != {})
            # Whoever asked has told the topic, and so has the worker.
            await reader.until(lambda: len(tombstones(reader, site)) >= 2)

    assert {"a-0"} == {trace["actor_id"] for trace in before["traces"]}
    assert 0 == forgotten.returncode
    assert {} == gone
    assert 2 * [b"conversation:test:c-0"] == tombstones(reader, site)
    assert {"conversation:test:c-1"} == {
        json.loads(value)["subject"] for _, value in of_subjects(reader)
    }
    assert 13 == metrics["penjaga_signals_received_total"]
    assert [] == memory_folders(site)
    assert [] == list(Path.cwd().glob(f"*{site.group}*-data"))


async def show(site: Site, subject: str) -> dict[str, Any]:
    """Return what `penjaga subjects show` prints; nothing if it found nothing."""
    printed = await asyncio.to_thread(site.penjaga, "subjects", "show", subject)
    assert (0 if printed.stdout else 1) == printed.returncode
    return json.loads(printed.stdout) if printed.stdout else {}


async def until_kept(site: Site, subject: str, traces: int) -> None:
    """Wait until so many traces are kept of a subject."""
    async with asyncio.timeout(30):
        while len((await shown(site.settings, subject) or {}).get("traces", ())) != traces:  # noqa: ASYNC110  # other processes set no event
            await asyncio.sleep(0.2)
