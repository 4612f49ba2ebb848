"""`penjaga doctor` on Apache Kafka: a good cluster passes, and each fault is named with what mends it."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient

from pipeline import status
from tests.e2e.brokers import KafkaCluster, create_topic
from tests.e2e.workers import clean_environment, free_port

Rows = dict[str, list[tuple[str, str, str]]]
Doctor = Callable[..., tuple[int, Rows]]

PASSWORD = "correct horse"  # noqa: S105  # of a cluster that ends with the test
SASL = {
    "PENJAGA_KAFKA_SECURITY_PROTOCOL": "SASL_PLAINTEXT",
    "PENJAGA_KAFKA_SASL_MECHANISM": "PLAIN",
    "PENJAGA_KAFKA_SASL_USERNAME": "penjaga",
    "PENJAGA_KAFKA_SASL_PASSWORD": PASSWORD,
}


@pytest.fixture(scope="module")
def cluster(needs_kafka: None) -> Iterator[KafkaCluster]:  # noqa: ARG001  # it decides whether there is one
    """One node with a listener that asks for a password, with a source and what a worker writes to."""
    with KafkaCluster(passwords={"penjaga": PASSWORD}) as running:
        create_topic(running.bootstrap_servers, "platform.events")
        done = penjaga("topics", "apply", KAFKA_BOOTSTRAP_SERVERS=running.bootstrap_servers)
        assert 0 == done.returncode, done.stdout + done.stderr
        yield running


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Patterns are compiled once for all."""
    return tmp_path_factory.mktemp("cache")


