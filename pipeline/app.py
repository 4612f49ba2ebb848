"""The worker: a Faust app that reads source topics in chunks and screens them.

Faust acknowledges a message whose agent raised, was cancelled, or was skipped after a rebalance, and
commits what was acknowledged. So source topics are read without acknowledgements (`pipeline.transport`):
nothing is committed but what lies before the first record whose writes the broker has not all confirmed.
And nothing raises inside an agent: a batch that cannot be delivered ends the process, and the next start
reads it again.

While the broker confirms the writes of one batch, the next is screened; commits follow at an interval, and
at every stop and every handing over of partitions.

What looks at a subject over many messages is a second agent, on the topic of signals that `screen` writes
to: see `pipeline.subjects`. Both are in one app, and so in one group: partitions of the same number, of
topics with equally many, go to one worker.
"""

import asyncio
import logging
import os
import sys
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, NoReturn

import faust
import msgspec
from faust.auth import OAuthCredentials
from faust.types import TP

from pipeline import status
from pipeline.batch import Batch, waiting
from pipeline.delivery import BrokerUnreachableError, Delivery, DeliveryFailedError, Sent
from pipeline.latest import LatestLine
from pipeline.memory import MemoryVersionError
from pipeline.metrics import Metrics
from pipeline.processes import Vitals
from pipeline.recent import Row, Writer
from pipeline.screen import Screening
from pipeline.seal import Quoting
from pipeline.settings import Kafka, Settings
from pipeline.store import Subjects
from pipeline.subjects import BATCH_RECORDS, Correlator
from pipeline.token import TokenFile
from pipeline.tracing import Moments, Spans, TracingMissingError, spans
from pipeline.transport import (
    SCHEME,
    Chunk,
    UntestedVersionError,
    batched,
    check_versions,
    consumer_of,
)
from pipeline.writes import Record, writes
from schemas import ESCALATIONS, Reason, Rejected

log: Final = logging.getLogger(__name__)

STOP_SECONDS: Final = 20.0
"""How long a stop waits for the chunks in hand: less than the 30 s that Kubernetes grants."""

HAND_OVER_SECONDS: Final = 5.0
"""How long handing over partitions waits for the chunks in hand; the group waits for all its members."""

COMMIT_SECONDS: Final = 0.25
"""How often offsets are committed. After a crash, what a worker did in this time is done again."""


CURRENT_SECONDS: Final = 60.0
"""How often a memory on disk is marked as current."""

OBSERVE_SECONDS: Final = 1.0
"""How often the worker says how far behind it is."""


class Health:
    """What the health endpoints answer from, and what a stop has to wait for."""

    def __init__(self) -> None:
        self.is_stopping = False
        self.is_recovering = False
        """Whether the memory of subjects is being read back: until it is, nothing is screened."""
        self.partitions: set[TP] = set()
        self._since: dict[object, float] = {}
        self._has_settled = asyncio.Event()
        self._has_settled.set()

    def took(self, batch: object) -> None:
        """Say that a batch is in hand: being screened, then delivered."""
        self._since[batch] = time.monotonic()
        self._has_settled.clear()

    def confirmed(self, batch: object) -> float:
        """Say that a batch is done with; return how many seconds that took."""
        since = self._since.pop(batch)
        if not self._since:
            self._has_settled.set()
        return time.monotonic() - since

    async def settled(self) -> None:
        """Wait until no batch is in hand."""
        await self._has_settled.wait()

    def vitals(self) -> Vitals:
        """Return how this process fares."""
        # The longest in hand is the first that was taken.
        since = next(iter(self._since.values()), None)
        return Vitals(
            partitions=0 if self.is_recovering else len(self.partitions),
            unconfirmed_seconds=time.monotonic() - since if since else 0.0,
            pid=os.getpid(),
        )


def stop_process(code: int, message: str) -> NoReturn:
    """End the process at once: no shutdown hook may commit what was not delivered."""
    log.critical(message)
    logging.shutdown()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


class Worker(msgspec.Struct, frozen=True):
    """What the agents and the web endpoints of one process share."""

    settings: Settings
    latest: LatestLine
    metrics: Metrics
    delivery: Delivery
    health: Health
    recent: Writer
    quoting: Quoting
    spans: Spans
    is_connected: asyncio.Event


class _App(faust.App):
    """Faust's app without folders of its own; the memory's is made by whoever runs this."""

    @classmethod
    def _init_subclass_logger(cls) -> None:
        """Log under Faust's name; mode would take this module's, which nobody mutes."""
        cls.logger = faust.App.logger

    def _create_directories(self) -> None:
        """Make none: Faust would put them into whatever folder is the current one."""


