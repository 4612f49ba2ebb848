"""Links that a list of bad links holds.

The lists are the operator's (`[feeds]` in the configuration); the shell fetches, compiles and opens them, and
hands them in.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import Final

import msgspec

from detectors.contract import Candidate, Listed, Lists, Pattern
from detectors.links import HINT, Link, find_links, parse_link
from schemas import Evidence, Finding

MOST: Final = 32
"""More findings in one event add work and no evidence."""


class _NoLists:
    """Lists that hold nothing."""

    digest = ""
    labels: frozenset[str] = frozenset()

    def find(self, host: str, domain: str, path: str) -> Sequence[Listed]:  # noqa: ARG002
        return ()


class ListedLinks:
    """Find links that a configured list holds: the page itself, its host, or a domain above the host.

    One finding for each link and list, each with the list's name and version; lists copy from each other, so
    what several say is not added up.

    Misses: whatever no list holds, which is most of what is new; what lies behind a shortener; pages of a
    host whose other pages are listed. Paths are compared without regard to case.
    """

    name: Final = "listed_links"
    patterns: Final = (Pattern("listed.hint", HINT, is_hint=True),)
    reads_links: Final = True

    def __init__(self, lists: Lists | None = None) -> None:
        """Look links up in `lists`; without any, nothing is found."""
        self._lists = lists or _NoLists()
        self.labels = self._lists.labels
        self.version = f"1+{self._lists.digest[:8]}" if self._lists.digest else "1"

    def with_lists(self, lists: Lists) -> "ListedLinks":
        """Return the detector with these lists."""
        return ListedLinks(lists)

    def scan(self, candidates: Sequence[Candidate]) -> Iterable[tuple[Candidate, Finding]]:
        """Yield the findings of each link, in order; a link written twice counts once."""
        for candidate in candidates:
            seen: set[tuple[str, str]] = set()
            count = 0
            for link in _links(candidate):
                if (link.host, link.path) in seen or count >= MOST:
                    continue
                seen.add((link.host, link.path))
                for listed in self._lists.find(link.host, link.domain, link.path):
                    count += 1
                    yield candidate, self._finding(link, listed)

    def _finding(self, link: Link, listed: Listed) -> Finding:
        evidence = Evidence(f"feed.{listed.feed}", listed.weight, link.start, link.end)
        return Finding(
            detector=self.name,
            version=self.version,
            label=listed.label,
            score=listed.weight,
            start=link.start,
            end=link.end,
            reason=f"a link that the list `{listed.feed}` ({listed.version}) holds",
            evidence=(evidence,),
            attributes={"feed": listed.feed, "feed_version": listed.version},
        )


def _links(candidate: Candidate) -> Iterator[Link]:
    """Yield the links of the text, then those that the event carries beside it, without a place."""
    yield from find_links(candidate.folded)
    for url in candidate.event.links:
        link = parse_link(url)
        if link is not None:
            yield msgspec.structs.replace(link, start=0, end=0)
