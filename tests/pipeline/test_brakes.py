"""Brakes: who flags too much after a change stops escalating, and nobody else."""

from pathlib import Path

import pytest

from pipeline.brakes import Flood, Versions, flagging
from pipeline.policy import Policy, Rule
from pipeline.settings import Brakes
from schemas import Finding
from schemas.labels import taxonomy
from tests.pipeline.events import event

BRAKES = Brakes(flood_share=0.2, flood_messages=100)
CHANGED = frozenset({"new"})
SPARED = ("canary.*", "csea.*")


def finding(label: str, score: float, detector: str = "new") -> Finding:
    """Return a finding by a detector."""
    return Finding(
        detector=detector, version="1", label=label, score=score, start=0, end=0, reason=""
    )


def policy() -> Policy:
    """Return a policy with one rule for everything."""
    rule = Rule(shadow=0.3, review=0.6, escalate=0.85)
    return Policy({}, rule, taxonomy(), excerpt_characters=0, configuration="0")


def test_more_than_the_share_stops_it_at_once_and_little_lets_it_go() -> None:
    """Twenty of a hundred are allowed; the next is not, and half of that is little."""
    flood = Flood(BRAKES)

    assert not flood.saw(50, ["new"] * 20, CHANGED)
    assert flood.saw(1, ["new"], CHANGED)
    assert {"new"} == flood.stopped
    assert not flood.saw(49, [], CHANGED)
    assert not flood.saw(100, ["new"] * 10, CHANGED)
    assert {"new"} == flood.stopped
    assert flood.saw(100, ["new"] * 9, CHANGED)
    assert frozenset() == flood.stopped


def test_the_share_is_of_the_latest_messages() -> None:
    """What was flagged in an earlier window does not add up with this one's."""
    flood = Flood(BRAKES)
    changes = [flood.saw(100, ["new"] * 15, CHANGED) for _ in range(5)]

    assert [False] * 5 == changes


def test_who_was_not_changed_may_flag_everything() -> None:
    """Then it is the traffic that changed."""
    flood = Flood(BRAKES)

    assert not flood.saw(100, ["old"] * 100, CHANGED)
    assert frozenset() == flood.stopped


def test_a_message_counts_once_for_a_detector_and_spared_labels_do_not() -> None:
    """Whatever the number of findings; those that would not be escalated count neither."""
    found = [
        [finding("fraud.phishing", 0.9), finding("gambling.promotion", 0.9)],
        [finding("fraud.phishing", 0.7, "other"), finding("fraud.phishing", 0.5)],
        [finding("csea.grooming", 0.9)],
    ]
    verdicts = [policy().decide(event("hello"), findings) for findings in found]

    assert ["new", "other"] == flagging(policy(), verdicts, SPARED)
    assert ["new", "other", "new"] == flagging(policy(), verdicts, ())


def test_a_stopped_detector_is_still_counted() -> None:
    """Or it would be let go as soon as it is stopped."""
    stopped = policy().stopping(CHANGED, SPARED)
    verdicts = [stopped.decide(event("hello"), [finding("fraud.phishing", 0.9)])]

    assert ["shadow"] == [verdict.action for of in verdicts for verdict in of]
    assert ["new"] == flagging(stopped, verdicts, SPARED)


@pytest.mark.parametrize(
    ("findings", "action"),
    [
        ([finding("fraud.phishing", 0.9)], "shadow"),
        ([finding("fraud.phishing", 0.4)], "shadow"),
        ([finding("fraud.phishing", 0.9), finding("fraud.phishing", 0.7, "old")], "review"),
        ([finding("fraud.phishing", 0.9), finding("fraud.phishing", 0.4, "old")], "shadow"),
        ([finding("fraud.phishing", 0.9, "old")], "escalate"),
        ([finding("csea.grooming", 0.9)], "escalate"),
    ],
)
def test_what_a_stopped_detector_alone_finds_is_shadow(
    findings: list[Finding], action: str
) -> None:
    """What another finds too is acted on as if it were alone; spared labels are as ever."""
    [verdict] = policy().stopping(CHANGED, SPARED).decide(event("hello"), findings)

    assert action == verdict.action
    assert tuple(findings) == verdict.findings


def test_stopping_leaves_the_policy_as_it_was() -> None:
    """The next configuration begins with nobody stopped."""
    before = policy()
    before.stopping(CHANGED, SPARED)
    [verdict] = before.decide(event("hello"), [finding("fraud.phishing", 0.9)])

    assert "escalate" == verdict.action


def test_a_version_counts_as_changed_for_a_while(tmp_path: Path) -> None:
    """Over restarts too; another version begins anew, and so does one whose file cannot be read."""
    path, hour = tmp_path / "detectors.json", 3600.0
    running = {"new": "1"}

    assert {"new"} == Versions(path).changed(running, 0.0, 24)
    assert {"new"} == Versions(path).changed(running, 23 * hour, 24)
    assert frozenset() == Versions(path).changed(running, 24 * hour, 24)
    assert {"new"} == Versions(path).changed({"new": "2"}, 24 * hour, 24)
    assert frozenset() == Versions(path).changed({"new": "2"}, 24 * hour, 0)
    for content in (b"not json", b"\xff", b"[]", b'{"new": 1}'):
        path.write_bytes(content)
        assert {"new"} == Versions(path).changed({"new": "2"}, 99 * hour, 24)
    assert frozenset() == Versions(path).changed({"new": "2"}, 123 * hour, 24)
    assert {"new"} == Versions(None).changed(running, 99 * hour, 24)
    assert [path] == list(tmp_path.iterdir())
