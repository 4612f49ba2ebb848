"""The chain: detectors built to fail harm nobody but themselves."""

from collections.abc import Callable, Iterable, Sequence
from collections.abc import Set as AbstractSet
from typing import Any

import msgspec
import pytest

from detectors import reading
from detectors.canary import Canary
from detectors.contract import Candidate, Detector, Pattern
from detectors.folding import Folded
from pipeline.chain import FAILED, Chain
from schemas import Evidence, Finding
from tests.pipeline.events import CANARY, event

TEXTS = [f"apple {n} {CANARY if n % 3 == 0 else ''} secret{n}" for n in range(12)]
EVENTS = [event(text, f"e{n}") for n, text in enumerate(TEXTS)]


class Apples:
    """Find apples; tests subclass it to make it fail."""

    name = "apples"
    version = "1"
    labels = frozenset({"custom.apple"})
    patterns: Sequence[Pattern] = (Pattern("apple", r"\bapple\b"),)

    def scan(self, candidates: Sequence[Candidate]) -> Iterable[tuple[Candidate, Finding]]:
        for candidate in candidates:
            yield candidate, self.finding(candidate)

    def finding(self, candidate: Candidate) -> Finding:
        end = min(5, len(candidate.event.text))
        return Finding(
            detector=self.name,
            version=self.version,
            label="custom.apple",
            score=0.5,
            start=0,
            end=end,
            reason="an apple",
            evidence=(Evidence("apple", 0.5, 0, end),),
        )


class Everything(Apples):
    """See every event."""

    name = "everything"
    patterns = ()


def findings(*detectors: Detector) -> dict[int, tuple[Finding, ...]]:
    """Run a chain over the events."""
    return Chain(detectors).findings(EVENTS)


def others(found: dict[int, tuple[Finding, ...]], name: str) -> bytes:
    """Encode everything that is not from one detector."""
    kept = {p: [f for f in own if f.detector != name] for p, own in found.items()}
    return msgspec.json.encode([(p, own) for p, own in kept.items() if own])


def assert_contained(broken: Apples, failing: set[int], reason: str) -> None:
    """Assert that a detector fails on exactly these events, once each, and touches nothing else."""
    alone = findings(Canary(), Everything())
    for chain in ((broken, Canary(), Everything()), (Canary(), Everything(), broken)):
        found = findings(*chain)
        own = {p: [f for f in fs if f.detector == broken.name] for p, fs in found.items()}
        failures = {p: [f for f in fs if f.label == FAILED] for p, fs in own.items()}

        assert others(alone, broken.name) == others(found, broken.name)
        assert failing == {p for p, fs in failures.items() if fs}
        assert all(len(own[p]) == 1 for p in failing)
        for p in failing:
            failure = failures[p][0]
            assert (reason, 1.0, 0, 0) == (
                failure.reason,
                failure.score,
                failure.start,
                failure.end,
            )
            assert b"secret" not in msgspec.json.encode(failure)
        sound = set(range(len(EVENTS))) - failing
        assert sound <= {p for p, fs in own.items() if any(f.label == "custom.apple" for f in fs)}


@pytest.mark.parametrize(
    "error",
    [
        RuntimeError,
        ValueError,
        RecursionError,
        MemoryError,
        AssertionError,
        StopIteration,
        SystemExit,
    ],
)
def test_a_detector_that_raises_on_every_event_fails_on_every_event(error: type[Exception]) -> None:
    """One `detector.failed` for each, naming the kind of error and not its text."""

    class Raises(Apples):
        def finding(self, candidate: Candidate) -> Finding:
            raise error(candidate.event.text)

    # Python turns a StopIteration inside a generator into a RuntimeError.
    name = "RuntimeError" if error is StopIteration else error.__name__
    assert_contained(Raises(), set(range(12)), f"raised {name}")


def test_a_detector_that_raises_on_one_event_loses_that_event_only() -> None:
    """Its findings for the other events of the batch stay."""

    class RaisesOnce(Apples):
        def finding(self, candidate: Candidate) -> Finding:
            if candidate.event.id == "e7":
                raise KeyError(candidate.event.text)
            return super().finding(candidate)

    assert_contained(RaisesOnce(), {7}, "raised KeyError")


def test_a_detector_that_raises_before_it_yields_is_contained_too() -> None:
    """`scan` itself may raise, not only the generator it returns."""

    class RaisesAtOnce(Apples):
        def scan(self, candidates: Sequence[Candidate]) -> Iterable[tuple[Candidate, Finding]]:
            raise OSError(candidates[0].event.text)

    assert_contained(RaisesAtOnce(), set(range(12)), "raised OSError")


@pytest.mark.parametrize("answer", [None, 7, "ab", [1], [(1, 2, 3)], [None], b"xy"])
def test_garbage_in_place_of_findings_is_a_failure(answer: Any) -> None:
    """What is no iterable of pairs costs the detector its events and nothing else."""

    class Garbage(Apples):
        def scan(self, candidates: Sequence[Candidate]) -> Any:  # noqa: ARG002
            return answer

    found = findings(Garbage(), Canary())

    assert others(findings(Canary()), "apples") == others(found, "apples")
    assert all(
        [FAILED] == [f.label for f in own if f.detector == "apples"] for own in found.values()
    )
    assert 12 == len(found)


