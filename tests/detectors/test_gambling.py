"""Gambling promotion: what is found, where, why, and what must stay silent."""

import json
from collections import defaultdict
from datetime import UTC, datetime
from pathlib import Path

import pytest

from detectors.gambling import DISGUISE_WEIGHT, LEAST_SCORE, SHAPES, GamblingPromotion
from pipeline.chain import Chain
from schemas import Actor, Audience, Event, Finding

CORPUS = Path(__file__).parents[1] / "corpus" / "gambling.jsonl"
REVIEW = 0.6


@pytest.fixture(scope="module")
def chain() -> Chain:
    """Put the detector alone behind a pattern database, as a worker runs it."""
    return Chain([GamblingPromotion()])


def event(text: str) -> Event:
    """Make a public comment."""
    return Event(
        id="e1",
        platform="example",
        kind="comment",
        occurred_at=datetime(2026, 1, 1, tzinfo=UTC),
        text=text,
        actor=Actor(id="a1"),
        audience=Audience(kind="public"),
    )


def found(chain: Chain, text: str) -> Finding | None:
    """Return the one finding of a text, if there is one."""
    findings = chain.findings([event(text)]).get(0, ())
    assert len(findings) <= 1
    return findings[0] if findings else None


def score(chain: Chain, text: str) -> float:
    """Return the score of a text, 0 without a finding."""
    finding = found(chain, text)
    return finding.score if finding else 0.0


def rows() -> list[dict[str, str]]:
    """Read the corpus: examples written for it."""
    return [json.loads(line) for line in CORPUS.read_text(encoding="utf-8").splitlines()]


def test_the_corpus_has_promotions_and_hard_negatives_in_every_language() -> None:
    """All five languages have at least 12 promotions and 20 hard negatives."""
    count: dict[tuple[str, str], int] = defaultdict(int)
    for row in rows():
        count[row["language"], row["label"]] += 1

    for language in ("ms", "id", "en", "zh", "ta"):
        assert count[language, "gambling.promotion"] >= 12
        assert count[language, "benign"] >= 20


@pytest.mark.parametrize("row", rows(), ids=lambda row: f"{row['language']}-{row['label']}")
def test_the_corpus_is_told_apart(chain: Chain, row: dict[str, str]) -> None:
    """Every promotion of the corpus reaches review, no hard negative does."""
    reaches_review = score(chain, row["text"]) >= REVIEW

    assert (row["label"] == "gambling.promotion") == reaches_review


@pytest.mark.parametrize(
    "text",
    [
        "ada 𝐒𝐔𝐑𝐘𝐀𝟕𝟕𝟕",
        "ada S U R Y A 7 7 7",
        "ada S͟U͟R͟Y͟A͟7͟7͟7͟",
        "ada ＳＵＲＹＡ７７７",
        "ada ⓈⓊⓇⓎⒶ777",
    ],
)
def test_a_disguised_name_says_more_than_a_plain_one(chain: Chain, text: str) -> None:
    """Styled, spaced, marked, full-width and circled letters are evidence of their own."""
    finding = found(chain, text)

    assert finding is not None
    assert finding.score > score(chain, "ada surya777")
    assert "gambling.disguise" in [e.term for e in finding.evidence]


@pytest.mark.parametrize(
    ("before", "advert", "after"),
    [
        ("halo kak, video bagus! ", "𝐌𝐚𝐢𝐧 𝐬𝐥𝐨𝐭 𝐝𝐢 𝐒𝐔𝐑𝐘𝐀𝟕𝟕𝟕", " hehe oke"),
        ("video ini lucu ⭐ ", "S U R Y A 7 7 7", " ⭐ hehe"),
        ("oke ", "M̲A̲X̲W̲I̲N̲ ̲di ̲S̲U̲R̲Y̲A̲7̲7̲7̲", " ya"),
        ("lihat ini, ", "𝐟𝐫𝐞𝐞 𝐤𝐫𝐞𝐝𝐢𝐭 RM10, daftar sekarang", " ok bye"),
    ],
)
def test_the_span_covers_exactly_the_advert(
    chain: Chain, before: str, advert: str, after: str
) -> None:
    """The span of a disguised advert is its words in the original, not the innocent ones around."""
    text = before + advert + after
    finding = found(chain, text)

    assert finding is not None
    assert finding.score >= REVIEW
    assert text[finding.start : finding.end] == advert


