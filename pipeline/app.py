"""The worker: a Faust app that reads source topics and screens them.

Faust acknowledges a message whose agent raised, was cancelled, or was skipped after a rebalance, and commits
what was acknowledged. So source topics are declared without acknowledgements: nothing is committed but what
`screen` commits itself, the offset behind the last record whose every write the broker has confirmed. And
nothing raises inside an agent: a batch that cannot be delivered ends the process, and the next start reads it
again.

What looks at a subject over many messages will be a second agent beside `screen`, on a topic of its own.
"""

import asyncio
import logging
import os
import sys
import time
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime
from importlib.metadata import version
from typing import Any, Final, NoReturn

import faust
import msgspec
from faust.types import TP
from faust.web import Request, Response, View
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from pipeline import status
from pipeline.delivery import BrokerUnreachableError, Delivered, Delivery, DeliveryFailedError
from pipeline.line import Line
from pipeline.metrics import Metrics
from pipeline.screen import Screening
from pipeline.settings import Kafka, Settings
from pipeline.writes import Record, writes
from schemas import Event, Reason, Rejected

log: Final = logging.getLogger(__name__)

_EXPOSITION: Final = CONTENT_TYPE_LATEST.removesuffix("; charset=utf-8")

STOP_SECONDS: Final = 20.0
"""How long a stop waits for the batch in hand: less than the 30 s that Kubernetes grants."""


class Health:
    """What the health endpoints answer from."""

    def __init__(self) -> None:
        self.delivering_since: float | None = None
        self.batch = asyncio.Lock()
        self.is_stopping = False
        self.partitions: set[TP] = set()

    def stuck_seconds(self) -> float:
        """Return how long the batch in hand has been waiting for its confirmation, in seconds."""
        return time.monotonic() - self.delivering_since if self.delivering_since else 0.0


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
    line: Line
    metrics: Metrics
    delivery: Delivery
    health: Health


class _ReadOffsets(dict[TP, int | None]):
    """What Faust believes it has read of each partition: nothing.

    Faust drops records below the offset it has seen, and takes the committed one for seen. When a topic is
    made anew, or truncated, its records start below what was committed, and all of them would vanish.
    """

    def __getitem__(self, _: TP) -> None:
        return None


class _App(faust.App):
    """Faust's app without what would lose records or needs a folder to write to."""

    def _new_consumer(self) -> Any:
        consumer: Any = super()._new_consumer()
        consumer._read_offset = _ReadOffsets()  # noqa: SLF001  # there is no public way
        return consumer

    def _create_directories(self) -> None:
        """Make none: they are for tables, and there are none."""


def build(settings: Settings, line: Line, metrics: Metrics) -> faust.App:
    """Build the Faust app: one `screen` agent per source topic, and the web endpoints."""
    worker = Worker(settings, line, metrics, Delivery(settings.kafka), Health())
    app = _App(
        settings.kafka.group,
        version=1,
        broker=[f"aiokafka://{server}" for server in settings.kafka.bootstrap_servers.split(",")],
        broker_credentials=_credentials(settings.kafka),
        broker_commit_interval=1.0,
        broker_session_timeout=settings.kafka.session_seconds,
        broker_heartbeat_interval=settings.kafka.session_seconds / 3,
        consumer_group_instance_id=settings.kafka.instance or None,
        consumer_auto_offset_reset="earliest",
        key_serializer="raw",
        value_serializer="raw",
        stream_wait_empty=False,
        stream_buffer_maxsize=4 * settings.screening.batch_records,
        # Topics are made by whoever owns the cluster, and nothing here elects a leader.
        topic_allow_declare=False,
        topic_disable_leader=True,
        web_host=settings.web.host,
        web_bind=settings.web.host,
        web_port=settings.web.port,
        web_router_enabled=False,
        web_tables_enabled=False,
        web_graph_enabled=False,
        web_stats_enabled=False,
        web_metrics_enabled=False,
    )
    metrics.configuration.info({"digest": line.configuration, "version": version("penjaga")})

    async def connect() -> None:
        await _guarded(worker.delivery.start())

    async def disconnect(*_: Any, **__: Any) -> None:
        # The batch in hand is delivered and committed whole; what comes after is left for the next start.
        worker.health.is_stopping = True
        try:
            async with asyncio.timeout(STOP_SECONDS), worker.health.batch:
                await worker.delivery.stop()
        except TimeoutError:
            stop_process(
                status.UNDELIVERED,
                f"told to stop, but a batch stayed unconfirmed for {STOP_SECONDS:g} s; it will be read again",
            )

    app.task(connect)
    app.on_before_shutdown.connect(disconnect, weak=False)
    app.on_partitions_assigned.connect(_assigned(worker), weak=False)
    for topic in settings.sources:
        _screen_agent(app, topic, worker)
    _web(app, worker)
    return app


def _assigned(worker: Worker) -> Callable[..., Any]:
    async def on_assigned(_app: faust.App, assigned: set[TP], **_: Any) -> None:
        worker.health.partitions = set(assigned)
        worker.metrics.assigned_partitions.set(len(assigned))

    return on_assigned


async def _guarded(work: Any) -> Any:
    """Await; end the process on whatever goes wrong, before Faust can acknowledge anything."""
    try:
        return await work
    except BrokerUnreachableError as error:
        stop_process(status.UNREACHABLE, str(error))
    except DeliveryFailedError as error:
        stop_process(status.UNDELIVERED, f"stopping without committing: {error}")
    except Exception:
        log.exception("a bug; please report it")
        stop_process(status.CRASHED, "stopping without committing after an unexpected error")


