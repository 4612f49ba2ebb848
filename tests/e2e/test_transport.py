"""The batch transport on real brokers: what is covered, what is committed, and what is in memory."""

import asyncio
import gc
import tempfile
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Self

import faust
import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.structs import TopicPartition
from confluent_kafka import Producer
from faust.types import TP

from pipeline.embedded import PARTITIONS
from pipeline.store import Changes, Subjects
from pipeline.transport import CHUNKS_IN_HAND, SCHEME, Chunk, batched, consumer_of
from tests.e2e.brokers import Broker, KafkaCluster, create_topic
from tests.e2e.test_delivery import expected_ids
from tests.e2e.workers import CANARY, Reader, Site, committed, event, send

Unique = Callable[[str], str]
Place = tuple[int, int]

# Faust sets the loop's policy aside and leaves a coroutine of its own unawaited when it stops.
pytestmark = pytest.mark.filterwarnings("default")


def new_app(servers: str, group: str, **settings: Any) -> faust.App:
    """Return an app without a web server, on this transport."""
    return faust.App(
        group,
        broker=f"{SCHEME}://{servers}",
        key_serializer="raw",
        value_serializer="raw",
        consumer_auto_offset_reset="earliest",
        broker_session_timeout=6.0,
        broker_heartbeat_interval=1.0,
        stream_wait_empty=False,
        topic_allow_declare=False,
        topic_disable_leader=True,
        web_enabled=False,
        datadir=Path(tempfile.gettempdir()) / "penjaga-transport",
        **settings,
    )


class Taker:
    """An app with one agent that takes chunks of 50 records and confirms the first `confirming` of them.

    It stands still while `opened` is not set, which it clears itself after so many records as `pauses` says.
    """

    def __init__(self, servers: str, group: str, topic: str, confirming: int | None = None) -> None:
        # Without tables and standbys Faust assigns partitions as any other client does.
        self.app = new_app(servers, group, table_standby_replicas=0)
        self.places: list[Place] = []
        self.chunks: list[Chunk] = []
        self.confirming = confirming
        self.confirmed = 0
        self.opened = asyncio.Event()
        self.opened.set()
        self.most = 0
        self.pauses: list[int] = []
        channel = batched(self.app, topic, records=50, seconds=0.02)

        @self.app.agent(channel, name=f"take-{topic}")
        async def take(stream: Any) -> AsyncIterator[None]:
            async for chunk in stream:
                consumer = consumer_of(self.app)
                self.most = max(self.most, consumer.unconfirmed)
                if self.pauses and len(self.places) >= self.pauses[0]:
                    self.pauses.pop(0)
                    self.opened.clear()
                await self.opened.wait()
                if consumer.is_current(chunk):
                    partition = chunk.span.partition.partition
                    self.places += [(partition, record.offset) for record in chunk.records]
                    if self.confirming is None or len(self.places) <= self.confirming:
                        consumer.confirm(chunk)
                        self.confirmed += len(chunk)
                    else:
                        self.chunks.append(chunk)
                yield None

    async def __aenter__(self) -> Self:
        self.app.finalize()
        await self.app.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        self.opened.set()
        await self.app.stop()

    async def commit(self) -> None:
        await consumer_of(self.app).commit_chunks()


def is_waiting(taker: Taker) -> bool:
    """Whether an agent stands still with all that is fetched before there is room for more."""
    return not taker.opened.is_set() and consumer_of(taker.app).unconfirmed > CHUNKS_IN_HAND // 2


async def until(holds: Callable[[], bool], seconds: float = 60) -> None:
    """Wait until something holds."""
    async with asyncio.timeout(seconds):
        while not holds():  # noqa: ASYNC110  # what is waited for has no event
            await asyncio.sleep(0.05)


