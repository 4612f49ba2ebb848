"""Lookup: who holds a name, and why it counts or does not."""

from pathlib import Path

from detectors.innocents import Innocents
from pipeline.feed import Feed
from pipeline.feed_index import Index
from pipeline.feed_lists import FeedLists
from pipeline.feed_lookup import WHY, Answer, answers
from pipeline.feed_names import Name, name
from pipeline.feed_store import Store, states
from pipeline.feeds import sources
from tests.pipeline.lists import file_feed, synced


def asked(folder: Path, feeds: dict[str, Feed], url: str) -> list[tuple[str, str, str, str]]:
    """Ask all lists of a URL."""
    of = name(url)
    assert isinstance(of, Name)
    store = Store(folder)
    lists = FeedLists(feeds, Index(store.index))
    in_use = {hit.feed for hit in lists.find(of.host, of.domain, of.page)}
    kept = sources(feeds, states(folder), store)
    found = answers(of, kept, Innocents.shipped(), in_use)
    return [(a.feed, a.holds, a.use, a.why) for a in found]


async def test_each_list_that_holds_a_name_says_whether_it_counts(tmp_path: Path) -> None:
    """Listed, by itself or from above; left out, with the reason; innocent, and since when not compiled."""
    feeds = {
        "plain": file_feed(tmp_path / "1", "example.com\nexample.net\nbit.ly\nbit.ly/abc\n"),
        "rules": file_feed(tmp_path / "2", "||example.com^\n@@||example.com^\n", format="adblock"),
        "good": file_feed(tmp_path / "3", "example.net\n*.example.org\n", label="", subtract=True),
        "pages": file_feed(tmp_path / "4", "example.org/a\n"),
    }
    folder = tmp_path / "store"
    await synced(feeds, folder)
    innocent = WHY["subtracted"]

    assert [
        ("plain", "example.com", "listed", ""),
        ("rules", "example.com", "left out", WHY["exempt"]),
    ] == asked(folder, feeds, "https://www.example.com/a")
    assert [("plain", "example.com", "listed", "")] == asked(folder, feeds, "a.b.example.com")[:1]
    assert [
        ("good", "example.net", "innocent", innocent),
        ("plain", "example.net", "left out", innocent),
    ] == asked(folder, feeds, "example.net")
    assert [("plain", "example.net", "left out", innocent)] == asked(folder, feeds, "a.example.net")
    assert [("plain", "bit.ly", "left out", WHY["shortener"])] == asked(folder, feeds, "bit.ly")
    assert {("bit.ly", "left out"), ("bit.ly/abc", "listed")} == {
        (holds, use) for _, holds, use, _ in asked(folder, feeds, "bit.ly/ABC?x=1")
    }
    assert [
        ("good", "example.org", "innocent", innocent),
        ("pages", "example.org/a", "left out", innocent),
    ] == asked(folder, feeds, "example.org/a")
    assert [] == asked(folder, feeds, "example.edu")


async def test_a_copy_that_is_not_compiled_yet_is_told(tmp_path: Path) -> None:
    """As when a sync was killed in between."""
    feed = file_feed(tmp_path / "1", "example.com\n")
    await synced({"a": feed}, tmp_path / "store")
    store = Store(tmp_path / "store")
    kept = sources({"a": feed}, states(store.folder), store)
    of = name("example.com")
    assert isinstance(of, Name)

    assert [
        Answer(feed="a", holds="example.com", use="not compiled", why="run `penjaga feeds sync`")
    ] == list(answers(of, kept, Innocents.shipped(), ()))


def test_every_reason_has_its_words() -> None:
    """Whatever a name can be left out for is explained."""
    from typing import get_args  # noqa: PLC0415

    from detectors.innocents import Kind  # noqa: PLC0415
    from pipeline.feed_names import Fault  # noqa: PLC0415

    reasons = {*get_args(Kind), *get_args(Fault), "brand", "institution", "subtracted", "exempt"}

    assert reasons == set(WHY)
