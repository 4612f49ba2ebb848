"""What goes wrong around a worker, done for real on Apache Kafka: nothing is lost, and it says so."""

import asyncio
import signal
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from confluent_kafka import Producer
from confluent_kafka.admin import (
    AdminClient,
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    NewPartitions,
    ResourceType,
)

from pipeline.embedded import PARTITIONS
from tests.e2e.brokers import Broker, KafkaCluster
from tests.e2e.proxy import Proxy
from tests.e2e.test_delivery import expected_ids, stopped
from tests.e2e.test_rolling_restart import Fleet, Load
from tests.e2e.workers import (
    CANARY,
    Reader,
    Site,
    commit,
    committed,
    event,
    expire,
    free_port,
    send,
)

Unique = Callable[[str], str]

EXTRA = '[detectors]\nonly = ["canary"]\n[sources."SOURCE"]\n'
EVERY = 5
"""One message in so many is escalated."""


def messages(count: int) -> list[bytes | None]:
    """Return messages of which one in `EVERY` is escalated."""
    return [event(n, CANARY if n % EVERY == 0 else "hello") for n in range(count)]


async def settled(site: Site, seconds: float = 60) -> int:
    """Wait until everything there is to read is committed; return how much that is."""
    async with asyncio.timeout(seconds):
        while True:
            offset, end = await committed(site.broker.bootstrap_servers, site.group, site.source)
            if offset == end:
                return end
            await asyncio.sleep(0.2)


def bodies(reader: Reader, topic: str) -> dict[bytes, set[bytes]]:
    """Return what was written under each id."""
    found: dict[bytes, set[bytes]] = {}
    for record in reader.records:
        if record.topic == topic:
            found.setdefault(record.key, set()).add(record.value)
    return found


@asynccontextmanager
async def under_load(site: Site, seconds: float) -> AsyncIterator[None]:
    """Let a worker take a hundred messages a second, from before a fault until after it.

    At the end nothing is missing within so many seconds, and it is still the same worker.
    """
    worker = site.start()
    load = Load(site, 100)
    running = asyncio.gather(load.produce(), load.consume())
    await asyncio.sleep(5)
    yield
    load.stop()
    await asyncio.wait_for(running, seconds)

    assert worker.poll() is None
    assert set(load.sent) == set(load.delays)
    assert len(load.sent) > 1_500


