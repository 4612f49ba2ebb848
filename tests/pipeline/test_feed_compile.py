"""Compile: what gets into the table, what is taken out, and why."""

from pathlib import Path

import pytest

from pipeline.feed import Feed
from pipeline.feed_index import Held, Index
from tests.pipeline.lists import compiled, file_feed, synced


async def held(folder: Path, **feeds: Feed) -> dict[str, Held]:
    """Compile feeds and return what became of each."""
    await synced(feeds, folder / "store")
    return {feed.name: feed for feed in Index(folder / "store" / "feeds.index").header.feeds}


INNOCENT = {
    "facebook.com": "brand",
    "m.facebook.com": "brand",
    "maybank2u.com.my": "brand",
    "https://maybank2u.com.my/home/login": "brand",
    "hasil.gov.my": "brand",
    "youku.com": "giant",
    "bbc.co.uk": "press",
    "bit.ly": "shortener",
    "t.me": "chat",
    "https://wa.me/": "chat",
    "telegra.ph": "pages",
    "weebly.com": "hosting",
    "vercel.app": "hosting",
    "mooo.com": "dynamic_dns",
    "duckdns.org": "hosting",
    "some-school.edu.my": "institution",
    "com.my": "public_suffix",
}

LISTABLE = [
    "someone.weebly.com",
    "someone.vercel.app",
    "someone.mooo.com",
    "someone.duckdns.org",
    "bit.ly/3abcdef",
    "t.me/somebody",
    "facebook.com/somebody",
    "docs.google.com/forms/d/abc",
    "hacked.some-school.edu.my",
]


@pytest.mark.parametrize("name", INNOCENT)
async def test_an_innocent_on_a_list_is_never_flagged(tmp_path: Path, name: str) -> None:
    """It is counted by the reason, and neither it nor anything below it is found."""
    feed = file_feed(tmp_path / "a.txt", f"{name}\nexample.com\n")
    became = (await held(tmp_path, a=feed))["a"]
    host = name.removeprefix("https://").partition("/")[0]
    index = Index(tmp_path / "store" / "feeds.index")

    assert (1, {INNOCENT[name]: 1}) == (became.entries, became.rejected)
    assert () == index.find(host, host, "/x") == index.find(f"some.{host}", host, "/x")


async def test_customers_and_pages_of_innocents_may_be_listed(tmp_path: Path) -> None:
    """A hosting service is judged by the subdomain, a shortener or a chat service by the single link."""
    feed = file_feed(tmp_path / "a.txt", "\n".join(LISTABLE))

    assert (len(LISTABLE), {}) == (
        (became := (await held(tmp_path, a=feed))["a"]).entries,
        became.rejected,
    )


async def test_a_listed_hosting_service_does_not_flag_its_customers(tmp_path: Path) -> None:
    """Nor one customer another; this holds also for a service that nobody listed as innocent."""
    lists = await compiled(tmp_path, a="vercel.app\nevil.vercel.app\nweebly.com\n")

    assert ("a",) == tuple(hit.feed for hit in lists.find("evil.vercel.app", "evil.vercel.app", ""))
    assert () == lists.find("good.vercel.app", "good.vercel.app", "")
    assert () == lists.find("good.weebly.com", "weebly.com", "")


async def test_a_list_of_innocents_is_taken_out_of_all_others(tmp_path: Path) -> None:
    """A name alone, or with a wildcard all below it and every page; what else is below stays."""
    bad = file_feed(
        tmp_path / "bad.txt",
        "example.com\nevil.example.com\nexample.com/page\n"
        "example.net\nevil.example.net\nexample.net/page\nexample.org/one\nexample.org/two\n",
    )
    good = file_feed(
        tmp_path / "good.txt",
        "www.example.com\n*.example.net\nexample.org/one\nnothing\n",
        label="",
        subtract=True,
    )
    became = await held(tmp_path, bad=bad, good=good)
    index = Index(tmp_path / "store" / "feeds.index")
    names = [feed.name for feed in index.header.feeds]
    asked = ["example.com", "evil.example.com", "example.net", "evil.example.net"]
    found = [name for name in asked if index.find(name, name[-11:])]
    paged = ["example.com/page", "example.net/page", "example.org/one", "example.org/two"]

    assert (3, {"subtracted": 5}) == (became["bad"].entries, became["bad"].rejected)
    assert (3, {"malformed": 1}) == (became["good"].entries, became["good"].rejected)
    assert ["evil.example.com"] == found
    assert ["example.com/page", "example.org/two"] == [
        page for page in paged if index.find(page[:11], page[:11], page[11:])
    ]
    assert ["good", "bad"] == names
    assert (1,) == index.find("evil.example.com", "example.com")


async def test_a_name_twice_counts_once_and_a_lists_own_exception_counts(tmp_path: Path) -> None:
    """An exception of one list says nothing of another."""
    rules = (
        "||example.com^\n||example.net^\n||www.example.net^\n@@||example.com^\n@@||example.org^\n"
    )
    became = await held(
        tmp_path,
        a=file_feed(tmp_path / "a.txt", rules, format="adblock"),
        b=file_feed(tmp_path / "b.txt", "example.com\n"),
    )
    index = Index(tmp_path / "store" / "feeds.index")

    assert (1, {"duplicate": 1, "exempt": 1}) == (became["a"].entries, became["a"].rejected)
    assert ((1,), (0,)) == (
        index.find("example.com", "example.com"),
        index.find("example.net", "example.net"),
    )


async def test_a_kept_list_that_its_new_format_does_not_fit_holds_nothing(tmp_path: Path) -> None:
    """Its copy stays, and what is wrong is counted."""
    feed = file_feed(tmp_path / "a.txt", "example.com\n")
    await synced({"a": feed}, tmp_path / "store")
    changed = file_feed(tmp_path / "a.txt", "example.com\n", format="json")
    became = (await held(tmp_path, a=changed))["a"]

    assert (0, {"unreadable": 1}) == (became.entries, became.rejected)
