"""The protected names: whose they are, what vouches for their domains, and what they leave alone."""

import re
from datetime import UTC, date, datetime
from itertools import pairwise
from pathlib import Path
from typing import Final

import pytest

from detectors.brands import UNVERIFIED, Brands
from detectors.contract import Candidate
from detectors.folding import fold
from detectors.scam_links import ScamLinks
from schemas import Actor, Audience, Event
from schemas.document import Document, DocumentError

ROOT: Final = Path(__file__).resolve().parents[2]
SHIPPED: Final = Brands.shipped()
DETECTOR: Final = ScamLinks(SHIPPED)
REVIEW: Final = 0.6
WORDS: Final = [
    word
    for line in (Path(__file__).parent / "ordinary_words.txt").read_text("utf-8").splitlines()
    if not line.startswith("#")
    for word in line.split()
]
ROW: Final = '[[brands]]\nname = "A"\nkind = "bank"\n'
DATED: Final = ROW + "checked = 2026-11-25\n"


def found(text: str) -> list[tuple[float, str]]:
    """Return score and imitated brand of what is found in a text."""
    event = Event(
        id="e1",
        platform="example",
        kind="message",
        occurred_at=datetime(2026, 1, 1, tzinfo=UTC),
        text=text,
        actor=Actor(id="a1"),
        audience=Audience(kind="dm"),
    )
    findings = [finding for _, finding in DETECTOR.scan([Candidate(event, fold(text))])]
    return [(finding.score, finding.attributes.get("imitates", "")) for finding in findings]


def counts() -> tuple[int, int, int]:
    """Return how many brands, verified and unverified domains the file holds."""
    rows = [row for brand in SHIPPED.brands for row in brand.official]
    unverified = sum(len(row.domains) for row in rows if row.source == UNVERIFIED)
    return len(SHIPPED.brands), len(SHIPPED.domains) - unverified, unverified


@pytest.mark.parametrize("before", ["", "www.", "login.", "secure.verify."])
@pytest.mark.parametrize("after", ["", "/login?next=/account/verify", "/files/claim.apk"])
def test_nothing_under_an_official_domain_is_flagged(before: str, after: str) -> None:
    """A brand's own site is no scam, whatever its subdomain, its path and the words around it say."""
    text = "Urgent: verify your account at http://{}{}{}"
    domains = list(SHIPPED.domains)

    assert domains != []
    assert [] == [d for d in domains if found(text.format(before, d, after))]


def test_the_file_and_the_readme_say_how_many_domains_are_verified() -> None:
    """The numbers that people read are those of the file."""
    brands, verified, unverified = counts()
    head = (ROOT / "detectors" / "data" / "brands.toml").read_text("utf-8")
    readme = " ".join((ROOT / "README.md").read_text("utf-8").split())

    assert (
        f"# {brands} brands, {verified + unverified} official domains: "
        f"{verified} verified, {unverified} unverified.\n"
    ) in head
    assert f"{verified} of the {verified + unverified} domains are verified" in readme


def test_every_official_domain_has_a_source_and_a_date() -> None:
    """Who allows a domain can ask what vouches for it, and since when."""
    rows = [(brand, row) for brand in SHIPPED.brands for row in brand.official]

    assert rows != []
    assert [] == [b.name for b, row in rows if not row.source.strip()]
    assert [] == [b.name for b, row in rows if not isinstance(row.checked or b.checked, date)]


def test_no_source_is_a_link() -> None:
    """A source is a title, a site or a repository that a person can look for."""
    sources = {row.source for brand in SHIPPED.brands for row in brand.official}

    assert len(sources) > 1
    assert [] == sorted(source for source in sources if "://" in source)


@pytest.mark.parametrize(
    ("host", "brand"),
    [
        ("maybank2u-secure.xyz", "Maybank"),
        ("bankrakyat-login.top", "Bank Rakyat"),
        ("bimbmobile-verify.icu", "Bank Islam"),
        ("gxbank-bonus.vip", "GXBank"),
        ("hasil.gov.my-refund.top", "LHDN"),
        ("lhdn-bayaran-balik.shop", "LHDN"),
        ("kwsp-tuntut.online", "EPF / KWSP"),
        ("semak-str.online", "STR / SARA aid"),
        ("mydigitalid-daftar.site", "MyDigital ID"),
        ("jpj-saman-portal.click", "JPJ"),
        ("p0slaju-parcel.icu", "Pos Malaysia"),
        ("jtexpress-track.cfd", "J&T Express"),
        ("tng-ewallet-claim.top", "Touch 'n Go eWallet"),
        ("duitnow-verify.shop", "FPX / PayNet"),
        ("celcomdigi-reward.xyz", "CelcomDigi"),
        ("shopee-hadiah.top", "Shopee / ShopeePay"),
        ("mytnb-rebate-claim.top", "TNB"),
        ("asnb-login.top", "ASNB"),
        ("danakaget-klaim.xyz", "DANA"),
        ("singpass-login.top", "Singpass"),
        ("steamcommunity-gift.ru", "Steam"),
        ("metamask-connect.live", "MetaMask"),
        ("opensea-claim.xyz", "OpenSea"),
    ],
)
def test_an_imitation_is_found_and_its_brand_named(host: str, brand: str) -> None:
    """A borrowed name beside a service word or a throw-away suffix is worth a reviewer's time."""
    ((score, imitated),) = found(f"http://{host}/")

    assert (True, brand) == (score >= REVIEW, imitated)


