"""Doctor, the other half: the cluster as a worker would meet it. It writes and commits nothing.

So rights to write are not seen: no client can tell them without writing, or being told all rights.
"""

import asyncio
import logging
import os
import time
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from typing import Any, Final, Self

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import GroupCoordinatorNotAvailableError, GroupLoadInProgressError
from aiokafka.structs import OffsetAndMetadata

from pipeline.delivery import BrokerUnreachableError, client_options
from pipeline.doctor import Check
from pipeline.settings import Kafka, Settings
from pipeline.topics import Found, owned, plan
from pipeline.topics_cluster import RefusedError, administration, topics

CORE_RECORDS: Final = 12_000
"""Records a second that one process is planned with: tests/bench/results.md."""

CATCH_UP_SECONDS: Final = 60.0
"""A backlog that takes longer is told: the alert's number, PenjagaFallingBehind."""

AHEAD_SECONDS: Final = 5.0
"""A newest record that lies so far in the future is told; clocks that are kept by NTP differ by less."""

_CONNECT_SECONDS: Final = 5.0
_FETCH_SECONDS: Final = 5.0
_COORDINATOR_SECONDS: Final = 10.0
# A fetch brings up to a megabyte of each partition, for one record of it.
_PARTITIONS_LOOKED_AT: Final = 8
_APPENDED: Final = 1
"""Kafka's timestamp type of a record whose time is the broker's."""


async def examine(settings: Settings) -> list[Check]:
    """Return every check of the cluster; those that need a broker only where one answers."""
    reached = await _reach(settings.kafka)
    checks = [reached]
    if reached.state == "failed":
        return checks
    with _Heard() as heard:
        try:
            async with administration(settings.kafka) as admin:
                checks.append(Check("credentials", "ok", _who(settings.kafka)))
                checks += await _inside(settings, admin)
        except BrokerUnreachableError as error:
            is_in = len(checks) > 1
            said = heard.last.rstrip(": ") or str(error)
            checks.append(_lost(error) if is_in else _refused(settings.kafka, said))
        except RefusedError as error:
            what = f"the cluster refused {error}"
            do = "grant this user Describe and DescribeConfigs on these topics, Describe on the group"
            checks.append(Check("rights", "failed", what, do))
    return checks


async def _inside(settings: Settings, admin: AIOKafkaAdminClient) -> list[Check]:
    names = [*settings.sources, *(topic.name for topic in owned(settings))]
    found = await topics(admin, names)
    sources = [
        TopicPartition(name, partition)
        for name in settings.sources
        if name in found
        for partition in range(found[name].partitions)
    ]
    checks = _topics(settings, found)
    if not sources:
        return checks
    consumer = AIOKafkaConsumer(**client_options(settings.kafka), enable_auto_commit=False)
    await consumer.start()
    try:
        ends = await consumer.end_offsets(sources)
        starts = await consumer.beginning_offsets(sources)
        filled = [place for place in sources if starts[place] < ends[place]]
        checks.append(await _group(settings.kafka, admin, starts, ends))
        checks.append(clock(await _newest(consumer, filled, ends), time.time()))
    finally:
        await consumer.stop()
    return checks


async def _reach(kafka: Kafka) -> Check:
    """See that something listens at each address."""
    addresses = [address.strip() for address in kafka.bootstrap_servers.split(",")]
    problems = await asyncio.gather(*map(_unreachable, addresses))
    silent = {a: p for a, p in zip(addresses, problems, strict=True) if p}
    if not silent:
        return Check("brokers", "ok", f"{kafka.bootstrap_servers}: all listen")
    what = "; ".join(f"{address}: {problem}" for address, problem in silent.items())
    do = "start the broker, or correct kafka.bootstrap_servers (KAFKA_BOOTSTRAP_SERVERS), names and firewalls"
    if len(silent) < len(addresses):
        return Check("brokers", "warning", what, do)
    return Check("brokers", "failed", what, f"{do}; what needs a broker was not looked at")


async def _unreachable(address: str) -> str:
    host, _, port = address.rpartition(":")
    try:
        async with asyncio.timeout(_CONNECT_SECONDS):
            _, writer = await asyncio.open_connection(host.strip("[]"), int(port))
    except TimeoutError:
        return f"no answer within {_CONNECT_SECONDS:g} s"
    except OSError as error:
        # asyncio puts the address into what is said; a name that is not found has a number below 0.
        number = error.errno or 0
        return os.strerror(number) if number > 0 else (error.strerror or str(error))
    writer.close()
    with suppress(OSError):
        await writer.wait_closed()
    return ""


def _who(kafka: Kafka) -> str:
    if kafka.security_protocol.startswith("SASL"):
        name = kafka.sasl_username or "whom the token names"
        return f"accepted as {name} by {kafka.sasl_mechanism} over {kafka.security_protocol}"
    return f"none needed over {kafka.security_protocol}"


def _refused(kafka: Kafka, said: str) -> Check:
    do = "kafka.security_protocol has to be that of the listener on this port"
    if kafka.security_protocol.startswith("SASL"):
        do += (
            "; check kafka.sasl_mechanism, sasl_username, and the password "
            "(PENJAGA_KAFKA_SASL_PASSWORD or sasl_password_file), or the token in sasl_token_file"
        )
    if kafka.security_protocol.endswith("SSL"):
        do += "; check that ca_file signed the broker's certificate, and that it names the broker's host"
    return Check("credentials", "failed", f"a broker listens but does not take us: {said}", do)


def _lost(error: BrokerUnreachableError) -> Check:
    do = "look at the brokers' own logs; the rest was not looked at"
    return Check("brokers", "failed", str(error), do)


