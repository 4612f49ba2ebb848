"""Grooming cues: combinations reach review, single processes and ordinary talk never do."""

import json
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import pytest

from detectors.contract import Detector
from detectors.folding import fold
from detectors.grooming import CEILING, LABEL, PROCESSES, GroomingCues
from detectors.lexicon import Lexicon, total
from pipeline.chain import Chain
from pipeline.database import PatternDatabase
from schemas import Actor, Audience, Event, Finding
from schemas.event import AgeBand

CORPUS = Path(__file__).parents[1] / "corpus" / "grooming.jsonl"
ROWS = [json.loads(line) for line in CORPUS.read_text(encoding="utf-8").splitlines()]
POSITIVES = [row for row in ROWS if row["label"] != "benign"]
NEGATIVES = [row for row in ROWS if row["label"] == "benign"]
REVIEW = 0.6


def _start(row: dict[str, str]) -> str:
    return row["text"][:24]


@pytest.fixture(scope="module")
def chain() -> Chain:
    """Return a chain with the detector alone."""
    return Chain([GroomingCues()])


def _event(text: str, *, actor: AgeBand = "unknown", recipient: AgeBand = "unknown") -> Event:
    return Event(
        id="e1",
        platform="test",
        kind="message",
        occurred_at=datetime(2025, 1, 1, tzinfo=UTC),
        text=text,
        actor=Actor(id="a", age_band=actor),
        audience=Audience(kind="dm", recipient_age_band=recipient),
    )


def _finding(chain: Chain, event: Event) -> Finding | None:
    found = chain.findings([event]).get(0, ())
    assert len(found) <= 1
    return found[0] if found else None


def _score(chain: Chain, event: Event) -> float:
    finding = _finding(chain, event)
    return finding.score if finding else 0.0


def test_the_corpus_is_large_enough() -> None:
    """Each language has at least 12 combinations and 20 hard negatives."""
    counts = Counter((row["language"], row["label"]) for row in ROWS)

    for language in ("ms", "id", "en", "zh", "ta"):
        assert counts[language, LABEL] >= 12
        assert counts[language, "benign"] >= 20


@pytest.mark.parametrize("row", POSITIVES, ids=_start)
def test_combinations_reach_review(chain: Chain, row: dict[str, str]) -> None:
    """Several processes in one message reach review. The lexicon was tuned on these rows."""
    assert _score(chain, _event(row["text"])) >= REVIEW


@pytest.mark.parametrize("row", NEGATIVES, ids=_start)
def test_hard_negatives_stay_below_review(chain: Chain, row: dict[str, str]) -> None:
    """Family, school, sport, games, courting, advice, survivors' talk are not reported."""
    assert _score(chain, _event(row["text"])) < REVIEW


def test_one_process_never_reaches_review(chain: Chain) -> None:
    """Whatever fires alone, even from a known adult to a known minor, stays below review."""
    alone = 0
    for term in Lexicon.shipped("grooming").terms.values():
        for text in term.fires:
            finding = _finding(chain, _event(text, actor="adult", recipient="minor"))
            if finding and "," not in finding.attributes["processes"]:
                alone += 1

                assert finding.score <= CEILING

    assert alone > 100


def test_every_process_has_terms_in_every_language() -> None:
    """Each of the ten processes can be seen in each of the five languages."""
    seen = {(t.group, t.language) for t in Lexicon.shipped("grooming").terms.values()}
    wanted = {
        (group, language) for group in PROCESSES for language in ("ms", "id", "en", "zh", "ta")
    }

    assert wanted - seen == set()


def test_every_example_is_found_inside_a_long_text() -> None:
    """No example gets lost in the pattern database when text stands around it."""
    lexicon = Lexicon.shipped("grooming")
    database = PatternDatabase(
        [msgspec.structs.replace(p, group="") for p in lexicon.patterns(lambda _: True)]
    )
    checked = 0
    for term in lexicon.terms.values():
        text = fold(f"{'lorem ipsum ' * 6}{term.fires[0]}{' dolor sit amet' * 6}")
        hits = database.scan([text])
        checked += 1

        assert term.id in {m.pattern.id for h in hits.values() for _, m in h.matches}

    assert checked > 100


def test_age_bands_add_and_unknown_takes_nothing(chain: Chain) -> None:
    """A minor recipient adds, a known adult writing to one adds more; nothing takes away."""
    text = "how old are you? add me on snapchat"
    unknown = _score(chain, _event(text))

    assert unknown == 0.3
    assert _score(chain, _event(text, recipient="minor")) == 0.35
    assert _score(chain, _event(text, actor="adult", recipient="minor")) == 0.45
    assert _score(chain, _event(text, actor="adult", recipient="adult")) == unknown


def test_courting_adults_are_held_below_review(chain: Chain) -> None:
    """Flattery, pictures and meeting without a sign of a child stay below review."""
    text = "you can trust me, send me a selfie, add me on whatsapp, let's meet up"
    finding = _finding(chain, _event(text))

    assert finding is not None
    assert finding.score == CEILING
    assert finding.evidence[-1].term == "grooming.no_sign_of_a_child"
    assert _score(chain, _event(text, recipient="minor")) >= REVIEW


def test_processes_together_weigh_more_with_a_sign_of_a_child(chain: Chain) -> None:
    """Two processes that draw a child in add a little; age, platform and meeting alone do not."""
    drawn = _finding(chain, _event("what grade are you in? turn on your camera"))
    peers = _finding(chain, _event("what grade are you in? add me on snapchat"))

    assert drawn is not None
    assert drawn.evidence[-1].term == "grooming.together"
    assert peers is not None
    assert "grooming.together" not in {e.term for e in peers.evidence}


def test_the_score_can_be_added_up_again(chain: Chain) -> None:
    """The evidence of every finding sums to its score, and every span lies in the text."""
    added = 0
    for row in ROWS:
        finding = _finding(chain, _event(row["text"]))
        if finding:
            added += 1

            assert finding.score == total(finding.evidence)
            assert 0 <= finding.start < finding.end <= len(row["text"])

    assert added > 70


def test_processes_are_named_for_the_memory(chain: Chain) -> None:
    """The finding lists the processes seen, in order, and how likely each is; the reason quotes nothing."""
    finding = _finding(chain, _event("what grade are you in? don't tell your mom"))

    assert finding is not None
    assert finding.attributes == {"processes": "age_access=0.5,isolation_secrecy=0.5"}
    assert finding.reason == (
        "may be grooming: a question about age or school, secrecy towards family or others"
    )


def test_disguise_does_not_hide_a_cue(chain: Chain) -> None:
    """Styled letters are read like plain ones."""
    assert _score(chain, _event("𝐝𝐨𝐧'𝐭 𝐭𝐞𝐥𝐥 𝐲𝐨𝐮𝐫 𝐦𝐨𝐦, send me a selfie")) >= REVIEW


def test_it_is_a_detector() -> None:
    """It fulfils the contract that plugins are checked against."""
    assert isinstance(GroomingCues(), Detector)
