"""Memory: what is kept of one subject. Ids, times and weights, never text; bounded; with a version.

The traces kept are a function of the set of signals that came, whatever their order and however often each
came: one that came before changes nothing, and where there are too many the oldest that tell nothing new
go first. So a redelivered or late signal does no harm.

Encoded, a subject takes at most `BYTES`, whatever it is told. Version 2 added audiences, the ids of signals
that made room for others, and how often a subject began anew; version 3, how likely cues are.
"""

import hashlib
import math
from collections import Counter
from collections.abc import Collection
from functools import lru_cache
from typing import Final

import msgspec

from schemas import Action
from schemas.signal import Signal, kind_of

VERSION: Final = 3
BYTES: Final = 4096
"""The most that a subject takes, encoded; traces make room while it would take more."""
MOST_TRACES: Final = 14
"""Of ids as long as a UUID, a dozen fit."""
MOST_PEOPLE: Final = 2
"""Of whom an event was written to, so many are kept in its trace."""
MOST_CUES: Final = 8
MOST_CUE_CHARACTERS: Final = 48
MOST_ID_BYTES: Final = 200
"""A longer id is kept as its digest, after a tilde."""
MOST_FORMER: Final = 24
REPEATS: Final = 6
"""A conversation is about what one of many does again and again, so there such repetitions are news.

Of every subject, so are those of a cue that is less than certain: together they make it likelier.
"""
_CERTAIN: Final = 100
SKETCH: Final = 64
_SPACE: Final = 1 << 64
_FOR_LEVELS: Final = 192
"""What is left free for levels yet to be crossed: those of four behaviours."""


class MemoryVersionError(ValueError):
    """Memory written by a newer release."""


class Trace(msgspec.Struct, frozen=True, array_like=True):
    """What is left of a signal."""

    at: float
    """Seconds since 1970, of the event."""
    id: str
    event_id: str
    label: str
    score: float
    action: Action
    cues: tuple[str, ...]
    actor_id: str
    people: tuple[str, ...]
    faces_minor: bool
    audience: str = ""
    """Empty in what version 1 wrote."""
    percents: tuple[int, ...] = ()
    """How likely each cue is, in hundredths; empty, certain."""

    def strengths(self) -> tuple[tuple[str, float], ...]:
        """Return each cue with how likely it is, 0 to 1."""
        percents = self.percents or (_CERTAIN,) * len(self.cues)
        return tuple(
            (cue, percent / _CERTAIN) for cue, percent in zip(self.cues, percents, strict=True)
        )


class Memory(msgspec.Struct, frozen=True, array_like=True):
    """What is kept of a subject."""

    version: int = VERSION
    traces: tuple[Trace, ...] = ()
    """The newest, in order of time and id."""
    met: tuple[int, ...] = ()
    """The `SKETCH` smallest hashes of everybody the subject met (a KMV sketch, Bar-Yossef et al. 2002)."""
    crossed: dict[str, Action] = {}
    """The strongest level that each behaviour has crossed."""
    former: tuple[int, ...] = ()
    """Hashes of the last `MOST_FORMER` signals whose traces made room; they would be taken for new ones."""
    lives: int = 0
    """How often it began anew after everything lay behind its window."""

    @property
    def counterparts(self) -> int:
        """How many different people the subject met: exact below `SKETCH`, else within some 13 %."""
        if len(self.met) < SKETCH:
            return len(self.met)
        return round((SKETCH - 1) * _SPACE / self.met[-1])

    def with_signal(
        self, signal: Signal, window_seconds: float, latest: float = math.inf
    ) -> "Memory":
        """Return the memory with a signal; the same one where that tells nothing new.

        What lies further back than the window is forgotten, and where nothing is left, so are the levels.
        An event dated after `latest` counts as of then: a wrong clock must not make all others old.
        """
        trace = _trace(signal, latest)
        if any(held.id == trace.id for held in self.traces) or _hash(trace.id) in self.former:
            return self
        newest = max(trace.at, self.traces[-1].at if self.traces else trace.at)
        inside = [t for t in (*self.traces, trace) if t.at > newest - window_seconds]
        if trace not in inside:
            return self
        inside.sort(key=lambda t: (t.at, t.id))
        goes_on = len(inside) > 1
        after = Memory(
            VERSION,
            tuple(inside),
            _sketched(self.met if goes_on else (), (*signal.counterparts, signal.actor_id)),
            self.crossed if goes_on else {},
            self.former if goes_on else (),
            self.lives + (not goes_on and bool(self.traces)),
        )
        while len(after.traces) > MOST_TRACES or len(encoded(after)) > BYTES - _FOR_LEVELS:
            gone = _spare(after.traces, REPEATS if kind_of(signal.subject) == "conversation" else 1)
            if after.traces[gone] is trace:
                return self
            after = after._without(gone)
        return after

    def _without(self, position: int) -> "Memory":
        traces = (*self.traces[:position], *self.traces[position + 1 :])
        former = (*self.former, _hash(self.traces[position].id))[-MOST_FORMER:]
        return Memory(VERSION, traces, self.met, self.crossed, former, self.lives)


