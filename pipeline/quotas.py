"""Quotas: what is escalated of a label beyond what people can look at waits on the overflow topic. Pure.

A bucket for each label or family that has a quota: it fills at the quota's rate and holds one minute of it.
Of a batch the highest scores go first. What is held back is a verdict like any other, with its id and its
bytes: whoever has time reads that topic, too. A batch that is read again after a crash may be divided
otherwise, so a verdict may then be on both topics, under one id; it is never on neither.
"""

import math
from collections.abc import Iterable, Mapping

import msgspec

from pipeline.settings import Quota
from schemas import ESCALATIONS, Verdict
from schemas.labels import entry

_MINUTE = 60.0


class _Bucket(msgspec.Struct):
    """How many more may be escalated now."""

    most: float
    left: float
    at: float = -math.inf

    def takes(self, now: float) -> bool:
        """Take one out, unless it is empty."""
        self.left = min(self.most, self.left + (now - self.at) * self.most / _MINUTE)
        self.at = now
        if self.left < 1:
            return False
        self.left -= 1
        return True


class Quotas:
    """The buckets of one process."""

    def __init__(self, quotas: Mapping[str, Quota]) -> None:
        """Begin with every bucket full."""
        self._buckets = {
            name: _Bucket(quota.escalations_a_minute, quota.escalations_a_minute)
            for name, quota in quotas.items()
        }

    def held_back(self, verdicts: Iterable[Verdict], now: float) -> frozenset[str]:
        """Return the ids of the verdicts that do not go to people now; `now` in seconds of any clock."""
        if not self._buckets:
            return frozenset()
        asking = [verdict for verdict in verdicts if verdict.action in ESCALATIONS]
        held = []
        for verdict in sorted(asking, key=lambda one: (-one.score, one.id)):
            bucket = entry(self._buckets, verdict.label)
            if bucket is not None and not bucket.takes(now):
                held.append(verdict.id)
        return frozenset(held)
