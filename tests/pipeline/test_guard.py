"""The guard: a detector that hangs or keeps failing costs its budget, then nothing."""

import signal
import time

import pytest

from pipeline.breaker import Breaker
from pipeline.budget import OverBudgetError, budget
from pipeline.chain import FAILED, Chain
from pipeline.guard import Guard
from pipeline.settings import Detectors
from schemas import Finding
from tests.pipeline.broken import Burns, Hangs, Sound
from tests.pipeline.events import event

GOOD = [event(f"apple {n}", f"e{n}") for n in range(8)]
WITH_BAD = [*GOOD[:4], event("apple now break", "bad"), *GOOD[4:]]
LIMITS = Detectors(budget_seconds=0.2, failures_in_a_row=3, pause_seconds=10.0)


class Clock:
    """A clock that stands still unless told; guards of one event in a row read the real one."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def of(found: dict[int, tuple[Finding, ...]], name: str) -> dict[int, list[tuple[str, str]]]:
    """Return label and reason of a detector's findings, by position."""
    return {
        p: [(f.label, f.reason) for f in own if f.detector == name]
        for p, own in found.items()
        if any(f.detector == name for f in own)
    }


@pytest.mark.parametrize("broken", [Hangs, Burns])
def test_a_detector_that_never_answers_loses_one_event(broken: type[Sound]) -> None:
    """The others of the batch are answered, by it and by everybody else."""
    alone = Chain([Sound()]).called_by(Guard(LIMITS, time.monotonic)).findings(WITH_BAD)
    guard = Guard(LIMITS, time.monotonic)
    found = Chain([broken(), Sound()]).called_by(guard).findings(WITH_BAD)
    own = of(found, broken.name)

    assert of(alone, "sound") == of(found, "sound")
    assert [(FAILED, "took longer than its budget")] == own[4]
    assert all([("custom.apple", "an apple")] == own[p] for p in (0, 1, 2, 3, 5, 6, 7, 8))
    assert 2 == guard.health()[broken.name].overruns


def test_time_for_single_events_is_shared() -> None:
    """A whole batch of events that hang costs two budgets, not one each."""
    guard = Guard(LIMITS, time.monotonic)
    events = [event("apple now break", f"bad{n}") for n in range(40)]
    started = time.monotonic()
    found = Chain([Hangs()]).called_by(guard).findings(events)

    assert time.monotonic() - started < 40 * 0.2 * 0.25
    assert {(FAILED, "took longer than its budget")} == {
        one for own in of(found, "hangs").values() for one in own
    }
    assert 40 == len(found)


def test_a_detector_that_keeps_failing_is_left_alone_then_tried() -> None:
    """Its events say so meanwhile; one good batch closes the breaker again."""
    clock = Clock()
    guard = Guard(LIMITS, clock)
    chain = Chain([Hangs(), Sound()]).called_by(guard)
    bad = [event("apple now break", "bad")]
    states = []
    for _ in range(3):
        chain.findings(bad)
        states.append(guard.health()["hangs"].state)
    left_alone = chain.findings(GOOD)
    clock.now += 10.0
    tried = guard.health()["hangs"].state
    chain.findings(bad)
    again = guard.health()["hangs"].state
    clock.now += 10.0
    answered = chain.findings(GOOD)

    assert ["closed", "closed", "open"] == states
    assert {(FAILED, "is left alone after repeated failures")} == {
        one for own in of(left_alone, "hangs").values() for one in own
    }
    assert 8 == len(of(left_alone, "hangs")) == len(of(left_alone, "sound"))
    assert ("trying", "open") == (tried, again)
    assert {("custom.apple", "an apple")} == {
        one for own in of(answered, "hangs").values() for one in own
    }
    assert "closed" == guard.health()["hangs"].state


@pytest.mark.parametrize("error", [ValueError, TimeoutError])
def test_one_bad_event_in_a_batch_opens_no_breaker(error: type[Exception]) -> None:
    """Only a batch that took too long, or half of which failed, counts; a limit of its own is no budget."""

    class Raises(Sound):
        name = "raises"

        def fail(self) -> None:
            raise error

    guard = Guard(LIMITS, Clock())
    chain = Chain([Raises()]).called_by(guard)
    for _ in range(5):
        found = chain.findings(WITH_BAD)

    assert [(FAILED, f"raised {error.__name__}")] == of(found, "raises")[4]
    assert ("closed", 0) == (guard.health()["raises"].state, guard.health()["raises"].overruns)


def test_a_budget_interrupts_and_leaves_no_alarm() -> None:
    """What comes after is not interrupted, whether the code inside was or not."""
    before = signal.getsignal(signal.SIGALRM)
    with pytest.raises(OverBudgetError), budget(0.05):
        time.sleep(30)
    with budget(0.05):
        pass
    time.sleep(0.1)

    assert (0.0, 0.0) == signal.getitimer(signal.ITIMER_REAL)
    assert before == signal.getsignal(signal.SIGALRM)


def test_a_breaker_counts_failures_in_a_row() -> None:
    """A good batch between them begins the count anew."""
    breaker = Breaker()
    for now, failed in ((1.0, True), (2.0, False), (3.0, True), (4.0, True)):
        breaker = breaker.after(now, failed=failed, failures_in_a_row=2, pause_seconds=5.0)

    assert Breaker(2, 9.0) == breaker
    assert ["open", "trying"] == [breaker.state(now) for now in (8.9, 9.0)]
    assert Breaker() == breaker.after(9.0, failed=False, failures_in_a_row=2, pause_seconds=5.0)
