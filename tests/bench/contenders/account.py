"""The account: what a contender is told to do, and what it says when it has done it."""

import os
import sys
import time
from typing import Final, Literal, NoReturn

import msgspec

from tests.bench.machine import peak_resident_bytes

Work = Literal["decode", "scan", "screen"]

LIBRDKAFKA: Final = {
    # A full queue (100,000 messages a partition) makes the client pause its fetches; with the default of
    # 1 s a fast consumer then waits for it: 300,000 messages in 2.5 s instead of 0.7 s.
    "fetch.queue.backoff.ms": 10,
    "auto.offset.reset": "earliest",
}


class Task(msgspec.Struct, frozen=True):
    """A topic to drain, and what to do with each message."""

    bootstrap_servers: str
    topic: str
    escalations: str
    group: str
    messages: int
    work: Work
    cache: str
    """The folder with the compiled patterns."""

    @classmethod
    def given(cls) -> "Task":
        """Read it from the command line."""
        return msgspec.json.decode(sys.argv[1], type=cls)


class Usage(msgspec.Struct, frozen=True):
    """What a drain took, from before the first fetch until everything was done."""

    messages: int
    seconds: float
    cpu_seconds: float
    peak_bytes: int
    characters: int = 0
    """Of all texts: proof that every contender has read the same."""
    verdicts: int = 0


class Account:
    """Starts when the partitions are assigned, and ends the process with what was used since."""

    def __init__(self, task: Task) -> None:
        self._task = task
        self._wall: float | None = None
        self._cpu = 0.0

    def start(self) -> None:
        """Count from here; a later call changes nothing."""
        if self._wall is None:
            self._wall = time.monotonic()
            self._cpu = time.process_time()

    def finish(self, characters: int, verdicts: int = 0) -> NoReturn:
        """Say what it took and end, without the shutdown of frameworks."""
        if self._wall is None:
            raise RuntimeError("finished before it had started")
        usage = Usage(
            messages=self._task.messages,
            seconds=time.monotonic() - self._wall,
            cpu_seconds=time.process_time() - self._cpu,
            peak_bytes=peak_resident_bytes(os.getpid()),
            characters=characters,
            verdicts=verdicts,
        )
        sys.stdout.buffer.write(msgspec.json.encode(usage))
        sys.stdout.flush()
        os._exit(0)
