"""Harassment: abuse aimed at a person is found, rude words are not."""

import json
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import pytest

from detectors.contract import Detector
from detectors.folding import fold
from detectors.harassment import DOXXING_OR_THREAT, HARASSMENT, Harassment
from detectors.lexicon import Lexicon, total
from pipeline.chain import Chain
from pipeline.database import PatternDatabase
from schemas import Actor, Audience, Event, Finding, Target

CORPUS = Path(__file__).parents[1] / "corpus" / "harassment.jsonl"
ROWS = [json.loads(line) for line in CORPUS.read_text(encoding="utf-8").splitlines()]
POSITIVES = [row for row in ROWS if row["label"] != "benign"]
NEGATIVES = [row for row in ROWS if row["label"] == "benign"]
REVIEW = 0.6
UNDOUBTED = 0.7


def _start(row: dict[str, str]) -> str:
    return row["text"][:24]


@pytest.fixture(scope="module")
def chain() -> Chain:
    """Return a chain with the detector alone."""
    return Chain([Harassment()])


def _event(text: str, *, target: str | None = None, reply: str | None = None) -> Event:
    return Event(
        id="e1",
        platform="test",
        kind="comment",
        occurred_at=datetime(2025, 1, 1, tzinfo=UTC),
        text=text,
        actor=Actor(id="a"),
        audience=Audience(kind="public"),
        target=Target(id=target) if target else None,
        in_reply_to=reply,
    )


def _findings(chain: Chain, event: Event) -> dict[str, Finding]:
    return {finding.label: finding for finding in chain.findings([event]).get(0, ())}


def _score(chain: Chain, event: Event, label: str) -> float:
    finding = _findings(chain, event).get(label)
    return finding.score if finding else 0.0


def _terms(chain: Chain, event: Event, label: str) -> float:
    """Return what terms alone make of a text; 0 where it is not found."""
    finding = _findings(chain, event).get(label)
    evidence = finding.evidence if finding else ()
    return total([e for e in evidence if e.term != "bullying.wording"])


def test_the_corpus_is_large_enough() -> None:
    """Each language has at least 12 positives over both labels and 20 hard negatives."""
    counts = Counter((row["language"], row["label"] == "benign") for row in ROWS)

    for language in ("ms", "id", "en", "zh", "ta"):
        assert counts[language, False] >= 12
        assert counts[language, True] >= 20


@pytest.mark.parametrize("row", POSITIVES, ids=_start)
def test_combinations_reach_review(chain: Chain, row: dict[str, str]) -> None:
    """Two kinds of abuse, or a threat with its means, reach review. Written with the lexicon."""
    assert _score(chain, _event(row["text"]), row["label"]) >= REVIEW


@pytest.mark.parametrize("row", NEGATIVES, ids=_start)
def test_hard_negatives_stay_below_review(chain: Chain, row: dict[str, str]) -> None:
    """Swearing at things or oneself, banter, quotation and comfort are not reported."""
    found = _findings(chain, _event(row["text"]))

    assert max((f.score for f in found.values()), default=0.0) < REVIEW


@pytest.mark.parametrize(
    "text", ["this printer is stupid", "I'm such an idiot", "bodohnya aku", "我真笨蛋"]
)
def test_words_aimed_at_nobody_are_silent(chain: Chain, text: str) -> None:
    """An insult without anybody it is aimed at gives no finding at all."""
    assert _findings(chain, _event(text)) == {}


def test_a_bare_insult_counts_only_where_someone_is_meant(chain: Chain) -> None:
    """A target, a mention or a reply makes a bare insult a weak finding, never a review."""
    assert _terms(chain, _event("idiot"), HARASSMENT) == 0.0
    assert _score(chain, _event("idiot", target="b"), HARASSMENT) == 0.3
    assert _score(chain, _event("idiot", reply="m1"), HARASSMENT) == 0.25
    mentioned = _event("@ali_90 idiot")
    assert _terms(chain, mentioned, HARASSMENT) == 0.25
    assert 0.25 <= _score(chain, mentioned, HARASSMENT) < 0.4


def test_terms_of_one_insult_stay_below_review_with_a_target(chain: Chain) -> None:
    """A single aimed insult needs wording beside it, or the memory over targets."""
    assert _terms(chain, _event("you worthless trash", target="b"), HARASSMENT) == 0.55


def test_wording_finds_what_no_term_holds(chain: Chain) -> None:
    """Abuse without any telling word is found, placed on a word, and said to be so."""
    text = "nobody would even notice if you stopped coming to class"
    finding = _findings(chain, _event(text))[HARASSMENT]
    [evidence] = finding.evidence

    assert finding.score >= REVIEW
    assert finding.reason.startswith("reads as if aimed at a person (")
    assert evidence.term == "bullying.wording"
    assert evidence.weight == finding.score
    assert 0 <= evidence.start < evidence.end <= len(text)


def test_wording_adds_nothing_where_a_term_speaks_against_it(chain: Chain) -> None:
    """Who reports, jokes or comforts may well use the wording of abuse."""
    text = "nobody would even notice if you stopped coming to class"

    assert _findings(chain, _event(f"he said {text}")) == {}


