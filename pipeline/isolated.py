"""Isolated: a detector in a process of its own, which may hang, leak or crash and takes nobody along.

Pebble keeps the process: it is ended when it misses the deadline and started anew when it is needed. The
limit on memory is the system's, for the address space of that process.
"""

import os
import resource
from collections.abc import Iterable, Sequence
from concurrent.futures import TimeoutError as LateError
from importlib.metadata import EntryPoint
from multiprocessing import get_context
from multiprocessing.util import Finalize
from typing import Any, Final

from pebble import ProcessExpired, ProcessPool

from detectors.contract import Candidate, Detector
from pipeline import logs
from schemas import Finding

START_SECONDS: Final = 60.0
"""How long the process may take to load the detector, before its first answer."""

_SHARED: Final = "opens", "reads", "reach", "with_lists"
"""What the worker itself would have to call on every batch."""


class DeadlineError(Exception):
    """The process did not answer in time, and was ended."""


class DiedError(Exception):
    """The process ended in the middle of its work."""


class NotIsolableError(ValueError):
    """A detector that the worker has to call itself."""


class Isolated:
    """A detector as the worker sees it: same name, patterns and findings, another process."""

    def __init__(
        self, detector: Detector, entry: EntryPoint, seconds: float, memory_bytes: int
    ) -> None:
        """Stand for a detector that its process loads anew from its entry point.

        Raises:
            NotIsolableError: if it chooses texts, bounds its findings or reads lists itself.
        """
        shared = [name for name in _SHARED if hasattr(detector, name)]
        if shared:
            raise NotIsolableError(f"it cannot be isolated: it has `{'`, `'.join(shared)}`")
        self.name = detector.name
        self.version = detector.version
        self.labels = detector.labels
        self.patterns = detector.patterns
        self.reads_links = bool(getattr(detector, "reads_links", False))
        self._entry = entry.value
        self._seconds = seconds
        self._memory_bytes = memory_bytes
        self._pool: ProcessPool | None = None
        self._owner = 0

    def scan(self, candidates: Sequence[Candidate]) -> Iterable[tuple[Candidate, Finding]]:
        """Yield what the process found within the usual time; raises as `within` does."""
        self.ready()
        return self.within(candidates, self._seconds)

    def ready(self) -> None:
        """Start the process unless it runs; loading is no answer, so it is not held to its deadline.

        Raises:
            DeadlineError: if it is not ready in time.
            DiedError: if it died.
        """
        # A process that was forked off must not share the pool of the one it came from. A pool whose process
        # cannot load the detector has given up.
        if self._pool is not None and self._owner == os.getpid() and self._pool.active:
            return
        if self._owner != os.getpid():
            self._owner = os.getpid()
            # At its end a process waits for those it started, which a pool that is not stopped never ends.
            Finalize(None, self.close, exitpriority=0)
        self._pool = ProcessPool(
            max_workers=1,
            context=get_context("spawn"),
            initializer=_open,
            initargs=(self._entry, self._memory_bytes),
        )
        self._answer(self._pool, [], None)

    def within(
        self, candidates: Sequence[Candidate], seconds: float
    ) -> list[tuple[Candidate, Finding]]:
        """Return what the process found.

        Raises:
            DeadlineError: if it took longer; it is ended.
            DiedError: if it died.
            Exception: whatever the detector raised.
        """
        if self._pool is None:
            raise RuntimeError("not ready")
        answer = self._answer(self._pool, list(candidates), seconds)
        return [(candidates[position], finding) for position, finding in answer]

    def _answer(
        self, pool: ProcessPool, candidates: list[Candidate], seconds: float | None
    ) -> list[tuple[int, Finding]]:
        call = pool.schedule(_scan, args=[candidates], timeout=seconds)
        try:
            # The pool's own clock starts with the call, which a process that loads for ever never takes.
            answer: list[tuple[int, Finding]] | TimeoutError = call.result(
                START_SECONDS + (seconds or 0.0)
            )
        except LateError:
            self.close()
            raise DeadlineError from None
        except ProcessExpired:
            self.close()
            raise DiedError from None
        if isinstance(answer, TimeoutError):
            raise answer
        return answer

    def close(self) -> None:
        """End the process."""
        if self._pool is not None:
            self._pool.stop()  # type: ignore[no-untyped-call]  # the library has no types for these
            self._pool.join()
            self._pool = None


_held: dict[str, Any] = {}


def _open(entry: str, memory_bytes: int) -> None:
    """Load the detector, in its own process, under its limit."""
    logs.configure()
    if memory_bytes:
        resource.setrlimit(resource.RLIMIT_AS, (memory_bytes, memory_bytes))
    _held["detector"] = EntryPoint("detector", entry, "penjaga.detectors").load()()


def _scan(candidates: list[Candidate]) -> list[tuple[int, Finding]] | TimeoutError:
    positions = {id(candidate): position for position, candidate in enumerate(candidates)}
    try:
        return [
            (positions[id(candidate)], finding)
            for candidate, finding in _held["detector"].scan(candidates)
        ]
    except TimeoutError as error:
        # Returned, because raised it could not be told from the deadline.
        return error
