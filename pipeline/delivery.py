"""Delivery: writes that count only once the broker has confirmed them.

`acks=all` from an idempotent producer. A batch is delivered when every one of its writes is; until then its
source offsets stay uncommitted.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, suppress
from functools import lru_cache, partial
from itertools import takewhile
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

import aiokafka
import msgspec
from aiokafka.errors import (
    KafkaError,
    KafkaTimeoutError,
    MessageSizeTooLargeError,
    UnknownTopicOrPartitionError,
)
from aiokafka.partitioner import murmur2
from aiokafka.producer.message_accumulator import BatchBuilder
from aiokafka.producer.sender import Sender

from pipeline.settings import Kafka
from pipeline.token import TokenFile
from pipeline.writes import Write

log: Final = logging.getLogger(__name__)

Place = tuple[str, int]
"""A topic and a partition of it."""

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


class Parcel(msgspec.Struct, frozen=True):
    """Writes to one partition that the broker takes or refuses together, and what tells which."""

    place: Place
    writes: list[Write]
    outcome: "asyncio.Future[Any]"


Sent = list[Parcel]


class Delivered(msgspec.Struct, frozen=True):
    """What the broker confirmed, by topic, and what was written instead of too large escalations."""

    topics: dict[str, int]
    reduced: dict[str, int]
    ends: dict[Place, int] = {}
    """The last offset of the writes to each partition."""


def client_options(kafka: Kafka) -> dict[str, Any]:
    """Return the connection options that every aiokafka client takes."""
    options: dict[str, Any] = {
        "bootstrap_servers": kafka.bootstrap_servers,
        "security_protocol": kafka.security_protocol,
        "ssl_context": kafka.ssl_context(),
    }
    if not kafka.security_protocol.startswith("SASL"):
        return options
    if kafka.sasl_mechanism == "OAUTHBEARER":
        options |= {
            "sasl_mechanism": kafka.sasl_mechanism,
            "sasl_oauth_token_provider": TokenFile(Path(kafka.sasl_token_file)),
        }
    else:
        options |= {
            "sasl_mechanism": kafka.sasl_mechanism,
            "sasl_plain_username": kafka.sasl_username,
            "sasl_plain_password": kafka.sasl_password(),
        }
    return options


async def connect(client: Any, kafka: Kafka) -> None:  # noqa: ANN401  # aiokafka has no types
    """Start a client of aiokafka; it is stopped if it cannot be.

    Raises:
        BrokerUnreachableError: if no broker answers it within `connect_seconds`.
    """
    try:
        # By itself it tries for ever where a broker takes it and then tells it nothing.
        async with asyncio.timeout(kafka.connect_seconds):
            await client.start()
    except (KafkaError, TimeoutError) as error:
        await client.stop()
        raise BrokerUnreachableError(
            f"no Kafka broker at {kafka.bootstrap_servers} answered ({type(error).__name__})"
        ) from None


async def check(kafka: Kafka, topics: Sequence[str], equal: Sequence[str] = ()) -> None:
    """See that brokers answer and topics are there, before anything is started that needs them.

    Those in `equal` need as many partitions as each other.

    Raises:
        BrokerUnreachableError: naming the brokers, or the topics that are missing or uneven.
    """
    async with Delivery(kafka) as delivery:
        counts = {topic: len(await delivery.partitions(topic)) for topic in topics}
    missing = [topic for topic, count in counts.items() if not count]
    if missing:
        raise BrokerUnreachableError(
            f"no such topic on {kafka.bootstrap_servers}: {', '.join(missing)}. Create it, or correct its "
            "name in the configuration."
        )
    if len({counts[topic] for topic in equal}) > 1:
        found = ", ".join(f"{topic} has {counts[topic]}" for topic in equal)
        raise BrokerUnreachableError(
            f"topics that need equally many partitions have not ({found}): make the one anew that holds "
            "nothing yet"
        )


class _Sender(Sender):  # type: ignore[misc]  # aiokafka has no types
    """The client's task that sends, which also knows that what was refused as too large is not there.

    The client counts it among what the broker has; then the broker would refuse all that comes after
    (OutOfOrderSequenceNumber), until another producer takes over.
    """

    async def _send_produce_req(self, node_id: int, batches: dict[Any, Any]) -> None:
        await super()._send_produce_req(node_id, batches)
        # Nothing runs between the two, so the next batch of the partition is not yet numbered.
        for place, batch in batches.items():
            if batch.future.done() and isinstance(
                batch.future.exception(), MessageSizeTooLargeError
            ):
                self._txn_manager.increment_sequence_number(place, -batch.record_count)


def _numbering(producer: Any) -> Any:  # noqa: ANN401  # aiokafka has no types
    """Return a producer, not yet started, with a sender of ours."""
    made = producer._sender  # noqa: SLF001
    producer._sender = _Sender(  # noqa: SLF001
        made.client,
        acks=made._acks,  # noqa: SLF001
        txn_manager=made._txn_manager,  # noqa: SLF001
        message_accumulator=made._message_accumulator,  # noqa: SLF001
        retry_backoff_ms=1000 * made._retry_backoff,  # noqa: SLF001
        request_timeout_ms=made._request_timeout_ms,  # noqa: SLF001
    )
    return producer


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
            producer = _numbering(
                aiokafka.AIOKafkaProducer(
                    **client_options(self._kafka),
                    acks="all",
                    enable_idempotence=True,
                    linger_ms=2,
                    max_batch_size=256 * 1024,
                    max_request_size=_REQUEST_BYTES,
                )
            )
            try:
                # As in `connect`.
                async with asyncio.timeout_at(give_up):
                    await producer.start()
            except (KafkaError, TimeoutError) as error:
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
        return await self.confirm(await self.send(writes))

    async def send(self, writes: Sequence[Write]) -> Sent:
        """Hand over to the producer, in this order, without waiting for room in its buffer.

        Those to one partition go as one parcel, with one future for all of them. Whoever sends bounds how
        much is on its way.

        Raises:
            DeliveryFailedError: if a topic's partitions are not known within `delivery_seconds`.
        """
        async with self._limited(lambda: writes):
            by_place = await self._by_place(writes)
        return [parcel for place, held in by_place.items() for parcel in self._parcels(place, held)]

    async def confirm(self, sent: Sent) -> Delivered:
        """Return when the broker has confirmed every write that was sent.

        Raises:
            DeliveryFailedError: if one write is refused or stays unconfirmed for `delivery_seconds`.
        """
        topics: dict[str, int] = {}
        reduced: dict[str, int] = {}
        if not sent:
            return Delivered(topics, reduced)
        # Whoever waits for them no longer has cancelled the rest.
        async with self._limited(
            lambda: [
                write for parcel in sent if parcel.outcome.cancelled() for write in parcel.writes
            ]
        ):
            # A topic refuses a whole parcel for one record, so each is tried again alone.
            for write in await self._refused(sent, topics):
                await self._send_alone(write, topics, reduced)
        return Delivered(topics, reduced, _ends(sent))

    @asynccontextmanager
    async def _limited(self, waiting: Callable[[], Sequence[Write]]) -> AsyncIterator[None]:
        try:
            async with asyncio.timeout(self._kafka.delivery_seconds):
                yield
        except TimeoutError:
            late = waiting()
            topics = ", ".join(sorted({write.topic for write in late})) or "no topic"
            raise DeliveryFailedError(
                f"{len(late)} writes to {topics} were not confirmed within "
                f"{self._kafka.delivery_seconds:g} s: "
                "is the broker up, and are as many copies in sync as min.insync.replicas asks for?"
            ) from None
        except KafkaError as error:
            raise DeliveryFailedError(
                f"the broker refused a write: {type(error).__name__}"
            ) from error

    def _connected(self) -> aiokafka.AIOKafkaProducer:
        if self._producer is None:
            raise RuntimeError("deliver before start, or after stop")
        return self._producer

    async def _by_place(self, writes: Sequence[Write]) -> dict[Place, list[Write]]:
        """Sort writes by where they go; of each place they keep their order."""
        counts: dict[str, int] = {}
        held: dict[Place, list[Write]] = {}
        for write in writes:
            partition = write.partition
            if partition is None:
                count = counts.get(write.topic)
                if count is None:
                    known = await self._connected().partitions_for(write.topic)
                    count = counts[write.topic] = len(known)
                partition = _hash(write.key) % count
            held.setdefault((write.topic, partition), []).append(write)
        return held

    def _parcels(self, place: Place, writes: Sequence[Write]) -> Iterator[Parcel]:
        """Yield parcels on their way, each as full as may be; with one write, however large that is."""
        left = writes
        while left:
            built = self._connected().create_batch()
            held = list(takewhile(partial(_is_taken, built), left))
            # One that is closed does not linger for more to come.
            built.close()
            yield Parcel(place, held, asyncio.ensure_future(self._outcome(place, built)))
            left = left[len(held) :]

    async def _outcome(self, place: Place, built: BatchBuilder) -> Any:  # noqa: ANN401  # aiokafka's
        """Return what the broker says of a parcel; those to one place wait for each other, in order."""
        topic, partition = place
        while True:
            # Our own limit decides how long, not the client's.
            with suppress(KafkaTimeoutError):
                outcome = await self._connected().send_batch(built, topic, partition=partition)
                break
        return await outcome

    @staticmethod
    async def _refused(sent: Sent, topics: dict[str, int]) -> list[Write]:
        """Await all, count those confirmed by topic; return those refused as too large."""
        refused: list[Write] = []
        await asyncio.gather(*(parcel.outcome for parcel in sent), return_exceptions=True)
        for parcel in sent:
            error = parcel.outcome.exception()
            if isinstance(error, MessageSizeTooLargeError):
                refused += parcel.writes
            elif error is not None:
                raise error
            else:
                topic, _ = parcel.place
                topics[topic] = topics.get(topic, 0) + len(parcel.writes)
        return refused

    async def _send_alone(
        self, write: Write, topics: dict[str, int], reduced: dict[str, int]
    ) -> None:
        for_topic: Write | None = write
        while for_topic is not None:
            if not await self._refused(await self.send([for_topic]), topics):
                if for_topic is not write:
                    form = "reference" if for_topic.topic == write.topic else "dead_letter"
                    reduced[form] = reduced.get(form, 0) + 1
                return
            for_topic = for_topic.fallback
        raise DeliveryFailedError(
            f"topic {write.topic} refuses a record of {len(write.value or b'')} bytes as too large and "
            "there is no smaller form; raise its max.message.bytes to at least that of the source topic"
        )


def _is_taken(parcel: BatchBuilder, write: Write) -> bool:
    taken = parcel.append(
        timestamp=None, key=write.key, value=write.value, headers=list(write.headers)
    )
    return taken is not None


@lru_cache(maxsize=65_536)
def _hash(key: bytes) -> int:
    """Return what Kafka's own clients choose a partition by; subjects come again and again."""
    hashed: int = murmur2(key)
    return hashed & 0x7FFFFFFF


def _ends(sent: Sent) -> dict[Place, int]:
    return {
        parcel.place: parcel.outcome.result().offset + len(parcel.writes) - 1
        for parcel in sent
        if parcel.outcome.exception() is None
    }
