"""The policy: which score becomes which action, and what an escalation carries."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Literal

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.policy import Policy, Rule, scores, strongest
from schemas import Evidence, Finding, Verdict, verdict_id
from schemas.labels import taxonomy
from tests.pipeline.events import CANARY, event


def finding(label: str, score: float, start: int = 0, end: int = 0) -> Finding:
    """Make a finding with one piece of evidence."""
    return Finding(
        detector="test",
        version="1",
        label=label,
        score=score,
        start=start,
        end=end,
        reason="a reason",
        evidence=(Evidence("term", score, start, end),),
    )


def policy(excerpt_characters: int = 20, **rules: Rule) -> Policy:
    """Make a policy; `_` in a keyword stands for the first dot."""
    default = rules.pop("default", Rule(review=0.6, escalate=0.85))
    return Policy(
        {label.replace("_", ".", 1).replace("all", "*"): rule for label, rule in rules.items()},
        default,
        taxonomy(),
        excerpt_characters=excerpt_characters,
        configuration="abc",
    )


@pytest.mark.parametrize(
    ("score", "action"),
    [
        (0.0, "none"),
        (0.29, "none"),
        (0.3, "shadow"),
        (0.5999, "shadow"),
        (0.6, "review"),
        (0.8499, "review"),
        (0.85, "escalate"),
        (1.0, "escalate"),
    ],
)
def test_a_threshold_is_reached_by_its_own_value(score: float, action: str) -> None:
    """Each action applies from its threshold on, the strongest one wins."""
    assert action == Rule(shadow=0.3, review=0.6, escalate=0.85).action(score)


def test_an_action_left_out_never_applies() -> None:
    """A rule without thresholds says nothing, one with `escalate` alone skips review."""
    assert "none" == Rule().action(1.0)
    assert "none" == Rule(escalate=0.9).action(0.89)
    assert "shadow" == Rule(shadow=0.5).action(1.0)


def test_a_label_has_its_own_rule_its_familys_or_the_default() -> None:
    """The nearest rule wins, also for labels below an open family."""
    rules = policy(
        fraud_phishing=Rule(review=0.1), fraud_all=Rule(review=0.2), custom_all=Rule(review=0.3)
    )

    assert Rule(review=0.1) == rules.rule("fraud.phishing")
    assert Rule(review=0.2) == rules.rule("fraud.investment")
    assert Rule(review=0.3) == rules.rule("custom.my.thing")
    assert Rule(review=0.6, escalate=0.85) == rules.rule("gambling.promotion")


def test_one_verdict_for_each_label_from_its_highest_score() -> None:
    """Labels come in order; findings of a label stay together; a low label has no verdict."""
    found = [
        finding("gambling.promotion", 0.7),
        finding("fraud.phishing", 0.65),
        finding("fraud.phishing", 0.9),
        finding("bullying.harassment", 0.5),
    ]
    verdicts = policy().decide(event("text"), found)

    assert [("fraud.phishing", "escalate", 0.9), ("gambling.promotion", "review", 0.7)] == [
        (v.label, v.action, v.score) for v in verdicts
    ]
    assert [(found[1], found[2]), (found[0],)] == [v.findings for v in verdicts]
    assert "escalate" == strongest(verdicts)
    assert "none" == strongest(())
    assert {"bullying.harassment": 0.5, "fraud.phishing": 0.9, "gambling.promotion": 0.7} == scores(
        found
    )


@pytest.mark.parametrize(("audience", "count"), [("dm", 0), ("group", 1), ("public", 1)])
def test_a_rule_can_be_narrowed_to_audiences(audience: str, count: int) -> None:
    """A private message outside a rule's audiences gets no verdict, whatever the score."""
    rules = policy(fraud_all=Rule(review=0.5, audiences=("group", "public")))
    private = event("text", audience=audience)  # type: ignore[arg-type]  # one of the three

    assert count == len(rules.decide(private, [finding("fraud.phishing", 1.0)]))
    assert 1 == len(rules.decide(private, [finding("gambling.promotion", 1.0)]))


def test_severity_belongs_to_the_label() -> None:
    """A low score on a grave label is graver than a high score on another."""
    [grave] = policy(csea_all=Rule(review=0.1)).decide(event("x"), [finding("csea.grooming", 0.2)])
    [mild] = policy().decide(event("x"), [finding("gambling.promotion", 1.0)])

    assert taxonomy().severity("csea.grooming") == grave.severity
    assert grave.severity < mild.severity


@given(st.text(min_size=1, max_size=400), st.data(), st.integers(1, 120))
def test_an_excerpt_is_bounded_and_holds_the_evidence(
    text: str, data: st.DataObject, characters: int
) -> None:
    """Never longer than configured, cut from where it says, with the evidence wherever that fits."""
    start = data.draw(st.integers(0, len(text) - 1))
    end = data.draw(st.integers(start + 1, len(text)))
    [verdict] = policy(characters).decide(event(text), [finding("fraud.phishing", 1.0, start, end)])
    excerpt = verdict.excerpt

    assert excerpt
    assert len(excerpt.text) <= characters
    assert text[excerpt.offset : excerpt.offset + len(excerpt.text)] == excerpt.text
    evidence = text[start:end]
    cut = excerpt.text[start - excerpt.offset :][: end - start]
    assert evidence[:characters] == cut[:characters]
    if len(text) <= characters:
        assert len(excerpt.text) >= end - start


