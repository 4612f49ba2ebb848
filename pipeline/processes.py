"""Processes: one parent and its workers on one machine, each a member of the consumer group.

The parent loads configuration, detectors and patterns once, and forks. A busy worker forked so has some 65 MB
to itself, where one that loads everything again has 121 MB. It costs none of the 2 s of processor time that
loading takes, and runs the configuration that the others run, also when it is started later. A fork copies
one thread, and the locks of all others as they stand: so the parent has one thread, no event loop and no
server, and what serves is a process like the workers.

* SIGTERM or SIGINT to the parent stops every worker, each with its batch in hand delivered and committed.
* A worker that crashes, or is killed, is replaced, alone, after a pause: the others go on, and take its
  partitions meanwhile.
* What starting again would not mend, and what somebody has to see, stops all: a status of 2, 69 or 75, or too
  many crashes. The parent ends with that status, and whatever supervises it decides.
* When the parent is killed, its processes end too: each holds the reading end of a pipe whose writing end is
  the parent's alone.
"""

import ctypes
import gc
import logging
import math
import mmap
import multiprocessing
import os
import select
import signal
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Final, Protocol

import msgspec

from pipeline import status

if TYPE_CHECKING:
    from multiprocessing.process import BaseProcess

log: Final = logging.getLogger(__name__)

STOP_SECONDS: Final = 25.0
"""How long a stop waits for workers, which take 20 s at most: less than the 30 s that Kubernetes grants."""

CRASHES: Final = 5
"""So many crashes within `CRASH_SECONDS`, of all processes together, are borne; the next one stops all."""
CRASH_SECONDS: Final = 600.0
FIRST_PAUSE_SECONDS: Final = 1.0

SURFACING: Final = frozenset({status.CONFIGURATION, status.UNREACHABLE, status.UNDELIVERED})
"""Statuses that stop all: a worker started again would meet the same, and hide it from whoever is on call."""

_WATCHED: Final = frozenset({signal.SIGTERM, signal.SIGINT, signal.SIGCHLD})
_LOOK_SECONDS: Final = 1.0

METRICS_FOLDER: Final = "PROMETHEUS_MULTIPROC_DIR"
"""The variable that names the folder where prometheus-client keeps the metrics of several processes."""


def share_metrics() -> None:
    """Let metrics be shared between processes; without effect where none are.

    prometheus-client decides this when it is imported, by whether the variable is there, and reads the folder
    from it when the first metric is made: `pipeline.run` names the folder once there is one.

    Raises:
        RuntimeError: if it was imported already.
    """
    if "prometheus_client" in sys.modules:
        raise RuntimeError("too late: prometheus_client has chosen to share nothing")
    os.environ[METRICS_FOLDER] = ""


SILENT_SECONDS: Final = 30.0
"""How long a process may be silent, where it speaks every second and a batch takes some 10 ms."""


class Vitals(msgspec.Struct, frozen=True):
    """What a worker process says of itself."""

    partitions: int = 0
    """How many source partitions it reads."""
    unconfirmed_seconds: float = 0.0
    """How long its batch in hand has been waiting for the broker's confirmation."""
    pid: int = 0
    """0: it does not run."""
    silent_seconds: float = 0.0
    """How long ago it said this."""

    @property
    def is_running(self) -> bool:
        """Whether it is there, and spoke of late."""
        return self.pid != 0 and self.silent_seconds < SILENT_SECONDS


class _Slot(ctypes.Structure):
    _fields_ = (
        ("pid", ctypes.c_int64),
        ("said_at", ctypes.c_double),
        ("unconfirmed_since", ctypes.c_double),
        ("partitions", ctypes.c_int64),
    )