def test_wording_goes_to_the_label_that_it_reads_like(chain: Chain) -> None:
    """A threat that no term holds is a threat, not an insult."""
    found = _findings(chain, _event("my brothers will be at your bus stop and you won't walk home"))

    assert set(found) == {DOXXING_OR_THREAT}


def test_urging_suicide_is_enough_alone(chain: Chain) -> None:
    """Urging someone to kill themselves reaches review without anything else; comfort does not."""
    assert _score(chain, _event("go kill yourself"), HARASSMENT) >= REVIEW
    assert _score(chain, _event("we are here for you, please talk to someone"), HARASSMENT) == 0.0


@pytest.mark.parametrize(
    ("text", "is_reviewed"),
    [
        ("here is his ic number 900101-14-5566", True),
        ("ni no ic budak ni 900101145566", True),
        ("900101-14-5566", False),
        ("my ic is 900101-14-5566", False),
        ("here is his ic number 901301-14-5566", False),
        ("here is his ic number 900101-00-5566", False),
        ("his number is 012-345 6789", False),
    ],
)
def test_an_identity_number_counts_when_published_about_someone(
    chain: Chain, text: str, *, is_reviewed: bool
) -> None:
    """A card number needs its shape (date, place code) and wording about another person."""
    assert (_terms(chain, _event(text), DOXXING_OR_THREAT) >= REVIEW) is is_reviewed


@pytest.mark.parametrize(
    ("text", "score"),
    [
        ("you're so stupid and nobody likes you", 0.7),
        ("just kidding, you're so stupid and nobody likes you", 0.4),
        ("she said you're so stupid and nobody likes you", 0.35),
        ("you're so stupid and nobody likes you: please talk to a therapist", 0.3),
    ],
)
def test_banter_quotation_and_comfort_count_against_it(
    chain: Chain, text: str, score: float
) -> None:
    """What is said in jest, reported or answered with comfort weighs less."""
    assert _terms(chain, _event(text), HARASSMENT) == score
    seen = _score(chain, _event(text), HARASSMENT)
    assert seen > UNDOUBTED if score == UNDOUBTED else seen == score


@pytest.mark.parametrize(
    ("text", "label", "most"),
    [
        ("budak tu memang busuk", HARASSMENT, 0.4),
        ("jgn datang sekolah lagi", HARASSMENT, 0.0),
        ("budak tu memang busuk, jangan kawan dgn dia", HARASSMENT, 1.0),
        ("nobody in class likes you, don't come to school any more", HARASSMENT, 1.0),
        ("that guy lives at the corner", DOXXING_OR_THREAT, 0.0),
        ("that guy lives at the corner, everyone go harass him", DOXXING_OR_THREAT, 1.0),
    ],
)
def test_talk_about_someone_counts_only_beside_something_else(
    chain: Chain, text: str, label: str, most: float
) -> None:
    """An insult about a third person, sending away and an address are never the whole.

    By themselves terms say nothing of them, and wording little.
    """
    event = _event(text)
    is_reviewed = most == 1.0
    score = _score(chain, event, label)

    assert (score >= REVIEW) is is_reviewed
    assert score <= most
    assert is_reviewed or _terms(chain, event, label) == 0.0


def test_threats_and_insults_are_separate_findings(chain: Chain) -> None:
    """A message may be both, each with its own evidence."""
    found = _findings(
        chain, _event("you're so stupid. i know where you live and i will beat you up")
    )

    assert set(found) == {HARASSMENT, DOXXING_OR_THREAT}
    assert 0.0 < found[HARASSMENT].score < found[DOXXING_OR_THREAT].score
    assert found[DOXXING_OR_THREAT].reason == (
        "a claim to know or wait at someone's place, a threat of violence"
    )


def test_sharing_alone_is_no_threat(chain: Chain) -> None:
    """A call to share, a number or an address without a threat or somebody's data is silent."""
    assert (
        _findings(chain, _event("make this go viral! call 012-345 6789, Taman Indah 43000")) == {}
    )


def test_every_example_is_found_inside_a_long_text() -> None:
    """No example gets lost in the pattern database when text stands around it."""
    lexicon = Lexicon.shipped("harassment")
    database = PatternDatabase(
        [msgspec.structs.replace(p, group="") for p in lexicon.patterns(lambda _: True)]
    )
    checked = 0
    for term in lexicon.terms.values():
        hits = database.scan([fold(f"{'lorem ipsum ' * 6}{term.fires[0]}{' dolor sit amet' * 6}")])
        checked += 1

        assert term.id in {m.pattern.id for h in hits.values() for _, m in h.matches}

    assert checked > 90


def test_the_score_can_be_added_up_again(chain: Chain) -> None:
    """The evidence of every finding sums to its score, and every span lies in the text."""
    added = 0
    for row in ROWS:
        for finding in _findings(chain, _event(row["text"], target="b")).values():
            added += 1

            assert finding.score == total(finding.evidence)
            assert 0 <= finding.start < finding.end <= len(row["text"])

    assert added > 70


def test_it_is_a_detector() -> None:
    """It fulfils the contract that plugins are checked against."""
    assert isinstance(Harassment(), Detector)
