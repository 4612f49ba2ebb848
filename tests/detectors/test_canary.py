"""The canary detector."""

from datetime import UTC, datetime

from detectors.canary import CANARY, Canary
from detectors.contract import Candidate, Detector, Match
from detectors.folding import fold
from pipeline.chain import Chain
from schemas import Actor, Audience, Event, Evidence


def _event(text: str) -> Event:
    return Event(
        id="e1",
        platform="test",
        kind="message",
        occurred_at=datetime(2025, 1, 1, tzinfo=UTC),
        text=text,
        actor=Actor(id="a"),
        audience=Audience(kind="public"),
    )


def test_the_canary_is_a_detector() -> None:
    """It fulfils the contract that plugins are checked against."""
    assert isinstance(Canary(), Detector)


def test_the_canary_string_is_found_where_it_stands() -> None:
    """The finding covers the string and nothing else, with the whole score as evidence."""
    text = f"deploy check {CANARY} ok"
    folded = fold(text)
    start = text.index(CANARY)
    match = Match(Canary.patterns[0], start, start + len(CANARY))
    [(_, finding)] = Canary().scan([Candidate(_event(text), folded, (match,))])

    assert (finding.label, finding.score) == ("canary.seen", 1.0)
    assert (start, start + len(CANARY)) == (finding.start, finding.end)
    assert finding.evidence == (Evidence("canary", 1.0, start, start + len(CANARY)),)


def test_only_the_whole_string_counts() -> None:
    """Through the chain: any case fires, a part of it and talk about canaries do not."""
    texts = [CANARY, CANARY.lower(), CANARY[:-1], "a canary sings"]
    found = Chain([Canary()]).findings([_event(text) for text in texts])

    assert list(found) == [0, 1]
