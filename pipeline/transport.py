"""Transport: a Faust driver that delivers what one fetch brought of a partition as one stream event.

An idiomatic Faust agent pays its machinery (message, event, queue, stream, sensors, acknowledgement) for
every record; that is most of what it costs. This driver is Faust's own for aiokafka with one difference: a
topic declared with `batched` is delivered in `Chunk`s. All other topics stay per record, so that tables,
their changelogs and their recovery work beside it; a changelog declared with `in_runs` is delivered as a
`Run` of each fetch, for a table that takes it so. It is chosen by the scheme of the broker's address
(`batched://host:port`), as an entry point of the group `faust.transports`.

What is in memory is bounded. Of the batched topics at most `CHUNKS_IN_HAND` chunks exist that are not
confirmed, each of at most the topic's `records` and of one fetch of its partition; besides them one fetch of
each partition, of at most `consumer_max_fetch_size` bytes (1 MiB, or one record batch if that is larger),
lies undecoded in aiokafka. An agent that is slow makes fetching stop; it makes nothing grow. Of runs at most
`RUNS_IN_HAND` wait, each of one fetch.

Nothing of a batched topic is acknowledged, because Faust acknowledges what an agent never finished. Whoever
takes a chunk confirms it, and `commit_chunks` commits what `pipeline.offsets` allows. A chunk that Faust
drops on its way (it empties its queues whenever flow resumes) is noticed when nothing refers to it any more,
and read again.

It reaches into Faust and aiokafka where they have no public way, so it runs with tested versions only.
"""

import asyncio
import collections
import logging
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from itertools import islice
from typing import Any, ClassVar, Final, cast

import faust
import msgspec
from aiokafka.consumer.fetcher import FetchResult
from aiokafka.errors import ConsumerStoppedError
from faust.transport.drivers import aiokafka as driver
from faust.types import TP
from faust.types.tuples import ConsumerMessage

from pipeline.offsets import Offsets, Span

log: Final = logging.getLogger(__name__)

SCHEME: Final = "batched"
"""The scheme of a broker's address that chooses this driver; the name of its entry point."""

TESTED: Final = {"faust-streaming": frozenset({"0.15.3"}), "aiokafka": frozenset({"0.14.0"})}
"""The versions whose internals this module was written and tested against."""

CHUNKS_IN_HAND: Final = 16
"""How many chunks may be fetched and not confirmed: waiting, being screened, being delivered."""

RUNS_IN_HAND: Final = 8
"""How many runs may wait to be written to a table; those of one fetch more come together."""

# So many bytes are worth a fetch at once: some 1,000 messages.
_FETCH_BYTES: Final = 256 * 1024
# How long a fetch that finds nothing occupies the consumer's thread before flow and assignment are looked at.
_FETCH_SECONDS: Final = 0.5
# How soon a change of flow or assignment is noticed; Faust has no event for both.
_LOOK_SECONDS: Final = 0.02


class UntestedVersionError(Exception):
    """A library is installed in a version this module was not tested with."""


def check_versions(tested: Mapping[str, frozenset[str]] = TESTED) -> None:
    """See that the libraries reached into are those that were tested.

    Raises:
        UntestedVersionError: naming the library, its version and those that are expected.
    """
    for name, expected in tested.items():
        if (found := version(name)) not in expected:
            raise UntestedVersionError(
                f"{name} {found} is installed, but the transport was tested only with "
                f"{', '.join(sorted(expected))}: pip install '{name}=={max(expected)}'"
            )


class Chunk:
    """The records that one fetch brought of one partition, in their order; the value of a stream event.

    `records` are aiokafka's own, with `offset`, `timestamp`, `key`, `value` and `headers`.
    """

    __slots__ = ("__weakref__", "_dropped", "is_confirmed", "records", "span")

    def __init__(
        self, span: Span[TP], records: Sequence[Any], dropped: "collections.deque[Span[TP]]"
    ) -> None:
        self.span = span
        self.records = records
        self.is_confirmed = False
        self._dropped = dropped

    @property
    def values(self) -> list[bytes | None]:
        """The value of each record."""
        return [record.value for record in self.records]

    def __len__(self) -> int:
        return len(self.records)

    def __del__(self) -> None:
        # This may run in any thread; appending is safe in each.
        if not self.is_confirmed:
            self._dropped.append(self.span)


class Run(ConsumerMessage):
    """The records that one fetch brought of one partition of a changelog, as one message of Faust's.

    What it tells of itself, its offset above all, is the last one's: to Faust's recovery the others are gaps.
    """

    __slots__ = ("records",)

    records: list[Any]