def test_ordinary_words_are_silent() -> None:
    """No everyday word of Malay, Indonesian or English is a name, holds one or nearly spells one."""
    hosts = [f"{word}.{suffix}" for word in WORDS for suffix in ("com", "com.my", "co.id")]
    joined = [f"{a}{b}.com" for a, b in pairwise(WORDS)]
    hyphened = [f"{a}-{b}.my" for a, b in zip(WORDS, WORDS[7:], strict=False)]

    judged = {host: found(f"http://{host}/") for host in hosts + joined + hyphened}
    borrowed = [host for host, seen in judged.items() if any(brand for _, brand in seen)]
    reviewed = [host for host, seen in judged.items() if any(s >= REVIEW for s, _ in seen)]

    assert len(WORDS) > 700
    assert [] == borrowed
    # What only looks strange to the model of hosts is another matter, and rarely worth a look.
    assert len(reviewed) <= 0.01 * len(judged)


@pytest.mark.parametrize("word", ["apple", "boost", "dana", "grab", "hasil", "steam", "telegram"])
def test_an_everyday_name_counts_only_beside_a_service_word(word: str) -> None:
    """`apple-tree` is a farm; `apple-verify` is not."""
    assert word in SHIPPED.words
    assert {""} >= {brand for _, brand in found(f"http://{word}-garden.com/")}
    assert {""} < {brand for _, brand in found(f"http://{word}-verify.com/")} | {""}


@pytest.mark.parametrize("label", ["opensearch", "openairfest", "republicbank", "gamerevolution"])
def test_a_name_inside_a_word_of_its_own_is_not_meant(label: str) -> None:
    """`opensearch` holds `opensea` and has nothing to do with it."""
    assert SHIPPED.inside(label) is None


def test_the_innocent_word_does_not_hide_the_name_beside_it() -> None:
    """Whoever adds the innocent word to a borrowed name is found all the same."""
    assert SHIPPED.inside("opensearch-opensea") == "opensea"


@pytest.mark.parametrize("label", ["carousel", "mobile", "finance", "applied", "firefly"])
def test_an_innocent_word_is_no_typo(label: str) -> None:
    """`finance` misses `binance` by one letter, and is not it."""
    assert SHIPPED.mistyped(label) is None


def test_the_longest_name_at_the_first_place_is_found() -> None:
    """`maybank2u` is told from `maybank`."""
    assert SHIPPED.inside("xmaybank2u-shopee") == "maybank2u"


@pytest.mark.parametrize(
    ("source", "message"),
    [
        (
            ROW + 'official = [\n  { source = "own page: FAQ", domains = ["a.com"] },\n]\n',
            "brands.toml:5: missing the date of the look-up: `checked`",
        ),
        (
            2 * (DATED + 'official = [\n  { source = "x", domains = ["a.com"] },\n]\n'),
            "brands.toml:13: `a.com` is declared twice",
        ),
        (
            DATED + 'official = [\n  { source = "", domains = ["a.com"] },\n]\n',
            "brands.toml:6: expected `str` of length >= 1",
        ),
        (
            DATED + 'official = [\n  { source = "x", domains = ["https://a.com"] },\n]\n',
            "brands.toml:6: expected `str` matching regex",
        ),
        (DATED + 'official = [\n  { source = "x" },\n]\n', "brands.toml:6: missing key `domains`"),
        (
            DATED + 'official = [\n  { domains = ["a.com"], when = 1 },\n]\n',
            "brands.toml:6: unknown key `when`",
        ),
        (ROW + "checked = 25\n", "brands.toml:4: expected `date`"),
        (ROW + 'country = "malaysia"\n', "brands.toml:4: expected `str` matching regex"),
        (
            ROW + 'names = ["abank"]\nwords = ["abank"]\n',
            "brands.toml:5: `abank` is declared twice",
        ),
        (
            'innocent = ["openair"]\n' + ROW + 'names = [\n  "abank",\n  "openair",\n]\n',
            "brands.toml:7: `openair` is in `innocent`",
        ),
        (
            'innocent = ["Open"]\n' + ROW,
            "brands.toml:1: expected `str` matching regex",
        ),
    ],
)
def test_a_malformed_row_is_refused_with_its_line(source: str, message: str) -> None:
    """The error says where and what, for whoever edited the file."""
    with pytest.raises(DocumentError) as error:
        Brands(Document(source, "brands.toml"))

    assert str(error.value).startswith(message)


def test_the_date_of_a_row_overrides_that_of_its_brand() -> None:
    """A domain that was looked up later says so itself."""
    row = '{ source = "x", domains = ["a.com"], checked = 2027-01-02 }'
    (brand,) = Brands(Document(f"{ROW}official = [{row}]\n", "brands.toml")).brands

    assert date(2027, 1, 2) == brand.official[0].checked


def test_the_digest_follows_every_edit() -> None:
    """A detector's version tells two brand files apart, their sources included."""
    files = [DATED + f'official = [{{ source = "{s}", domains = ["a.com"] }}]\n' for s in "xy"]
    digests = {Brands(Document(source, "brands.toml")).digest for source in files}

    assert 2 == len(digests)
    assert [] == [digest for digest in digests if not re.fullmatch("[0-9a-f]{8}", digest)]
