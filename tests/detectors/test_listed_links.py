"""Links on lists: what a finding says, and that without lists there is none."""

from collections.abc import Sequence
from datetime import UTC, datetime

import msgspec

from detectors.contract import Candidate, Detector, Listed, ReadsLists
from detectors.folding import fold
from detectors.listed_links import MOST, ListedLinks
from schemas import Actor, Audience, Event, Finding


class Lists:
    """Two lists that hold one host, by what a link gives to look up."""

    digest = "0123456789abcdef"
    labels = frozenset({"fraud.phishing", "gambling.promotion"})

    def __init__(self) -> None:
        self.asked: list[tuple[str, str, str]] = []

    def find(self, host: str, domain: str, path: str) -> Sequence[Listed]:
        self.asked.append((host, domain, path))
        if domain != "example.com":
            return ()
        return (
            Listed("a", "aaaaaaaa-2026-01-31", "fraud.phishing", 0.9),
            Listed("b", "bbbbbbbb-2026-01-30", "gambling.promotion", 0.4),
        )


def found(text: str, links: tuple[str, ...] = (), lists: Lists | None = None) -> list[Finding]:
    """Return the findings in one text."""
    event = Event(
        id="1",
        platform="test",
        kind="message",
        occurred_at=datetime(2026, 1, 31, tzinfo=UTC),
        text=text,
        actor=Actor(id="a"),
        audience=Audience(kind="public"),
        links=links,
    )
    detector = ListedLinks(lists or Lists())
    return [finding for _, finding in detector.scan([Candidate(event, fold(text))])]


def test_a_finding_names_the_list_and_its_version() -> None:
    """One for each list: in the evidence, the reason and the attributes; the score is the list's weight."""
    text = "look: hxxps://login[.]example[.]com/a now"
    first, second = found(text)

    assert "hxxps://login[.]example[.]com/a" == text[first.start : first.end]
    assert ("fraud.phishing", 0.9, ["feed.a"]) == (
        first.label,
        first.score,
        [e.term for e in first.evidence],
    )
    assert {"feed": "a", "feed_version": "aaaaaaaa-2026-01-31"} == first.attributes
    assert "the list `a` (aaaaaaaa-2026-01-31)" in first.reason
    assert ("gambling.promotion", 0.4, "b") == (
        second.label,
        second.score,
        second.attributes["feed"],
    )
    assert [0.9, 0.4] == [sum(e.weight for e in finding.evidence) for finding in (first, second)]


def test_a_link_is_looked_up_as_it_would_be_opened() -> None:
    """Host, registered domain counting hosting services, and path."""
    lists = Lists()
    found("http://Some.One.vercel.app/A?b=1 and www.example.net, 93.184.216.34/x", lists=lists)

    assert [
        ("some.one.vercel.app", "one.vercel.app", "/a?b=1"),
        ("www.example.net", "example.net", ""),
        ("93.184.216.34", "", "/x"),
    ] == lists.asked


def test_a_link_written_twice_counts_once_and_many_are_cut() -> None:
    """More of the same adds no evidence."""
    many = " ".join(f"n{number}.example.com" for number in range(100))

    assert 2 == len(found("example.com/a, http://example.com/a, EXAMPLE.COM/a"))
    assert MOST == len(found(many))


def test_links_beside_the_text_are_looked_up_too() -> None:
    """They have no place in it; one that is also in the text counts there."""
    beside = found("hello", ("https://example.com/a",))
    within = found("https://example.com/a", ("https://example.com/a",))

    assert [(0, 0)] * 2 == [(f.start, f.end) for f in beside]
    assert [(0, 21)] * 2 == [(f.start, f.end) for f in within]


def test_without_lists_there_is_nothing_to_find() -> None:
    """The detector is made without arguments, and given its lists by whoever has them."""
    idle = ListedLinks()
    event = Event(
        id="1",
        platform="test",
        kind="message",
        occurred_at=datetime(2026, 1, 31, tzinfo=UTC),
        text="example.com/a",
        actor=Actor(id="a"),
        audience=Audience(kind="public"),
    )
    given = idle.with_lists(Lists())

    assert [] == list(idle.scan([Candidate(event, fold(event.text))]))
    assert (frozenset(), "1") == (idle.labels, idle.version)
    assert isinstance(idle, ReadsLists)
    assert isinstance(given, Detector)
    assert (Lists.labels, "1+01234567") == (given.labels, given.version)


def test_nothing_of_the_link_itself_is_in_what_a_finding_says() -> None:
    """Escalations may be told to carry no text: the place says which link it is."""
    (finding, _) = found("https://login.example.com/secret")

    assert b"example" not in msgspec.json.encode(finding)
    assert b"secret" not in msgspec.json.encode(finding)
