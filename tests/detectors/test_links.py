"""Links are found as people write them, and nothing else is."""

import pytest

from detectors.folding import fold
from detectors.links import find_links, parse_link


@pytest.mark.parametrize(
    ("text", "host", "domain"),
    [
        ("see https://maybank2u.com.my/login.", "maybank2u.com.my", "maybank2u.com.my"),
        ("hxxps://pay[.]evil[.]xyz/a", "pay.evil.xyz", "evil.xyz"),
        ("evil(dot)com now", "evil.com", "evil.com"),
        ("go to www.shop.co.uk today", "www.shop.co.uk", "shop.co.uk"),
        ("请点击claim-now.xyz登录", "claim-now.xyz", "claim-now.xyz"),
        ("wa.me/60123456789?text=hi", "wa.me", "wa.me"),
        ("my-shop.vercel.app", "my-shop.vercel.app", "my-shop.vercel.app"),
        ("http:/bit.do/Claim", "bit.do", "bit.do"),
        ("𝐞𝐯𝐢𝐥.𝐜𝐨𝐦/𝐚", "evil.com", "evil.com"),
        ("http://xn--mybank-3nf.com/", "mаybank.com", "mаybank.com"),
    ],
)
def test_finds_links_as_people_write_them(text: str, host: str, domain: str) -> None:
    """A link is found with its scheme, without it, defanged, styled or in punycode."""
    links = list(find_links(fold(text)))

    assert [(link.host, link.domain) for link in links] == [(host, domain)]


@pytest.mark.parametrize(
    "text",
    [
        "the end.of sentence",
        "edit setup.py and readme.md",
        "nick.name said ok.how are you",
        "e.g. this, i.e. that",
        "me@example.com",
        "version 1.2.3.4 is out",
        "RM1.50, 10.30pm, 3.14",
        "no dots here",
    ],
)
def test_leaves_ordinary_dots_alone(text: str) -> None:
    """File names, missing blanks, mail addresses, versions and sums are no links."""
    assert list(find_links(fold(text))) == []


def test_takes_a_link_apart() -> None:
    """User, host, port, path and subdomain come out separately, punctuation stays behind."""
    link = parse_link("http://bank.example@a.b.evil.top:8080/x_(y)?q=1).")

    assert link is not None
    assert (link.user, link.host, link.port, link.path) == (
        "bank.example",
        "a.b.evil.top",
        "8080",
        "/x_(y)?q=1",
    )
    assert (link.subdomain, link.name, link.suffix) == ("a.b", "evil", "top")


def test_span_points_at_the_original() -> None:
    """The span counts code points of what was written, not of the folded text."""
    text = "ﬀ看 https://mаybank.com/x，谢谢"

    link = next(find_links(fold(text)))

    assert text[link.start : link.end] == "https://mаybank.com/x"


def test_keeps_both_faces_of_a_disguised_host() -> None:
    """`host` is what a browser opens, `looks` what a reader sees."""
    link = parse_link("https://mаybank.com/")

    assert link is not None
    assert (link.host, link.looks) == ("mаybank.com", "maybank.com")


def test_address_counts_only_with_a_scheme_or_a_path() -> None:
    """Four numbers are an address when something says so, and only if they can be one."""
    texts = ("http://8.8.4.4/x", "8.8.4.4:81/x", "8.8.4.4", "http://999.1.1.1/")

    found = [len(list(find_links(fold(text)))) for text in texts]

    assert found == [1, 1, 0, 0]


def test_chat_links_are_known() -> None:
    """A link into a chat is told from a link to a page."""
    urls = ("wa.me/60123456789", "https://t.me/x", "https://api.whatsapp.com/send?phone=1", "a.com")
    links = [parse_link(url) for url in urls]

    assert [link is not None and link.is_chat for link in links] == [True, True, True, False]
