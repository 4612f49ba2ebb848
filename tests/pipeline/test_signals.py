"""Signals: every subject that a finding concerns is told, and none is told what was written."""

import msgspec

from pipeline.behaviours import Behaviour, shipped
from pipeline.correlate import Watch
from pipeline.signals import signals
from schemas import Actor, Audience, Event, Finding, Verdict
from schemas.event import Conversation, Space
from schemas.labels import taxonomy
from tests.pipeline.events import event

WATCH = Watch(shipped(), taxonomy(), "0123456789abcdef", 0.1)


def rich() -> Event:
    """Return an event that concerns a subject of every kind."""
    return msgspec.structs.replace(
        event("a secret text"),
        platform="chat",
        actor=Actor(id="a", age_band="adult"),
        audience=Audience(kind="dm", recipient_ids=("b",), recipient_age_band="minor"),
        conversation=Conversation("c"),
        space=Space("s"),
    )


def finding(label: str, score: float, **attributes: str) -> Finding:
    """Return a finding without a place."""
    return Finding(
        detector="d",
        version="1",
        label=label,
        score=score,
        start=0,
        end=0,
        reason="r",
        attributes=attributes,
    )


FINDINGS = (
    finding("csea.grooming", 0.3, processes="age_access,meeting"),
    finding("fraud.phishing", 0.7, ways="x.example telegram:someone"),
    finding("fraud.phishing", 0.2, ways="y.example"),
    finding("bullying.harassment", 0.05),
)


UNWATCHED = {
    ("actor", "fraud.phishing"),
    ("conversation", "fraud.phishing"),
    ("space", "csea.grooming"),
    ("target", "csea.grooming"),
    ("target", "fraud.phishing"),
}
"""What no shipped row counts in such a subject, of such a score, where nothing was acted on."""


def test_each_subject_is_told_of_each_label_once() -> None:
    """Links only of the labels whose findings lead there; what is below the floor is left out."""
    told = signals(rich(), FINDINGS, (), WATCH)

    assert {
        (f"{kind}:chat:{name}", label)
        for kind, name in (("conversation", "c"), ("actor", "a"), ("target", "b"), ("space", "s"))
        for label in ("csea.grooming", "fraud.phishing")
        if (kind, label) not in UNWATCHED
    } | {
        (f"link:chat:{way}", "fraud.phishing")
        for way in ("x.example", "y.example", "telegram:someone")
    } == {(s.subject, s.label) for s in told}
    assert len(told) == len({s.id for s in told})
    assert {0.3, 0.7} == {s.score for s in told}
    assert {("age_access", "meeting"), ()} == {s.cues for s in told}
    assert {("b",)} == {s.counterparts for s in told}
    assert {("adult", "minor")} == {(s.actor_age_band, s.counterpart_age_band) for s in told}


def test_a_signal_holds_no_text() -> None:
    """Only ids, labels and numbers leave the message."""
    encoded = msgspec.json.encode(signals(rich(), FINDINGS, (), WATCH))

    assert encoded.startswith(b"[{")
    assert b"secret" not in encoded


def test_a_signal_says_what_the_policy_did() -> None:
    """Of its own label only."""
    verdict = msgspec.convert(
        {
            "id": "v",
            "taxonomy_version": "1",
            "configuration": "c",
            "event": {
                "id": "e1",
                "platform": "chat",
                "kind": "message",
                "occurred_at": "2026-03-01T00:00:00Z",
                "actor_id": "a",
                "audience": "dm",
            },
            "label": "fraud.phishing",
            "severity": "SEV1",
            "action": "review",
            "score": 0.7,
            "findings": [],
        },
        Verdict,
    )
    told = signals(rich(), FINDINGS, (verdict,), WATCH)

    assert {("fraud.phishing", "review"), ("csea.grooming", "none")} == {
        (s.label, s.action) for s in told
    }


def test_an_event_that_names_nobody_tells_of_its_sender() -> None:
    """There is always one subject."""
    told = signals(event("text", "e2"), FINDINGS[:1], (), WATCH)

    assert ["actor"] == [s.subject.split(":")[0] for s in told]


def test_what_no_row_counts_is_not_told() -> None:
    """A score below what every row of such a subject counts, what was not acted on, another audience."""
    row = Behaviour(subject="actor", labels=("csea.*",), counts="events", least_score=0.3)
    acted = Behaviour(subject="space", labels=("csea.*",), counts="events", acted_on=True)
    public = Behaviour(
        subject="conversation", labels=("csea.*",), counts="cues", audiences=("public",)
    )
    watch = Watch({"any": row, "acted": acted, "public": public}, taxonomy(), "x", 0.1)
    weak = (finding("csea.grooming", 0.29),)

    assert () == signals(rich(), weak, (), watch)
    assert ["actor:chat:a"] == [s.subject for s in signals(rich(), FINDINGS, (), watch)]

    shouted = msgspec.structs.replace(rich(), audience=Audience(kind="public"))

    assert ["conversation:chat:c"] == [s.subject for s in signals(shouted, weak, (), watch)]


def test_cues_are_told_as_likely_as_the_surest_detector_finds_them() -> None:
    """The likeliest first; what is no likelihood counts as certain; certain ones need no numbers."""
    both = (
        finding("csea.grooming", 0.3, processes="gifts=0.4,meeting=0.2"),
        finding("csea.grooming", 0.3, processes="gifts=0.1,meeting=0.7,age_access=x,coercion=7"),
    )
    [told, *_] = signals(rich(), both, (), WATCH)
    [certain, *_] = signals(rich(), FINDINGS[:1], (), WATCH)

    assert ("age_access", "coercion", "meeting", "gifts") == told.cues
    assert (1.0, 1.0, 0.7, 0.4) == told.strengths
    assert () == certain.strengths


def test_without_findings_nothing_is_told() -> None:
    """Ordinary talk costs nothing."""
    assert () == signals(rich(), (), (), WATCH)


def test_what_nobody_watches_for_is_not_told() -> None:
    """Without rows the topic stays empty; a row for one kind of subject brings signals of that kind only."""
    row = Behaviour(subject="target", labels=("fraud.phishing",), counts="events")
    one = Watch({"any": row}, taxonomy(), "x", 0.1)

    assert () == signals(rich(), FINDINGS, (), Watch({}, taxonomy(), "x"))
    assert ["target:chat:b"] == [s.subject for s in signals(rich(), FINDINGS, (), one)]