def penjaga(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run a command for a cluster of one node."""
    one = {"PENJAGA_PROVISIONING_REPLICATION": "1", "PENJAGA_PROVISIONING_MIN_IN_SYNC": "1"}
    return subprocess.run(
        [sys.executable, "-m", "pipeline", *arguments],
        env=clean_environment() | one | {"PENJAGA_WEB_PORT": str(free_port())} | environment,
        cwd=os.sep,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


@pytest.fixture
def doctor(cluster: KafkaCluster, cache: Path) -> Doctor:
    """Return what asks: the status, and state, finding and remedy by check."""

    def ask(**environment: str) -> tuple[int, Rows]:
        settings: dict[str, str] = {
            "KAFKA_BOOTSTRAP_SERVERS": cluster.bootstrap_servers,
            "PENJAGA_CACHE_DIR": str(cache),
        }
        done = penjaga("doctor", "--json", **settings | environment)
        assert "" == done.stderr
        answer: dict[str, Any] = json.loads(done.stdout)
        rows: Rows = {}
        for check in answer["checks"]:
            rows.setdefault(check["name"], []).append((check["state"], check["what"], check["do"]))
        assert answer["sound"] == (done.returncode == 0)
        return done.returncode, rows

    return ask


def test_a_good_cluster_passes_every_check(cluster: KafkaCluster, doctor: Doctor) -> None:
    """All ok, with a password too; nothing has to be done, and no topic has come to be."""
    code, rows = doctor(KAFKA_BOOTSTRAP_SERVERS=cluster.sasl_servers, **SASL)

    assert 0 == code
    assert {
        *("configuration", "versions", "cache", "feeds", "web", "brokers", "credentials"),
        *("sources", "topics", "group", "clock"),
    } == rows.keys()
    assert {("ok", "")} == {(state, do) for found in rows.values() for state, _, do in found}
    assert "nothing committed yet" in rows["group"][0][1]
    assert "accepted as penjaga" in rows["credentials"][0][1]
    assert PASSWORD not in str(rows)


def test_people_read_a_line_for_each_check(cache: Path) -> None:
    """Below it, what mends it; without a broker, what needs one is not looked at."""
    nowhere = f"127.0.0.1:{free_port()}"
    done = penjaga("doctor", KAFKA_BOOTSTRAP_SERVERS=nowhere, PENJAGA_CACHE_DIR=str(cache))
    shown = done.stdout.splitlines()

    assert status.UNMET == done.returncode
    assert ["configuration", "versions", "cache", "feeds", "web", "brokers"] == [
        line.split()[1] for line in shown if line[0] != " "
    ]
    assert f"failed   brokers       {nowhere}: Connection refused" in shown
    assert shown[-1].startswith(" " * 22 + " do: start the broker, or correct")


def test_a_wrong_password_is_told_from_a_broker_that_is_down(
    cluster: KafkaCluster, doctor: Doctor
) -> None:
    """The broker's own words, and neither password."""
    wrong = SASL | {"PENJAGA_KAFKA_SASL_PASSWORD": "battery staple"}
    code, rows = doctor(KAFKA_BOOTSTRAP_SERVERS=cluster.sasl_servers, **wrong)
    ((state, what, do),) = rows["credentials"]

    assert (status.UNMET, "ok", "failed") == (code, rows["brokers"][0][0], state)
    assert "SaslAuthenticationFailed" in what
    assert "sasl_password_file" in do
    assert "battery staple" not in str(rows)


def test_a_wrong_protocol_is_told(cluster: KafkaCluster, doctor: Doctor) -> None:
    """Plain text to a listener that wants a password."""
    code, rows = doctor(KAFKA_BOOTSTRAP_SERVERS=cluster.sasl_servers)

    assert status.UNMET == code
    assert "security_protocol" in rows["credentials"][0][2]


def test_one_broker_of_two_is_a_warning(cluster: KafkaCluster, doctor: Doctor) -> None:
    """One that answers is enough to start with."""
    servers = f"127.0.0.1:{free_port()},{cluster.bootstrap_servers}"
    code, rows = doctor(KAFKA_BOOTSTRAP_SERVERS=servers)

    assert (0, "warning", "ok") == (code, rows["brokers"][0][0], rows["topics"][0][0])


def test_missing_topics_fail_and_wrong_retention_warns(
    cluster: KafkaCluster, doctor: Doctor
) -> None:
    """Each by its name, with the command that mends it; asking has not created them."""
    create_topic(cluster.bootstrap_servers, "kept-short", config={"retention.ms": "1000"})
    admin = AdminClient({"bootstrap.servers": cluster.bootstrap_servers})
    names = {
        "PENJAGA_TOPICS_SHADOW": "kept-short",
        "PENJAGA_TOPICS_ESCALATIONS": "not-there",
        "PENJAGA_PROVISIONING_PARTITIONS": "4",
    }
    code, rows = doctor(**names)
    whats = {what: (state, do) for state, what, do in rows["topics"]}

    assert status.UNMET == code
    assert ("failed", "penjaga topics apply") == whats["not-there: no such topic"]
    assert "warning" == whats["kept-short: retention.ms is 1000, not 604800000"][0]
    assert "not-there" not in admin.list_topics(timeout=30).topics


def test_a_missing_source_fails(doctor: Doctor, tmp_path: Path) -> None:
    """It is the platform's to create."""
    (tmp_path / "p.toml").write_text('[sources."not.there"]\n')
    code, rows = doctor(PENJAGA_CONFIG=str(tmp_path / "p.toml"))

    assert status.UNMET == code
    assert [("failed", "not.there: no such topic")] == [row[:2] for row in rows["sources"]]


def test_a_record_from_the_future_and_what_waits_are_seen(
    cluster: KafkaCluster, doctor: Doctor
) -> None:
    """The source's newest record, an hour ahead, tells of a clock; all records wait for a first worker."""
    producer = Producer({"bootstrap.servers": cluster.bootstrap_servers})
    ahead = round(1000 * (time.time() + 3600))
    for number, at in enumerate([0, ahead, 0]):
        producer.produce("platform.events", b"{}", partition=number, timestamp=at or 0)
    assert 0 == producer.flush(30)

    code, rows = doctor()

    assert 0 == code
    assert "warning" == rows["clock"][0][0]
    assert "in the future" in rows["clock"][0][1]
    assert "records waiting: 3" in rows["group"][0][1]
