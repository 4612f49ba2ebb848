"""The guard: how the chain calls a detector, so that one that hangs or keeps failing holds up nobody.

`DIRECT` calls it and waits, which is all that a scan of a file needs. A worker's `Guard` gives each detector
a budget for each batch and stops asking one that keeps failing (`pipeline.breaker`).
"""

from collections.abc import Callable, Sequence
from typing import Final, Protocol

import msgspec

from detectors.contract import Candidate, Detector
from pipeline.breaker import Breaker, State
from pipeline.budget import OverBudgetError, budget
from pipeline.isolated import DeadlineError, DiedError, Isolated
from pipeline.settings import Detectors
from schemas import Finding

Found = list[tuple[Candidate, Finding]]

ALONE_SHARE: Final = 0.25
"""Of a budget, what one event gets when a batch has failed and its events are tried one by one."""


class OverrunError(Exception):
    """A detector took longer than its budget."""


class Calls(Protocol):
    """How a detector is called."""

    def is_asked(self, detector: Detector) -> bool:
        """Say whether the detector is asked at all."""
        ...

    def scan(self, detector: Detector, candidates: Sequence[Candidate]) -> Found:
        """Return everything the detector yields.

        Raises:
            Exception: whatever the detector raises, and `OverrunError` if it takes too long.
        """
        ...

    def alone(self, detector: Detector) -> Callable[[Candidate], Found]:
        """Return how to ask about single events of a batch that failed; they share one more budget."""
        ...

    def done(self, detector: Detector, failed: int, of: int) -> None:
        """Say on how many of a batch's events a detector failed."""
        ...


class Direct:
    """Calls a detector and waits."""

    def is_asked(self, detector: Detector) -> bool:  # noqa: ARG002
        """Ask every detector."""
        return True

    def scan(self, detector: Detector, candidates: Sequence[Candidate]) -> Found:
        """Return everything the detector yields."""
        return list(detector.scan(candidates))

    def alone(self, detector: Detector) -> Callable[[Candidate], Found]:
        """Ask about single events without a limit."""
        return lambda candidate: self.scan(detector, [candidate])

    def done(self, detector: Detector, failed: int, of: int) -> None:
        """Remember nothing."""


DIRECT: Final = Direct()


class Health(msgspec.Struct, frozen=True):
    """How a detector fares."""

    state: State
    overruns: int
    """How often it took longer than its budget."""
    pause_seconds: float = 0.0
    """For how long it is left alone, or was the last time."""


class Guard:
    """Calls detectors within a budget, and leaves out those whose breaker is open."""

    def __init__(self, settings: Detectors, now: Callable[[], float]) -> None:
        """Take the limits, and a clock that never goes back, in seconds."""
        self._settings = settings
        self._now = now
        self._breakers: dict[str, Breaker] = {}
        self._overruns: dict[str, int] = {}
        self._began: dict[str, float] = {}
        self._held_up: set[str] = set()
        """Who made others wait during this batch."""

    def is_asked(self, detector: Detector) -> bool:
        """Leave a detector alone while its breaker is open."""
        return self._breaker(detector).state(self._now()) != "open"

    def scan(self, detector: Detector, candidates: Sequence[Candidate]) -> Found:
        """Return everything the detector yields within its budget."""
        self._began[detector.name] = self._now()
        self._make_ready(detector)
        return self._within(detector, candidates, self._settings.budget_seconds)

    def alone(self, detector: Detector) -> Callable[[Candidate], Found]:
        """Ask about single events, each within a share of the budget and all within one."""
        whole = self._settings.budget_seconds
        ends = self._now() + whole

        def ask(candidate: Candidate) -> Found:
            nonlocal ends
            left = ends - self._now()
            if left <= 0:
                raise OverrunError
            try:
                # To start a process again is not the detector's own time.
                ends += self._make_ready(detector)
            except Exception:
                ends = self._now()  # it will not be ready for the next event either
                raise
            return self._within(detector, [candidate], min(left, whole * ALONE_SHARE))

        return ask

    def done(self, detector: Detector, failed: int, of: int) -> None:
        """Count a batch as failed of which half got no answer, and as held up where failing took its time."""
        took = self._now() - self._began.get(detector.name, self._now())
        is_long = failed > 0 and took > ALONE_SHARE * self._settings.budget_seconds
        held_up = is_long or detector.name in self._held_up
        self._held_up.discard(detector.name)
        self._breakers[detector.name] = self._breaker(detector).after(
            self._now(),
            failed=2 * failed >= max(of, 1),
            held_up=held_up,
            failures_in_a_row=self._settings.failures_in_a_row,
            pause_seconds=self._settings.pause_seconds,
        )

    def health(self) -> dict[str, Health]:
        """Return how each detector fares that was ever called, by name."""
        now = self._now()
        return {
            name: Health(breaker.state(now), self._overruns.get(name, 0), breaker.pause)
            for name, breaker in self._breakers.items()
        }

    def _breaker(self, detector: Detector) -> Breaker:
        return self._breakers.get(detector.name, Breaker())

    def _make_ready(self, detector: Detector) -> float:
        """See that an isolated detector's process runs; return how many seconds that took."""
        before = self._now()
        if isinstance(detector, Isolated):
            try:
                detector.ready()
            except DeadlineError:
                raise self._overrun(detector) from None
            except DiedError:
                self._held_up.add(detector.name)
                raise
        return self._now() - before

    def _within(self, detector: Detector, candidates: Sequence[Candidate], seconds: float) -> Found:
        try:
            if isinstance(detector, Isolated):
                return detector.within(candidates, seconds)
            with budget(seconds):
                return list(detector.scan(candidates))
        except (OverBudgetError, DeadlineError):
            raise self._overrun(detector) from None
        except DiedError:
            # Its next process has to be waited for.
            self._held_up.add(detector.name)
            raise

    def _overrun(self, detector: Detector) -> OverrunError:
        self._overruns[detector.name] = self._overruns.get(detector.name, 0) + 1
        self._held_up.add(detector.name)
        return OverrunError()
