"""The demo's tally: what was sent, what has to come of it, and what came."""

from collections import Counter, deque
from datetime import UTC, datetime
from time import monotonic
from typing import Any, Final

import msgspec
import orjson

from schemas import Verdict
from schemas.subject_verdict import SubjectVerdict

SHOWN: Final = 14
"""How many of the latest escalations are kept to be shown."""

Escalation = Verdict | SubjectVerdict

_verdict: Final = msgspec.json.Decoder(Verdict)
_subject_verdict: Final = msgspec.json.Decoder(SubjectVerdict)


def escalation(content: bytes) -> Escalation:
    """Read a verdict of an event or of a subject."""
    is_of_subject = b'"behaviour":' in content and "behaviour" in orjson.loads(content)
    return _subject_verdict.decode(content) if is_of_subject else _verdict.decode(content)


class Tally:
    """What was sent, what has to come of it, and what came."""

    def __init__(self) -> None:
        self.started = monotonic()
        self.sent = 0
        self.awaited: set[str] = set()
        self.expected = 0
        self.arrived = 0
        self.repeated = 0
        self.labels: Counter[str] = Counter()
        self.behaviours: Counter[str] = Counter()
        self.subjects: set[str] = set()
        self.restarts = 0
        self.delays: deque[float] = deque(maxlen=2000)
        self.latest: deque[Escalation] = deque(maxlen=SHOWN)

    def expect(self, ids: set[str]) -> None:
        """Note escalations that have to arrive."""
        self.expected += len(ids)
        self.awaited |= ids

    def arrive(self, verdict: Escalation) -> bool:
        """Note an escalation; false for one that was there already, after a restart."""
        if isinstance(verdict, SubjectVerdict):
            return self._cross(verdict)
        if verdict.id not in self.awaited:
            self.repeated += 1
            return False
        self.awaited.discard(verdict.id)
        self.arrived += 1
        self.labels[verdict.label] += 1
        self.delays.append((datetime.now(UTC) - verdict.event.occurred_at).total_seconds())
        self.latest.append(verdict)
        return True

    def _cross(self, verdict: SubjectVerdict) -> bool:
        if verdict.id in self.subjects:
            self.repeated += 1
            return False
        self.subjects.add(verdict.id)
        self.awaited.discard(verdict.id)
        self.behaviours[verdict.behaviour] += 1
        self.latest.append(verdict)
        return True

    def delay(self, share: float) -> float:
        """Return a percentile of the last delays from message to confirmed escalation, in seconds."""
        ordered = sorted(self.delays)
        return ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else 0.0

    def summary(self) -> dict[str, Any]:
        """Return the closing count."""
        return {
            "sent": self.sent,
            "escalations_expected": self.expected,
            "escalations_seen": self.arrived + len(self.subjects),
            "lost": len(self.awaited),
            "repeated_after_restart": self.repeated,
            "worker_restarts": self.restarts,
            "labels": dict(sorted(self.labels.items())),
            "behaviours": dict(sorted(self.behaviours.items())),
            "delay_p50_seconds": round(self.delay(0.5), 3),
            "delay_p99_seconds": round(self.delay(0.99), 3),
        }
