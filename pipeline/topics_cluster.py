"""The cluster's side of topics: what is there, and how it is brought to what is wanted."""

import asyncio
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from typing import Final

from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.admin.new_partitions import NewPartitions
from aiokafka.errors import KafkaError, NoError, for_code

from pipeline.delivery import BrokerUnreachableError, client_options
from pipeline.settings import Kafka
from pipeline.topics import Alter, Create, Found, Grow, Plan

_REQUEST_MILLISECONDS: Final = 15_000
_OF_THE_TOPIC: Final = 1
"""Kafka's source of a value that was set for the topic itself: DYNAMIC_TOPIC_CONFIG."""


class RefusedError(Exception):
    """The cluster refused to tell of a topic or to change it."""


@asynccontextmanager
async def administration(kafka: Kafka) -> AsyncIterator[AIOKafkaAdminClient]:
    """Yield a connected client.

    Raises:
        BrokerUnreachableError: if no broker answers, once: whoever waits asks again.
    """
    admin = AIOKafkaAdminClient(**client_options(kafka), request_timeout_ms=_REQUEST_MILLISECONDS)
    try:
        await admin.start()
    except (KafkaError, OSError) as error:
        await admin.close()
        raise BrokerUnreachableError(
            f"no Kafka broker at {kafka.bootstrap_servers} answered ({type(error).__name__}). Check that it "
            "runs and that `bootstrap_servers` (or KAFKA_BOOTSTRAP_SERVERS), TLS and SASL are right."
        ) from None
    try:
        yield admin
    except (KafkaError, TimeoutError) as error:
        raise BrokerUnreachableError(
            f"the Kafka brokers at {kafka.bootstrap_servers} do not answer any more "
            f"({type(error).__name__})"
        ) from None
    finally:
        await admin.close()


async def topics(admin: AIOKafkaAdminClient, names: Iterable[str]) -> dict[str, Found]:
    """Return those of the topics that are there.

    Raises:
        RefusedError: if their configuration may not be read.
    """
    # All are asked for: a question for one by its name may create it, where topics appear on first use.
    wanted = set(names)
    there = {
        topic["topic"]: topic
        for topic in await admin.describe_topics()
        if topic["topic"] in wanted and not topic["error_code"]
    }
    if not there:
        return {}
    asked = [ConfigResource(ConfigResourceType.TOPIC, name) for name in there]
    found = {}
    for answer in await admin.describe_configs(asked):
        for code, message, _, name, entries in answer.resources:
            _see(code, f"describing {name}", message)
            partitions = there[name]["partitions"]
            found[name] = Found(
                partitions=len(partitions),
                replication=min(len(partition["replicas"]) for partition in partitions),
                config={entry[0]: entry[1] or "" for entry in entries},
                own={entry[0]: entry[1] or "" for entry in entries if entry[3] == _OF_THE_TOPIC},
            )
    return found


async def apply(admin: AIOKafkaAdminClient, plan: Plan, *, add_partitions: bool) -> None:
    """Create, configure, and widen if asked to; return when the cluster shows it.

    Raises:
        RefusedError: naming what the cluster refused; what came before it is done.
    """
    if plan.create:
        await _create(admin, plan.create)
    if plan.alter:
        await _alter(admin, plan.alter)
    if plan.grow and add_partitions:
        await _grow(admin, plan.grow)


async def _create(admin: AIOKafkaAdminClient, steps: Iterable[Create]) -> None:
    new = [
        NewTopic(
            step.topic.name,
            step.topic.partitions,
            step.topic.replication,
            topic_configs=dict(step.topic.wanted()),
        )
        for step in steps
    ]
    answer = await admin.create_topics(new)
    for name, code, message in answer.topic_errors:
        _see(code, f"creating {name}", message)
    # The controller has them now; brokers hear of it a moment later.
    async with asyncio.timeout(_REQUEST_MILLISECONDS / 1000):
        while not {topic.name for topic in new} <= set(await admin.list_topics()):
            await asyncio.sleep(0.1)


async def _alter(admin: AIOKafkaAdminClient, steps: Iterable[Alter]) -> None:
    # The request takes the place of all that was set for the topic, so what stays is said again.
    resources = [
        ConfigResource(ConfigResourceType.TOPIC, step.name, step.own | step.after) for step in steps
    ]
    for answer in await admin.alter_configs(resources):
        for code, message, _, name in answer.resources:
            _see(code, f"configuring {name}", message)


async def _grow(admin: AIOKafkaAdminClient, steps: Iterable[Grow]) -> None:
    for step in steps:
        try:
            await admin.create_partitions({step.name: NewPartitions(step.after)})
        except KafkaError as error:
            raise RefusedError(f"widening {step.name}: {error}") from None


def _see(code: int, doing: str, message: str | None) -> None:
    error = for_code(code)
    if error is not NoError:
        said = f": {message}" if message else ""
        raise RefusedError(f"{doing}: {error.__name__}{said}")
