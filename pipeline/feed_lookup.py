"""Lookup: one name asked of every kept list, with the reason for each answer. For people, not the stream."""

from collections.abc import Container, Iterable, Iterator
from typing import Final, Literal

import msgspec

from detectors.innocents import Innocents
from pipeline.feed_compile import Source, Subtraction, subtraction
from pipeline.feed_formats import Exempt, FormatError, items
from pipeline.feed_names import Fault, Name, pages

WHY: Final[dict[str, str]] = {
    "giant": "a site of everybody's: its pages may be listed, the site may not",
    "press": "a newspaper",
    "lottery": "a lottery of a state, or help against gambling",
    "shortener": "a shortener: its single links may be listed",
    "chat": "a chat service: its single links may be listed",
    "pages": "a host of everybody's pages: single pages may be listed",
    "hosting": "a hosting service: each customer below it is judged alone",
    "dynamic_dns": "dynamic DNS: each customer below it is judged alone",
    "brand": "an official domain of a protected name",
    "institution": "the domain of an institution: what lies below it may be listed",
    "subtracted": "on a list of innocents of the configuration",
    "exempt": "an exception that the list itself makes",
    "public_suffix": "a public suffix: whoever registers below it is judged alone",
    "unknown_suffix": "its suffix is no public one",
    "local_address": "an address of a private network",
    "malformed": "no host and no URL",
    "too_long": "longer than a link may be",
}
"""Why a name is left out of a list, in words."""

Use = Literal["listed", "left out", "innocent", "not compiled"]


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """What one list says of a name."""

    feed: str
    holds: str
    """What of it the list holds: the host, one above it, or the page."""
    use: Use
    why: str = ""


def answers(
    asked: Name, sources: Iterable[Source], innocents: Innocents, in_use: Container[str]
) -> Iterator[Answer]:
    """Yield what each list holds of a name. `in_use` are the feeds whose table holds it.

    Raises:
        StoreError: if a kept copy cannot be read.
    """
    bad = [source for source in sources if not source.feed.subtract]
    good = [source for source in sources if source.feed.subtract]
    wanted = _forms(asked)
    for source in good:
        for item in _held(source, wanted):
            if item.key == asked.key or (item.has_wildcard and not item.page):
                why = WHY["subtracted"]
                yield Answer(feed=source.name, holds=item.key, use="innocent", why=why)
    taken, _ = subtraction(good, innocents)
    for source in bad:
        exempt = {item.name.key for item in _read(source) if isinstance(item, Exempt)}
        for item in _held(source, wanted):
            yield _answer(source, item, taken, exempt, in_use)


def _answer(
    source: Source,
    item: Name,
    taken: Subtraction,
    exempt: Container[str],
    in_use: Container[str],
) -> Answer:
    reason = "exempt" if item.key in exempt else taken.reason(item)
    if reason is not None:
        return Answer(feed=source.name, holds=item.key, use="left out", why=WHY[reason])
    if source.name in in_use:
        return Answer(feed=source.name, holds=item.key, use="listed")
    why = "run `penjaga feeds sync`"
    return Answer(feed=source.name, holds=item.key, use="not compiled", why=why)


def _forms(asked: Name) -> set[str]:
    """Return all that a list may hold of a name: its pages, its host, and hosts above that."""
    forms = {asked.host + page for page in pages(asked.page)}
    host = asked.host
    while len(host) > len(asked.domain):
        forms.add(host)
        host = host.partition(".")[2]
    return forms | {host}


def _held(source: Source, wanted: Container[str]) -> list[Name]:
    found = {
        item.key: item for item in _read(source) if isinstance(item, Name) and item.key in wanted
    }
    return list(found.values())


def _read(source: Source) -> Iterator[Name | Exempt | Fault | str]:
    try:
        yield from items(source.body(), source.feed)
    except FormatError:
        return