Spoiled = Callable[[Finding], Any]

BREACHES: dict[str, Spoiled] = {
    "no finding": lambda _: "apple",
    "nothing": lambda _: None,
    "another's name": lambda f: msgspec.structs.replace(f, detector="canary"),
    "another version": lambda f: msgspec.structs.replace(f, version="2"),
    "an undeclared label": lambda f: msgspec.structs.replace(f, label="canary.seen"),
    "the failure label": lambda f: msgspec.structs.replace(f, label=FAILED),
    "score not a number": lambda f: msgspec.structs.replace(f, score=float("nan")),
    "score infinite": lambda f: msgspec.structs.replace(f, score=float("inf")),
    "score above one": lambda f: msgspec.structs.replace(f, score=1.01),
    "score below zero": lambda f: msgspec.structs.replace(f, score=-0.1),
    "score as text": lambda f: msgspec.structs.replace(f, score="high"),
    "span beyond the text": lambda f: msgspec.structs.replace(f, end=10_000),
    "span before the text": lambda f: msgspec.structs.replace(f, start=-1),
    "span backwards": lambda f: msgspec.structs.replace(f, start=4, end=2),
    "span in halves": lambda f: msgspec.structs.replace(f, start=0.5),
    "evidence beyond the text": lambda f: msgspec.structs.replace(
        f, evidence=(Evidence("a", 0.5, 0, 10_000),)
    ),
    "evidence backwards": lambda f: msgspec.structs.replace(
        f, evidence=(Evidence("a", 0.5, 4, 2),)
    ),
    "evidence of no weight": lambda f: msgspec.structs.replace(
        f, evidence=(Evidence("a", float("nan"), 0, 1),)
    ),
    "evidence of another kind": lambda f: msgspec.structs.replace(f, evidence=(object(),)),
    "reason of another kind": lambda f: msgspec.structs.replace(f, reason=None),
    "reason that is no text": lambda f: msgspec.structs.replace(f, reason="\ud83d"),
    "attributes of another kind": lambda f: msgspec.structs.replace(f, attributes={"a": object()}),
}


@pytest.mark.parametrize("breach", BREACHES)
def test_a_finding_that_breaks_the_contract_is_a_failure(breach: str) -> None:
    """What could not be written or trusted later is refused where it is made, for its event only."""

    class Breaks(Apples):
        def finding(self, candidate: Candidate) -> Finding:
            sound = super().finding(candidate)
            return BREACHES[breach](sound) if candidate.event.id in ("e2", "e3") else sound

    assert_contained(Breaks(), {2, 3}, "returned what its contract does not allow")


def test_a_finding_for_another_event_is_a_failure() -> None:
    """A candidate that the detector was not shown cannot be answered for."""

    class Foreign(Apples):
        def scan(self, candidates: Sequence[Candidate]) -> Iterable[tuple[Candidate, Finding]]:
            for candidate in candidates:
                copy = msgspec.structs.replace(candidate)
                own = candidate.event.id != "e5"
                yield candidate if own else copy, self.finding(candidate)

    assert_contained(Foreign(), {5}, "returned what its contract does not allow")


def test_an_interrupt_is_not_swallowed() -> None:
    """An interrupt during a scan stops the worker: it is no failure of the detector."""

    class Interrupted(Apples):
        def finding(self, candidate: Candidate) -> Finding:
            raise KeyboardInterrupt(candidate.event.id)

    with pytest.raises(KeyboardInterrupt):
        findings(Interrupted(), Canary())


class Slow(Apples):
    """Declare an expression that takes too long on texts with many letters in a row."""

    patterns = (Pattern("apple", r"\bapple\b"), Pattern("slow", "(?:a|a)+(?!b)b"))


SLOW_EVENTS = [event("apple " + "a" * 40 + "b"), event("a" * 40 + "b secret"), event("apple")]


def test_an_expression_that_takes_too_long_is_a_failure_beside_what_was_found() -> None:
    """The event says that something is missing; what the other expressions found is still scanned."""
    found = Chain([Slow(), Everything()]).findings(SLOW_EVENTS)
    own = {p: [f.label for f in fs if f.detector == "apples"] for p, fs in found.items()}

    assert {0: [FAILED, "custom.apple"], 1: [FAILED], 2: ["custom.apple"]} == own
    assert [3] == [sum(f.detector == "everything" for fs in found.values() for f in fs)]
    assert "an expression took too long" == found[1][0].reason


def test_too_long_and_raised_is_one_failure() -> None:
    """An event fails once for each detector, however many things go wrong."""

    class SlowAndBroken(Slow):
        def finding(self, candidate: Candidate) -> Finding:
            raise ValueError(candidate.event.text)

    found = Chain([SlowAndBroken()]).findings(SLOW_EVENTS)

    assert {0: 1, 1: 1, 2: 1} == {p: len(own) for p, own in found.items()}