def build(  # noqa: PLR0913  # what a process is made of
    settings: Settings,
    latest: LatestLine,
    metrics: Metrics,
    health: Health,
    recent: Writer,
    *,
    folder: Path | None = None,
) -> faust.App:
    """Build the Faust app: one `screen` agent per source topic, and `correlate`.

    What it escalates is noted in `recent`. `folder` is this process's own, for a memory on disk.
    """
    try:
        check_versions()
        told = spans(settings.tracing, settings.kafka.group)
    except (UntestedVersionError, TracingMissingError) as error:
        stop_process(status.CONFIGURATION, str(error))
    worker = Worker(
        settings,
        latest,
        metrics,
        Delivery(settings.kafka),
        health,
        recent,
        settings.escalations.quoting(),
        told,
        asyncio.Event(),
    )
    app = _App(
        settings.kafka.group,
        version=1,
        broker=[f"{SCHEME}://{server}" for server in settings.kafka.bootstrap_servers.split(",")],
        broker_credentials=_credentials(settings.kafka),
        broker_commit_interval=1.0,
        broker_session_timeout=settings.kafka.session_seconds,
        broker_heartbeat_interval=settings.kafka.session_seconds / 3,
        consumer_group_instance_id=settings.kafka.instance or None,
        consumer_auto_offset_reset="earliest",
        consumer_metadata_max_age_ms=int(1000 * settings.kafka.metadata_seconds),
        key_serializer="raw",
        value_serializer="raw",
        stream_wait_empty=False,
        datadir=str(folder or Path(os.devnull)),
        table_standby_replicas=settings.memory.standbys,
        # Topics are made by whoever owns the cluster, and nothing here elects a leader.
        topic_allow_declare=False,
        topic_disable_leader=True,
        # Its server would show tables and the route list; ours is `pipeline.web`.
        web_enabled=False,
    )
    metrics.expect(settings)
    metrics.configured(latest.line.configuration)

    _attach(app, worker)
    for topic in settings.sources:
        _screen_agent(app, topic, worker)
    if settings.memory.is_on:
        _correlate_agent(app, worker)
    return app


def _attach(app: faust.App, worker: Worker) -> None:
    """Attach what runs beside the agents: connecting, committing, looking about, handing over, stopping."""
    health, latest, metrics, settings = (
        worker.health,
        worker.latest,
        worker.metrics,
        worker.settings,
    )

    async def connect() -> None:
        await _guarded(worker.delivery.start())
        worker.is_connected.set()

    async def commit_regularly() -> None:
        while True:
            await asyncio.sleep(COMMIT_SECONDS)
            await _guarded(_commit(app, settings.kafka.delivery_seconds))

    async def follow_lists() -> None:
        await latest.follow(metrics)

    async def disconnect(*_: Any, **__: Any) -> None:
        # The chunks in hand are delivered and committed; what comes after is left for the next start.
        health.is_stopping = True
        try:
            async with asyncio.timeout(STOP_SECONDS):
                await health.settled()
                await _guarded(_commit(app, STOP_SECONDS))
                await worker.delivery.stop()
        except TimeoutError:
            stop_process(
                status.UNDELIVERED,
                f"told to stop, but writes stayed unconfirmed for {STOP_SECONDS:g} s; their records will be "
                "read again",
            )
        # Everything is delivered: a collector that is down must not make it look otherwise.
        await asyncio.to_thread(worker.spans.close)

    app.task(connect)
    app.task(commit_regularly)
    app.task(_observing(app, worker))
    app.task(follow_lists)
    app.on_before_shutdown.connect(disconnect, weak=False)
    app.on_partitions_revoked.connect(_revoked(app, worker), weak=False)
    app.on_partitions_assigned.connect(_assigned(worker), weak=False)


def _revoked(app: faust.App, worker: Worker) -> Callable[..., Any]:
    async def on_revoked(_app: faust.App, revoked: set[TP], **_: Any) -> None:
        # What is in hand is committed while that is still ours to do, so that nobody does it again.
        try:
            async with asyncio.timeout(HAND_OVER_SECONDS):
                await worker.health.settled()
        except TimeoutError:
            log.warning(
                "handing over %d partitions with writes unconfirmed for %g s; their records are read again",
                len(revoked),
                HAND_OVER_SECONDS,
            )
        await _guarded(_commit(app, worker.settings.kafka.delivery_seconds))

    return on_revoked