def _topics(settings: Settings, found: Mapping[str, Found]) -> list[Check]:
    wanted = plan(settings, found)
    checks = [
        Check(
            "sources" if problem.name in settings.sources else "topics",
            "failed" if problem.name in settings.sources else "warning",
            f"{problem.name}: {problem.what}",
            problem.remedy,
        )
        for problem in wanted.problems
    ]
    checks += [
        Check("topics", "failed", f"{step.topic.name}: no such topic", "penjaga topics apply")
        for step in wanted.create
    ]
    checks += [
        Check(
            "topics",
            "warning",
            f"{step.name}: {name} is {step.before[name] or 'unset'}, not {value}",
            "penjaga topics plan, then penjaga topics apply",
        )
        for step in wanted.alter
        for name, value in step.after.items()
    ]
    checks += [
        Check(
            "topics",
            "warning",
            f"{step.name}: {step.before} partitions, not {step.after}",
            "penjaga topics apply --add-partitions, or lower provisioning.partitions",
        )
        for step in wanted.grow
    ]
    if not any(check.name == "sources" for check in checks):
        counts = ", ".join(f"{name}: {found[name].partitions}" for name in settings.sources)
        checks.append(Check("sources", "ok", f"partitions of {counts}"))
    if not any(check.name == "topics" for check in checks):
        checks.append(Check("topics", "ok", "all there, configured as wanted"))
    return checks


async def _group(
    kafka: Kafka,
    admin: AIOKafkaAdminClient,
    starts: Mapping[TopicPartition, int],
    ends: Mapping[TopicPartition, int],
) -> Check:
    """Say how far the consumer group is behind, and whether anybody is in it."""
    committed = await _committed(kafka, admin)
    described = await admin.describe_consumer_groups([kafka.group])
    members = sum(len(group[5]) for answer in described for group in answer.groups)
    lag = 0
    for place, end in ends.items():
        offset = committed[place].offset if place in committed else -1
        lag += end - (offset if offset >= 0 else starts[place])
    return group(kafka.group, members, lag, len(ends), is_new=not committed)


async def _committed(
    kafka: Kafka, admin: AIOKafkaAdminClient
) -> Mapping[TopicPartition, OffsetAndMetadata]:
    """Return what the group has committed; a new cluster needs a moment to have a place for it."""
    async with asyncio.timeout(_COORDINATOR_SECONDS):
        while True:
            try:
                offsets: Mapping[TopicPartition, OffsetAndMetadata]
                offsets = await admin.list_consumer_group_offsets(kafka.group)
            except (GroupCoordinatorNotAvailableError, GroupLoadInProgressError):
                await asyncio.sleep(0.2)
            else:
                return offsets


def group(name: str, members: int, lag: int, partitions: int, *, is_new: bool) -> Check:
    """Judge a consumer group by its members, its lag in records, and the partitions they share."""
    what = f"{name}: members: {members}, records waiting: {lag}"
    if is_new and not members:
        what += ", nothing committed yet: a first worker begins with the oldest"
        return Check("group", "ok", what)
    if not members:
        return Check("group", "warning", f"{what}; nobody reads", "start a worker")
    if members > partitions:
        do = f"there are {partitions} partitions to share: run fewer, or have the sources widened"
        return Check("group", "warning", f"{what}; some have nothing to do", do)
    if lag > CORE_RECORDS * CATCH_UP_SECONDS * members:
        do = "more workers, up to one for each partition; deploy/runbook.md, PenjagaFallingBehind"
        return Check("group", "warning", f"{what}: more than a minute's work", do)
    return Check("group", "ok", what)


async def _newest(
    consumer: AIOKafkaConsumer, filled: Sequence[TopicPartition], ends: Mapping[TopicPartition, int]
) -> tuple[float, bool] | None:
    """Return the time of the newest record, in seconds since 1970, and whether it is the broker's."""
    places = sorted(filled, key=lambda place: ends[place], reverse=True)[:_PARTITIONS_LOOKED_AT]
    if not places:
        return None
    consumer.assign(places)
    for place in places:
        consumer.seek(place, ends[place] - 1)
    missing = set(places)
    newest: tuple[float, bool] | None = None
    give_up = time.monotonic() + _FETCH_SECONDS
    while missing and (left := give_up - time.monotonic()) > 0:
        fetched = await consumer.getmany(*missing, timeout_ms=round(1000 * left))
        for place, records in fetched.items():
            missing.discard(place)
            newest = max(filter(None, (newest, _latest(records))), default=None)
    return newest


def _latest(records: Iterable[Any]) -> tuple[float, bool]:
    return max((r.timestamp / 1000, r.timestamp_type == _APPENDED) for r in records)


def clock(newest: tuple[float, bool] | None, now: float) -> Check:
    """Compare this clock with the newest record's: that shows one that is behind, not one that is ahead."""
    if newest is None:
        return Check("clock", "ok", "nothing to compare with: no record on the sources")
    at, is_brokers = newest
    whose = "the broker's" if is_brokers else "its producer's"
    if at - now > AHEAD_SECONDS:
        what = f"the newest record is {at - now:.0f} s in the future by this clock; its time is {whose}"
        return Check("clock", "warning", what, f"keep both clocks by NTP: this one, and {whose}")
    return Check("clock", "ok", f"the newest record is {max(0.0, now - at):.0f} s old, by {whose}")


class _Heard(logging.Handler):
    """What aiokafka says of its failed tries, which it raises without the reason."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.last = ""

    def emit(self, record: logging.LogRecord) -> None:
        self.last = record.getMessage()

    def __enter__(self) -> Self:
        logging.getLogger("aiokafka").addHandler(self)
        return self

    def __exit__(self, *_: object) -> None:
        logging.getLogger("aiokafka").removeHandler(self)