def test_a_detector_is_shown_what_its_own_patterns_hit() -> None:
    """Two detectors' patterns in one database stay apart, and one without patterns sees all."""
    shown: dict[str, list[tuple[str, list[str]]]] = {}

    class Watching(Apples):
        def __init__(self, name: str, *words: str) -> None:
            self.name = name
            self.patterns = tuple(Pattern(word, word) for word in words)

        def scan(self, candidates: Sequence[Candidate]) -> Iterable[tuple[Candidate, Finding]]:
            seen = [(c.event.text, [m.pattern.id for m in c.matches]) for c in candidates]
            shown.setdefault(self.name, []).extend(seen)
            return ()

    chain = Chain(
        [Watching("fruit", "apple", "pear"), Watching("nut", "pear|nut"), Watching("all")]
    )
    chain.findings([event("an apple"), event("pear and apple"), event("neither"), event("nut")])

    assert [("an apple", ["apple"]), ("pear and apple", ["pear", "apple"])] == shown["fruit"]
    assert [("pear and apple", ["pear|nut"]), ("nut", ["pear|nut"])] == shown["nut"]
    assert ["an apple", "pear and apple", "neither", "nut"] == [text for text, _ in shown["all"]]


FRUIT = [event(text, f"f{n}") for n, text in enumerate(
    ["apple", "apple pear", "pear", "pear plum", "plum", "bread", "plum bread"]
)]  # fmt: skip


class Choosy(Apples):
    """See what it chooses; each kind of fruit adds a half, and bread is chosen whatever it is with."""

    name = "choosy"
    patterns: Sequence[Pattern] = (
        Pattern("apple", r"\bapple\b"),
        Pattern("pear", r"\bpear\b", is_anchor=False),
        Pattern("plum", r"\bplum\b", is_anchor=False),
    )
    least_reach = 0.9

    def reach(self, ids: AbstractSet[str], *, is_disguised: bool) -> float:  # noqa: ARG002
        return 0.5 * len(ids)

    def reads(self, texts: Sequence[Folded]) -> dict[int, float]:
        asked = {"pear": 0.4, "pear plum": 1.1, "plum": 0.5, "bread": 0.0, "plum bread": -1.0}
        return {n: asked[folded.text] for n, folded in enumerate(texts) if folded.text in asked}


def test_a_detector_sees_what_may_reach_as_much_as_it_wants() -> None:
    """Where it asks, supporting patterns count without an anchor; where it does not, an anchor has to be."""
    candidates = Chain([Choosy()]).candidates(FRUIT)[0]

    assert {
        "apple pear": ["apple", "pear"],
        "pear": ["pear"],
        "plum": ["plum"],
        "bread": [],
        "plum bread": ["plum"],
    } == {c.event.text: [m.pattern.id for m in c.matches] for c in candidates.values()}


def test_texts_to_be_read_closely_are_read_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of all detectors, and before one of them chooses; places that no text has are passed over."""

    class Opening(Choosy):
        def __init__(self, name: str, opened: object) -> None:
            self.name = name
            self.opened = opened

        def opens(self, texts: Sequence[Folded]) -> object:  # noqa: ARG002
            return self.opened

    read: list[list[str]] = []
    monkeypatch.setattr(reading, "read", lambda texts: read.append([f.text for f in texts]))
    Chain([Opening("a", [3, 1, 99]), Opening("b", [1, 5, -1]), Opening("c", None)]).findings(FRUIT)

    assert ["apple pear", "pear plum", "bread"] == read[0]
    assert all(
        set(more) <= {"apple pear", "pear", "plum", "bread", "plum bread"} for more in read[1:]
    )


@pytest.mark.parametrize("answer", [None, {"no": 1.0}, {0: None}])
def test_a_detector_that_fails_to_choose_sees_everything(answer: object) -> None:
    """Nothing is lost for a mistake of its own."""

    class Failing(Choosy):
        def reads(self, texts: Sequence[Folded]) -> Any:  # noqa: ARG002
            return answer

    assert set(range(len(FRUIT))) == set(Chain([Failing()]).candidates(FRUIT)[0])


def test_findings_do_not_depend_on_the_batch() -> None:
    """Each event alone gets what it gets among others."""
    chain = Chain([Canary(), Apples()])
    together = chain.findings(EVENTS)

    assert 12 == len(together)
    for position, one in enumerate(EVENTS):
        assert {0: together[position]} == chain.findings([one])


def test_the_digest_covers_patterns_names_and_versions() -> None:
    """A chain that may find something else has another digest."""

    class Newer(Apples):
        version = "2"

    class Wider(Apples):
        patterns = (Pattern("apple", "apple"),)

    digests = {Chain([d]).digest for d in (Apples(), Newer(), Wider(), Everything())}

    assert 4 == len(digests)
    assert Chain([Apples()]).digest in digests