_encoder: Final = msgspec.msgpack.Encoder()
_decoder: Final = msgspec.msgpack.Decoder(Memory)


def encoded(memory: Memory) -> bytes:
    """Return a memory as bytes."""
    return _encoder.encode(memory)


def decoded(content: bytes) -> Memory:
    """Read a memory, of this version or an older one: fields are only ever added, at the end.

    Raises:
        MemoryVersionError: if a newer release wrote it.
        msgspec.MsgspecError: if it is no memory.
    """
    memory = _decoder.decode(content)
    if memory.version > VERSION:
        raise MemoryVersionError(
            f"memory of version {memory.version}, this release reads up to {VERSION}: run the newer one"
        )
    return memory


def _trace(signal: Signal, latest: float) -> Trace:
    strengths = signal.strengths or (1.0,) * len(signal.cues)
    cues = [
        (cue, round(_CERTAIN * strength))
        for cue, strength in zip(signal.cues, strengths, strict=False)
        if len(cue) <= MOST_CUE_CHARACTERS
    ][:MOST_CUES]
    certain = all(percent == _CERTAIN for _, percent in cues)
    return Trace(
        min(signal.occurred_at.timestamp(), latest),
        signal.id,
        _short(signal.event_id),
        signal.label,
        signal.score,
        signal.action,
        tuple(cue for cue, _ in cues),
        _short(signal.actor_id),
        tuple(_short(person) for person in signal.counterparts[:MOST_PEOPLE]),
        signal.counterpart_age_band == "minor" and signal.actor_age_band != "minor",
        signal.audience,
        () if certain else tuple(percent for _, percent in cues),
    )


def _short(name: str) -> str:
    if len(name) <= MOST_ID_BYTES // 4:
        return name
    content = name.encode("utf-8", "surrogatepass")
    if len(content) <= MOST_ID_BYTES:
        return name
    return "~" + hashlib.blake2b(content, digest_size=16).hexdigest()


def _spare(traces: tuple[Trace, ...], repeats: int) -> int:
    """Return the position of the trace to give up.

    That is the oldest that says nothing which newer ones do not say: one, of a cue that is certain there;
    `repeats`, of an event without cues; `REPEATS`, of other cues. Else the oldest.
    """
    told: Counter[tuple[str, str, str]] = Counter()
    certain: set[tuple[str, str, str]] = set()
    spare = 0
    for position in range(len(traces) - 1, -1, -1):
        trace = traces[position]
        says = {(trace.actor_id, trace.label, cue): at for cue, at in trace.strengths()}
        nothing = (trace.actor_id, trace.label, "")
        if all(one in certain or told[one] >= REPEATS for one in says) and (
            says or told[nothing] >= repeats
        ):
            spare = position
        certain.update(one for one, strength in says.items() if strength == 1.0)
        told.update(says.keys() or (nothing,))
    return spare


def _sketched(met: tuple[int, ...], people: Collection[str]) -> tuple[int, ...]:
    hashes = {_hash(person) for person in people}
    if hashes.issubset(met):
        return met
    return tuple(sorted(hashes.union(met)))[:SKETCH]


@lru_cache(maxsize=8192)
def _hash(name: str) -> int:
    content = name.encode("utf-8", "surrogatepass")
    return int.from_bytes(hashlib.blake2b(content, digest_size=8).digest())
