"""Lists: the compiled file as detectors see it, and the watch that notices a newer one.

Labels and weights are this process's own configuration; names and versions are the file's. A feed that is
configured and not compiled yet holds nothing; one that is compiled and not configured any more says nothing.
"""

import hashlib
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import msgspec

from detectors.contract import Listed
from pipeline.feed import Feed
from pipeline.feed_index import FILE, Index, IndexFileError, Stamp, stamp
from pipeline.feed_store import STATE, States, StoreError, states

log: Final = logging.getLogger(__name__)


class FeedLists:
    """The configured feeds over one compiled file, or over none yet: `Lists` of the detectors' contract."""

    def __init__(self, feeds: Mapping[str, Feed], index: Index | None) -> None:
        """Put labels and weights to the lists of the file."""
        bad = {name: feed for name, feed in feeds.items() if not feed.subtract}
        self.labels = frozenset(feed.label for feed in bad.values())
        self.entries = dict.fromkeys(feeds, 0)
        self._find = index.find if index else _in_none
        listed: dict[int, Listed] = {}
        for position, held in enumerate(index.header.feeds if index else ()):
            if held.name in feeds:
                self.entries[held.name] = held.entries
            if feed := bad.get(held.name):
                listed[position] = Listed(held.name, held.version, feed.label, feed.weight)
        content = (index.header.digest if index else "", list(listed.values()))
        self._told = _Told(listed)
        self.digest = hashlib.sha256(msgspec.json.encode(content)).hexdigest()

    def find(self, host: str, domain: str, path: str) -> tuple[Listed, ...]:
        """Return the lists that hold a link, in the order of the file."""
        return self._told[self._find(host, domain, path)]


def _in_none(_host: str, _domain: str, _path: str) -> tuple[int, ...]:
    return ()


class _Told(dict[tuple[int, ...], tuple[Listed, ...]]):
    """What there is to say of lists by their positions; filled as such combinations are met."""

    def __init__(self, listed: Mapping[int, Listed]) -> None:
        super().__init__()
        self._listed = listed

    def __missing__(self, found: tuple[int, ...]) -> tuple[Listed, ...]:
        self[found] = tuple(self._listed[at] for at in found if at in self._listed)
        return self[found]


class FeedWatch:
    """Keeps the newest lists open. For the shell, between batches: it looks at files."""

    def __init__(self, feeds: Mapping[str, Feed], folder: Path) -> None:
        """Open the lists that are there."""
        self._feeds = feeds
        self._folder = folder
        self._seen: Stamp | None = None
        self._states_seen: Stamp | None = None
        self._states: States = {}
        self.lists = FeedLists(feeds, None)
        if not self.refresh() and self._seen is None:
            log.warning("no lists in %s yet: run `penjaga feeds sync`", folder)

    def refresh(self) -> bool:
        """Open the compiled file if it is another than the one that was seen last; return whether it was.

        One look at the folder when nothing has changed. A file that cannot be used is reported once, and
        what was open before stays.
        """
        path = self._folder / FILE
        there = stamp(path)
        if there is None or there == self._seen:
            return False
        self._seen = there
        try:
            index = Index(path)
        except (OSError, IndexFileError) as error:
            log.error("the lists stay as they were: %s", error)  # noqa: TRY400  # its place says nothing
            return False
        self._seen = index.stamp
        self.lists = FeedLists(self._feeds, index)
        return True

    def states(self) -> States:
        """Return what became of the configured feeds; read again when it has changed."""
        there = stamp(self._folder / STATE)
        if there != self._states_seen:
            self._states_seen = there
            try:
                held = states(self._folder)
            except StoreError as error:
                log.error("%s", error)  # noqa: TRY400  # likewise
            else:
                self._states = {n: state for n, state in held.items() if n in self._feeds}
        return self._states
