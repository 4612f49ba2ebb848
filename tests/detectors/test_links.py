"""Links are found as people write them, and nothing else is."""

import tomllib
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import regex

from detectors.folding import fold
from detectors.links import HINT, find_links, parse_link
from pipeline.factors import requirements
from pipeline.prefilter import prefilter

WRITTEN = tomllib.loads(
    (Path(__file__).parent / "links" / "written.toml").read_text(encoding="utf-8")
)
FOUND = [pytest.param(case, id=f"{case['way']}: {case['text']}") for case in WRITTEN["found"]]
NONE = [pytest.param(case, id=f"{case['what']}: {case['text']}") for case in WRITTEN["none"]]


def expected_links(case: dict[str, Any]) -> list[tuple[str, str, str]]:
    """Return the links of a row of the table, with what it leaves out."""
    return [
        (link["host"], link.get("domain", link["host"]), link.get("written", link["host"]))
        for link in case.get("links", ())
    ]


def test_the_table_holds_many_ways_in_all_languages() -> None:
    """What the project promises to read is written down, and so is what it must leave alone."""
    languages = Counter(case["language"] for rows in WRITTEN.values() for case in rows)

    assert min(len(rows) for rows in WRITTEN.values()) >= 150
    assert {"ms", "id", "en", "zh", "ta"} == set(languages)


@pytest.mark.parametrize("case", FOUND)
def test_finds_links_as_people_write_them(case: dict[str, Any]) -> None:
    """Host, registered domain and the exact span in the original text."""
    text = case["text"]
    links = find_links(fold(text))

    found = [(link.host, link.domain, text[link.start : link.end]) for link in links]

    assert expected_links(case) == found


@pytest.mark.parametrize("case", FOUND)
def test_spans_hold_in_the_middle_of_a_text(case: dict[str, Any]) -> None:
    """What stands before and after, also beyond ASCII, moves a link and changes nothing else."""
    text = f"ﬀ看 {case['text']} ಠ_ಠ"
    links = find_links(fold(text))

    assert [written for _, _, written in expected_links(case)] == [
        text[link.start : link.end] for link in links
    ]


@pytest.mark.parametrize("case", NONE)
def test_leaves_ordinary_dots_alone(case: dict[str, Any]) -> None:
    """Sums, times, files, short forms, joined sentences and mail addresses are no links."""
    assert [] == list(find_links(fold(case["text"])))


@pytest.mark.parametrize("case", FOUND)
def test_the_hint_is_in_every_text_with_a_link(case: dict[str, Any]) -> None:
    """A text that the hint is not in is never shown to a detector, so it must miss none."""
    folded = fold(case["text"])
    has_hint = regex.search(HINT, folded.text) is not None

    assert has_hint or not case.get("links")


def test_the_hint_is_looked_for_as_plain_strings() -> None:
    """As an expression it would be found in twice as many ordinary messages."""
    needs = requirements(prefilter(HINT))

    assert needs is not None
    assert [1] == [len(alternative) for alternative in needs]


def test_takes_a_link_apart() -> None:
    """User, host, port, path and subdomain come out separately, punctuation stays behind."""
    link = parse_link("http://bank.example@a.b.evil.top:8080/x_(y)?q=1).")

    assert link is not None
    assert ("bank.example", "a.b.evil.top", "8080", "/x_(y)?q=1") == (
        link.user,
        link.host,
        link.port,
        link.path,
    )
    assert ("a.b", "evil", "top") == (link.subdomain, link.name, link.suffix)


def test_keeps_both_faces_of_a_disguised_host() -> None:
    """`host` is what a browser opens, `looks` what a reader sees."""
    link = parse_link("https://mаybank.com/")

    assert link is not None
    assert ("mаybank.com", "maybank.com") == (link.host, link.looks)


def test_address_counts_only_with_a_scheme_or_a_path() -> None:
    """Four numbers are an address when something says so, and only if they can be one."""
    texts = ("http://8.8.4.4/x", "8.8.4.4:81/x", "8.8.4.4", "http://999.1.1.1/")

    found = [len(list(find_links(fold(text)))) for text in texts]

    assert [1, 1, 0, 0] == found


def test_chat_links_are_known() -> None:
    """A link into a chat is told from a link to a page."""
    urls = ("wa.me/60123456789", "https://t.me/x", "https://api.whatsapp.com/send?phone=1", "a.com")
    links = [parse_link(url) for url in urls]

    assert [True, True, True, False] == [link is not None and link.is_chat for link in links]


def test_a_link_inside_another_says_whose() -> None:
    """The outer link's host is the way by which the inner one is reached."""
    outer, inner = find_links(
        fold("https://kedaikita.com/r?u=https%3A%2F%2Fclaimbonus.top%2Fa%3Fb")
    )

    assert ("", "kedaikita.com") == (outer.via, inner.via)
    assert ("claimbonus.top", "/a?b") == (inner.host, inner.path)


def test_customers_of_hosting_services_are_told_apart() -> None:
    """A name under a service is registered with it, also where the public list leaves the service out."""
    links = [
        parse_link(url) for url in ("a.b.vercel.app/x", "http://a.b.weebly.com/", "weebly.com")
    ]

    assert [("b.vercel.app", True), ("b.weebly.com", True), ("weebly.com", False)] == [
        (link.domain, link.is_hosted) for link in links if link is not None
    ]


@pytest.mark.parametrize(
    "unit",
    [
        *"a. ( [ http:// a- www,a h**p:/ 。a a。 &#46;a 0 a🔥 a@b. xn--a. http://a:b@".split(),
        *("https://a.com/?u=http%253a%2f", "a dot ", "a . ", "a. com ", "a b ", "http://x.com/("),
    ],
)
def test_hostile_texts_are_read_to_their_end(unit: str) -> None:
    """Whatever is repeated, reading takes less than the second after which it would be given up."""
    text = unit * (20_000 // len(unit))

    assert len(list(find_links(fold(text)))) <= len(text)
