"""The pacer: produces on a schedule that nothing holds up, in a process of its own.

Open loop: when the machine or the broker stalls, what was due meanwhile is sent late, and its latency
counts from when it was due. So no stall hides the messages it delayed (coordinated omission).
"""

import sys
import time
from itertools import cycle, islice
from pathlib import Path

import msgspec
from confluent_kafka import Producer

from tests.bench.topics import PARTITIONS


class Schedule(msgspec.Struct, frozen=True):
    """Which records to send, where, how many a second; the file has one record a line and is cycled."""

    bootstrap_servers: str
    topic: str
    records: str
    rate: int
    messages: int


class Kept(msgspec.Struct, frozen=True):
    """When the first message was due, on the system's monotonic clock, and how late they were handed over."""

    start: float
    late_99th: float
    late_longest: float


def pace(schedule: Schedule) -> Kept:
    """Send message n to partition n modulo 4 at `start + n / rate`."""
    records = Path(schedule.records).read_bytes().splitlines()
    content = list(islice(cycle(records), schedule.messages))
    producer = Producer(
        {
            "bootstrap.servers": schedule.bootstrap_servers,
            "linger.ms": 1,
            "queue.buffering.max.messages": 1_000_000,
            "socket.nagle.disable": True,
        }
    )
    producer.list_topics(schedule.topic, timeout=10)
    late: list[float] = []
    start = time.monotonic() + 0.5
    sent = 0
    while sent < schedule.messages:
        now = time.monotonic()
        due = min(schedule.messages, int((now - start) * schedule.rate) + 1) if now > start else 0
        if due > sent:
            late.append(now - (start + sent / schedule.rate))
        for number in range(sent, due):
            producer.produce(schedule.topic, content[number], partition=number % PARTITIONS)
        sent = max(sent, due)
        producer.poll(0)
        time.sleep(0.0005)
    producer.flush(30)
    late.sort()
    return Kept(start, late[len(late) * 99 // 100], late[-1])


if __name__ == "__main__":
    kept = pace(msgspec.json.decode(sys.argv[1], type=Schedule))
    sys.stdout.buffer.write(msgspec.json.encode(kept))
