"""Both brokers do what the end-to-end suites take for granted."""

import asyncio
from collections.abc import Callable, Sequence

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer

from pipeline.embedded import PARTITIONS
from tests.e2e.brokers import Broker, KafkaCluster, create_topic

Unique = Callable[[str], str]


async def send(servers: str, topic: str, values: Sequence[bytes]) -> None:
    """Send values, one partition after the other, and return when all are confirmed."""
    async with AIOKafkaProducer(
        bootstrap_servers=servers, acks="all", enable_idempotence=True
    ) as producer:
        for number, value in enumerate(values):
            await producer.send_and_wait(topic, value, partition=number % PARTITIONS)


async def receive(servers: str, topic: str, group: str, count: int) -> list[bytes]:
    """Read `count` values as a member of `group`, commit, and return them sorted."""
    values: list[bytes] = []
    async with AIOKafkaConsumer(
        topic,
        bootstrap_servers=servers,
        group_id=group,
        enable_auto_commit=False,
        auto_offset_reset="earliest",
    ) as consumer:
        while len(values) < count:
            for records in (await consumer.getmany(timeout_ms=1000)).values():
                values += [record.value for record in records]
        await consumer.commit()
    return sorted(values)


async def test_a_group_goes_on_where_it_committed(broker: Broker, unique: Unique) -> None:
    """What was sent is read once; after a commit, the same group sees only what came later."""
    topic, group = unique("events"), unique("group")
    first = [b"first-%02d" % number for number in range(20)]
    second = [b"second-%02d" % number for number in range(20)]

    async with asyncio.timeout(60):
        await send(broker.bootstrap_servers, topic, first)
        read_first = await receive(broker.bootstrap_servers, topic, group, len(first))
        await send(broker.bootstrap_servers, topic, second)
        read_second = await receive(broker.bootstrap_servers, topic, group, len(second))

    assert first == read_first
    assert second == read_second


async def test_a_topic_appears_on_first_use(broker: Broker, unique: Unique) -> None:
    """A topic that nobody created has four partitions as soon as something is sent to it."""
    topic = unique("unheard-of")

    async with AIOKafkaProducer(bootstrap_servers=broker.bootstrap_servers) as producer:
        await producer.send_and_wait(topic, b"")
        partitions = await producer.partitions_for(topic)

    assert set(range(PARTITIONS)) == partitions


async def test_a_created_topic_can_be_used_at_once(broker: Broker, unique: Unique) -> None:
    """`create_topic` returns when each of the four partitions can be written to."""
    topic = unique("created")
    broker.create_topic(topic)

    async with AIOKafkaProducer(bootstrap_servers=broker.bootstrap_servers) as producer:
        sent = [
            await producer.send_and_wait(topic, b"", partition=partition)
            for partition in range(PARTITIONS)
        ]

    assert [(partition, 0) for partition in range(PARTITIONS)] == [
        (metadata.partition, metadata.offset) for metadata in sent
    ]


@pytest.mark.usefixtures("needs_kafka")
async def test_confirmed_writes_survive_the_loss_of_a_node(unique: Unique) -> None:
    """One of three nodes goes and comes back, then another goes: all that was confirmed is read."""
    topic = unique("events")
    values = [b"%02d" % number for number in range(30)]

    with KafkaCluster(nodes=3) as cluster:
        servers = cluster.bootstrap_servers
        create_topic(servers, topic, replication=3)
        async with asyncio.timeout(120):
            await send(servers, topic, values[:10])
            cluster.kill(1)
            await send(servers, topic, values[10:20])
            cluster.start(1)
            await send(servers, topic, values[20:])
            cluster.kill(2)
            read = await receive(servers, topic, unique("group"), len(values))

    assert values == read
