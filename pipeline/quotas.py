"""Quotas: what is escalated of a label beyond what people can look at waits on the overflow topic. Pure.

A bucket for each label or family that has a quota: it fills at the quota's rate and holds one minute of it.
Of a batch the highest scores go first. What is held back is a verdict like any other, with its id and its
bytes: whoever has time reads that topic, too. A batch that is read again after a crash may be divided
otherwise, so a verdict may then be on both topics, under one id; it is never on neither.
"""

from collections.abc import Iterable, Mapping

import msgspec

from pipeline.settings import Quota
from schemas import ESCALATIONS, Verdict

_MINUTE = 60.0


class _Bucket(msgspec.Struct):
    """How many more may be escalated now."""

    left: float
    at: float


class Quotas:
    """The buckets of one process."""

    def __init__(self, quotas: Mapping[str, Quota]) -> None:
        """Begin with every bucket full."""
        self._quotas = quotas
        self._buckets: dict[str, _Bucket] = {}

    def held_back(self, verdicts: Iterable[Verdict], now: float) -> frozenset[str]:
        """Return the ids of the verdicts that do not go to people now; `now` in seconds of any clock."""
        if not self._quotas:
            return frozenset()
        asking = [verdict for verdict in verdicts if verdict.action in ESCALATIONS]
        held = []
        for verdict in sorted(asking, key=lambda one: (-one.score, one.id)):
            name = self._quota_of(verdict.label)
            if name is not None and not self._takes(name, now):
                held.append(verdict.id)
        return frozenset(held)

    def _quota_of(self, label: str) -> str | None:
        names = (label, f"{label.partition('.')[0]}.*")
        return next((name for name in names if name in self._quotas), None)

    def _takes(self, name: str, now: float) -> bool:
        most = float(self._quotas[name].escalations_a_minute)
        bucket = self._buckets.setdefault(name, _Bucket(most, now))
        bucket.left = min(most, bucket.left + (now - bucket.at) * most / _MINUTE)
        bucket.at = now
        if bucket.left < 1:
            return False
        bucket.left -= 1
        return True