def _assigned(worker: Worker) -> Callable[..., Any]:
    async def on_assigned(_app: faust.App, assigned: set[TP], **_: Any) -> None:
        sources = {tp for tp in assigned if tp.topic in worker.settings.sources}
        worker.health.partitions = sources
        worker.metrics.assigned_partitions.set(len(sources))
        worker.metrics.assignments.inc()

    return on_assigned


def _observing(app: faust.App, worker: Worker) -> Callable[..., Any]:
    async def observe_regularly() -> None:
        while True:
            await asyncio.sleep(OBSERVE_SECONDS)
            consumer = consumer_of(app)
            unconfirmed_seconds = worker.health.vitals().unconfirmed_seconds
            worker.metrics.consumed(
                consumer.lags(), consumer.expired(), consumer.unconfirmed, unconfirmed_seconds
            )

    return observe_regularly


async def _guarded(work: Any) -> Any:
    """Await; end the process on whatever goes wrong, before Faust can acknowledge anything."""
    try:
        return await work
    except BrokerUnreachableError as error:
        stop_process(status.UNREACHABLE, str(error))
    except MemoryVersionError as error:
        stop_process(status.CONFIGURATION, f"stopping without committing: {error}")
    except DeliveryFailedError as error:
        stop_process(status.UNDELIVERED, f"stopping without committing: {error}")
    except Exception:
        log.exception("a bug; please report it")
        stop_process(status.CRASHED, "stopping without committing after an unexpected error")


def _screen_agent(app: faust.App, topic: str, worker: Worker) -> None:
    taking = worker.settings.screening
    channel = batched(app, topic, records=taking.batch_records, seconds=taking.batch_seconds)
    source = _Source(app, topic, worker)

    @app.agent(channel, name=f"screen-{topic}", concurrency=1)
    async def screen(stream: Any) -> AsyncIterator[None]:
        async for chunk in stream:
            more = waiting(chunk, stream.channel.queue, taking.batch_records)
            await _guarded(source.screen([chunk, *more]))
            yield None


def _correlate_agent(app: faust.App, worker: Worker) -> None:
    settings = worker.settings
    windows = worker.latest.line.watch.windows.values()
    table = Subjects(
        app,
        name="subjects",
        beacon=app.tables.beacon,
        topic=settings.topics.memory,
        on_disk=settings.memory.store == "rocksdb",
        keep_seconds=int(max(windows, default=0)) + 1,
    )
    app.tables.add(table)
    channel = batched(
        app,
        settings.topics.signals,
        records=settings.screening.batch_records,
        seconds=settings.screening.batch_seconds,
    )
    correlator = Correlator(app, table, worker)
    since = time.monotonic()

    @app.agent(channel, name="correlate", concurrency=1)
    async def correlate(stream: Any) -> AsyncIterator[None]:
        async for chunk in stream:
            more = waiting(chunk, stream.channel.queue, BATCH_RECORDS)
            await _guarded(correlator.correlate([chunk, *more]))
            yield None

    async def begin_recovery(*_: Any, **__: Any) -> None:
        nonlocal since
        since = time.monotonic()
        worker.health.is_recovering = True
        worker.metrics.table_recovering.set(1)

    async def end_recovery() -> None:
        worker.metrics.table_recovering.set(0)
        worker.metrics.table_recovery_seconds.set(time.monotonic() - since)
        worker.health.is_recovering = False

    async def keep_current() -> None:
        while True:
            table.store.touch()
            await asyncio.sleep(CURRENT_SECONDS)

    app.on_partitions_assigned.connect(begin_recovery, weak=False)
    table.on_recover(end_recovery)
    app.task(keep_current)


