"""The canary: a harmless fixed string that proves the live path end to end."""

from collections.abc import Iterable, Sequence
from typing import Final

from detectors.contract import Candidate, Pattern
from schemas import Evidence, Finding

CANARY: Final = "PENJAGA-CANARY-7f3a91c4"


class Canary:
    """Find the canary string, which no person writes.

    Post it on the platform on a schedule; when no verdict labelled `canary.seen` follows, the path is broken
    somewhere, whatever the dashboards say.

    Misses: nothing it should find.
    """

    name: Final = "canary"
    version: Final = "1"
    labels: Final = frozenset({"canary.seen"})
    patterns: Final = (Pattern("canary", CANARY.casefold()),)

    def scan(self, candidates: Sequence[Candidate]) -> Iterable[tuple[Candidate, Finding]]:
        """Yield one finding for each candidate: the string has no weaker form."""
        for candidate in candidates:
            match = candidate.matches[0]
            yield (
                candidate,
                Finding(
                    detector=self.name,
                    version=self.version,
                    label="canary.seen",
                    score=1.0,
                    start=match.start,
                    end=match.end,
                    reason="the canary string",
                    evidence=(Evidence("canary", 1.0, match.start, match.end),),
                ),
            )
