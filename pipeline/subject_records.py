"""Subject records: what the memory topic holds of one subject, read and erased from outside a worker."""

from datetime import UTC, datetime
from time import monotonic
from typing import Any, Final

import aiokafka
import msgspec
from aiokafka import TopicPartition
from aiokafka.partitioner import DefaultPartitioner

from pipeline.delivery import BrokerUnreachableError, Delivery, client_options, connect
from pipeline.memory import Memory, decoded
from pipeline.settings import Settings
from pipeline.writes import Write, key_of

_POLL_MILLISECONDS: Final = 1000


async def shown(settings: Settings, subject: str) -> dict[str, Any] | None:
    """Return what is kept of a subject, for eyes; None if nothing is.

    Raises:
        BrokerUnreachableError: if no broker answers or the topic is not there.
        MemoryVersionError: if a newer release wrote it.
    """
    content = await _latest(settings, key_of(subject))
    return None if content is None else _shown(subject, decoded(content))


async def erase(settings: Settings, subject: str) -> None:
    """Ask the worker that has a subject to forget it, and erase it on the memory topic.

    In this order: a worker that writes in between is asked after that, and erases it again.

    Raises:
        BrokerUnreachableError: if no broker answers or a topic is not there.
        DeliveryFailedError: if a write is not confirmed; run it again.
    """
    key = key_of(subject)
    async with Delivery(settings.kafka) as delivery:
        for topic in (settings.topics.signals, settings.topics.memory):
            if not await delivery.partitions(topic):
                raise BrokerUnreachableError(
                    f"no topic {topic} on {settings.kafka.bootstrap_servers}"
                )
            await delivery.deliver([Write(topic, key, None, ())])


async def _latest(settings: Settings, key: bytes) -> bytes | None:
    topic, kafka = settings.topics.memory, settings.kafka
    consumer = aiokafka.AIOKafkaConsumer(
        topic, **client_options(kafka), enable_auto_commit=False, auto_offset_reset="earliest"
    )
    await connect(consumer, kafka)
    try:
        numbers = sorted(place.partition for place in consumer.assignment())
        if not numbers:
            raise BrokerUnreachableError(f"no topic {topic} on {kafka.bootstrap_servers}")
        # Where the signals of a subject go, its memory is.
        place = TopicPartition(topic, DefaultPartitioner()(key, numbers, numbers))
        consumer.pause(*(consumer.assignment() - {place}))
        return await _last(consumer, place, key, kafka.delivery_seconds)
    finally:
        await consumer.stop()


async def _last(consumer: Any, place: Any, key: bytes, patience: float) -> bytes | None:  # noqa: ANN401  # aiokafka has no types
    end = (await consumer.end_offsets([place]))[place]
    await consumer.seek_to_beginning(place)
    found: bytes | None = None
    quiet_since = monotonic()
    while await consumer.position(place) < end:
        fetched = await consumer.getmany(place, timeout_ms=_POLL_MILLISECONDS)
        if fetched:
            quiet_since = monotonic()
        elif monotonic() - quiet_since > patience:
            raise BrokerUnreachableError(f"the broker sent nothing for {patience:g} s")
        for message in fetched.get(place, ()):
            if message.key == key:
                found = message.value
    return found


def _shown(subject: str, memory: Memory) -> dict[str, Any]:
    names = (
        [field.name for field in msgspec.structs.fields(memory.traces[0])] if memory.traces else []
    )
    traces = [dict(zip(names, msgspec.structs.astuple(t), strict=True)) for t in memory.traces]
    return {
        "subject": subject,
        "version": memory.version,
        "crossed": memory.crossed,
        "counterparts": memory.counterparts,
        "began_anew": memory.lives,
        "traces": [t | {"at": datetime.fromtimestamp(t["at"], UTC).isoformat()} for t in traces],
    }