class Board:
    """What each worker process says of itself, in memory that all processes forked later share.

    Every field is one aligned word, written by one process and read by others without a lock: a lock would
    stay locked when its holder is killed. Times are those of the monotonic clock, which processes share.
    """

    def __init__(self, count: int) -> None:
        memory = mmap.mmap(-1, count * ctypes.sizeof(_Slot))
        self._slots = (_Slot * count).from_buffer(memory)

    def start(self, number: int) -> None:
        """Note, before it is forked, that this process has yet to speak for itself; the first is 1."""
        self._slots[number - 1] = _Slot(0, time.monotonic(), 0.0, 0)

    def run(self, number: int, pid: int) -> None:
        """Note that the process runs, or with 0 that it has ended."""
        self._slots[number - 1].pid = pid

    def say(self, number: int, vitals: Vitals) -> None:
        """Say how the process fares."""
        slot, now = self._slots[number - 1], time.monotonic()
        slot.partitions = vitals.partitions
        waiting = vitals.unconfirmed_seconds
        slot.unconfirmed_since = now - waiting if waiting else 0.0
        slot.said_at = now

    def pids(self) -> dict[int, int]:
        """Return the process id of each that runs, by its number."""
        return {number: slot.pid for number, slot in enumerate(self._slots, 1) if slot.pid}

    def vitals(self) -> dict[int, Vitals]:
        """Return what each process said last, by its number."""
        now = time.monotonic()
        return {
            number: Vitals(
                partitions=slot.partitions,
                unconfirmed_seconds=now - slot.unconfirmed_since if slot.unconfirmed_since else 0.0,
                pid=slot.pid,
                silent_seconds=max(0.0, now - slot.said_at),
            )
            if slot.pid
            else Vitals()
            for number, slot in enumerate(self._slots, 1)
        }


class Register(Protocol):
    """Who is told of processes by their names."""

    def starts(self, name: str) -> None:
        """Take note, in the parent, before the process is forked."""

    def runs(self, name: str, pid: int) -> None:
        """Take note that the process runs."""

    def ended(self, name: str, pid: int) -> None:
        """Take note that the process has ended."""

    def orphaned(self) -> None:
        """Leave nothing behind, in the last process, when the parent was killed."""


class Crashes:
    """The crashes of late, and what to do about one more."""

    def __init__(self) -> None:
        self._times: deque[float] = deque()

    def pause(self, now: float) -> float | None:
        """Note a crash; return how long to wait before the process is replaced, None to give up.

        The pause is 1 s for the first crash, and twice the last for each other within `CRASH_SECONDS`.
        """
        while self._times and now - self._times[0] > CRASH_SECONDS:
            self._times.popleft()
        self._times.append(now)
        if len(self._times) > CRASHES:
            return None
        return FIRST_PAUSE_SECONDS * 2.0 ** (len(self._times) - 1)


