"""Imitating links are found and explained; the imitated names' own links never are."""

from datetime import UTC, datetime
from pathlib import Path

import pytest

from detectors.brands import Brands
from detectors.contract import Candidate
from detectors.folding import fold
from detectors.scam_links import ScamLinks
from schemas import Actor, Audience, Event, Finding
from schemas.document import Document, DocumentError

REVIEW = 0.6
DETECTOR = ScamLinks()


def findings(text: str, links: tuple[str, ...] = ()) -> list[Finding]:
    """Return what the detector finds in one event."""
    event = Event(
        id="e1",
        platform="example",
        kind="message",
        occurred_at=datetime(2026, 1, 1, tzinfo=UTC),
        text=text,
        actor=Actor(id="a1"),
        audience=Audience(kind="dm"),
        links=links,
    )
    return [found for _, found in DETECTOR.scan([Candidate(event, fold(text))])]


def terms(text: str) -> set[str]:
    """Return the evidence of all findings in a text."""
    return {e.term for finding in findings(text) for e in finding.evidence}


@pytest.mark.parametrize(
    ("text", "term", "label"),
    [
        ("http://maybank2u.com.my.x1.top/", "link.official_name_in_front", "fraud.phishing"),
        ("http://usps.com-parcel.cc/", "link.official_name_in_front", "fraud.phishing"),
        ("http://maybank2u.com.my@x1.top/", "link.official_name_as_user", "fraud.phishing"),
        ("https://mаybank2u.com/", "link.disguised_name", "fraud.phishing"),
        ("maybank-secure.xyz", "link.name_in_part", "fraud.phishing"),
        ("http://p0slaju.top/track", "link.swapped_letters", "fraud.phishing"),
        ("http://mysejahtera-claim.icu/", "link.name_in_part", "fraud.impersonation"),
        ("http://shopeee.vip/login", "link.name_inside", "fraud.phishing"),
        ("http://facebok.com/", "link.mistyped_name", "fraud.phishing"),
        ("http://tng-verify.top/", "link.word_in_part", "fraud.phishing"),
        ("http://maybank.x1.top/", "link.name_in_subdomain", "fraud.phishing"),
        ("http://cleaning.site/resit.apk", "link.app_file", "fraud.malware_apk"),
    ],
)
def test_names_how_a_link_imitates(text: str, term: str, label: str) -> None:
    """Each way to borrow a name has its own evidence, and agencies and apps their own label."""
    found = findings(text)

    assert (term in terms(text), [f.label for f in found]) == (True, [label])


def test_short_names_have_no_typos() -> None:
    """One letter off a six-letter name is an innocent word too often."""
    assert findings("http://lazadda.com/") == []


@pytest.mark.parametrize(
    "text",
    [
        "http://maybank2u.com.my.x1.top/login",
        "Your account is suspended, verify at http://203.0.114.9/login",
        "Parcel on hold, pay at http://poslaju-my.icu/track",
        "Your Maybank account will expire, update now: bit.ly/abc",
    ],
)
def test_an_imitation_with_a_demand_reaches_review(text: str) -> None:
    """A borrowed name, a bare address or a shortener beside a demand is worth a reviewer's time."""
    assert max(finding.score for finding in findings(text)) >= REVIEW


@pytest.mark.parametrize(
    "text",
    [
        "Verify your login at https://www.maybank2u.com.my/login",
        "https://mytax.hasil.gov.my refund",
        "Track your parcel: https://track.pos.com.my/",
        "https://shopee.co.id/promo claim your voucher",
        "order wasap.my/60123456789/bayar segera",
        "update at http://192.168.1.1/login",
        "https://example.edu.my/maybank-scholarship",
    ],
)
def test_official_chat_and_private_links_are_silent(text: str) -> None:
    """Whatever stands around it, an official domain, a chat link or a home router is no scam."""
    assert findings(text) == []


@pytest.mark.parametrize("text", ["bit.ly/abc", "http://8.8.4.4/x", "myshop.xyz", "a.vercel.app/x"])
def test_one_oddity_alone_stays_below_review(text: str) -> None:
    """A shortener, an address, a cheap suffix or free hosting by itself proves nothing."""
    assert all(finding.score < REVIEW for finding in findings(text))


def test_every_official_domain_is_silent() -> None:
    """No domain of the shipped file is flagged, alone or under `www`."""
    domains = Brands.shipped().domains
    flagged = [d for d in domains for host in (d, f"www.{d}") if findings(f"http://{host}/login")]

    assert (len(domains) > 100, flagged) == (True, [])


def test_links_beside_the_text_are_judged_without_a_place() -> None:
    """A link the platform extracted is judged; it has no span in the text."""
    (found,) = findings("tekan sini", links=("http://maybank2u.com.my.x1.top/",))

    assert (found.start, found.end, found.score) == (0, 0, 0.8)


def test_score_is_the_sum_of_its_evidence_and_quotes_nothing() -> None:
    """A reviewer can add the score up again; the reason holds nothing of the link."""
    (found,) = findings("Sahkan akaun: http://maybank2u-secure.xyz/login")

    assert found.score == round(min(1.0, sum(e.weight for e in found.evidence)), 4)
    assert "maybank" not in found.reason
    assert found.attributes == {"imitates": "Maybank"}


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ('[[brands]]\nname = "A"\nkind = "bnk"\n', "brands.toml:3: invalid enum value 'bnk'"),
        (
            2 * '[[brands]]\nname = "A"\nkind = "bank"\nnames = ["abank"]\n',
            "brands.toml:8: `abank` is declared twice",
        ),
        (
            '[[brands]]\nname = "A"\nkind = "bank"\nsites = []\n',
            "brands.toml:4: unknown key `sites`",
        ),
    ],
)
def test_a_malformed_brand_file_is_refused_with_its_line(source: str, message: str) -> None:
    """The error says where and what, for whoever edited the file."""
    with pytest.raises(DocumentError) as error:
        Brands(Document(source, "brands.toml"))

    assert str(error.value).startswith(message)


def test_one_letter_is_added_lost_changed_or_swapped() -> None:
    """A typo is exactly one edit away; two edits, or the name itself, are none."""
    source = Path(__file__).name
    brands = Brands(Document('[[brands]]\nname="A"\nkind="bank"\nnames=["maybank"]\n', source))
    labels = ("maybannk", "mayban", "maybonk", "mabyank", "maybank", "mabonk")

    assert [brands.mistyped(label) is not None for label in labels] == [
        True,
        True,
        True,
        True,
        False,
        False,
    ]
