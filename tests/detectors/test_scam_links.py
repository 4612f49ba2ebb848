"""Imitating links are found and explained; the imitated names' own links never are."""

from datetime import UTC, datetime
from pathlib import Path

import pytest

from detectors.brands import Brands
from detectors.contract import Candidate
from detectors.folding import fold
from detectors.host_scorer import HostScorer, packed
from detectors.known_sites import KNOWN_SITES
from detectors.scam_links import ScamLinks
from schemas import Actor, Audience, Event, Finding
from schemas.document import Document, DocumentError

REVIEW = 0.6
DETECTOR = ScamLinks()


def findings(
    text: str, links: tuple[str, ...] = (), detector: ScamLinks = DETECTOR
) -> list[Finding]:
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
    return [found for _, found in detector.scan([Candidate(event, fold(text))])]


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


def test_short_names_have_few_typos() -> None:
    """One letter off a six-letter name is an innocent word too often, unless it is only doubled."""
    assert findings("http://lazuda.com/") == []
    assert "link.mistyped_name" in terms("http://lazadda.com/")


@pytest.mark.parametrize(
    ("text", "term"),
    [
        ("http://rnaybank.top/", "link.swapped_letters"),
        ("http://maybank24.com/", "link.name_with_digits"),
        ("http://wwwmaybank2u.com/", "link.name_behind_www"),
        ("http://wikipedai.org/login", "link.mistyped_site"),
        ("http://mabyank.top/", "link.mistyped_name"),
        ("http://8.8.4.4/maybank/login", "link.name_in_path"),
        ("http://0x08080404/login", "link.odd_address"),
        ("http://134743044/login", "link.odd_address"),
        ("http://x1.top/resit.pdf.exe", "link.double_extension"),
        ("http://bantuan.top/pasang.exe", "link.program_file"),
        ("http://bantuan.top/gambar.zip", "link.archive_file"),
        ("http://bantuan.top/aplikasi.xapk", "link.app_file"),
        ("https://example.com/r?u=http://bantuan-a-b-c-d.top/login", "link.redirected"),
        ("http://bantuan.pages.dev/login", "link.free_hosting"),
        ("http://bantuan.weebly.com/", "link.free_hosting"),
        ("http://login.duckdns.org/", "link.dynamic_name"),
        ("http://a-b-c-d-login.top/", "link.many_hyphens"),
        ("http://a.b.c.login.top/", "link.many_subdomains"),
        ("http://x7k2q9m4z1.top/login", "link.random_label"),
        ("http://xn--bntuan-6fg.top/login", "link.foreign_script"),
        ("http://dompet-klaim.top/", "link.service_word"),
    ],
)
def test_names_what_is_odd_about_a_link(text: str, term: str) -> None:
    """Each oddity has evidence of its own."""
    assert term in terms(text)


def test_a_link_inside_another_is_judged_too() -> None:
    """An official host that passes its visitors on does not vouch for where they go."""
    (found,) = findings("https://www.google.com/url?q=http%3A%2F%2Fmaybank2u-secure.top%2Flogin")

    assert "Maybank" == found.attributes["imitates"]
    assert found.start > len("https://www.google.com/url?q=") - 1


def test_an_address_is_odd_only_where_people_cannot_read_it() -> None:
    """Full-width digits and brackets hide nothing; hexadecimal does."""
    assert "link.odd_address" not in terms("http://８.８.４.４/login")
    assert "link.odd_address" not in terms("http://8.8.4.4/login")


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