class Parent:
    """Runs processes by name until it is told to stop or one ends with what all must stop for."""

    def __init__(
        self,
        mains: Mapping[str, Callable[[], None]],
        register: Register,
        *,
        last: str,
        with_parent: bool = False,
    ) -> None:
        """Take what each process runs, and who is told of each start and end.

        The process called `last` is stopped after all others. `with_parent` ends all at once when standard
        input closes.
        """
        self._mains = mains
        self._register = register
        self._last = last
        self._with_parent = with_parent
        self._processes: dict[str, BaseProcess] = {}
        self._due: dict[str, float] = {}
        self._crashes = Crashes()
        self._mask: set[int] = set()
        self._lifeline = (-1, -1)

    def run(self) -> int:
        """Run all; return the status to end with.

        Raises:
            RuntimeError: if there is another thread, whose locks a fork would copy.
        """
        if threading.active_count() > 1:
            raise RuntimeError("a process with threads must not fork")
        # Waited for, not handled: nothing interrupts a fork, and a child starts with all of them held back.
        self._mask = set(signal.pthread_sigmask(signal.SIG_BLOCK, _WATCHED))
        # What the collector need not look at again it does not write to, and what nobody writes stays shared.
        gc.collect()
        gc.freeze()
        self._lifeline = os.pipe()
        for name in self._mains:
            self._start(name)
        return self._stop(self._watch())

    def _start(self, name: str) -> None:
        self._register.starts(name)
        process = multiprocessing.get_context("fork").Process(
            name=name, target=self._child, args=(name,)
        )
        process.start()
        self._processes[name] = process
        self._register.runs(name, process.pid or 0)

    def _child(self, name: str) -> None:
        reading, writing = self._lifeline
        os.close(writing)
        # Ctrl-C is for the parent, which then stops its processes in order.
        os.setsid()
        leave = self._register.orphaned if name == self._last else None
        threading.Thread(target=stop_with, args=(reading, leave), daemon=True).start()
        end_on_signals()
        signal.pthread_sigmask(signal.SIG_SETMASK, self._mask)
        log.info("started as pid %d", os.getpid())
        try:
            self._mains[name]()
        except Exception:
            # Logged here, without the message that Python would print.
            log.exception("a bug; please report it")
            sys.exit(status.CRASHED)

    def _watch(self) -> int:
        """Replace what crashes until all have to stop; return the status that says why."""
        while True:
            due = min(self._due.values(), default=math.inf) - time.monotonic()
            received = signal.sigtimedwait(_WATCHED, max(0.0, min(due, _LOOK_SECONDS)))
            if received is not None and received.si_signo != signal.SIGCHLD:
                return 0
            if self._with_parent and _is_closed(sys.stdin.fileno()):
                # The children see it by the end of this process.
                os._exit(0)
            now = time.monotonic()
            for name, code in self._reap().items():
                verdict = self._judge(name, code, now)
                if verdict is not None:
                    return verdict
            for name in [name for name, due in self._due.items() if due <= now]:
                del self._due[name]
                self._start(name)

    def _judge(self, name: str, code: int, now: float) -> int | None:
        """Decide about a process that ended unasked: return a status to stop all with, None to replace it."""
        if code in SURFACING:
            log.critical("process %s ended with status %d; stopping the others", name, code)
            return code
        pause = self._crashes.pause(now)
        if pause is None:
            log.critical(
                "process %s %s: %d crashes within %.0f s; stopping the others",
                name,
                _how(code),
                CRASHES + 1,
                CRASH_SECONDS,
            )
            return status.CRASHED
        log.error(
            "process %s %s; nothing unconfirmed was committed; replacing it in %.0f s",
            name,
            _how(code),
            pause,
        )
        self._due[name] = now + pause
        return None

    def _reap(self) -> dict[str, int]:
        codes = {}
        for name, process in list(self._processes.items()):
            if process.exitcode is not None:
                codes[name] = process.exitcode
                self._register.ended(name, self._processes.pop(name).pid or 0)
        return codes

    def _stop(self, code: int) -> int:
        """Stop all, the last one after the others; return the status, or the first that a worker adds."""
        give_up = time.monotonic() + STOP_SECONDS
        codes = self._end([name for name in self._processes if name != self._last], give_up)
        self._end([name for name in self._processes if name == self._last], give_up)
        for name, worse in codes.items():
            if worse:
                log.critical("process %s %s while stopping", name, _how(worse))
                code = code or (worse if worse > 0 else status.CRASHED)
        return code

    def _end(self, names: list[str], give_up: float) -> dict[str, int]:
        for name in names:
            self._processes[name].terminate()
        codes: dict[str, int] = {}
        while self._processes.keys() & set(names):
            left = give_up - time.monotonic()
            if left <= 0:
                for name in self._processes.keys() & set(names):
                    self._processes[name].kill()
            signal.sigtimedwait({signal.SIGCHLD}, max(left, 0.1))
            codes |= self._reap()
        return codes


def end_on_signals() -> None:
    """End at once when told to stop: until Faust takes over there is nothing in hand to finish."""
    for sign in (signal.SIGTERM, signal.SIGINT):
        signal.signal(sign, lambda *_: os._exit(0))


def stop_with(descriptor: int, leave: Callable[[], None] | None = None) -> None:
    """Wait until whoever holds the other end is gone, `leave`, and end this process.

    At once: a broker that a parent ran is gone too, and a clean stop would wait for it.
    """
    while os.read(descriptor, 4096):
        pass
    if leave is not None:
        leave()
    os._exit(0)


def _is_closed(descriptor: int) -> bool:
    readable, _, _ = select.select([descriptor], [], [], 0)
    return bool(readable) and not os.read(descriptor, 4096)


def _how(code: int) -> str:
    if code < 0:
        return f"was killed by {signal.Signals(-code).name}"
    return f"ended with status {code}"