async def fill(servers: str, topic: str, count: int) -> Counter[int]:
    """Send records; return how many each partition got."""
    async with AIOKafkaProducer(bootstrap_servers=servers, acks="all", linger_ms=5) as producer:
        sent = [await producer.send(topic, b"%d" % n, b"%d" % n) for n in range(count)]
        return Counter([record.partition for record in await asyncio.gather(*sent)])


def all_of(counts: Counter[int]) -> list[Place]:
    """Return every place of so many records in each partition."""
    return sorted((p, offset) for p, count in counts.items() for offset in range(count))


async def test_a_slow_agent_stops_the_fetching(kafka: Broker, unique: Unique) -> None:
    """With the agent standing still, no more than the bound is in memory; then all comes, in order."""
    topic = unique("slow")
    create_topic(kafka.bootstrap_servers, topic)
    counts = await fill(kafka.bootstrap_servers, topic, 20_000)
    taker = Taker(kafka.bootstrap_servers, unique("g"), topic)
    taker.opened.clear()
    async with taker:
        await until(lambda: is_waiting(taker))
        await asyncio.sleep(2)
        gc.collect()
        living = [thing for thing in gc.get_objects() if isinstance(thing, Chunk)]
        sizes = [len(chunk) for chunk in living]
        del living
        taker.opened.set()
        await until(lambda: len(taker.places) >= 20_000)
    orders = [[o for p, o in taker.places if p == partition] for partition in range(PARTITIONS)]

    assert CHUNKS_IN_HAND >= taker.most > CHUNKS_IN_HAND // 2
    assert CHUNKS_IN_HAND >= len(sizes) > CHUNKS_IN_HAND // 2
    assert 50 == max(sizes)
    assert all_of(counts) == sorted(taker.places)
    assert orders == [sorted(offsets) for offsets in orders]


async def test_a_stop_with_chunks_in_hand_commits_none_of_them(
    broker: Broker, unique: Unique
) -> None:
    """What was not confirmed is read again by the next, and nothing that was."""
    topic, group = unique("stop"), unique("g")
    broker.create_topic(topic)
    counts = await fill(broker.bootstrap_servers, topic, 2_000)
    async with Taker(broker.bootstrap_servers, group, topic, confirming=500) as first:
        await until(lambda: len(first.chunks) >= 4)
        confirmed = first.confirmed
        await first.commit()
    offset, _ = await committed(broker.bootstrap_servers, group, topic)
    async with Taker(broker.bootstrap_servers, group, topic) as second:
        await until(lambda: len(second.places) >= 2_000 - confirmed)
        await asyncio.sleep(1)
        await second.commit()
        at_end = await committed(broker.bootstrap_servers, group, topic)

    assert 0 < confirmed == offset
    assert 2_000 - confirmed == len(second.places)
    assert all_of(counts) == sorted(first.places[:confirmed] + second.places)
    assert (2_000, 2_000) == at_end


