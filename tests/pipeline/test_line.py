"""The line: one poison record must not hold up the others."""

from collections.abc import Iterable, Sequence

import msgspec

from detectors.contract import Candidate, Pattern
from pipeline.chain import Chain
from pipeline.line import Line
from schemas import Event, Finding, Reason, Rejected
from tests.pipeline.events import CANARY, record

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
