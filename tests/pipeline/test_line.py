"""The line: one poison record must not hold up the others, and newer lists make another configuration."""

from collections.abc import Iterable, Sequence
from pathlib import Path

import msgspec

from detectors.contract import Candidate, Pattern
from pipeline.chain import Chain
from pipeline.line import Line, line, with_lists
from pipeline.settings import Detectors, Settings
from schemas import Event, Finding, Reason, Rejected
from tests.pipeline.events import CANARY, record
from tests.pipeline.lists import compiled

SOURCE = "platform.events"


class Untold:
    """Find poison, under a label that no taxonomy knows, which the policy cannot survive."""

    name = "untold"
    version = "1"
    labels = frozenset({"nobody.knows"})
    patterns = (Pattern("poison", "poison"),)

    def scan(self, candidates: Sequence[Candidate]) -> Iterable[tuple[Candidate, Finding]]:
        """Yield a finding that is sound for the chain alone."""
        for candidate in candidates:
            yield (
                candidate,
                Finding(
                    detector=self.name,
                    version=self.version,
                    label="nobody.knows",
                    score=1.0,
                    start=0,
                    end=0,
                    reason="poison",
                ),
            )


def test_a_record_that_breaks_the_line_is_rejected_alone(built: Line) -> None:
    """The others of its batch get what they get without it; the detail quotes nothing."""
    broken = msgspec.structs.replace(built, chain=Chain([*built.chain.detectors, Untold()]))
    records: list[bytes | None] = [
        record("hello", "a"),
        record("poison", "b"),
        record(CANARY, "c"),
        None,
    ]
    sound = [records[0], records[2], records[3]]

    screening = broken.screen(SOURCE, records)
    without = built.screen(SOURCE, sound)
    refused = screening.events[1]

    assert isinstance(refused, Rejected)
    assert (Reason.SCREENING_FAILED, True) == (refused.reason, "KeyError" in refused.detail)
    assert "poison" not in refused.detail
    assert without.events == tuple(screening.events[p] for p in (0, 2, 3))
    assert without.verdicts[1] == screening.verdicts[2]
    assert isinstance(screening.events[0], Event)
    assert 4 == screening.passed + screening.flagged + len(screening.rejected)


LISTED: list[bytes | None] = [
    record("see https://evil.example.com/a", "a"),
    record("hello", "b"),
    record("nothing here", "c", links=["http://example.net/"]),
]
SETTINGS = Settings(detectors=Detectors(only=("canary", "listed_links")))


async def test_a_listed_link_gets_a_verdict_that_names_list_and_version(
    tmp_path: Path, cache: Path
) -> None:
    """In the text or beside it; the version is in the finding, and stands behind the configuration."""
    lists = await compiled(tmp_path, phish="evil.example.com\nexample.net\n")
    (listed,) = lists.find("example.net", "example.net", "")
    screening = line(SETTINGS, cache, lists).screen(SOURCE, LISTED)
    verdicts = [screening.verdicts[position][0] for position in (0, 2)]

    assert {0, 2} == set(screening.verdicts)
    assert [("fraud.phishing", "review", 0.7)] * 2 == [
        (v.label, v.action, v.score) for v in verdicts
    ]
    assert [{"feed": "phish", "feed_version": listed.version}] * 2 == [
        v.findings[0].attributes for v in verdicts
    ]


async def test_newer_lists_make_another_configuration_of_the_same_patterns(
    tmp_path: Path, cache: Path
) -> None:
    """As if the line had been put together with them; the old one stays as it was."""
    first = line(SETTINGS, cache, await compiled(tmp_path, phish="example.org\n"))
    lists = await compiled(tmp_path, phish="evil.example.com\n")
    second = with_lists(first, SETTINGS, lists)
    fresh = line(SETTINGS, cache, lists)

    assert fresh.configuration == second.configuration != first.configuration
    assert fresh.screen(SOURCE, LISTED) == second.screen(SOURCE, LISTED)
    assert {} == first.screen(SOURCE, LISTED).verdicts
    assert first.chain.database is second.chain.database
    assert second.configuration == second.screen(SOURCE, LISTED).verdicts[0][0].configuration


async def test_the_same_lists_give_the_same_bytes(tmp_path: Path, cache: Path) -> None:
    """A verdict is a function of its event and the configuration, lists included."""
    lists = [await compiled(tmp_path / n, phish="evil.example.com\n") for n in folders(tmp_path)]
    screened = [line(SETTINGS, cache, each).screen(SOURCE, LISTED).verdicts for each in lists]

    assert 2 == len(screened)
    assert msgspec.json.encode(screened[0][0]) == msgspec.json.encode(screened[1][0])


def folders(parent: Path) -> list[str]:
    """Make two folders."""
    for name in ("1", "2"):
        (parent / name).mkdir()
    return ["1", "2"]


def test_without_a_feed_the_detector_is_not_in_the_line(built: Line) -> None:
    """It costs nothing: no event, no pattern, no other configuration."""
    names = [r.detector.name for r in built.registered]

    assert "scam_links" in names
    assert "listed_links" not in names
    assert not any(p.id == "listed.hint" for d in built.chain.detectors for p in d.patterns)