def test_what_is_remembered_of_a_host_leaves_its_other_links_alone() -> None:
    """A link has the same finding first and last, whatever else its host was seen with."""
    urls = [
        "http://maybank-secure.xyz/",
        "http://maybank-secure.xyz/resit.apk",
        "http://maybank2u.com.my@maybank-secure.xyz/",
        "http://maybank-secure.xyz:8080/login",
        "http://kedaibunga.com/",
        "http://maybank2u.com.my@kedaibunga.com/",
        "http://kedaibunga.com/?url=http://maybank-secure.xyz/",
        "http://www.youtube.com/",
        "http://maybank2u.com.my@www.youtube.com/",
    ]
    shared = ScamLinks()
    alone = [findings(url, detector=ScamLinks()) for url in urls]

    assert any(alone)
    assert alone == [findings(url, detector=shared) for url in urls]
    assert alone[::-1] == [findings(url, detector=shared) for url in reversed(urls)]


def test_a_well_known_site_does_not_vouch_for_names_under_it() -> None:
    """Some give names to customers: `maybank` under one is borrowed; the site itself is left alone."""
    assert "medium.com" in KNOWN_SITES
    assert [] == findings("http://www.medium.com/")
    assert "link.name_in_subdomain" in terms("http://maybank-login.medium.com/")


def test_every_official_domain_is_silent() -> None:
    """No domain of the shipped file is flagged, alone or under `www`."""
    domains = Brands.shipped().domains
    flagged = [d for d in domains for host in (d, f"www.{d}") if findings(f"http://{host}/login")]

    assert (len(domains) > 100, flagged) == (True, [])


def test_links_beside_the_text_are_judged_without_a_place() -> None:
    """A link the platform extracted is judged; it has no span in the text."""
    (found,) = findings("tekan sini", links=("http://maybank2u.com.my.x1.top/",))

    assert (found.start, found.end, found.score) == (0, 0, 0.95)


def test_score_is_the_sum_of_its_evidence_and_quotes_nothing() -> None:
    """A reviewer can add the score up again; the reason holds nothing of the link."""
    (found,) = findings("Sahkan akaun: http://maybank2u-secure.xyz/login")

    assert found.score == round(min(1.0, sum(e.weight for e in found.evidence)), 4)
    assert "maybank" not in found.reason
    assert "Maybank" == found.attributes["imitates"]


def test_the_model_points_at_what_it_knows() -> None:
    """Its strongest runs of letters are evidence with a place in the text, the rest is one more term."""
    text = "cuba http://www.ledger-walletconnect.com/ ya"
    (found,) = findings(text)
    parts = [e for e in found.evidence if e.term == "link.learned_part"]
    rest = [e for e in found.evidence if e.term == "link.learned_rest"]

    assert "wallet" in [text[part.start : part.end] for part in parts]
    assert [(found.start, found.end)] == [(e.start, e.end) for e in rest]
    assert found.score == round(min(1.0, sum(e.weight for e in found.evidence)), 4)
    assert "listed traps" in found.reason


@pytest.mark.parametrize(
    ("url", "is_judged"),
    [
        ("http://kedaibunga.com/", True),
        ("http://en.wikipedia.org/", False),
        ("http://kedaibunga.edu.my/", False),
        ("http://kedaibunga.blogspot.com/", False),
        ("http://kedaibunga.pages.dev/", False),
        ("http://8.8.4.4/", False),
        ("http://bit.ly/x", False),
    ],
)
def test_the_model_is_not_asked_about_some_links(url: str, is_judged: bool) -> None:  # noqa: FBT001
    """Well-known sites, restricted suffixes, hosted pages and shorteners are not judged by their names."""
    detector = ScamLinks(scorer=HostScorer(packed(16, 5.0, 0.1, bytes(2**16))))
    learned = {e.term for found in findings(url, detector=detector) for e in found.evidence}

    assert is_judged == ("link.learned_rest" in learned)


@pytest.mark.parametrize(
    "text",
    [
        "http://kedaibunga.shop/",
        "http://rumahmakan.site/",
        "http://smkdamansara.info/",
        "http://klinikdesa.my/",
        "http://tokobuku.co.id/",
        "http://kopisedap.xyz/menu",
    ],
)
def test_new_and_local_names_are_no_finding(text: str) -> None:
    """An ordinary name does not become suspicious by the suffix it could afford."""
    assert findings(text) == []


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
