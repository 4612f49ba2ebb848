"""Dead letters: rejected records, read back from their topic with the reason and their own bytes."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from time import monotonic
from typing import Any, Final

import aiokafka
import msgspec

from pipeline.delivery import BrokerUnreachableError, client_options, connect
from pipeline.settings import Kafka
from pipeline.writes import Headers, Record

_POLL_MILLISECONDS: Final = 1000
_OWN_HEADERS: Final = "penjaga-"


class DeadLetter(msgspec.Struct, frozen=True):
    """A rejected record and where both it and its dead letter stand."""

    partition: int
    offset: int
    at: datetime
    reason: str
    detail: str
    record: Record

    @property
    def place(self) -> str:
        """Its address on the dead-letter topic: `partition/offset`."""
        return f"{self.partition}/{self.offset}"


async def read(kafka: Kafka, topic: str, reason: str | None = None) -> AsyncIterator[DeadLetter]:
    """Yield every dead letter that is on the topic now, oldest first within a partition.

    With `reason`, only those refused for it.

    Raises:
        BrokerUnreachableError: if no broker answers or the topic is not there.
    """
    consumer = aiokafka.AIOKafkaConsumer(
        topic, **client_options(kafka), enable_auto_commit=False, auto_offset_reset="earliest"
    )
    await connect(consumer, kafka)
    try:
        async for letter in _until_now(consumer, topic, kafka):
            if reason is None or letter.reason == reason:
                yield letter
    finally:
        await consumer.stop()


async def _until_now(consumer: Any, topic: str, kafka: Kafka) -> AsyncIterator[DeadLetter]:
    places = sorted(consumer.assignment())
    if not places:
        raise BrokerUnreachableError(f"no topic {topic} on {kafka.bootstrap_servers}")
    ends = await consumer.end_offsets(places)
    await consumer.seek_to_beginning(*places)
    quiet_since = monotonic()
    while pending := [p for p in places if await consumer.position(p) < ends[p]]:
        fetched = await consumer.getmany(*pending, timeout_ms=_POLL_MILLISECONDS)
        if fetched:
            quiet_since = monotonic()
        elif monotonic() - quiet_since > kafka.delivery_seconds:
            raise BrokerUnreachableError(
                f"{kafka.bootstrap_servers} sent nothing for {kafka.delivery_seconds:g} s"
            )
        for place in sorted(fetched):
            for message in fetched[place]:
                if message.offset < ends[place]:
                    yield _letter(message)


def _number(text: str) -> int:
    """Read a place; -1 for none, in a record that somebody else wrote."""
    return int(text) if text.isascii() and text.isdigit() else -1


def _letter(message: Any) -> DeadLetter:
    own: dict[str, bytes] = {n: v for n, v in message.headers if n.startswith(_OWN_HEADERS)}

    def text(name: str) -> str:
        return own.get(f"{_OWN_HEADERS}{name}", b"").decode("utf-8", "replace")

    headers: Headers = tuple((n, v) for n, v in message.headers if not n.startswith(_OWN_HEADERS))
    return DeadLetter(
        partition=message.partition,
        offset=message.offset,
        at=datetime.fromtimestamp(message.timestamp / 1000, UTC),
        reason=text("reason"),
        detail=text("detail"),
        record=Record(
            topic=text("source-topic"),
            partition=_number(text("source-partition")),
            offset=_number(text("source-offset")),
            key=own.get(f"{_OWN_HEADERS}source-key"),
            value=message.value,
            headers=headers,
        ),
    )