@pytest.mark.parametrize(
    "text",
    [
        "𝓢𝓮𝓵𝓪𝓶𝓪𝓽 𝓱𝓪𝓻𝓲 𝓻𝓪𝔂𝓪 𝓶𝓪𝓪𝓯 𝔃𝓪𝓱𝓲𝓻 𝓫𝓪𝓽𝓲𝓷",
        "𝕙𝕒𝕡𝕡𝕪 𝕓𝕚𝕣𝕥𝕙𝕕𝕒𝕪 Sarah, we all love you",
        "semoga menang ya 𝓢𝓪𝓻𝓪𝓱, semangat",
        "ᴋᴀᴍᴇʀᴀ ʙᴀʀᴜ, ʙᴏɴᴜꜱ ᴛʀɪᴘᴏᴅ",
        "H A P P Y  N E W  Y E A R everyone",
        "【H】【E】【L】【L】【O】 semua",
    ],
)
def test_fancy_letters_alone_are_no_advert(chain: Chain, text: str) -> None:
    """Ordinary text in ornamental letters does not reach review."""
    assert score(chain, text) < REVIEW


@pytest.mark.parametrize(
    "text",
    [
        "mike77",
        "drac0666: did you try to reboot",
        "i386 runs well on AMD64",
        "send it to ali88@example.com",
        "Darwin and the display",
        "rumah saya di seksyen17",
        "it is 77 degrees today, join us",
        "anak² main di taman",
        "pasukan menang besar",
        "bonus",
    ],
)
def test_ordinary_words_that_look_like_names_or_bait_stay_silent(chain: Chain, text: str) -> None:
    """A nickname, a part number, an address or one ordinary word does not reach review."""
    assert score(chain, text) < REVIEW


@pytest.mark.parametrize(
    ("promotion", "mention"),
    [
        ("main slot gacor modal receh", "hapus komen judol, main slot gacor modal receh"),
        ("live casino free credit RM10", "police: live casino free credit RM10"),
        ("线上赌场首存送100%，出款快", "警方警告：线上赌场首存送100%，出款快"),
    ],
)
def test_signs_of_a_mere_mention_lower_the_score(
    chain: Chain, promotion: str, mention: str
) -> None:
    """The same bait scores less inside a complaint or a report."""
    assert score(chain, mention) < score(chain, promotion)


def test_weights_add_up_to_the_score(chain: Chain) -> None:
    """Evidence can be re-added by hand, for every finding of the corpus."""
    findings = [f for row in rows() if (f := found(chain, row["text"]))]

    assert findings
    for finding in findings:
        added = sum(e.weight for e in finding.evidence)
        assert finding.score == round(min(1.0, max(0.0, added)), 4)
        assert finding.score >= LEAST_SCORE


def test_no_shape_is_enough_alone() -> None:
    """A name or a disguise by itself stays below review, however telling."""
    weights = [weight for weight, _ in SHAPES.values()]

    assert max(*weights, DISGUISE_WEIGHT) < REVIEW


def test_the_product_is_told_where_the_words_tell_it(chain: Chain) -> None:
    """Slots, casino, sports and lottery are attributes of the finding; a bare name tells none."""
    products = [
        found(chain, text).attributes.get("product")  # type: ignore[union-attr]
        for text in (
            "situs slot gacor, bonus new member 100%",
            "live casino, free credit RM10",
            "mix parlay, bonus deposit 20%",
            "bandar togel, bonus deposit 20%",
            "main di SURYA777 gacor",
        )
    ]

    assert products == ["slots", "casino", "sports", "lottery", None]


def test_the_reason_quotes_nothing_of_the_text(chain: Chain) -> None:
    """A reviewer reads grounds, not the advert."""
    finding = found(chain, "main di SURYA777 gacor, daftar sekarang")

    assert finding is not None
    assert finding.reason.startswith("promotes gambling: ")
    assert "surya" not in finding.reason.lower()
