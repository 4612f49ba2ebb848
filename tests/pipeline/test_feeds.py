"""Sync: rounds over served lists; the last good copy outlives whatever its source does."""

import gzip
from pathlib import Path

import pytest
from aiohttp import web

from pipeline.feed import Feed
from pipeline.feed_index import Index, stamp
from pipeline.feed_store import Store, StoreError, states
from pipeline.feeds import GOOD, Round, sync
from tests.pipeline.lists import Clock, Lists, file_feed, served, synced

NAMES = [f"n{number}.example.com" for number in range(100)]
LIST = "\n".join(NAMES) + "\n"


class Syncing:
    """One feed, synced as often as a test likes."""

    def __init__(self, folder: Path, feed: Feed) -> None:
        self.feed = feed
        self.store = Store(folder)
        self.clock = Clock()

    async def round(self, **options: bool) -> Round:
        """Sync once."""
        return await sync({"a": self.feed}, self.store, self.clock, **options)

    def found(self) -> int:
        """Return how many of the names the compiled file holds."""
        index = Index(self.store.index)
        return sum(bool(index.find(name, "example.com")) for name in NAMES)


async def test_a_list_is_fetched_kept_and_compiled(tmp_path: Path) -> None:
    """With its version, and where and when it came from."""
    async with served() as lists:
        lists.serve("/a", LIST)
        syncing = Syncing(tmp_path, lists.feed("/a"))
        done = await syncing.round()
    state = done.states["a"]

    assert ("updated", True) == (state.outcome, done.is_compiled)
    assert state.kept is not None
    assert (100, "2026-01-31", syncing.clock()) == (
        state.kept.names,
        state.kept.day,
        state.confirmed_at,
    )
    assert 100 == syncing.found()
    assert done.states == states(tmp_path)
    assert state.kept.version == Index(syncing.store.index).header.feeds[0].version


async def test_what_has_not_changed_is_neither_sent_nor_compiled_again(tmp_path: Path) -> None:
    """Its age starts anew, its version and the compiled file stay."""
    async with served() as lists:
        asked = []

        async def answer(request: web.Request) -> web.Response:
            asked.append(request.headers.get("If-None-Match"))
            if asked[-1] == '"1"':
                return web.Response(status=304)
            return web.Response(text=LIST, headers={"ETag": '"1"'})

        lists.answers["/a"] = answer
        syncing = Syncing(tmp_path, lists.feed("/a"))
        first = await syncing.round()
        before = stamp(syncing.store.index)
        syncing.clock.pass_(days=1)
        second = await syncing.round()

    assert [None, '"1"'] == asked
    assert ("unchanged", False) == (second.states["a"].outcome, second.is_compiled)
    assert first.states["a"].kept == second.states["a"].kept
    assert syncing.clock() == second.states["a"].confirmed_at
    assert before == stamp(syncing.store.index)


async def test_a_server_that_cannot_tell_is_compared_by_checksum(tmp_path: Path) -> None:
    """The same bytes are the same version, whatever day they come on."""
    async with served() as lists:
        lists.serve("/a", LIST)
        syncing = Syncing(tmp_path, lists.feed("/a"))
        first = await syncing.round()
        syncing.clock.pass_(days=1)
        lists.serve("/a", gzip.compress(LIST.encode()), Content_Encoding="gzip")
        second = await syncing.round()

    assert ("unchanged", False) == (second.states["a"].outcome, second.is_compiled)
    assert first.states["a"].kept == second.states["a"].kept


def copies(folder: Path) -> list[Path]:
    """Return the files of kept copies."""
    return sorted(folder.glob("*.gz"))


def failing(lists: Lists) -> None:
    """Stop serving the list."""
    lists.refuse("/a", 500)


FAULTS = {
    "refused": failing,
    "html": lambda lists: lists.serve("/a", "\n <!DOCTYPE html><p>Please sign in</p>" + LIST),
    "too_large": lambda lists: lists.serve("/a", LIST * 1000),
    "damaged": lambda lists: lists.serve("/a", gzip.compress(LIST.encode())[:-1]),
    "unreadable": lambda lists: lists.serve("/a", "0.0.0.0 example.com\n" * 200 + LIST),
    "empty": lambda lists: lists.serve("/a", "# nothing today\n"),
    "shrunk": lambda lists: lists.serve("/a", "\n".join(NAMES[:49])),
}


@pytest.mark.parametrize("outcome", FAULTS)
async def test_the_last_good_copy_is_kept_whatever_its_source_does(
    tmp_path: Path, outcome: str
) -> None:
    """The failure is told, nothing of the list is lost, and its age goes on."""
    async with served() as lists:
        lists.serve("/a", LIST)
        syncing = Syncing(tmp_path, lists.feed("/a", max_bytes=100_000))
        first = await syncing.round()
        syncing.clock.pass_(hours=1)
        FAULTS[outcome](lists)
        second = await syncing.round()
        state = second.states["a"]
        assert (outcome, False) == (state.outcome, second.is_compiled)
        assert state.detail
        assert first.states["a"].kept == state.kept
        assert 3600.0 == state.age_seconds(syncing.clock())
        assert 100 == syncing.found()

        lists.serve("/a", LIST + "example.net\n")
        third = await syncing.round()

    assert ("updated", "", True) == (
        third.states["a"].outcome,
        third.states["a"].detail,
        third.is_compiled,
    )
    assert set(FAULTS).isdisjoint(GOOD)


