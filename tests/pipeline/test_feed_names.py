"""Names: a list and a link in a text agree on how a host or a page is written."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from detectors.folding import fold
from detectors.links import find_links
from pipeline.feed_names import Name, above_www, name, page, pages

WRITTEN = {
    "example.com": Name("example.com", "example.com"),
    "  EXAMPLE.com. ": Name("example.com", "example.com"),
    "www.example.com": Name("example.com", "example.com"),
    "a.b.example.co.uk": Name("a.b.example.co.uk", "example.co.uk"),
    "*.example.com": Name("example.com", "example.com", has_wildcard=True),
    ".example.com": Name("example.com", "example.com", has_wildcard=True),
    "someone.vercel.app": Name("someone.vercel.app", "someone.vercel.app"),
    "www.someone.vercel.app": Name("someone.vercel.app", "someone.vercel.app"),
    "https://example.com/": Name("example.com", "example.com"),
    "https://example.com/a/B/": Name("example.com", "example.com", "/a/b"),
    "http://example.com:8080/a?x=1#top": Name("example.com", "example.com", "/a?x=1"),
    "example.com/a": Name("example.com", "example.com", "/a"),
    "hxxps://example[.]com/a": Name("example.com", "example.com", "/a"),
    "example[.]com": Name("example.com", "example.com"),
    "xn--mnchen-3ya.example.com": Name("münchen.example.com", "example.com"),
    "münchen.example.com": Name("münchen.example.com", "example.com"),
    "https://blogspot.com/a": Name("blogspot.com", "blogspot.com", "/a"),
    "93.184.216.34": Name("93.184.216.34", "93.184.216.34"),
    "http://93.184.216.34/a": Name("93.184.216.34", "93.184.216.34", "/a"),
}

FAULTS = {
    "": "malformed",
    "localhost": "malformed",
    "no name at all": "malformed",
    "see example.com": "malformed",
    "example.com example.net": "malformed",
    "http://": "malformed",
    "300.1.1.1": "malformed",
    "https://example.com/赌博": "malformed",
    "https://example.com/" + "a" * 2048: "too_long",
    "example.invalid": "unknown_suffix",
    "co.uk": "public_suffix",
    "www.co.uk": "public_suffix",
    "blogspot.com": "hosting",
    "www.github.io": "hosting",
    "192.168.0.1": "local_address",
    "http://127.0.0.1/a": "local_address",
}


@pytest.mark.parametrize("text", WRITTEN)
def test_a_host_or_a_url_is_one_name_however_it_is_written(text: str) -> None:
    """Case, `www.`, a scheme, a port, a fragment, a slash at the end and defanging make no other name."""
    assert WRITTEN[text] == name(text)


@pytest.mark.parametrize("text", FAULTS)
def test_what_is_no_name_is_told_by_reason(text: str) -> None:
    """A suffix stands for whoever registers below it, and a link cut short for more than it says."""
    assert FAULTS[text] == name(text)


LABELS = st.from_regex(r"[a-z]([a-z0-9-]{0,8}[a-z0-9])?", fullmatch=True).filter(
    lambda label: not label.startswith("xn--")
)
HOSTS = st.builds(
    lambda labels, suffix: ".".join([*labels, suffix]),
    st.lists(LABELS, min_size=1, max_size=4),
    st.sampled_from(
        ["com", "com.my", "co.id", "vercel.app", "blogspot.com", "ck", "s3.amazonaws.com"]
    ),
)


@given(HOSTS)
def test_a_listed_host_is_the_host_of_the_same_link_in_a_text(host: str) -> None:
    """The quick way for plain hosts and the finder of links agree on host and registered domain."""
    listed = name(host)
    links = list(find_links(fold(f"see http://{host}/a now")))
    if isinstance(listed, Name):
        assert [(listed.host, listed.domain)] == [
            (above_www(x.host, x.domain), x.domain) for x in links
        ]
    else:
        assert listed in {"public_suffix", "hosting"}


PATHS = st.text("abAB/?#=&.%-é", max_size=12).map(lambda rest: "/" + rest)


@given(PATHS)
def test_a_listed_page_is_among_the_pages_of_the_same_link_in_a_text(path: str) -> None:
    """Whatever is read from a list is looked up again for a text with that very link."""
    listed = name(f"https://example.com{path}")
    (link,) = find_links(fold(f"https://example.com{path}"))

    assert isinstance(listed, Name)
    assert listed.page in (*pages(link.path), page(link.path))


def test_www_is_part_of_a_name_that_is_registered_so() -> None:
    """Above a registered domain it says nothing."""
    assert "example.com" == above_www("www.example.com", "example.com")
    assert "www.com" == above_www("www.com", "www.com")
    assert "www2.example.com" == above_www("www2.example.com", "example.com")


def test_a_page_is_looked_up_with_its_query_and_without() -> None:
    """A list that names a page means it whatever is asked of it; one that names a query means that."""
    assert ("/a?x=1", "/a") == pages("/a?x=1#b")
    assert ("/a",) == pages("/a/")
    assert ("?x",) == pages("/?x")
    assert () == pages("/") == pages("#a") == pages("")