def _screen_agent(app: faust.App, topic: str, worker: Worker) -> None:
    channel = app.topic(topic, key_type=bytes, value_type=bytes, acks=False)
    taking = worker.settings.screening
    metrics, health = worker.metrics, worker.health
    in_a_row = 0
    held: dict[TP, int] = {}

    async def screen_batch(messages: list[Any]) -> None:
        nonlocal in_a_row
        records = [_record(message) for message in messages]
        values = [record.value for record in records]
        with metrics.screen_seconds.labels(topic).time():
            screening = worker.line.screen(topic, values)
        longest, in_a_row = _rejected_in_a_row(screening, in_a_row)
        if longest >= taking.dead_letters_in_a_row:
            raise DeliveryFailedError(_storm(longest, records[-1]))
        health.delivering_since = time.monotonic()
        with metrics.delivery_seconds.labels(topic).time():
            delivered = await worker.delivery.deliver(
                writes(records.__getitem__, screening, worker.settings.topics)
            )
        held.update(_behind(app, messages))
        # A run of rejected records is committed with the good record that ends it: a storm that stops the
        # worker stops the next one too, instead of losing a piece of the topic to each.
        if not in_a_row or any(isinstance(event, Event) for event in screening.events):
            await _commit(app, held, worker.settings.kafka.delivery_seconds)
        health.delivering_since = None
        _count(metrics, topic, values, screening, delivered)

    @app.agent(channel, name=f"screen-{topic}", concurrency=1)
    async def screen(stream: Any) -> AsyncIterator[None]:
        async for events in stream.noack_take(taking.batch_records, within=taking.batch_seconds):
            async with health.batch:
                if not health.is_stopping:
                    await _guarded(screen_batch([event.message for event in events]))
            yield None


def _behind(app: faust.App, messages: list[Any]) -> dict[TP, int]:
    """Return the offset behind the last of these records in each partition.

    A record fetched before a rebalance belongs to whoever reads it next, so it is left out: it comes again,
    and its writes with the same ids.
    """
    offsets: dict[TP, int] = {}
    for message in messages:
        if message.generation_id == app.consumer_generation_id:
            offsets[message.tp] = message.offset + 1
    return offsets


async def _commit(app: faust.App, offsets: dict[TP, int], seconds: float) -> None:
    """Commit and forget the offsets; one that is refused costs no more than reading records again.

    Raises:
        DeliveryFailedError: if the broker does not answer within `seconds`.
    """
    # Faust's public commit takes no offsets, only what was acknowledged.
    consumer: Any = app.consumer
    try:
        async with asyncio.timeout(seconds):
            await consumer._commit(dict(offsets))  # noqa: SLF001
    except TimeoutError:
        raise DeliveryFailedError(f"offsets were not committed within {seconds:g} s") from None
    offsets.clear()


def _storm(count: int, last: Record) -> str:
    return (
        f"{count} records in a row were rejected, up to {last.topic}/{last.partition}/{last.offset}: this "
        "looks like a changed format, not bad records. Check the [sources] mapping with "
        "`penjaga config check`, or raise screening.dead_letters_in_a_row."
    )


def _record(message: Any) -> Record:
    headers = message.headers or ()
    pairs = headers.items() if hasattr(headers, "items") else headers
    return Record(
        message.topic,
        message.partition,
        message.offset,
        message.key,
        message.value,
        tuple((name, value) for name, value in pairs),
    )


def _rejected_in_a_row(screening: Screening, before: int) -> tuple[int, int]:
    """Return the longest run of rejected records and the one it ends with; tombstones count for neither."""
    longest = run = before
    for event in screening.events:
        if not isinstance(event, Rejected):
            run = 0
        elif event.reason is not Reason.TOMBSTONE:
            run += 1
            longest = max(longest, run)
    return longest, run


def _count(
    metrics: Metrics,
    source: str,
    values: list[bytes | None],
    screening: Screening,
    delivered: Delivered,
) -> None:
    now = datetime.now(UTC)
    metrics.screened(source, values, screening)
    metrics.escalated(source, screening, now)
    for written, count in delivered.topics.items():
        metrics.writes.labels(written).inc(count)
    for form, count in delivered.reduced.items():
        metrics.reduced.labels(form).inc(count)
    metrics.last_batch.labels(source).set(now.timestamp())


def _web(app: faust.App, worker: Worker) -> None:
    @app.page("/metrics")
    async def metrics_page(view: View, _request: Request) -> Response:
        return view.bytes(generate_latest(), content_type=_EXPOSITION)

    @app.page("/health/live")
    async def live(view: View, _request: Request) -> Response:
        stuck = worker.health.stuck_seconds()
        well = stuck < worker.settings.kafka.delivery_seconds
        return view.json(
            {"alive": well, "unconfirmed_seconds": round(stuck, 3)}, status=200 if well else 503
        )

    @app.page("/health/ready")
    async def ready(view: View, _request: Request) -> Response:
        count = len(worker.health.partitions)
        return view.json({"ready": count > 0, "partitions": count}, status=200 if count else 503)


def _credentials(kafka: Kafka) -> Any:
    context = kafka.ssl_context()
    if kafka.security_protocol.startswith("SASL"):
        return faust.SASLCredentials(
            username=kafka.sasl_username,
            password=kafka.sasl_password(),
            mechanism=kafka.sasl_mechanism,
            ssl_context=context,
        )
    return faust.SSLCredentials(context) if context else None