async def test_a_list_that_never_was_good_holds_nothing(tmp_path: Path) -> None:
    """The others are compiled without it."""
    async with served() as lists:
        lists.serve("/b", "example.com\n")
        feeds = {"a": lists.feed("/absent"), "b": lists.feed("/b")}
        done = await synced(feeds, tmp_path)
    state = done.states["a"]

    assert ("refused", None, None) == (state.outcome, state.kept, state.confirmed_at)
    assert ["b"] == [feed.name for feed in Index(tmp_path / "feeds.index").header.feeds]


async def test_a_shrunken_list_is_believed_on_request_or_by_its_share(tmp_path: Path) -> None:
    """Half is the default; a list may be allowed to shrink to anything."""
    async with served() as lists:
        lists.serve("/a", LIST)
        syncing = Syncing(tmp_path, lists.feed("/a"))
        await syncing.round()
        lists.serve("/a", "\n".join(NAMES[:50]))
        half = await syncing.round()
        lists.serve("/a", NAMES[0])
        refused = await syncing.round()
        told = await syncing.round(accept_shrunk=True)
        lists.serve("/a", LIST)
        await syncing.round()
        lists.serve("/a", NAMES[0])
        syncing.feed = lists.feed("/a", least_share=0.0)
        allowed = await syncing.round()

    outcomes = [done.states["a"].outcome for done in (half, refused, told, allowed)]
    assert ["updated", "shrunk", "updated", "updated"] == outcomes
    assert 1 == syncing.found()


async def test_another_address_is_another_list(tmp_path: Path) -> None:
    """It is asked for without what was said of the old one, and may be shorter; until then the old stays."""
    async with served() as lists:
        lists.serve("/a", LIST, ETag='"1"')
        syncing = Syncing(tmp_path, lists.feed("/a"))
        await syncing.round()
        syncing.feed = lists.feed("/b")
        absent = await syncing.round()
        kept = syncing.found()
        lists.serve("/b", NAMES[0])
        moved = await syncing.round()
        asked = [r.headers.get("If-None-Match") for r in lists.asked if r.path == "/b"]

    assert ("refused", 100) == (absent.states["a"].outcome, kept)
    assert ("updated", 1) == (moved.states["a"].outcome, syncing.found())
    assert [None, None] == asked


async def test_only_what_is_due_is_fetched_on_the_way(tmp_path: Path) -> None:
    """Each by its own interval, from its last attempt, good or not; a clock set back makes all due."""
    async with served() as lists:
        lists.serve("/often", LIST)
        clock = Clock()
        feeds = {
            "often": lists.feed("/often", interval_seconds=60.0),
            "seldom": lists.feed("/absent", interval_seconds=3600.0),
        }
        fetched = []
        for seconds in (0, 59, 1, 3540, -7200):
            clock.pass_(seconds=seconds)
            done = await sync(feeds, Store(tmp_path), clock, only_due=True)
            fetched.append(sorted(done.states))

    assert [["often", "seldom"], [], ["often"], ["often", "seldom"], ["often", "seldom"]] == fetched


async def test_another_configuration_is_compiled_without_fetching(tmp_path: Path) -> None:
    """A list of innocents that is added, a feed that is removed: the kept copies are compiled again."""
    bad = file_feed(tmp_path / "bad.txt", "example.com\nexample.net\n")
    good = file_feed(tmp_path / "good.txt", "example.com\n", label="", subtract=True)
    path = tmp_path / "store" / "feeds.index"
    await synced({"bad": bad}, tmp_path / "store")
    await synced({"bad": bad, "good": good}, tmp_path / "store")
    both = Index(path)
    (tmp_path / "bad.txt").unlink()
    done = await synced({"bad": bad}, tmp_path / "store")
    alone = Index(path)

    assert ((), (0,)) == (
        both.find("example.com", "example.com"),
        alone.find("example.com", "example.com"),
    )
    assert ("unreachable", True) == (done.states["bad"].outcome, done.is_compiled)
    assert (1,) == both.find("example.net", "example.net")


async def test_a_damaged_compiled_file_is_made_again(tmp_path: Path) -> None:
    """The copies are all it takes."""
    feed = file_feed(tmp_path / "a.txt", LIST)
    await synced({"a": feed}, tmp_path / "store")
    path = tmp_path / "store" / "feeds.index"
    whole = path.read_bytes()
    path.write_bytes(whole[:-100] + bytes(100))
    done = await synced({"a": feed}, tmp_path / "store")

    assert ("unchanged", True) == (done.states["a"].outcome, done.is_compiled)
    assert whole == path.read_bytes()


async def test_a_lost_copy_is_fetched_again_and_a_damaged_one_told(tmp_path: Path) -> None:
    """A server is not asked whether it changed when there is nothing that could stay."""
    async with served() as lists:
        lists.serve("/a", LIST, ETag='"1"')
        syncing = Syncing(tmp_path, lists.feed("/a"))
        await syncing.round()
        (copy,) = copies(tmp_path)
        copy.unlink()
        again = await syncing.round()
        copy.write_bytes(b"damaged")
        syncing.store.index.unlink()
        with pytest.raises(StoreError, match="remove it and sync again"):
            await syncing.round()

    assert [None, None, '"1"'] == [r.headers.get("If-None-Match") for r in lists.asked]
    assert "updated" == again.states["a"].outcome
