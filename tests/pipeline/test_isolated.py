"""Isolated detectors: whatever one does to its process, the others' findings stay the same."""

import time
from collections.abc import Iterator
from importlib.metadata import EntryPoint

import pytest

from pipeline.chain import FAILED, Chain
from pipeline.guard import Guard
from pipeline.isolated import Isolated, NotIsolableError
from pipeline.settings import Detectors
from tests.pipeline.broken import (
    Backtracks,
    Burns,
    CannotLoad,
    Chooses,
    Crashes,
    Exits,
    Garbage,
    GivesUp,
    Hangs,
    Leaks,
    LoadsForEver,
    Sound,
)
from tests.pipeline.test_guard import GOOD, WITH_BAD, of

LIMITS = Detectors(budget_seconds=1.0)
MEMORY = 1 << 31


def isolated(detector: Sound) -> Isolated:
    """Put a detector of `tests.pipeline.broken` into a process of its own."""
    where = f"tests.pipeline.broken:{type(detector).__name__}"
    entry = EntryPoint(detector.name, where, "penjaga.detectors")
    return Isolated(detector, entry, LIMITS.budget_seconds, MEMORY)


@pytest.fixture(scope="module")
def sound() -> Iterator[Isolated]:
    """One that never fails."""
    detector = isolated(Sound())
    yield detector
    detector.close()


def test_an_isolated_detector_finds_the_same(sound: Isolated) -> None:
    """Which process it runs in makes no difference to a finding."""
    assert Chain([Sound()]).findings(WITH_BAD) == Chain([sound]).findings(WITH_BAD)


@pytest.mark.parametrize(
    ("broken", "reasons"),
    [
        (Hangs, {"took longer than its budget"}),
        (Burns, {"took longer than its budget"}),
        (Backtracks, {"took longer than its budget"}),
        (Leaks, {"raised MemoryError", "took longer than its budget"}),
        (Crashes, {"its process died"}),
        (Exits, {"raised SystemExit"}),
        (Garbage, {"raised KeyError"}),
        (GivesUp, {"raised TimeoutError"}),
    ],
)
def test_a_broken_detector_loses_one_event(broken: type[Sound], reasons: set[str]) -> None:
    """It answers for the rest of the batch, the next batch too, and everybody else for everything."""
    bad = isolated(broken())
    try:
        chain = Chain([bad, Sound()]).called_by(Guard(LIMITS, time.monotonic))
        alone = Chain([Sound()]).findings(WITH_BAD)
        found, after = chain.findings(WITH_BAD), chain.findings(GOOD)
        own = of(found, bad.name)

        assert of(alone, "sound") == of(found, "sound")
        assert [FAILED] == [label for label, _ in own[4]]
        assert {reason for _, reason in own[4]} <= reasons
        assert {("custom.apple", "an apple")} == {one for p in own if p != 4 for one in own[p]}
        assert 8 == len(of(after, bad.name))
        assert {("custom.apple", "an apple")} == {
            one for answers in of(after, bad.name).values() for one in answers
        }
    finally:
        bad.close()


def test_one_that_dies_now_and_then_is_left_alone() -> None:
    """Each time the others wait for its next process, so good batches between them do not count."""
    bad = isolated(Crashes())
    guard = Guard(Detectors(budget_seconds=1.0, failures_in_a_row=2), time.monotonic)
    chain = Chain([bad, Sound()]).called_by(guard)
    try:
        states = []
        for batch in (WITH_BAD, GOOD, WITH_BAD):
            chain.findings(batch)
            states.append(guard.health()[bad.name].state)
    finally:
        bad.close()

    assert ["closed", "closed", "open"] == states
    assert 0 == guard.health()[bad.name].overruns


@pytest.mark.parametrize("broken", [LoadsForEver, CannotLoad])
def test_one_that_cannot_be_loaded_fails_once_for_all_its_events(
    broken: type[Sound], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The worker waits for it twice at most, not once for each event; the others answer."""
    monkeypatch.setattr("pipeline.isolated.START_SECONDS", 1.0)
    bad = isolated(broken())
    started = time.monotonic()
    try:
        found = Chain([bad, Sound()]).called_by(Guard(LIMITS, time.monotonic)).findings(WITH_BAD)
    finally:
        bad.close()

    assert time.monotonic() - started < len(WITH_BAD) * 1.0
    assert {FAILED} == {label for own in of(found, bad.name).values() for label, _ in own}
    assert len(WITH_BAD) == len(of(found, bad.name)) == len(of(found, "sound"))


def test_what_the_worker_would_have_to_call_cannot_be_isolated() -> None:
    """Or the detector could still hang the worker."""
    with pytest.raises(NotIsolableError, match="it has `reads`"):
        isolated(Chooses())