class _Fetch(msgspec.Struct, frozen=True):
    """What was taken from the client of one partition, and the positions before and behind it."""

    partition: TP
    generation: int
    begin: int
    end: int
    records: list[Any]


def batched(app: faust.App, topic: str, *, records: int, seconds: float) -> Any:
    """Return a Faust topic whose stream events are chunks of at most so many records.

    The broker may hold back a fetch for up to `seconds`, so that more records share it. This goes for all
    that the app reads; of several topics the shortest counts.

    Raises:
        TypeError: if the app's broker address does not choose this transport, or its queues could be full
            before there are as many chunks as there may be.
    """
    transport = _transport_of(app)
    transport.batched[topic] = records
    transport.wait_seconds = min(transport.wait_seconds, seconds)
    if app.conf.stream_buffer_maxsize < 2 * CHUNKS_IN_HAND:
        raise TypeError(f"a batched topic needs a stream_buffer_maxsize of {2 * CHUNKS_IN_HAND}")
    return app.topic(
        topic,
        key_type=bytes,
        value_type=bytes,
        key_serializer="raw",
        value_serializer="raw",
        acks=False,
    )


def in_runs(app: faust.App, topic: str) -> None:
    """Let a changelog be delivered by the `Run`; its table has to take these for events of one record.

    Raises:
        TypeError: if the app's broker address does not choose this transport.
    """
    _transport_of(app).runs.add(topic)


def _transport_of(app: faust.App) -> "Transport":
    transport: Any = app.transport
    if not isinstance(transport, Transport):
        raise TypeError(f"a batched topic needs a broker address such as {SCHEME}://localhost:9092")
    return transport


class ConsumerThread(driver.AIOKafkaConsumerThread):
    """Faust's consumer thread that also fetches in chunks."""

    consumer: "Consumer"
    transport: "Transport"

    @classmethod
    def _init_subclass_logger(cls) -> None:
        """Log under Faust's name, as the class in whose place this stands; mode would take this module's."""
        cls.logger = driver.logger

    def _create_worker_consumer(self, transport: Any) -> Any:
        """Create the client with a fetch wait and an isolation of ours instead of what Faust has fixed.

        Faust lets the broker answer as soon as there is one byte. Each fetch costs some 0.3 ms here and a
        chunk of each partition, so a few more bytes are worth a short wait. A long one is not: a broker that
        is asked for some partitions is not asked for the others before it has answered. Its 1.5 s would be
        that delay.

        And Faust reads what a transaction wrote before, or without, its commit: messages nobody was sent.
        """
        client = super()._create_worker_consumer(transport)
        client._fetch_max_wait_ms = int(1000 * transport.wait_seconds)  # noqa: SLF001
        client._fetch_min_bytes = _FETCH_BYTES  # noqa: SLF001
        client._isolation_level = "read_committed"  # noqa: SLF001
        return client

    def place(self, partition: TP) -> tuple[int, int] | None:
        """Return the client's position in a partition and its end, if a fetch has told; from any thread."""
        subscription = self._ensure_consumer()._subscription.subscription  # noqa: SLF001
        assignment = subscription.assignment if subscription else None
        if assignment is None or partition not in assignment.tps:
            return None
        state = assignment.state_value(partition)
        position, end = state._position, state.highwater  # noqa: SLF001
        return None if position is None or end is None else (position, end)

    async def fetch(
        self, partitions: frozenset[TP], room: int, rereads: dict[TP, Span[TP]]
    ) -> list[_Fetch]:
        """Set partitions back, then take at most `room` chunks; none when there are none in time.

        What was set back is removed from `rereads`.

        Not through Faust's method queue: its two workers would both be waiting for records, this one's and
        those of the other topics, and a commit would have to wait for them.
        """
        work = self._fetch(partitions, room, rereads)
        return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(work, self.thread_loop))

    async def _fetch(
        self, partitions: frozenset[TP], room: int, rereads: dict[TP, Span[TP]]
    ) -> list[_Fetch]:
        client = self._ensure_consumer()
        fetcher = client._fetcher  # noqa: SLF001
        subscriptions = client._subscription  # noqa: SLF001
        give_up = self.thread_loop.time() + _FETCH_SECONDS
        with subscriptions.fetch_context():
            while True:
                if client._closed or fetcher._closed:  # noqa: SLF001
                    raise ConsumerStoppedError
                # Looked at again each time, right before anything is taken: what is taken while partitions
                # change hands would count for the wrong generation.
                if subscriptions.reassignment_in_progress or not self.consumer.may_take:
                    return []
                while rereads:
                    partition, span = rereads.popitem()
                    is_mine = span.generation == self.app.consumer_generation_id
                    if is_mine and subscriptions.is_assigned(partition):
                        fetcher.seek_to(partition, span.begin)
                if fetches := self._take(fetcher, partitions, room):
                    return fetches
                left = give_up - self.thread_loop.time()
                if left <= 0:
                    return []
                waiter = fetcher._create_fetch_waiter()  # noqa: SLF001
                done, _ = await asyncio.wait([waiter], timeout=left)
                if done:
                    waiter.result()  # an error of the group, such as a missing right
                else:
                    waiter.cancel()

    def _take(self, fetcher: Any, partitions: frozenset[TP], room: int) -> list[_Fetch]:
        """Take chunks from all partitions in turn, so that none waits for another to be read up.

        This is aiokafka's `Fetcher.fetched_records` with a limit for each chunk, the positions around it, and
        its records as they are.
        """
        sizes = self.transport.batched
        generation = self.app.consumer_generation_id
        fetches: list[_Fetch] = []
        ready = [partition for partition in fetcher._records if partition in partitions]  # noqa: SLF001
        while ready and len(fetches) < room:
            unfinished = []
            for partition in ready[: room - len(fetches)]:
                result = fetcher._records[partition]  # noqa: SLF001
                if not isinstance(result, FetchResult):
                    # What was taken comes first: an error ends the worker.
                    if not fetches:
                        self._done_with(fetcher, partition)
                        result.check_raise()
                    return fetches
                if not result.check_assignment(partition):
                    self._done_with(fetcher, partition)
                    continue
                size = sizes[partition.topic]
                state = result._assignment.state_value(partition)  # noqa: SLF001
                begin = state.position
                records = _records(result, size)
                result._update_position()  # noqa: SLF001
                if len(records) < size:
                    self._done_with(fetcher, partition)
                else:
                    unfinished.append(partition)
                if begin != state.position:
                    place = TP(partition.topic, partition.partition)
                    fetches.append(_Fetch(place, generation, begin, state.position, records))
            ready = unfinished
        return fetches

    @staticmethod
    def _done_with(fetcher: Any, partition: Any) -> None:
        del fetcher._records[partition]  # noqa: SLF001
        fetcher._notify(fetcher._wait_consume_future)  # noqa: SLF001

    async def _commit(self, offsets: Mapping[TP, int]) -> bool:
        """Commit, but not nothing: Faust would crash on offsets of which none is assigned any more."""
        assigned = self.assignment()
        mine = {partition: offset for partition, offset in offsets.items() if partition in assigned}
        return bool(mine) and await super()._commit(mine)