class _Source:
    """One source topic on its way from chunks to confirmed writes."""

    def __init__(self, app: faust.App, topic: str, worker: Worker) -> None:
        self._app = app
        self._topic = topic
        self._worker = worker
        self._in_a_row = 0
        self._generation = -1
        self._confirming: set[asyncio.Task[None]] = set()

    async def screen(self, chunks: Sequence[Chunk]) -> None:
        """Screen chunks as one batch and send its writes; their confirmation is not waited for here."""
        worker, health = self._worker, self._worker.health
        await worker.is_connected.wait()
        # Told to stop, or the partition went to somebody else: either way a chunk is read again.
        if health.is_stopping:
            return
        batch = Batch([chunk for chunk in chunks if consumer_of(self._app).is_current(chunk)])
        if not batch.chunks:
            return
        health.took(batch)
        moments = Moments()
        with worker.metrics.screen_seconds.labels(self._topic).time():
            screening = worker.latest.screen(self._topic, batch.values)
        moments.screened = time.time_ns()
        is_held = self._brake(batch, screening)
        settings = worker.settings
        out = writes(
            batch.record,
            screening,
            settings.topics,
            with_signals=settings.memory.is_on,
            quoting=worker.quoting,
        )
        sent = await worker.delivery.send(out)
        if sent:
            confirming = self._confirm(batch, screening, sent, moments, is_held=is_held)
            task = asyncio.create_task(_guarded(confirming))
            self._confirming.add(task)
            task.add_done_callback(self._confirming.discard)
        else:
            await self._confirm(batch, screening, sent, moments, is_held=is_held)

    def _brake(self, batch: "Batch", screening: Screening) -> bool:
        """Return whether a batch's commit has to wait for a good record to end the run of rejected ones.

        A storm that stops the worker stops the next one too, instead of losing a piece of the topic to each.

        Raises:
            DeliveryFailedError: if it is a storm.
        """
        generation = batch.chunks[0].span.generation
        if generation != self._generation:
            # What was rejected and held is read, and counted, again.
            self._generation, self._in_a_row = generation, 0
        count = len(batch.values)
        longest, self._in_a_row = _rejected_in_a_row(screening.rejected, count, self._in_a_row)
        self._worker.metrics.rejected_in_a_row.labels(self._topic).set(self._in_a_row)
        if longest >= self._worker.settings.screening.dead_letters_in_a_row:
            raise DeliveryFailedError(_storm(longest, batch.record(count - 1)))
        return bool(self._in_a_row) and len(screening.rejected) == count

    async def _confirm(
        self, batch: Batch, screening: Screening, sent: Sent, moments: Moments, *, is_held: bool
    ) -> None:
        worker = self._worker
        delivered = await worker.delivery.confirm(sent)
        for chunk in batch.chunks:
            consumer_of(self._app).confirm(chunk, held=is_held)
        seconds = worker.health.confirmed(batch)
        worker.metrics.delivery_seconds.labels(self._topic).observe(seconds)
        now = datetime.now(UTC)
        worker.metrics.screened(self._topic, batch.values, screening)
        worker.metrics.escalated(self._topic, screening, now)
        worker.metrics.delivered(delivered)
        worker.metrics.last_batch.labels(self._topic).set(now.timestamp())
        _note(worker.recent, screening, now)
        worker.spans.screened(self._topic, batch, screening, moments)


async def _commit(app: faust.App, seconds: float) -> None:
    """Commit what may be; a commit that is refused costs no more than reading records again.

    Raises:
        DeliveryFailedError: if the broker does not answer within `seconds`.
    """
    try:
        async with asyncio.timeout(seconds):
            await consumer_of(app).commit_chunks()
    except TimeoutError:
        raise DeliveryFailedError(f"offsets were not committed within {seconds:g} s") from None


def _storm(count: int, last: Record) -> str:
    return (
        f"{count} records in a row were rejected, up to {last.topic}/{last.partition}/{last.offset}: this "
        "looks like a changed format, not bad records. Check the [sources] mapping with "
        "`penjaga config check`, or raise screening.dead_letters_in_a_row."
    )


def _rejected_in_a_row(
    rejected: Mapping[int, Rejected], count: int, before: int
) -> tuple[int, int]:
    """Return the longest run of rejected records and the one that `count` records end with.

    Tombstones neither lengthen a run nor end it.
    """
    longest = run = before
    expected = 0
    for position in sorted(rejected):
        if position != expected:
            run = 0
        expected = position + 1
        if rejected[position].reason is not Reason.TOMBSTONE:
            run += 1
            longest = max(longest, run)
    return longest, run if expected == count else 0


def _note(recent: Writer, screening: Screening, now: datetime) -> None:
    for verdicts in screening.verdicts.values():
        for verdict in verdicts:
            if verdict.action in ESCALATIONS and verdict.id not in screening.held_back:
                found_by = sorted({finding.detector for finding in verdict.findings})
                recent.add(
                    Row(
                        at=now.timestamp(),
                        action=verdict.action,
                        label=verdict.label,
                        score=verdict.score,
                        found_by=tuple(found_by),
                        where=verdict.event.audience,
                    )
                )


def _credentials(kafka: Kafka) -> Any:
    context = kafka.ssl_context()
    if kafka.security_protocol.startswith("SASL"):
        if kafka.sasl_mechanism == "OAUTHBEARER":
            token = TokenFile(Path(kafka.sasl_token_file))
            return OAuthCredentials(oauth_cb=token, ssl_context=context)
        return faust.SASLCredentials(
            username=kafka.sasl_username,
            password=kafka.sasl_password(),
            mechanism=kafka.sasl_mechanism,
            ssl_context=context,
        )
    return faust.SSLCredentials(context) if context else None
