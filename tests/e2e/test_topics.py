"""`penjaga topics` on Apache Kafka: what it shows is what it does, and then nothing is left."""

import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import pytest
from confluent_kafka.admin import AdminClient, ConfigResource
from confluent_kafka.cimpl import NewTopic

from pipeline import status
from tests.e2e.brokers import Broker
from tests.e2e.workers import clean_environment, free_port

Unique = Callable[[str], str]
ONE_BROKER = {"PENJAGA_PROVISIONING_REPLICATION": "1", "PENJAGA_PROVISIONING_MIN_IN_SYNC": "1"}


@dataclass
class Place:
    """A configuration with topics of its own, and the cluster it points at."""

    folder: Path
    servers: str
    source: str
    escalations: str
    letters: str
    signals: str

    @cached_property
    def admin(self) -> AdminClient:
        """Another client than ours."""
        return AdminClient({"bootstrap.servers": self.servers})

    def penjaga(self, *arguments: str, **environment: str) -> tuple[int, list[str], str]:
        """Run a command; return its status, its lines and what it said on standard error."""
        done = subprocess.run(
            [sys.executable, "-m", "pipeline", *arguments, "--config", self.folder / "p.toml"],
            env=clean_environment() | ONE_BROKER | environment,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        return done.returncode, done.stdout.splitlines(), done.stderr

    def config(self, topic: str) -> dict[str, str]:
        """Return how the cluster has a topic, as another client sees it."""
        asked = ConfigResource(ConfigResource.Type.TOPIC, topic)
        answer = self.admin.describe_configs([asked])
        return {name: entry.value for name, entry in answer[asked].result(30).items()}

    def topics(self) -> dict[str, int]:
        """Return the topics of this test with their partitions."""
        there = self.admin.list_topics(timeout=30).topics
        mine = (self.source, self.escalations, self.letters, self.signals)
        return {name: len(there[name].partitions) for name in mine if name in there}

    def make(self, topic: str, **config: str) -> None:
        """Have the platform create a topic."""
        new = NewTopic(topic, 4, 1, config={n.replace("_", "."): v for n, v in config.items()})
        self.admin.create_topics([new])[topic].result(30)


@pytest.fixture
def place(kafka: Broker, unique: Unique, tmp_path: Path) -> Place:
    """Write a configuration; create nothing."""
    names = [unique(name) for name in ("events", "escalations", "letters", "signals")]
    (tmp_path / "p.toml").write_text(
        f"""
[kafka]
bootstrap_servers = "{kafka.bootstrap_servers}"
[topics]
escalations = "{names[1]}"
shadow = "{unique("shadow")}"
dead_letters = "{names[2]}"
signals = "{names[3]}"
memory = "{unique("memory")}"
[provisioning]
partitions = 3
[sources."{names[0]}"]
"""
    )
    return Place(tmp_path, kafka.bootstrap_servers, *names)


def test_plan_changes_nothing_and_apply_does_what_it_showed(place: Place) -> None:
    """Missing topics are created as shown; the second plan is empty, with status 0."""
    place.make(place.source)

    code, shown, _ = place.penjaga("topics", "plan")
    before = place.topics()
    applied, done, _ = place.penjaga("topics", "apply")
    after = place.topics()
    again, left, _ = place.penjaga("topics", "plan")

    assert (status.CHANGES, 5) == (code, len([line for line in shown if line.startswith("+ ")]))
    assert {place.source: 4} == before
    assert (0, shown) == (applied, done)
    assert {place.source: 4, place.escalations: 3, place.letters: 3, place.signals: 3} == after
    assert "compact,delete" == place.config(place.escalations)["cleanup.policy"]
    assert (0, ["0 to create, 0 to configure, 0 to widen, 0 to mend by hand"]) == (again, left)


def test_a_topic_that_drifted_is_set_right_and_keeps_what_else_was_set(place: Place) -> None:
    """Its retention is what the settings say again; its segments are as somebody made them."""
    place.make(place.source, max_message_bytes="3000000")
    place.make(place.escalations, retention_ms="1000", segment_bytes="1234567")

    place.penjaga("topics", "apply")
    config = place.config(place.escalations)

    assert ("2592000000", "1234567") == (config["retention.ms"], config["segment.bytes"])
    assert 3_000_000 < int(place.config(place.letters)["max.message.bytes"])


def test_partitions_are_added_only_when_asked_to(place: Place) -> None:
    """Without the flag the rest is done, with status 1 and a warning about keys; signals never get any."""
    place.make(place.source)
    place.penjaga("topics", "apply")
    wider = {"PENJAGA_PROVISIONING_PARTITIONS": "5"}

    code, shown, _ = place.penjaga("topics", "apply", **wider)
    before = place.topics()
    added, left, _ = place.penjaga("topics", "apply", "--add-partitions", **wider)
    after = place.topics()

    assert status.UNMET == code == added
    assert 3 == len([line for line in shown if "another partition" in line])
    assert (3, 5) == (before[place.escalations], after[place.escalations])
    assert 3 == before[place.signals] == after[place.signals]
    assert 2 == len([line for line in left if "what is remembered stays" in line])


def test_a_missing_source_is_told_and_not_created(place: Place) -> None:
    """It is the platform's, even where topics appear on first use; everything else is made."""
    code, shown, _ = place.penjaga("topics", "apply")

    assert status.UNMET == code
    assert [f"! {place.source}"] == [line.split("  ")[0] for line in shown if line[0] == "!"]
    assert {place.escalations, place.letters, place.signals} == place.topics().keys()


def test_what_the_cluster_refuses_is_said(place: Place) -> None:
    """Three replicas on one broker: status 1, and its own words."""
    place.make(place.source)

    code, _, said = place.penjaga("topics", "apply", PENJAGA_PROVISIONING_REPLICATION="3")

    assert status.UNMET == code
    assert "penjaga: the cluster refused creating" in said
    assert "InvalidReplicationFactorError" in said
    assert 1 == len(said.splitlines())


def test_faults_of_plan_are_told_from_its_answers(place: Place) -> None:
    """2 means changes and nothing else: wrong usage and configuration are 1, no broker is 69."""
    usage, _, _ = place.penjaga("topics", "plan", "--no-such-option")
    configuration, _, said = place.penjaga("topics", "plan", PENJAGA_WEB_PORT="none")
    nowhere = f"127.0.0.1:{free_port()}"
    unreachable, _, _ = place.penjaga("topics", "plan", KAFKA_BOOTSTRAP_SERVERS=nowhere)

    assert (status.UNMET, status.UNMET) == (usage, configuration)
    assert said.startswith("penjaga: PENJAGA_WEB_PORT: ")
    assert status.UNREACHABLE == unreachable