def _records(result: FetchResult, limit: int) -> list[Any]:
    """Take records as the client's parser made them; aiokafka would copy each into a record of its own."""
    batches = result._partition_records  # noqa: SLF001
    batches._consumer_record = _as_it_is  # noqa: SLF001
    return list(islice(batches._records_iterator, limit))  # noqa: SLF001


def _as_it_is(_: Any, record: Any) -> Any:
    return record


class Consumer(driver.Consumer):
    """Faust's consumer that delivers batched topics in chunks, beside the others."""

    _thread: ConsumerThread
    transport: "Transport"

    @classmethod
    def _init_subclass_logger(cls) -> None:
        """Log under Faust's name, as the class in whose place this stands; mode would take this module's."""
        cls.logger = driver.logger

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        """Take what Faust's consumer takes."""
        self._offsets: dict[str, Offsets[TP]] = {}
        self._dropped: collections.deque[Span[TP]] = collections.deque()
        self._rereads: dict[TP, Span[TP]] = {}
        self._has_room = asyncio.Event()
        self._fetching: asyncio.Future[list[_Fetch]] | None = None
        self._seeking = 0
        self._expired: dict[str, int] = {}
        self._committing = asyncio.Lock()
        super().__init__(*args, **kwargs)

    def _new_consumer_thread(self) -> ConsumerThread:
        """Create the thread that also fetches in chunks, in place of Faust's."""
        return ConsumerThread(self, loop=self.loop, beacon=self.beacon)

    @property
    def may_take(self) -> bool:
        """Whether records may be taken from the client: streams flow, and nobody is moving positions."""
        return bool(self.flow_active and self.app.flow_control.is_active() and not self._seeking)

    @property
    def unconfirmed(self) -> int:
        """How many chunks were fetched and not yet confirmed."""
        return sum(offsets.unconfirmed for offsets in self._offsets.values())

    def lags(self) -> dict[tuple[str, int], int]:
        """Return how many records of each partition are not confirmed, by topic and partition number.

        By what fetches told, so that looking costs no request; partitions without one are left out.
        """
        lags = {}
        for partition in self._batched_partitions():
            base = self._offsets_of(partition.topic).base(partition)
            place = self._thread.place(partition)
            if place is not None:
                position, end = place
                begin = position if base is None else base
                lags[partition.topic, partition.partition] = max(0, end - begin)
        return lags

    def expired(self) -> Mapping[str, int]:
        """Return how many records of each topic were gone before they were read, since the start."""
        return self._expired

    def is_current(self, chunk: Chunk) -> bool:
        """Whether a chunk still counts; one whose partition was revoked is read by somebody else."""
        return self._offsets_of(chunk.span.partition.topic).is_current(chunk.span)

    def confirm(self, chunk: Chunk, *, held: bool = False) -> None:
        """Say that every write a chunk caused is confirmed; see `Offsets.confirm` for `held`."""
        chunk.is_confirmed = True
        self._offsets_of(chunk.span.partition.topic).confirm(chunk.span, held=held)
        self._has_room.set()

    async def commit_chunks(self) -> None:
        """Commit what may be committed of the batched topics, in one request, if there is anything.

        Faust's public commit takes no offsets, only what was acknowledged.
        """
        # One after the other, or an older commit could arrive last and set a newer one back.
        async with self._committing:
            offsets: dict[TP, int] = {}
            for of_topic in self._offsets.values():
                offsets |= of_topic.take_committable()
            if offsets:
                await self._commit(offsets)

    async def on_partitions_revoked(self, revoked: set[TP]) -> None:
        """Forget the chunks of revoked partitions, after the app was told and could still commit."""
        await super().on_partitions_revoked(revoked)
        for offsets in self._offsets.values():
            offsets.revoke(revoked)
        self._has_room.set()

    async def perform_seek(self) -> None:
        """Keep the batched topics from being fetched while Faust moves all positions to what is committed."""
        self._seeking += 1
        try:
            await super().perform_seek()
        finally:
            self._seeking -= 1

    async def _getmany(self, active_partitions: set[TP] | None, timeout: float) -> Any:  # noqa: ASYNC109
        """Leave the batched topics out of Faust's own loop, which goes record by record; join runs."""
        if active_partitions is not None:
            batched_topics = self.transport.batched
            active_partitions = {tp for tp in active_partitions if tp.topic not in batched_topics}
            if not active_partitions:
                await self.sleep(timeout)
                # Faust would take flow that stopped meanwhile as a reason to move every position.
                if not self.flow_active:
                    await self.can_resume_flow.wait()
                return {}
        records = await super()._getmany(active_partitions, timeout)
        runs = {
            tp: [held] for tp, held in records.items() if tp.topic in self.transport.runs and held
        }
        waiting = cast("Any", self.app.tables).changelog_queue
        while (
            runs and waiting.qsize() >= RUNS_IN_HAND and self.flow_active and not self.should_stop
        ):
            await self.sleep(_LOOK_SECONDS)
        return {**records, **runs}

    def _to_message(self, tp: TP, record: Any) -> Any:
        """Make one message of a run, which `_getmany` joined."""
        if not isinstance(record, list):
            return super()._to_message(tp, record)
        last = super()._to_message(tp, record[-1])
        run = Run(
            last.topic, last.partition, last.offset, last.timestamp, last.timestamp_type, last.headers,
            last.key, last.value, last.checksum, tp=tp, generation_id=last.generation_id,
        )  # fmt: skip
        run.records = record
        return run

    async def _drain_messages(self, fetcher: Any) -> None:
        """Run a loop for the batched topics beside Faust's for the others; if one ends, so does the other."""
        loops = {
            asyncio.ensure_future(super()._drain_messages(fetcher)),
            asyncio.ensure_future(self._drain_chunks(fetcher)),
        }
        try:
            done, _ = await asyncio.wait(loops, return_when=asyncio.FIRST_COMPLETED)
        except asyncio.CancelledError:
            # As in the loop this stands for: to Faust a stop that meets a rebalance would be a crash.
            if self.app.should_stop:
                return
            raise
        finally:
            for loop in loops:
                loop.cancel()
            await asyncio.gather(*loops, return_exceptions=True)
        for loop in done:
            loop.result()

    async def _drain_chunks(self, fetcher: Any) -> None:
        """Fetch chunks and hand them to Faust's conductor, never more than may be in hand."""
        while not (self.should_stop or fetcher.should_stop):
            self._notice_dropped()
            partitions = self._batched_partitions()
            room = CHUNKS_IN_HAND - self.unconfirmed
            if not (partitions and self.may_take):
                await asyncio.sleep(_LOOK_SECONDS)
            elif 2 * room < CHUNKS_IN_HAND:
                # Half of them at once: a fetch for each chunk would cost a change of thread for each.
                self._has_room.clear()
                await self._wait_for_room()
            else:
                for chunk in self._chunks(await self._fetch(partitions, room)):
                    await self._deliver(chunk)
                # Where records come faster than they are handled, nothing above waits.
                await asyncio.sleep(0)

    async def _wait_for_room(self) -> None:
        try:
            async with asyncio.timeout(_FETCH_SECONDS):
                await self._has_room.wait()
        except TimeoutError:
            return

    async def _fetch(self, partitions: frozenset[TP], room: int) -> list[_Fetch]:
        """Fetch in the consumer's thread. When Faust cancels this loop, its next run takes up the fetch.

        Otherwise what it takes would be gone: the position is behind it, and nobody has heard of it.
        """
        if self._fetching is None:
            for offsets in self._offsets.values():
                self._rereads |= offsets.take_rereads()
            work = self._thread.fetch(partitions, room, self._rereads)
            self._fetching = asyncio.ensure_future(work)
            # After a stop nobody takes it up, and its error says no more than that.
            self._fetching.add_done_callback(lambda done: done.cancelled() or done.exception())
        try:
            fetches = await asyncio.shield(self._fetching)
        except asyncio.CancelledError:
            raise
        except BaseException:
            self._fetching = None
            raise
        self._fetching = None
        return fetches

    def _chunks(self, fetches: Sequence[_Fetch]) -> list[Chunk]:
        """Take note of every fetch before the first is delivered."""
        # What was dropped during the fetch lies before it.
        self._notice_dropped()
        assigned = self.assignment()
        chunks = []
        for fetch in fetches:
            if (
                fetch.generation != self.app.consumer_generation_id
                or fetch.partition not in assigned
            ):
                continue
            offsets = self._offsets_of(fetch.partition.topic)
            self._notice_expired(fetch, offsets)
            span = offsets.fetched(fetch.partition, fetch.generation, fetch.begin, fetch.end)
            if span is None:
                continue
            if fetch.records:
                chunks.append(Chunk(span, fetch.records, self._dropped))
            else:
                # Nothing but offsets without records, such as the marker that ends a transaction.
                offsets.confirm(span)
        return chunks

    def _notice_expired(self, fetch: _Fetch, offsets: Offsets[TP]) -> None:
        """Count what lies between where a fetch was to begin and where it did: retention took it."""
        due = offsets.position(fetch.partition, fetch.generation)
        if due is None:
            due = self._committed_offset[fetch.partition]
        if due is None or fetch.begin <= due:
            return
        topic, partition = fetch.partition
        self._expired[topic] = self._expired.get(topic, 0) + fetch.begin - due
        log.error(
            "offsets %d to %d of %s, partition %d, expired before they were read: nobody has looked at "
            "these records. Add workers, and let the topic keep records for longer",
            due,
            fetch.begin - 1,
            topic,
            partition,
        )

    async def _deliver(self, chunk: Chunk) -> None:
        """Hand a chunk to the conductor, as Faust hands over a record.

        Faust would give up when flow stops, in case a queue is full; this one's never is.
        """
        span = chunk.span
        last = chunk.records[-1]
        value: Any = chunk
        message = ConsumerMessage(
            topic=span.partition.topic,
            partition=span.partition.partition,
            offset=last.offset,
            timestamp=(last.timestamp or 0) / 1000,
            timestamp_type=last.timestamp_type,
            headers=None,
            key=None,
            value=value,
            checksum=None,
            serialized_key_size=0,
            serialized_value_size=0,
            tp=span.partition,
            generation_id=span.generation,
        )
        await self.callback(message)

    def _notice_dropped(self) -> None:
        while self._dropped:
            span = self._dropped.popleft()
            self._offsets_of(span.partition.topic).drop(span)

    def _batched_partitions(self) -> frozenset[TP]:
        batched_topics = self.transport.batched
        return frozenset(tp for tp in self._active_partitions if tp.topic in batched_topics)

    def _offsets_of(self, topic: str) -> Offsets[TP]:
        return self._offsets.setdefault(topic, Offsets())


class Transport(driver.Transport):
    """Faust's aiokafka transport with the consumer of this module."""

    Consumer: ClassVar[type[Any]] = Consumer

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        """Take what Faust's transport takes."""
        super().__init__(*args, **kwargs)
        self.batched: dict[str, int] = {}
        self.runs: set[str] = set()
        self.wait_seconds = 1.0


def consumer_of(app: faust.App) -> Consumer:
    """Return the app's consumer as the one of this module."""
    return cast("Consumer", app.consumer)
