"""Delivery: writes that count only once the broker has confirmed them.

`acks=all` from an idempotent producer. A batch is delivered when every one of its writes is; until then its
source offsets stay uncommitted.
"""

import asyncio
import logging
from collections.abc import Sequence
from types import TracebackType
from typing import Any, Final, Self

import aiokafka
import msgspec
from aiokafka.errors import (
    KafkaError,
    MessageSizeTooLargeError,
    UnknownTopicOrPartitionError,
)

from pipeline.settings import Kafka
from pipeline.writes import Write

log: Final = logging.getLogger(__name__)

_FIRST_BACKOFF_SECONDS: Final = 0.5
_LONGEST_BACKOFF_SECONDS: Final = 8.0
# Where topics do not appear by themselves, aiokafka asks for a missing one again and again.
_METADATA_SECONDS: Final = 5.0
# A dead letter is as large as its source record; the topic's own limit decides, not the client's.
_REQUEST_BYTES: Final = 256 * 1024 * 1024


class BrokerUnreachableError(Exception):
    """No broker answered within the time given at start."""


class DeliveryFailedError(Exception):
    """A write was not confirmed, for good: its source record must not be committed."""


class Delivered(msgspec.Struct, frozen=True):
    """What the broker confirmed, by topic, and what was written instead of too large escalations."""

    topics: dict[str, int]
    reduced: dict[str, int]


def client_options(kafka: Kafka) -> dict[str, Any]:
    """Return the connection options that every aiokafka client takes."""
    options: dict[str, Any] = {
        "bootstrap_servers": kafka.bootstrap_servers,
        "security_protocol": kafka.security_protocol,
        "ssl_context": kafka.ssl_context(),
    }
    if kafka.security_protocol.startswith("SASL"):
        options |= {
            "sasl_mechanism": kafka.sasl_mechanism,
            "sasl_plain_username": kafka.sasl_username,
            "sasl_plain_password": kafka.sasl_password(),
        }
    return options


async def check(kafka: Kafka, topics: Sequence[str]) -> None:
    """See that brokers answer and topics are there, before anything is started that needs them.

    Raises:
        BrokerUnreachableError: naming the brokers, or the topics that are missing.
    """
    async with Delivery(kafka) as delivery:
        missing = [topic for topic in topics if not await delivery.partitions(topic)]
    if missing:
        raise BrokerUnreachableError(
            f"no such topic on {kafka.bootstrap_servers}: {', '.join(missing)}. Create it, or correct its "
            "name in the configuration."
        )