async def test_a_chunk_that_changes_hands_is_read_by_the_other(
    kafka: Broker, unique: Unique
) -> None:
    """A confirmation that comes after the rebalance commits nothing; the new owner starts before it."""
    servers, topic, group = kafka.bootstrap_servers, unique("hands"), unique("g")
    create_topic(servers, topic)
    counts = await fill(servers, topic, 2_000)
    async with Taker(servers, group, topic, confirming=0) as taker:
        await until(lambda: len(taker.chunks) > CHUNKS_IN_HAND // 2)
        taker.places.clear()
        # Another client takes part in the group, and gets some of the partitions.
        other = AIOKafkaConsumer(
            topic,
            bootstrap_servers=servers,
            group_id=group,
            auto_offset_reset="earliest",
            enable_auto_commit=False,
        )
        await other.start()
        seen: list[Place] = []
        try:
            # Those of before count no more; those that were read again since do.
            late = [c for c in taker.chunks if not consumer_of(taker.app).is_current(c)]
            taker.confirming = None
            for chunk in taker.chunks:
                consumer_of(taker.app).confirm(chunk)
            async with asyncio.timeout(60):
                while not set(all_of(counts)) <= {*taker.places, *seen}:
                    await taker.commit()
                    for records in (await other.getmany(timeout_ms=200)).values():
                        seen += [(record.partition, record.offset) for record in records]
            await other.commit()
            await taker.commit()
        finally:
            await other.stop()
    at_end = await committed(servers, group, topic)

    assert len(late) > CHUNKS_IN_HAND // 2
    assert seen != []
    assert taker.places != []
    assert (2_000, 2_000) == at_end


async def test_what_faust_drops_is_read_again(kafka: Broker, unique: Unique) -> None:
    """Faust empties its queues whenever flow resumes, also without a rebalance: nothing may be missing."""
    topic, group = unique("dropped"), unique("g")
    create_topic(kafka.bootstrap_servers, topic)
    counts = await fill(kafka.bootstrap_servers, topic, 5_000)
    taker = Taker(kafka.bootstrap_servers, group, topic)
    taker.pauses = [0, 1_500, 3_000]
    drops = 0
    async with taker:
        while taker.pauses or not taker.opened.is_set():
            await until(lambda: is_waiting(taker))
            taker.app.flow_control.resume()
            drops += 1
            taker.opened.set()
            await until(lambda: not (taker.pauses and taker.opened.is_set()))
        await until(lambda: set(all_of(counts)) <= set(taker.places))
        await until(lambda: consumer_of(taker.app).unconfirmed == 0)
        await taker.commit()
    at_end = await committed(kafka.bootstrap_servers, group, topic)

    assert 3 == drops
    assert (5_000, 5_000) == at_end


async def test_paused_partitions_wait_for_the_others(kafka: Broker, unique: Unique) -> None:
    """A paused partition delivers nothing, holds up nobody, and goes on where it was."""
    topic = unique("paused")
    create_topic(kafka.bootstrap_servers, topic)
    counts = await fill(kafka.bootstrap_servers, topic, 20_000)
    taker = Taker(kafka.bootstrap_servers, unique("g"), topic)
    # It stands still meanwhile, so that no partition is through before it is paused.
    taker.pauses = [200]
    async with taker:
        await until(lambda: not taker.opened.is_set())
        paused = {tp for tp in taker.app.consumer.assignment() if tp.partition == 0}
        taker.app.consumer.pause_partitions(paused)
        taker.opened.set()
        await until(lambda: consumer_of(taker.app).unconfirmed == 0, 20)
        others = sum(count for partition, count in counts.items() if partition != 0)
        await until(lambda: len([p for p, _ in taker.places if p != 0]) >= others)
        await asyncio.sleep(1)
        before = len([p for p, _ in taker.places if p == 0])
        await asyncio.sleep(1)
        still = len([p for p, _ in taker.places if p == 0])
        taker.app.consumer.resume_partitions(paused)
        await until(lambda: len(taker.places) >= 20_000)

    assert before == still < counts[0]
    assert all_of(counts) == sorted(taker.places)


async def test_tables_work_beside_a_batched_topic(broker: Broker, unique: Unique) -> None:
    """Per-record agent, table, changelog and recovery are Faust's own, also after a restart."""
    batches, singles, group = unique("batches"), unique("singles"), unique("g")
    broker.create_topic(batches)
    broker.create_topic(singles)
    broker.create_topic(f"{group}-counts-changelog")

    @asynccontextmanager
    async def running() -> AsyncIterator[tuple[list[int], Any]]:
        app = new_app(broker.bootstrap_servers, group, store="memory://")
        counts = app.Table(
            "counts", default=int, key_type=bytes, value_type=int, partitions=PARTITIONS
        )
        sizes: list[int] = []

        @app.agent(batched(app, batches, records=50, seconds=0.02), name="chunks")
        async def chunks(stream: Any) -> AsyncIterator[None]:
            async for chunk in stream:
                sizes.append(len(chunk))
                consumer_of(app).confirm(chunk)
                yield None

        @app.agent(app.topic(singles, key_type=bytes, value_type=bytes), name="records")
        async def records(stream: Any) -> None:
            async for event_ in stream.events():
                counts[event_.key] += 1

        app.finalize()
        await app.start()
        try:
            yield sizes, counts
            await consumer_of(app).commit_chunks()
        finally:
            await app.stop()

    async with running() as (sizes, counts):
        await fill(broker.bootstrap_servers, batches, 1_000)
        for _ in range(2):
            await fill(broker.bootstrap_servers, singles, 100)
        await until(lambda: sum(sizes) == 1_000 and sum(counts.values()) == 200)
        await asyncio.sleep(2)
    async with running() as (sizes, counts):
        await fill(broker.bootstrap_servers, batches, 500)
        await fill(broker.bootstrap_servers, singles, 100)
        await until(lambda: sum(sizes) == 500 and sum(counts.values()) == 300)
        recovered = dict(counts.items())
    chunks_left = await committed(broker.bootstrap_servers, group, batches)

    assert {b"%d" % n: 3 for n in range(100)} == recovered
    assert (1_500, 1_500) == chunks_left


@pytest.mark.parametrize("on_disk", [True, False])
async def test_a_table_is_recovered_in_runs(
    broker: Broker, unique: Unique, tmp_path: Path, *, on_disk: bool
) -> None:
    """Many versions of each key, some ended by a tombstone: the last ones are there, after few writes."""
    keys, rounds = 2_000, 5
    topic, memory, group = unique("signals"), unique("memory"), unique("g")
    for name in (topic, memory):
        broker.create_topic(name)
    async with AIOKafkaProducer(bootstrap_servers=broker.bootstrap_servers) as producer:
        for version in range(rounds):
            for key in range(keys):
                is_last = version == rounds - 1
                value = None if is_last and key % 10 == 0 else b"%d" % version
                await producer.send(memory, value, b"%d" % key, partition=key % PARTITIONS)
            await producer.flush()
    app = new_app(broker.bootstrap_servers, group)
    app.conf.datadir = tmp_path
    table = Subjects(
        app, name="kept", beacon=app.tables.beacon, topic=memory, on_disk=on_disk, keep_seconds=3600
    )
    app.tables.add(table)
    written: list[int] = []
    restore = table.store.restore

    def counted(partition: int, changes: Changes, offset: int) -> None:
        written.append(len(changes))
        restore(partition, changes, offset)

    table.store.restore = counted  # type: ignore[method-assign]

    @app.agent(batched(app, topic, records=50, seconds=0.02), name="signals")
    async def signals(stream: Any) -> AsyncIterator[None]:
        async for chunk in stream:
            consumer_of(app).confirm(chunk)
            yield None

    app.finalize()
    await app.start()
    try:
        await until(lambda: bool(written) and not app.in_recovery)
        found = {key: table.store.read(key % PARTITIONS, [b"%d" % key])[0] for key in range(keys)}
        ends = [table.store.persisted_offset(TP(memory, n)) for n in range(PARTITIONS)]
    finally:
        await app.stop()

    assert {key: b"4" if key % 10 else None for key in range(keys)} == found
    assert len(written) < keys * rounds / 20
    assert ends == [keys * rounds // PARTITIONS - 1 if on_disk else None] * PARTITIONS


def transact(servers: str, topic: str, values: list[bytes], unique: Unique) -> int:
    """Send values in transactions of 20, every third of them given up first; return how many were."""
    producer = Producer(
        {"bootstrap.servers": servers, "transactional.id": unique("t"), "linger.ms": 1}
    )
    producer.init_transactions(30)
    given_up = 0
    for start in range(0, len(values), 20):
        part = values[start : start + 20]
        outcomes = ["abort", "commit"] if start % 60 == 0 else ["commit"]
        for outcome in outcomes:
            producer.begin_transaction()
            for number, value in enumerate(part):
                # An aborted one is harmless only if nobody reads it.
                body = value if outcome == "commit" else event(9_000_000 + start + number, CANARY)
                producer.produce(topic, body, key=str(start + number))
            producer.flush(30)
            if outcome == "commit":
                producer.commit_transaction(30)
            else:
                producer.abort_transaction(30)
                given_up += len(part)
    return given_up


async def test_transactions_are_covered_to_the_last_marker(
    kafka: Broker, unique: Unique, tmp_path: Any
) -> None:
    """Committed records are screened once, aborted ones never, and the lag ends at zero."""
    values: list[bytes | None] = [event(n, CANARY if n % 5 == 0 else "hello") for n in range(600)]
    with Site.make(kafka, tmp_path, unique) as site:
        sending = asyncio.to_thread(
            transact, kafka.bootstrap_servers, site.source, [v for v in values if v], unique
        )
        site.start()
        async with Reader(kafka.bootstrap_servers, [site.escalations]) as reader:
            given_up = await sending
            await reader.until(lambda: len(reader.records) >= 120)
            await asyncio.sleep(1)
            await reader.until(lambda: True)
        metrics = site.metrics()
        offset, end = await committed(kafka.bootstrap_servers, site.group, site.source)

    assert expected_ids(site, values) == set(reader.keys(site.escalations))
    assert 120 == len(reader.records)
    assert 200 == given_up
    assert 600 == metrics["penjaga_events_received_total"]
    assert end > 600 + given_up
    assert end == offset


@pytest.mark.usefixtures("needs_kafka")
async def test_a_compacted_topic_is_covered(unique: Unique) -> None:
    """Where compaction took records away, the rest is read once and the lag ends at zero."""
    config = {
        "cleanup.policy": "compact",
        "min.cleanable.dirty.ratio": "0.01",
        "segment.ms": "500",
        "max.compaction.lag.ms": "500",
        "min.compaction.lag.ms": "0",
    }
    with KafkaCluster(settings={"log.cleaner.backoff.ms": 500}) as cluster:
        servers, topic, group = cluster.bootstrap_servers, unique("compacted"), unique("g")
        create_topic(servers, topic, config=config)
        for _ in range(6):
            # 40 keys again and again: nearly all of it can go.
            await send(servers, topic, [b"%d" % n for n in range(40)] * 10)
            await asyncio.sleep(0.6)
        total = 6 * 400
        seen: list[Place] = []
        async with asyncio.timeout(60):
            while not 0 < len(seen) < total / 2:
                seen = await places(servers, topic)
        async with Taker(servers, group, topic) as taker:
            await until(lambda: set(seen) <= set(taker.places))
            await asyncio.sleep(1)
            await taker.commit()
        offset, end = await committed(servers, group, topic)

    assert len(taker.places) == len(set(taker.places)) < total
    assert end == offset


async def places(servers: str, topic: str) -> list[Place]:
    """Return where records are left, as another client sees them."""
    partitions = [TopicPartition(topic, partition) for partition in range(PARTITIONS)]
    async with AIOKafkaConsumer(bootstrap_servers=servers) as consumer:
        consumer.assign(partitions)
        ends = await consumer.end_offsets(partitions)
        await consumer.seek_to_beginning()
        seen = []
        while [p for p in partitions if await consumer.position(p) < ends[p]]:
            for records in (await consumer.getmany(timeout_ms=200)).values():
                seen += [(record.partition, record.offset) for record in records]
    return seen


def test_topic_partitions_are_plain_tuples() -> None:
    """Faust's and aiokafka's names of a partition are equal and hash alike; the transport relies on it."""
    theirs, ours = TopicPartition("t", 1), faust.types.TP("t", 1)

    assert theirs == ours
    assert hash(theirs) == hash(ours)