@pytest.mark.parametrize("codec", ["gzip", "snappy", "lz4", "zstd"])
async def test_every_codec_is_read(
    kafka: Broker, unique: Unique, tmp_path: Path, codec: str
) -> None:
    """Producers choose how they compress, and which headers they add; it makes no difference."""
    values = messages(300)
    with Site.make(kafka, tmp_path, unique, EXTRA) as site:
        producer = Producer(
            {"bootstrap.servers": kafka.bootstrap_servers, "compression.type": codec}
        )
        for number, value in enumerate(values):
            producer.produce(site.source, value, b"%d" % number, headers=[("trace", b"\xff\x00")])
        producer.flush(30)
        site.start()
        async with Reader(kafka.bootstrap_servers, [site.escalations]) as reader:
            await reader.until(lambda: len(reader.records) >= len(values) // EVERY)
        read = await settled(site)
        metrics = site.metrics()

        assert expected_ids(site, values) == set(bodies(reader, site.escalations))
        assert len(values) == read == metrics["penjaga_events_received_total"]
        assert 0 == metrics["penjaga_events_rejected_total"]


async def test_a_worker_that_stood_still_past_its_session_loses_nothing(
    kafka: Broker, unique: Unique, tmp_path: Path
) -> None:
    """One of two hangs until the broker gives its partitions to the other, then goes on as if nothing was."""
    values = messages(2_000)
    with Site.make(kafka, tmp_path, unique, EXTRA) as site:
        expected = expected_ids(site, values)
        fleet = Fleet(site, 2, {"PENJAGA_KAFKA_SESSION_SECONDS": "6"})
        await fleet.ready()
        workers = fleet.workers
        async with Reader(kafka.bootstrap_servers, [site.escalations]) as reader:
            await send(kafka.bootstrap_servers, site.source, values[:1_000])
            await reader.until(lambda: len(set(reader.keys(site.escalations))) >= 20)
            workers[1].send_signal(signal.SIGSTOP)
            await send(kafka.bootstrap_servers, site.source, values[1_000:])
            await reader.until(lambda: expected <= set(reader.keys(site.escalations)))
            workers[1].send_signal(signal.SIGCONT)
            await send(kafka.bootstrap_servers, site.source, messages(200))
            read = await settled(site)
        found = bodies(reader, site.escalations)

        assert expected == set(found)
        assert {1} == {len(same) for same in found.values()}
        assert 2_200 == read
        assert [None, None] == [worker.poll() for worker in workers]


async def test_records_that_expired_unread_are_passed_over_and_told(
    kafka: Broker, unique: Unique, tmp_path: Path
) -> None:
    """What retention took before it was read is gone: the worker goes on behind it, and says so."""
    values = messages(400)
    with Site.make(kafka, tmp_path, unique, EXTRA) as site:
        await send(kafka.bootstrap_servers, site.source, values)
        await commit(kafka.bootstrap_servers, site.group, site.source, 5)
        await expire(kafka.bootstrap_servers, site.source, 50)
        site.start()
        read = await settled(site)
        async with asyncio.timeout(30):
            while not (metrics := site.metrics()).get("penjaga_records_expired_total"):  # noqa: ASYNC110
                await asyncio.sleep(0.2)

        assert len(values) == read
        assert len(values) - 50 * PARTITIONS == metrics["penjaga_events_received_total"]
        assert 45 * PARTITIONS == metrics["penjaga_records_expired_total"]
        assert any("expired" in message for message in site.log_messages())


async def test_partitions_that_are_added_are_read(
    kafka: Broker, unique: Unique, tmp_path: Path
) -> None:
    """By the worker that runs, from their beginning; what came before is not read again."""
    values = messages(200)
    with Site.make(kafka, tmp_path, unique, EXTRA) as site:
        worker = site.start({"PENJAGA_KAFKA_METADATA_SECONDS": "2"})
        await send(kafka.bootstrap_servers, site.source, values[:100])
        async with Reader(kafka.bootstrap_servers, [site.escalations]) as reader:
            await reader.until(lambda: len(reader.records) >= 20)
            admin = AdminClient({"bootstrap.servers": kafka.bootstrap_servers})
            more = NewPartitions(site.source, 2 * PARTITIONS)
            admin.create_partitions([more])[site.source].result(30)
            await send(kafka.bootstrap_servers, site.source, values[100:])
            expected = expected_ids(site, values)
            await reader.until(lambda: expected <= set(reader.keys(site.escalations)))
        # Of some partitions nothing is escalated, so nothing there says when they are read.
        async with asyncio.timeout(30):
            while (metrics := site.metrics())["penjaga_events_received_total"] < len(values):  # noqa: ASYNC110
                await asyncio.sleep(0.2)

        assert len(values) == metrics["penjaga_events_received_total"]
        assert 2 * PARTITIONS == metrics["penjaga_assigned_partitions"]
        assert {1} == {len(same) for same in bodies(reader, site.escalations).values()}
        assert worker.poll() is None


@pytest.mark.usefixtures("needs_kafka")
async def test_a_topic_that_is_made_anew_beneath_a_worker_is_read(
    unique: Unique, tmp_path: Path
) -> None:
    """From its beginning, though offsets were committed on what is no longer there."""
    values = messages(200)
    with KafkaCluster(settings={"auto.create.topics.enable": False}) as cluster:
        broker = Broker("kafka", cluster.bootstrap_servers)
        with Site.make(broker, tmp_path, unique, EXTRA) as site:
            worker = site.start({"PENJAGA_KAFKA_METADATA_SECONDS": "2"})
            await send(broker.bootstrap_servers, site.source, values[:100])
            async with Reader(broker.bootstrap_servers, [site.escalations]) as reader:
                await reader.until(lambda: len(reader.records) >= 20)
                admin = AdminClient({"bootstrap.servers": broker.bootstrap_servers})
                admin.delete_topics([site.source])[site.source].result(30)
                await asyncio.sleep(5)
                broker.create_topic(site.source)
                await asyncio.sleep(5)
                await send(broker.bootstrap_servers, site.source, values[100:])
                expected = expected_ids(site, values)
                await reader.until(lambda: expected <= set(reader.keys(site.escalations)))

            assert worker.poll() is None


@pytest.mark.parametrize("seconds", [86_400.0, -86_400.0])
async def test_a_clock_that_jumps_changes_nothing(
    kafka: Broker, unique: Unique, tmp_path: Path, needs_faketime: dict[str, str], seconds: float
) -> None:
    """A day ahead, or back, and right again, while messages are read."""
    values = messages(600)
    clock = tmp_path / "clock"
    clock.write_text("+0")
    with Site.make(kafka, tmp_path, unique, EXTRA) as site:
        worker = site.start(needs_faketime | {"FAKETIME_TIMESTAMP_FILE": str(clock)})
        expected = expected_ids(site, values)
        async with Reader(kafka.bootstrap_servers, [site.escalations]) as reader:
            for part, jump in (
                (values[:200], 0.0),
                (values[200:400], seconds),
                (values[400:], 0.0),
            ):
                clock.write_text(f"{jump:+.0f}")
                await send(kafka.bootstrap_servers, site.source, part)
                ids = expected_ids(site, part)
                await reader.until(lambda ids=ids: ids <= set(reader.keys(site.escalations)))
                await asyncio.sleep(2)
        read = await settled(site)
        found = bodies(reader, site.escalations)

        assert expected == set(found)
        assert {1} == {len(same) for same in found.values()}
        assert len(values) == read
        assert worker.poll() is None


@pytest.mark.usefixtures("needs_kafka")
async def test_each_node_of_three_is_lost_in_turn_and_then_all_hang(
    unique: Unique, tmp_path: Path
) -> None:
    """Leaders and the group's coordinator among them: under load, nothing is missing and the worker lives."""
    with KafkaCluster(nodes=3) as cluster:
        broker = Broker("kafka", cluster.bootstrap_servers, copies=3)
        with Site.make(broker, tmp_path, unique, EXTRA) as site:
            async with under_load(site, 120):
                for node in cluster.nodes:
                    await asyncio.to_thread(cluster.kill, node)
                    await asyncio.sleep(4)
                    await asyncio.to_thread(cluster.start, node)
                    await asyncio.sleep(2)
                for node in cluster.nodes:
                    cluster.pause(node)
                await asyncio.sleep(15)
                for node in cluster.nodes:
                    cluster.resume(node)
                await asyncio.sleep(3)


@pytest.mark.usefixtures("needs_kafka")
async def test_a_topic_that_refuses_writes_stops_the_worker_and_nothing_is_committed(
    unique: Unique, tmp_path: Path
) -> None:
    """Too few copies in sync for the escalations: status 75, and the next worker finds all of them."""
    values = messages(200)
    with KafkaCluster(nodes=3) as cluster:
        broker = Broker("kafka", cluster.bootstrap_servers, copies=3)
        with Site.make(broker, tmp_path, unique, EXTRA) as site:
            strict = ConfigResource(ResourceType.TOPIC, site.escalations)
            strict.add_incremental_config(
                ConfigEntry("min.insync.replicas", "3", incremental_operation=AlterConfigOpType.SET)
            )
            admin = AdminClient({"bootstrap.servers": cluster.bootstrap_servers})
            admin.incremental_alter_configs([strict])[strict].result(30)
            cluster.kill(3)
            await send(broker.bootstrap_servers, site.source, values)
            worker = site.start({"PENJAGA_KAFKA_DELIVERY_SECONDS": "5"})
            status = await stopped(worker, 90)
            refused, _ = await committed(broker.bootstrap_servers, site.group, site.source)
            last = site.log_messages()[-1]
            cluster.start(3)
            site.start()
            async with Reader(broker.bootstrap_servers, [site.escalations]) as reader:
                await reader.until(
                    lambda: expected_ids(site, values) <= set(reader.keys(site.escalations))
                )
            await settled(site)

        assert 75 == status
        assert 0 == refused
        assert site.escalations in last


@pytest.mark.usefixtures("needs_kafka")
async def test_a_bad_network_loses_nothing(unique: Unique, tmp_path: Path) -> None:
    """Slow, cut again and again, and dead without a word: the same worker goes on, and nothing is missing."""
    with Proxy(free_port()) as proxy:
        advertised = {"advertised.listeners": f"PLAINTEXT://127.0.0.1:{proxy.port}"}
        cluster = KafkaCluster(settings=advertised)
        # Before it starts: whoever asks whether it is up is sent here.
        proxy.upstream = cluster.bootstrap_servers
        with cluster:
            broker = Broker("kafka", f"127.0.0.1:{proxy.port}")
            with Site.make(broker, tmp_path, unique, EXTRA) as site:
                async with under_load(site, 60):
                    proxy.delay = 0.15
                    await asyncio.sleep(4)
                    proxy.delay = 0.0
                    cut = 0
                    for _ in range(4):
                        cut += proxy.cut()
                        await asyncio.sleep(1)
                    proxy.is_held = True
                    await asyncio.sleep(12)
                    proxy.is_held = False
                    await asyncio.sleep(2)

                assert cut >= 8
