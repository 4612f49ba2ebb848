"""The guard: a detector that hangs or keeps failing costs its budget, then nothing."""

import signal
import time
from typing import NoReturn

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
    """Its events say so meanwhile; when it stood its trial, the breaker closes."""
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
    clock.now += 20.0
    chain.findings(GOOD)
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


def test_failing_slowly_is_holding_up() -> None:
    """Whether it ends with an error of its own or at the end of its budget makes no difference to others."""
    clock = Clock()

    class Slow(Sound):
        name = "slow"

        def fail(self) -> NoReturn:
            clock.now += 0.1
            raise MemoryError

    guard = Guard(LIMITS, clock)
    chain = Chain([Slow(), Sound()]).called_by(guard)
    states = []
    for batch in (WITH_BAD, GOOD, WITH_BAD, GOOD, WITH_BAD):
        chain.findings(batch)
        states.append(guard.health()["slow"].state)

    assert ["closed"] * 4 + ["open"] == states


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


def after(breaker: Breaker, now: float, how: str) -> Breaker:
    """Return the breaker after a batch that was good, failed, or took too long."""
    return breaker.after(
        now,
        failed=how == "failed",
        held_up=how == "late",
        failures_in_a_row=3,
        pause_seconds=10.0,
    )


def test_a_breaker_counts_failures_in_a_row() -> None:
    """A good batch between them begins the count anew."""
    breaker = Breaker()
    for now, how in ((1.0, "failed"), (2.0, "failed"), (3.0, "good"), (4.0, "failed")):
        breaker = after(breaker, now, how)
    assert "closed" == breaker.state(4.0)
    for now in (5.0, 6.0):
        breaker = after(breaker, now, "failed")

    assert ["open", "trying"] == [breaker.state(now) for now in (15.9, 16.0)]


def test_a_breaker_counts_what_took_too_long_within_a_minute() -> None:
    """Good batches between them change nothing: each held up everything else."""
    breaker = Breaker()
    for now in (0.0, 30.0, 59.0):
        breaker = after(after(breaker, now, "late"), now + 0.5, "good")
    spread = Breaker()
    for now in (0.0, 40.0, 80.0, 120.0):
        spread = after(after(spread, now, "late"), now + 0.5, "good")

    assert "open" == breaker.state(59.5)
    assert "closed" == spread.state(120.5)


def test_who_fails_on_trial_is_left_alone_for_longer_and_longer() -> None:
    """Eight times as long at most. A good batch is not enough: the trial is as long as the first pause."""
    breaker, now = Breaker(), 0.0
    for _ in range(3):
        breaker = after(breaker, now, "failed")
    pauses = []
    for how in ("late", "failed", "late", "late", "late"):
        pauses.append(breaker.open_until - now)
        now = breaker.open_until
        breaker = after(after(breaker, now, "good"), now + 5.0, how)
        now += 5.0

    assert [10.0, 20.0, 40.0, 80.0, 80.0] == pauses
    now = breaker.open_until
    assert "trying" == after(breaker, now + 9.9, "good").state(now + 9.9)
    assert Breaker() == after(breaker, now + 10.0, "good")