def test_an_excerpt_surrounds_all_findings_of_its_label() -> None:
    """It covers the first to the last evidence, with as much around as fits."""
    text = "0123456789" * 10
    found = [finding("fraud.phishing", 1.0, 48, 52), finding("fraud.phishing", 0.7, 44, 46)]
    [verdict] = policy(20).decide(event(text), found)

    assert verdict.excerpt
    assert (text[38:58], 38) == (verdict.excerpt.text, verdict.excerpt.offset)


def test_without_a_place_or_with_zero_characters_no_text_travels() -> None:
    """References only: a finding about the event as a whole, and a platform that wants no text."""
    [failed] = policy(default=Rule(review=0.1)).decide(
        event("secret"), [finding("detector.failed", 1.0)]
    )
    [bare] = policy(0).decide(event("secret"), [finding("fraud.phishing", 1.0, 0, 6)])

    assert (None, None) == (failed.excerpt, bare.excerpt)
    assert b"secret" not in msgspec.json.encode([failed, bare])


@pytest.mark.parametrize(
    ("carry", "excerpt"),
    [("full", ("say no secret", 0)), ("excerpt", ("secret", 7)), ("reference", None)],
)
def test_each_label_says_how_much_of_the_text_travels(
    carry: Literal["full", "excerpt", "reference"], excerpt: tuple[str, int] | None
) -> None:
    """By its own rule or its family's; a reference has neither evidence nor attributes."""
    found = msgspec.structs.replace(
        finding("fraud.phishing", 1.0, 7, 13), attributes={"host": "secret.example"}
    )
    [verdict] = policy(6, fraud_all=Rule(review=0.1, carry=carry)).decide(
        event("say no secret"), [found]
    )

    assert excerpt == ((verdict.excerpt.text, verdict.excerpt.offset) if verdict.excerpt else None)
    assert bool(excerpt) is (b"secret" in msgspec.json.encode(verdict))
    assert [1.0] == [one.score for one in verdict.findings]


def test_a_verdict_never_holds_more_of_the_text_than_its_excerpt() -> None:
    """The rest of a message, its recipients and its attributes stay on the platform."""
    source = msgspec.structs.replace(
        event("hello secret" + " " * 50 + "bait"), attributes={"note": "secret"}
    )
    [verdict] = policy(10).decide(source, [finding("fraud.phishing", 1.0, 62, 66)])

    assert b"secret" not in msgspec.json.encode(verdict)
    assert verdict == msgspec.json.decode(msgspec.json.encode(verdict), type=Verdict)


def test_an_id_depends_on_platform_event_and_label_only() -> None:
    """Score, configuration and text do not change it; each of the three parts does."""
    one, other = event("text"), event("other text")
    first = policy().decide(one, [finding("fraud.phishing", 0.9)])[0]
    again = policy(default=Rule(review=0.1)).decide(other, [finding("fraud.phishing", 0.2)])[0]
    ids = {
        verdict_id(*parts)
        for parts in (
            ("test", "e1", "fraud.phishing"),
            ("test", "e2", "fraud.phishing"),
            ("tes", "te1", "fraud.phishing"),
            ("test", "e1", "fraud.romance_parcel"),
            ("test", "\ud800", "fraud.phishing"),
        )
    }

    assert first.id == again.id == verdict_id("test", "e1", "fraud.phishing")
    assert 5 == len(ids)
    assert {32} == {len(i) for i in ids}


SCRIPT = f"""
import sys
from pathlib import Path
from pipeline.line import line
from pipeline.settings import Settings, Topics
from pipeline.writes import Record, writes
from tests.pipeline.events import record
values = [
    record("{CANARY}", "e1"),
    record("slot gacor maxwin free kredit RM10 daftar sekarang wa.me/60123456789", "e2"),
    record("akaun maybank anda digantung, sila sahkan di maybank2u.secure-login.top", "e3"),
    b"broken",
]
records = [Record("t", 0, n, b"k", v) for n, v in enumerate(values)]
built = line(Settings(), Path(sys.argv[1]))
for write in writes(records.__getitem__, built.screen("platform.events", values), Topics()):
    print(write)
"""


def test_bytes_do_not_depend_on_the_process(cache: Path, built: object) -> None:  # noqa: ARG001
    """Two processes that hash differently write the same escalations to the byte."""
    outputs = [
        subprocess.run(
            [sys.executable, "-c", SCRIPT, str(cache)],
            env=os.environ | {"PYTHONHASHSEED": seed},
            cwd=Path(__file__).parents[2],
            capture_output=True,
            check=True,
        ).stdout
        for seed in ("1", "2")
    ]

    assert outputs[0].count(b"Write(topic='penjaga.escalations'") >= 6
    assert outputs[0].count(b"penjaga.dead-letters") >= 1
    assert outputs[0] == outputs[1]
