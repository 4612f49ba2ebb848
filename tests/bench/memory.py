"""Memory: what a worker holds while it drains a long backlog."""

import logging
import uuid
from collections.abc import Sequence
from itertools import cycle, islice
from typing import Final

import msgspec

from tests.bench.machine import peak_resident_bytes, resident_bytes
from tests.bench.topics import Committed, fill
from tests.bench.worker import Outputs, Site, Worker

log: Final = logging.getLogger(__name__)

_SAMPLES: Final = 20


class Memory(msgspec.Struct, frozen=True):
    """The stage's result."""

    messages: int
    samples: tuple[tuple[int, int], ...]
    """Messages committed, and resident bytes then."""
    peak_bytes: int

    @property
    def growth(self) -> float:
        """By what share the last fifth of the samples is above the second fifth, on average."""
        fifth = max(1, len(self.samples) // 5)
        early = [held for _, held in self.samples[fifth : 2 * fifth]] or [self.samples[0][1]]
        late = [held for _, held in self.samples[-fifth:]]
        return (sum(late) / len(late)) / (sum(early) / len(early)) - 1


def memory(site: Site, records: Sequence[bytes], messages: int) -> Memory:
    """Let a worker drain so many messages, the records over and over."""
    topic = f"memory-{uuid.uuid4().hex[:8]}"
    fill(site.bootstrap_servers, topic, islice(cycle(records), messages))
    committed = Committed(site.bootstrap_servers, topic, topic)
    samples: list[tuple[int, int]] = []
    outputs = Outputs.create(site.bootstrap_servers, topic)
    with Worker(site, topic, outputs, topic) as worker:
        worker.until_joined()

        def is_drained() -> bool:
            done = committed.count()
            if not done:
                return False
            due = samples[-1][0] + messages / _SAMPLES if samples else 0
            if done >= min(due, messages):
                samples.append((done, resident_bytes(worker.pid)))
                log.info("%d of %d messages, %d MB", done, messages, samples[-1][1] >> 20)
            return done >= messages

        worker.until(is_drained, seconds=3600, pause=0.1)
        peak = peak_resident_bytes(worker.pid)
    return Memory(messages, tuple(samples), peak)
