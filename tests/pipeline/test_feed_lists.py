"""Lists: configuration over the compiled file, and newer files noticed while lookups go on."""

import logging
import threading
from pathlib import Path

import pytest

from detectors.contract import Listed
from pipeline.feed import Feed
from pipeline.feed_index import Index
from pipeline.feed_lists import FeedLists, FeedWatch
from tests.pipeline.lists import compiled, file_feed, synced


async def test_labels_and_weights_are_the_configurations_names_the_files(tmp_path: Path) -> None:
    """A feed that is no more configured says nothing, one that is not compiled holds nothing."""
    await compiled(tmp_path, a="example.com\n", b="example.com\nexample.net\n")
    index = Index(tmp_path / "store" / "feeds.index")
    versions = {feed.name: feed.version for feed in index.header.feeds}
    feeds = {
        "b": Feed(url="file:///b", label="gambling.promotion", weight=0.9),
        "c": Feed(url="file:///c", label="fraud.phishing"),
        "d": Feed(url="file:///d", subtract=True),
    }
    lists = FeedLists(feeds, index)

    assert (Listed("b", versions["b"], "gambling.promotion", 0.9),) == lists.find(
        "example.com", "example.com", ""
    )
    assert () == lists.find("example.org", "example.org", "")
    assert {"gambling.promotion", "fraud.phishing"} == lists.labels
    assert {"b": 2, "c": 0, "d": 0} == lists.entries


async def test_the_digest_changes_with_whatever_changes_a_finding(tmp_path: Path) -> None:
    """A label, a weight, a name; and not with how often a list is fetched."""
    await compiled(tmp_path, a="example.com\n")
    path = tmp_path / "store" / "feeds.index"

    def digest(**settings: object) -> str:
        feed = Feed(url="file:///a", **({"label": "fraud.phishing"} | settings))  # type: ignore[arg-type]  # any setting
        return FeedLists({"a": feed}, Index(path)).digest

    first = digest()
    others = {digest(label="fraud.loan"), digest(weight=0.5)}
    same = digest(interval_seconds=60.0)
    await compiled(tmp_path, a="example.com\nexample.net\n")

    assert 4 == len({first, *others, digest()})
    assert first == same
    assert FeedLists({}, None).digest == FeedLists({}, None).digest != first


async def test_a_newer_file_is_noticed_and_the_same_one_is_not(tmp_path: Path) -> None:
    """Nothing, then one, then another; each is opened once, and is the whole of it."""
    store = tmp_path / "store"
    feeds = {"a": file_feed(tmp_path / "a.txt", "example.com\n")}
    watch = FeedWatch(feeds, store)

    def look() -> tuple[bool, bool]:
        return watch.refresh(), bool(watch.lists.find("example.com", "example.com", ""))

    seen = [look()]
    for names in ("example.com\n", "example.net\n"):
        file_feed(tmp_path / "a.txt", names)
        await synced(feeds, store)
        seen += [look(), look()]

    assert [(False, False), (True, True), (False, True), (True, False), (False, False)] == seen


async def test_lookups_go_on_while_the_file_is_replaced(tmp_path: Path) -> None:
    """A reader that looks all the time finds the old names or the new, and never neither or both."""
    store = tmp_path / "store"
    feeds = {"a": file_feed(tmp_path / "a.txt", "even.example.com\n")}
    await synced(feeds, store)
    watch = FeedWatch(feeds, store)
    seen: list[tuple[bool, bool]] = []
    has_ended = threading.Event()

    def read() -> None:
        while not has_ended.is_set():
            watch.refresh()
            lists = watch.lists
            even = bool(lists.find("even.example.com", "example.com", ""))
            seen.append((even, bool(lists.find("odd.example.com", "example.com", ""))))

    reader = threading.Thread(target=read)
    reader.start()
    try:
        for turn in range(20):
            name = "odd" if turn % 2 == 0 else "even"
            file_feed(tmp_path / "a.txt", f"{name}.example.com\n")
            await synced(feeds, store)
    finally:
        has_ended.set()
        reader.join()

    assert {(True, False), (False, True)} == set(seen)
    assert watch.refresh() or seen[-1] == (True, False)


async def test_a_file_that_cannot_be_used_is_told_once_and_the_open_one_stays(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Damaged lists must not end detection; the next good file is taken."""
    store = tmp_path / "store"
    feeds = {"a": file_feed(tmp_path / "a.txt", "example.com\n")}
    await synced(feeds, store)
    watch = FeedWatch(feeds, store)
    # Another file in its place, as a broken copy would leave it: the open one is mapped, and keeps its bytes.
    (store / "broken").write_bytes((store / "feeds.index").read_bytes()[:-1])
    (store / "broken").replace(store / "feeds.index")
    taken = [watch.refresh() for _ in range(3)]
    errors = [r.getMessage() for r in caplog.records if r.levelno == logging.ERROR]
    held = watch.lists.find("example.com", "example.com", "")
    await synced(feeds, store)

    assert [False] * 3 == taken
    assert 1 == len(errors)
    assert "the lists stay as they were: " in errors[0]
    assert "penjaga feeds sync" in errors[0]
    assert ["a"] == [hit.feed for hit in held]
    assert watch.refresh()


async def test_who_waits_for_the_first_sync_is_told(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Configured and never synced is a mistake somebody should see."""
    feeds = {"a": file_feed(tmp_path / "a.txt", "example.com\n")}
    FeedWatch(feeds, tmp_path / "store")
    assert ["no lists in"] == [r.getMessage()[:11] for r in caplog.records]
    caplog.clear()
    await synced(feeds, tmp_path / "store")
    FeedWatch(feeds, tmp_path / "store")

    assert [] == caplog.records


async def test_what_became_of_feeds_is_read_again_when_it_changes(tmp_path: Path) -> None:
    """Of the configured ones only; a state that cannot be read leaves the last one."""
    store = tmp_path / "store"
    feeds = {"a": file_feed(tmp_path / "a.txt", "example.com\n")}
    other = {"b": file_feed(tmp_path / "b.txt", "example.com\n")}
    watch = FeedWatch(feeds, store)
    before = dict(watch.states())
    await synced(feeds | other, store)
    after = dict(watch.states())
    (store / "state.json").write_text("{")

    assert {} == before
    assert ["a"] == list(after)
    assert after == watch.states()
