"""Compile: kept lists made into one table, without what is innocent.

A function of the lists, the configuration and the shipped innocents: the same give the same bytes.
"""

import hashlib
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from importlib.metadata import version
from pathlib import Path

import msgspec

from detectors.innocents import Innocents
from pipeline.feed import Feed
from pipeline.feed_formats import Exempt, FormatError, items
from pipeline.feed_index import Held, write
from pipeline.feed_names import Name


class Source(msgspec.Struct, frozen=True):
    """A kept list. Its body is read when its turn comes, so that not all are in memory at once."""

    name: str
    feed: Feed
    sha256: str
    version: str
    body: Callable[[], bytes]


class Census(msgspec.Struct, frozen=True):
    """How many names a list holds, and how many of its lines or fields are none."""

    names: int
    faults: int


def census(body: bytes, feed: Feed) -> Census:
    """Count what a list holds.

    Raises:
        FormatError: if it is not in its format.
    """
    counts = Counter(isinstance(item, str) for item in items(body, feed))
    return Census(names=counts[False], faults=counts[True])


class Subtraction:
    """Everything that is taken out of lists of bad links: what we ship, and what the operator added."""

    def __init__(self, innocents: Innocents) -> None:
        self._innocents = innocents
        self._alone: set[str] = set()
        self._below: set[str] = set()

    def add(self, name: Name) -> None:
        """Take a name out; with a wildcard, all that is below it and each of its pages too."""
        if name.has_wildcard and not name.page:
            self._below.add(name.host)
        self._alone.add(name.key)

    def reason(self, name: Name) -> str | None:
        """Return why a name is taken out, or None if it stays."""
        reason = self._innocents.reason(name.host, name.domain, name.page)
        if reason is not None:
            return reason
        return "subtracted" if name.key in self._alone or self._is_below(name) else None

    def _is_below(self, name: Name) -> bool:
        if not self._below:
            return False
        host = name.host
        while host not in self._below:
            if len(host) <= len(name.domain):
                return False
            host = host.partition(".")[2]
        return True


def subtraction(sources: Iterable[Source], innocents: Innocents) -> tuple[Subtraction, list[Held]]:
    """Read the lists of innocents, and say what became of each."""
    taken, held = Subtraction(innocents), []
    for source in sources:
        names: dict[str, None] = {}
        rejected: Counter[str] = Counter()
        try:
            for item in items(source.body(), source.feed):
                if isinstance(item, Name):
                    taken.add(item)
                    names[item.key] = None
                elif isinstance(item, str):
                    rejected[item] += 1
        except FormatError:
            rejected["unreadable"] += 1
        held.append(_held(source, len(names), rejected))
    return taken, held


def inputs(sources: Iterable[Source], innocents: Innocents) -> str:
    """Digest what a table is compiled from: lists, how they are read, innocents, and this code."""
    described = [
        (s.name, s.version, s.sha256, _how(s.feed)) for s in sorted(sources, key=lambda s: s.name)
    ]
    code = [(package, version(package)) for package in ("penjaga", "tldextract")]
    content = msgspec.json.encode((described, innocents.digest, code))
    return hashlib.sha256(content).hexdigest()


def compile_lists(path: Path, sources: Sequence[Source], innocents: Innocents) -> None:
    """Write the table of all lists.

    Raises:
        IndexFileError: if the lists overlap in too many ways.
        OSError: if it cannot be written.
    """
    ordered = sorted(sources, key=lambda s: (not s.feed.subtract, s.name))
    subtracted = [s for s in ordered if s.feed.subtract]
    taken, held = subtraction(subtracted, innocents)
    names: dict[str, int] = {}
    domains: dict[str, None] = {}
    for position, source in enumerate(ordered):
        if not source.feed.subtract:
            held.append(_add(source, 1 << position, taken, names, domains))
    write(path, names, domains, held, inputs(sources, innocents))


def _add(
    source: Source,
    bit: int,
    taken: Subtraction,
    names: dict[str, int],
    domains: dict[str, None],
) -> Held:
    """Add the names of one list; return what became of it."""
    rejected: Counter[str] = Counter()
    exempt: set[str] = set()
    entries = 0
    try:
        for item in items(source.body(), source.feed):
            if isinstance(item, str):
                rejected[item] += 1
            elif isinstance(item, Exempt):
                exempt.add(item.name.key)
            elif (reason := taken.reason(item)) is not None:
                rejected[reason] += 1
            elif (bits := names.get(item.key, 0)) & bit:
                rejected["duplicate"] += 1
            else:
                names[item.key] = bits | bit
                domains[item.domain] = None
                entries += 1
    except FormatError:
        rejected["unreadable"] += 1
    for key in exempt:
        if names.get(key, 0) & bit:
            names[key] &= ~bit
            rejected["exempt"] += 1
            entries -= 1
            if not names[key]:
                del names[key]
    return _held(source, entries, rejected)


def _held(source: Source, entries: int, rejected: Counter[str]) -> Held:
    return Held(
        name=source.name,
        version=source.version,
        entries=entries,
        rejected=dict(sorted(rejected.items())),
    )


def _how(feed: Feed) -> tuple[object, ...]:
    """Return what of a feed's configuration decides which names it holds."""
    return (feed.format, feed.column, feed.delimiter, feed.field, feed.subtract)
