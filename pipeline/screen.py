"""Screen: one message at a time, from the bytes of a record to its verdicts. Read it downwards.

Stateless and pure. A worker, `penjaga scan` and the tests call this one function and get the same bytes. What
shows only over many messages (a conversation, a sender, a space) is not seen here: `correlate` sees it, from
the signals that this makes of findings.
"""

from collections.abc import Sequence

import msgspec

from pipeline.chain import Chain
from pipeline.correlate import Watch
from pipeline.policy import Policy
from pipeline.signals import signals
from schemas import Event, Finding, Rejected, Verdict
from schemas.signal import Signal
from schemas.source import SourceMapping


class Screening(msgspec.Struct, frozen=True):
    """What became of a batch, by the position of its records; only `events` has an entry for each."""

    events: tuple[Event | Rejected, ...]
    rejected: dict[int, Rejected]
    findings: dict[int, tuple[Finding, ...]]
    verdicts: dict[int, tuple[Verdict, ...]]
    signals: dict[int, tuple[Signal, ...]] = {}
    """What the memory of subjects is told; also of events without a verdict."""
    held_back: frozenset[str] = frozenset()
    """Ids of verdicts that go to the overflow topic: more than people can look at."""

    @property
    def flagged(self) -> int:
        """How many events have a verdict. Received = passed + flagged + rejected."""
        return len(self.verdicts)

    @property
    def passed(self) -> int:
        """How many events call for nothing."""
        return len(self.events) - len(self.rejected) - self.flagged


def screen(
    records: Sequence[bytes | None],
    mapping: SourceMapping,
    chain: Chain,
    policy: Policy,
    watch: Watch,
) -> Screening:
    """Decode, match and decide a batch of records of one source, and tell what subjects it concerns."""
    events = tuple(mapping.decode_batch(records))
    rejected = {p: event for p, event in enumerate(events) if isinstance(event, Rejected)}
    positions = [p for p, event in enumerate(events) if isinstance(event, Event)]
    readable = [event for event in events if isinstance(event, Event)]
    found = chain.findings(readable)
    findings = {positions[n]: found[n] for n in found}
    decided = {positions[n]: policy.decide(readable[n], found[n]) for n in found}
    verdicts = {p: verdicts for p, verdicts in decided.items() if verdicts}
    told = {
        positions[n]: signals(readable[n], found[n], verdicts.get(positions[n], ()), watch)
        for n in found
    }
    told = {p: signals for p, signals in told.items() if signals}
    return Screening(events, rejected, findings, verdicts, told)
