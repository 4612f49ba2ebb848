"""Brokers for end-to-end tests: one suite, run on the embedded broker and on Apache Kafka."""

import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NoReturn

import pytest

from pipeline.embedded import embedded_broker
from tests.e2e.brokers import Broker, KafkaCluster, kafka_missing

Unavailable = Callable[[str, str], NoReturn]


@pytest.fixture(scope="session")
def needs_kafka(unavailable: Unavailable) -> None:
    """Leave the test out, or fail it when required, where Apache Kafka cannot run."""
    if remedy := kafka_missing():
        unavailable("kafka", remedy)


@pytest.fixture(scope="session")
def kafka(needs_kafka: None) -> Iterator[Broker]:  # noqa: ARG001  # it decides whether there is one
    """Apache Kafka, one node, for what the embedded broker cannot do."""
    with KafkaCluster() as cluster:
        yield Broker("kafka", cluster.bootstrap_servers)


@pytest.fixture(scope="session", params=["embedded", "kafka"])
def broker(request: pytest.FixtureRequest) -> Iterator[Broker]:
    """Return a running broker that all tests share: take topic and group names from `unique`."""
    if request.param == "embedded":
        with embedded_broker() as bootstrap_servers:
            yield Broker("embedded", bootstrap_servers)
    else:
        yield request.getfixturevalue("kafka")


@pytest.fixture(scope="session")
def needs_faketime(unavailable: Unavailable) -> dict[str, str]:
    """Return what a process's environment needs for its clock to be the one that a file tells."""
    found = sorted(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"))
    if not found:
        unavailable("faketime", "clocks that jump need libfaketime: apt-get install libfaketime")
    return {
        "LD_PRELOAD": str(found[0]),
        "FAKETIME_CACHE_DURATION": "1",
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
    }


@pytest.fixture
def unique() -> Callable[[str], str]:
    """Return a function that makes a topic, group or application name this test's own."""
    suffix = uuid.uuid4().hex[:8]
    return lambda name: f"{name}-{suffix}"