class Delivery:
    """A connected producer. Use as an asynchronous context manager."""

    def __init__(self, kafka: Kafka) -> None:
        """Take the settings; nothing is opened before `start`."""
        self._kafka = kafka
        self._producer: aiokafka.AIOKafkaProducer | None = None

    async def start(self) -> None:
        """Connect, with growing pauses between tries.

        Raises:
            BrokerUnreachableError: if no broker answered within `connect_seconds`.
        """
        loop = asyncio.get_running_loop()
        give_up = loop.time() + self._kafka.connect_seconds
        pause = _FIRST_BACKOFF_SECONDS
        while True:
            producer = aiokafka.AIOKafkaProducer(
                **client_options(self._kafka),
                acks="all",
                enable_idempotence=True,
                linger_ms=2,
                max_batch_size=256 * 1024,
                max_request_size=_REQUEST_BYTES,
            )
            try:
                await producer.start()
            except KafkaError as error:
                await producer.stop()
                left = give_up - loop.time()
                if left <= 0:
                    raise BrokerUnreachableError(
                        f"no Kafka broker at {self._kafka.bootstrap_servers} answered within "
                        f"{self._kafka.connect_seconds:g} s ({type(error).__name__}). Check that it runs and "
                        "that `bootstrap_servers` (or KAFKA_BOOTSTRAP_SERVERS), TLS and SASL are right."
                    ) from None
                log.warning(
                    "no Kafka broker at %s yet (%s); next try in %.1f s, giving up in %.0f s",
                    self._kafka.bootstrap_servers,
                    type(error).__name__,
                    min(pause, left),
                    left,
                )
                await asyncio.sleep(min(pause, left))
                pause = min(2 * pause, _LONGEST_BACKOFF_SECONDS)
            else:
                self._producer = producer
                return

    async def stop(self) -> None:
        """Flush and disconnect."""
        if self._producer is not None:
            await self._producer.stop()
            self._producer = None

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.stop()

    async def partitions(self, topic: str) -> frozenset[int]:
        """Return the topic's partitions, none if it does not exist.

        Raises:
            BrokerUnreachableError: if the broker will not tell, for want of a right to it for instance.
        """
        try:
            async with asyncio.timeout(_METADATA_SECONDS):
                return frozenset(await self._connected().partitions_for(topic))
        except (UnknownTopicOrPartitionError, TimeoutError):
            return frozenset()
        except KafkaError as error:
            raise BrokerUnreachableError(
                f"the broker refuses to describe topic {topic} ({type(error).__name__}): grant this user "
                "Describe and Read on sources, Describe and Write on the topics it writes to"
            ) from None

    async def deliver(self, writes: Sequence[Write]) -> Delivered:
        """Send, and return when the broker has confirmed every write.

        Raises:
            DeliveryFailedError: if one write is refused or stays unconfirmed for `delivery_seconds`.
        """
        topics: dict[str, int] = {}
        reduced: dict[str, int] = {}
        if not writes:
            return Delivered(topics, reduced)
        try:
            async with asyncio.timeout(self._kafka.delivery_seconds):
                refused = await self._send(writes, topics)
                # A topic refuses a whole produce batch for one record, so each is tried again alone.
                for write in refused:
                    await self._send_alone(write, topics, reduced)
        except TimeoutError:
            raise DeliveryFailedError(
                f"{len(writes)} writes were not confirmed within {self._kafka.delivery_seconds:g} s"
            ) from None
        except KafkaError as error:
            raise DeliveryFailedError(
                f"the broker refused a write: {type(error).__name__}"
            ) from error
        return Delivered(topics, reduced)

    def _connected(self) -> aiokafka.AIOKafkaProducer:
        if self._producer is None:
            raise RuntimeError("deliver before start, or after stop")
        return self._producer

    async def _send(self, writes: Sequence[Write], topics: dict[str, int]) -> list[Write]:
        """Send all and await all; return those refused as too large."""
        sent = []
        refused = []
        for write in writes:
            try:
                future = await self._connected().send(
                    write.topic, write.value, write.key, headers=list(write.headers)
                )
            except MessageSizeTooLargeError:
                refused.append(write)
            else:
                sent.append((write, future))
        outcomes = await asyncio.gather(*(future for _, future in sent), return_exceptions=True)
        for (write, _), outcome in zip(sent, outcomes, strict=True):
            if isinstance(outcome, MessageSizeTooLargeError):
                refused.append(write)
            elif isinstance(outcome, BaseException):
                raise outcome
            else:
                topics[write.topic] = topics.get(write.topic, 0) + 1
        return refused

    async def _send_alone(
        self, write: Write, topics: dict[str, int], reduced: dict[str, int]
    ) -> None:
        for_topic: Write | None = write
        while for_topic is not None:
            if not await self._send([for_topic], topics):
                if for_topic is not write:
                    form = "reference" if for_topic.topic == write.topic else "dead_letter"
                    reduced[form] = reduced.get(form, 0) + 1
                return
            for_topic = for_topic.fallback
        raise DeliveryFailedError(
            f"topic {write.topic} refuses a record of {len(write.value or b'')} bytes as too large and "
            "there is no smaller form; raise its max.message.bytes to at least that of the source topic"
        )
