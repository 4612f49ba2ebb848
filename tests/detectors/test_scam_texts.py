"""Scam texts are found in five languages; warnings, news, victims and adverts are not."""

import json
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path

import pytest

from detectors.scam_links import ScamLinks
from detectors.scam_texts import ScamTexts
from pipeline.chain import Chain
from schemas import Actor, Audience, Event, Finding

CORPUS = Path(__file__).parents[1] / "corpus" / "fraud.jsonl"
REVIEW = 0.6
LANGUAGES = ("ms", "id", "en", "zh", "ta")


@pytest.fixture(scope="module")
def chain() -> Chain:
    """Put both fraud detectors behind one pattern database, as a worker runs them."""
    return Chain([ScamTexts(), ScamLinks()])


def findings(chain: Chain, text: str) -> tuple[Finding, ...]:
    """Return what is found in one private message."""
    event = Event(
        id="e1",
        platform="example",
        kind="message",
        occurred_at=datetime(2026, 1, 1, tzinfo=UTC),
        text=text,
        actor=Actor(id="a1"),
        audience=Audience(kind="dm"),
    )
    return chain.findings([event]).get(0, ())


def rows() -> list[dict[str, str]]:
    """Read the corpus: examples written for it."""
    return [json.loads(line) for line in CORPUS.read_text(encoding="utf-8").splitlines()]


def test_corpus_has_scams_and_hard_negatives_in_every_language() -> None:
    """All five languages have at least 12 scams and 15 hard negatives."""
    count = Counter((row["language"], row["label"] == "benign") for row in rows())

    assert all(count[language, False] >= 12 for language in LANGUAGES)
    assert all(count[language, True] >= 15 for language in LANGUAGES)


def test_corpus_has_every_label() -> None:
    """No label of the detector is without an example."""
    assert {row["label"] for row in rows()} == ScamTexts.labels | {"benign"}


@pytest.mark.parametrize("row", rows(), ids=lambda row: f"{row['language']}-{row['label']}")
def test_corpus_is_told_apart(chain: Chain, row: dict[str, str]) -> None:
    """Every scam reaches review under its own label; no hard negative does under any."""
    reviewed = {f.label for f in findings(chain, row["text"]) if f.score >= REVIEW}

    assert row["label"] in (reviewed or {"benign"})


@pytest.mark.parametrize(
    "text",
    [
        "URGENT! WhatsApp 012-345 6789 now, RM500",
        "Klik pautan ini segera: https://example.com",
        "加微信 abc123,名额有限",
        "உடனே அழைக்கவும் 0123456789",
        "Your account has been locked",
        "pinjaman peribadi",
        "guaranteed profit",
    ],
)
def test_no_part_of_the_funnel_is_enough(chain: Chain, text: str) -> None:
    """A contact without an offer, or an offer without a way to answer, stays below review."""
    assert all(finding.score < REVIEW for finding in findings(chain, text))


def test_a_warning_lowers_what_it_quotes(chain: Chain) -> None:
    """The same words score less inside a warning."""
    scam = "Your account has been suspended. Verify within 24 hours at http://a-b.com/login"
    warning = f'Beware of scams that say: "{scam}"'

    scores = [max((f.score for f in findings(chain, t)), default=0.0) for t in (scam, warning)]

    assert (scores[0] >= REVIEW, scores[1] < REVIEW) == (True, True)


def test_score_is_the_sum_of_its_evidence_and_quotes_nothing(chain: Chain) -> None:
    """A reviewer can add the score up again; the reason names groups and quotes nothing."""
    text = "Modal RM300 jadi RM5,000 dalam 3 jam! Join group Telegram sekarang t.me/untung888"
    (found,) = findings(chain, text)

    assert found.label == "fraud.investment"
    assert found.score == round(min(1.0, sum(e.weight for e in found.evidence)), 4)
    assert all(text[e.start : e.end] for e in found.evidence if e.term != "fraud.wording")
    assert not {"RM300", "untung888", "Telegram"} & set(found.reason.split())


def test_disguised_wording_is_read(chain: Chain) -> None:
    """Styled and look-alike letters change nothing."""
    text = "𝐏𝐢𝐧𝐣𝐚𝐦𝐚𝐧 tаnpa penjamin, blacklist boleh. Lulus 5 minit. WhatsApp 0123456789"

    assert max(f.score for f in findings(chain, text)) >= REVIEW
