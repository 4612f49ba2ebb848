"""Sync: one round over the feeds, from their sources to the compiled file.

The last good copy of a list is kept when its source fails, serves something else, or shrinks suddenly: old
knowledge beats none. The compiled file is made again only when something it is made from has changed.
"""

import asyncio
import hashlib
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Final

import aiohttp
import msgspec

from detectors.innocents import Innocents
from pipeline.feed import Feed
from pipeline.feed_compile import Source, census, compile_lists, inputs
from pipeline.feed_formats import FormatError
from pipeline.feed_index import Index, IndexFileError
from pipeline.feed_sources import Failure, Fetched, Outcome, Validators, fetch, session
from pipeline.feed_store import FeedState, Kept, States, Store, states, unwritable

GOOD: Final = frozenset[Outcome]({"updated", "unchanged"})
_AT_ONCE: Final = 4
_SNIFFED: Final = 4096

Clock = Callable[[], datetime]


class Round(msgspec.Struct, frozen=True):
    """What a round did: to which feeds, and whether there is a new compiled file."""

    states: States
    is_compiled: bool


async def sync(
    feeds: Mapping[str, Feed],
    store: Store,
    now: Clock,
    *,
    only_due: bool = False,
    accept_shrunk: bool = False,
) -> Round:
    """Fetch the feeds, all or those whose interval has passed, and compile if anything changed.

    Raises:
        StoreError: if the folder cannot be used.
        IndexFileError: if the lists cannot be compiled together.
    """
    with store.locked():
        before = states(store.folder)
        wanted = [
            name
            for name, feed in feeds.items()
            if not only_due or is_due(feed, before.get(name), now())
        ]
        after = before | await _fetched(
            {name: feeds[name] for name in wanted}, before, store, now, accept_shrunk=accept_shrunk
        )
        if wanted:
            store.save(after)
        is_compiled = _compiled(sources(feeds, after, store), store)
    return Round({name: after[name] for name in wanted}, is_compiled)


def is_due(feed: Feed, state: FeedState | None, now: datetime) -> bool:
    """Tell whether a feed's interval has passed since it was tried."""
    passed = (now - state.checked_at).total_seconds() if state else feed.interval_seconds
    return not 0 <= passed < feed.interval_seconds


def sources(feeds: Mapping[str, Feed], held: States, store: Store) -> list[Source]:
    """Return the kept lists of the feeds that have one."""

    def source(name: str, kept: Kept) -> Source:
        return Source(name, feeds[name], kept.sha256, kept.version, lambda: store.body(name, kept))

    kept = {name: state.kept for name, state in held.items() if name in feeds}
    return [source(name, copy) for name, copy in kept.items() if copy is not None]


async def _fetched(
    feeds: Mapping[str, Feed], before: States, store: Store, now: Clock, *, accept_shrunk: bool
) -> States:
    places = asyncio.Semaphore(_AT_ONCE)

    async def one(client: aiohttp.ClientSession, name: str, feed: Feed) -> FeedState:
        visit = _Visit(name, feed, before.get(name))
        async with places:
            got = await fetch(client, feed, visit.validators(store))
        # Reading a long list takes seconds, in which the other answers must not time out.
        return await asyncio.to_thread(_settled, visit, got, store, now(), accept_shrunk)

    async with session() as client:
        results = await asyncio.gather(*(one(client, n, feed) for n, feed in feeds.items()))
    return dict(zip(feeds, results, strict=True))


class _Visit(msgspec.Struct, frozen=True):
    """A feed that is fetched, and what became of it the last time."""

    name: str
    feed: Feed
    last: FeedState | None

    @property
    def source(self) -> str:
        """Stands for the address."""
        return hashlib.sha256(self.feed.url.encode()).hexdigest()[:16]

    @property
    def kept(self) -> Kept | None:
        """The copy that is kept of this address; another address is another list."""
        return self.last.kept if self.last and self.last.source == self.source else None

    def validators(self, store: Store) -> Validators:
        """Return what to ask the server with; nothing if there is no copy that could stay."""
        if self.last is None or self.kept is None or not store.has(self.name, self.kept):
            return Validators()
        return self.last.validators


def _settled(
    visit: _Visit,
    got: Fetched | Failure | None,
    store: Store,
    now: datetime,
    accept_shrunk: bool,  # noqa: FBT001  # called by way of a thread
) -> FeedState:
    """Decide what becomes of a feed."""
    last = visit.last
    validators = last.validators if last else Validators()
    if isinstance(got, Fetched):
        kept: Kept | Failure | None = _copy(
            visit, got.body, store, now, accept_shrunk=accept_shrunk
        )
        validators = got.validators
    else:
        kept = got or visit.kept
    if isinstance(kept, Failure):
        last = last or FeedState(outcome=kept.outcome, checked_at=now)
        return msgspec.structs.replace(
            last, outcome=kept.outcome, detail=kept.detail, checked_at=now
        )
    return FeedState(
        outcome="unchanged" if kept is visit.kept else "updated",
        checked_at=now,
        confirmed_at=now,
        source=visit.source,
        validators=validators,
        kept=kept,
    )


def _copy(
    visit: _Visit, body: bytes, store: Store, now: datetime, *, accept_shrunk: bool
) -> Kept | Failure:
    """Return the copy to keep of what was fetched, the one that is kept if it is the same, or why none."""
    kept = visit.kept
    sha256 = hashlib.sha256(body).hexdigest()
    if kept is not None and kept.sha256 == sha256 and store.has(visit.name, kept):
        return kept
    least = kept.names * visit.feed.least_share if kept and not accept_shrunk else 0.0
    judged = judge(body, visit.feed, least)
    if isinstance(judged, Failure):
        return judged
    return store.keep(visit.name, body, sha256, judged, now)


def judge(body: bytes, feed: Feed, least: float) -> int | Failure:
    """Return how many names a list holds, or why it is not believed. It must hold `least`."""
    start = body[:_SNIFFED].removeprefix(b"\xef\xbb\xbf").lstrip()
    if start.startswith(b"<"):
        return Failure("html", "a page for people, not a list")
    try:
        count = census(body, feed)
    except FormatError as error:
        return Failure("unreadable", str(error))
    if not count.names and not count.faults:
        return Failure("empty", "no names")
    if count.faults > count.names:
        problem = f"{count.faults} lines or fields are no names, {count.names} are: check `format`"
        return Failure("unreadable", problem)
    if count.names < least:
        return Failure(
            "shrunk", f"{count.names} names, less than {least:.0f}; sync with --accept-shrunk if so"
        )
    return count.names


def _compiled(sources: list[Source], store: Store) -> bool:
    """Compile, unless what is there was made from the same."""
    innocents = Innocents.shipped()
    try:
        if Index(store.index).header.inputs == inputs(sources, innocents):
            return False
    except (FileNotFoundError, IndexFileError):
        pass
    try:
        compile_lists(store.index, sources, innocents)
    except OSError as error:
        raise unwritable(store.folder, error) from None
    return True
