"""Topics: filled before anything is timed, watched from outside while something is."""

from collections.abc import Iterable, Sequence

import orjson
from confluent_kafka import ConsumerGroupTopicPartitions, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, OffsetSpec

from detectors.canary import CANARY
from tests.e2e.brokers import create_topic

PARTITIONS = 4


def ended(records: Sequence[bytes]) -> list[bytes]:
    """Return the records with a canary at the end of each partition.

    What is in order behind it: when its escalation is there, everything before it is done too.
    """
    out = list(records)
    for at in range(len(out) - PARTITIONS, len(out)):
        out[at] = orjson.dumps(orjson.loads(out[at]) | {"text": CANARY})
    return out


def fill(bootstrap_servers: str, topic: str, records: Iterable[bytes]) -> None:
    """Create a topic and spread records over its partitions, in batches as a busy platform sends them."""
    create_topic(bootstrap_servers, topic, partitions=PARTITIONS)
    producer = Producer(
        {
            "bootstrap.servers": bootstrap_servers,
            "linger.ms": 20,
            "queue.buffering.max.messages": 200_000,
        }
    )
    for number, record in enumerate(records):
        while True:
            try:
                producer.produce(topic, record, partition=number % PARTITIONS)
                break
            except BufferError:
                producer.poll(0.1)
    left = producer.flush(60)
    if left:
        raise RuntimeError(f"{left} records for topic {topic} were not confirmed within 60 s")


class Watch:
    """How many records some topics hold."""

    def __init__(self, bootstrap_servers: str, topics: Sequence[str]) -> None:
        self._admin = AdminClient({"bootstrap.servers": bootstrap_servers, "log_level": 0})
        self._asked = {
            TopicPartition(topic, partition): OffsetSpec.latest()
            for topic in topics
            for partition in range(PARTITIONS)
        }

    def count(self) -> int:
        """Ask the broker; one request, a millisecond or two."""
        answers = self._admin.list_offsets(self._asked, request_timeout=10)
        return sum(answer.result().offset for answer in answers.values())


class Committed:
    """What a group has committed on one topic."""

    def __init__(self, bootstrap_servers: str, group: str, topic: str) -> None:
        self._admin = AdminClient({"bootstrap.servers": bootstrap_servers, "log_level": 0})
        self._partitions = [TopicPartition(topic, partition) for partition in range(PARTITIONS)]
        self._group = group

    def count(self) -> int:
        """Ask the broker for how many records; none where nothing is committed yet."""
        asked = ConsumerGroupTopicPartitions(self._group, self._partitions)
        answers = self._admin.list_consumer_group_offsets([asked], request_timeout=10)
        return sum(max(0, one.offset) for one in answers[self._group].result().topic_partitions)
