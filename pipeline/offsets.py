"""Offsets: what may be committed, from what was fetched and what was confirmed. Pure.

A partition is read in spans: from the position before a fetch to the position behind it, so that offsets
without a record (compaction, aborted transactions, control markers) are covered by the span they lie in.
Spans are confirmed in any order; what may be committed is the end of the longest confirmed run from where
reading began.

The promises, each tested against a slow model: an offset handed out never passes an unconfirmed record;
within a generation it never goes back, unless reading itself was set back behind what was committed (a topic
made anew); and whatever is confirmed without a hole before it is handed out.
"""

from collections import deque
from collections.abc import Hashable, Iterable
from typing import Generic, TypeVar

import msgspec

P = TypeVar("P", bound=Hashable)
"""What stands for a partition."""


class Span(msgspec.Struct, Generic[P], frozen=True):
    """What one fetch read of one partition: the offsets from `begin` up to, without, `end`."""

    partition: P
    generation: int
    number: int
    """Counts the fetches of all partitions: the order in which spans are screened."""
    begin: int
    end: int


class _Fetched:
    """A span and what became of it. `end` shrinks when the rest is read again."""

    __slots__ = ("end", "is_confirmed", "is_held", "span")

    def __init__(self, span: Span[P]) -> None:
        self.span = span
        self.end = span.end
        self.is_confirmed = False
        self.is_held = False


class _Reading:
    """One partition in one generation. Everything below `base` is confirmed."""

    __slots__ = ("base", "committed", "fetched", "generation", "position")

    def __init__(self, generation: int, begin: int) -> None:
        self.generation = generation
        self.base = self.committed = self.position = begin
        self.fetched: deque[_Fetched] = deque()


class Offsets(Generic[P]):
    """The spans of one topic that are in hand, and what may be committed behind them."""

    def __init__(self) -> None:
        """Begin with no partition."""
        self._readings: dict[P, _Reading] = {}
        self._fetched: dict[int, _Fetched] = {}
        self._rereads: dict[P, Span[P]] = {}
        self._number = 0
        self._unconfirmed = 0
        self._released = -1

    @property
    def unconfirmed(self) -> int:
        """How many spans were fetched and not yet confirmed."""
        return self._unconfirmed

    def base(self, partition: P) -> int | None:
        """Return the offset below which all of a partition is confirmed, as last looked at for a commit."""
        reading = self._readings.get(partition)
        return reading.base if reading else None

    def position(self, partition: P, generation: int) -> int | None:
        """Return the offset from which a partition is to be fetched next, None before the first of it."""
        reading = self._readings.get(partition)
        return reading.position if reading and reading.generation == generation else None

    def fetched(self, partition: P, generation: int, begin: int, end: int) -> Span[P] | None:
        """Take note of a fetch; None if the partition has to be read again from before it.

        A jump forward is the client's own (records expired, the offset was reset): nothing is there to be
        read. A jump back reads again: what was fetched from there on no longer counts.
        """
        if partition in self._rereads:
            return None
        reading = self._readings.get(partition)
        if reading is None or reading.generation != generation:
            self.revoke([partition])
            reading = self._readings[partition] = _Reading(generation, begin)
        if begin < reading.position:
            self._set_back(reading, begin)
        span = Span(partition, generation, self._number, begin, end)
        self._number += 1
        fetched = _Fetched(span)
        self._fetched[span.number] = fetched
        reading.fetched.append(fetched)
        reading.position = end
        self._unconfirmed += 1
        return span

    def is_current(self, span: Span[P]) -> bool:
        """Whether a span still counts: neither revoked, nor being read again, nor committed."""
        return span.number in self._fetched

    def confirm(self, span: Span[P], *, held: bool = False) -> None:
        """Say that everything a span caused is confirmed; one that no longer counts is ignored.

        A span that is `held` may be committed only once a later one that is not has been confirmed.
        """
        fetched = self._fetched.get(span.number)
        if fetched is None or fetched.is_confirmed:
            return
        fetched.is_confirmed = True
        fetched.is_held = held
        self._unconfirmed -= 1
        if not held:
            self._released = max(self._released, span.number)

    def drop(self, span: Span[P]) -> None:
        """Say that an unconfirmed span got lost on its way: its partition is read again from there."""
        fetched = self._fetched.get(span.number)
        if fetched is not None and not fetched.is_confirmed:
            self._rereads[span.partition] = span
            self._set_back(self._readings[span.partition], span.begin)

    def take_rereads(self) -> dict[P, Span[P]]:
        """Return, once, the span from whose beginning each partition that lost one must be read again."""
        rereads, self._rereads = self._rereads, {}
        return rereads

    def take_committable(self) -> dict[P, int]:
        """Return the offsets to commit, by partition; each is handed out once."""
        offsets = {}
        for partition, reading in self._readings.items():
            self._advance(reading)
            if reading.base != reading.committed:
                offsets[partition] = reading.committed = reading.base
        return offsets

    def revoke(self, partitions: Iterable[P]) -> None:
        """Forget partitions: others read them from what was committed."""
        for partition in partitions:
            self._rereads.pop(partition, None)
            reading = self._readings.pop(partition, None)
            while reading and reading.fetched:
                self._forget(reading.fetched.pop())

    def _advance(self, reading: _Reading) -> None:
        while reading.fetched:
            first = reading.fetched[0]
            is_free = not first.is_held or first.span.number < self._released
            if not (first.is_confirmed and is_free):
                return
            self._forget(reading.fetched.popleft())
            reading.base = first.end

    def _set_back(self, reading: _Reading, begin: int) -> None:
        while reading.fetched and reading.fetched[-1].span.begin >= begin:
            self._forget(reading.fetched.pop())
        if reading.fetched:
            last = reading.fetched[-1]
            last.end = min(last.end, begin)
        reading.base = min(reading.base, begin)
        # Set back to before what was committed, it is the topic that began anew: so do its commits.
        reading.committed = min(reading.committed, begin)
        reading.position = begin

    def _forget(self, fetched: _Fetched) -> None:
        del self._fetched[fetched.span.number]
        if not fetched.is_confirmed:
            self._unconfirmed -= 1
