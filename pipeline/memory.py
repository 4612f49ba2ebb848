"""Memory: what is kept of one subject. Ids, times and weights, never text; bounded; with a version.

The traces kept are a function of the set of signals that came, whatever their order and however often each
came: one that came before changes nothing, and where there are too many the oldest that tell nothing new
go first. So a redelivered or late signal does no harm.
"""

import hashlib
from collections.abc import Collection
from typing import Final

import msgspec

from schemas import Action
from schemas.signal import Signal

VERSION: Final = 1
MOST_TRACES: Final = 14
"""With ids as long as a UUID a trace takes some 230 bytes; with the sketch a subject stays below 4 KB."""
MOST_PEOPLE: Final = 2
"""Of whom an event was written to, so many are kept in its trace."""
SKETCH: Final = 64
_SPACE: Final = 1 << 64


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


class Memory(msgspec.Struct, frozen=True, array_like=True):
    """What is kept of a subject."""

    version: int = VERSION
    traces: tuple[Trace, ...] = ()
    """The newest, in order of time and id."""
    met: tuple[int, ...] = ()
    """The `SKETCH` smallest hashes of everybody the subject met (a KMV sketch, Bar-Yossef et al. 2002)."""
    crossed: dict[str, Action] = {}
    """The strongest level that each behaviour has crossed."""

    @property
    def counterparts(self) -> int:
        """How many different people the subject met: exact below `SKETCH`, else within some 13 %."""
        if len(self.met) < SKETCH:
            return len(self.met)
        return round((SKETCH - 1) * _SPACE / self.met[-1])

    def with_signal(self, signal: Signal, window_seconds: float) -> "Memory":
        """Return the memory with a signal; the same one where that tells nothing new.

        What lies further back than the window is forgotten, and where nothing is left, so are the levels.
        """
        trace = _trace(signal)
        if any(held.id == trace.id for held in self.traces):
            return self
        newest = max(trace.at, self.traces[-1].at if self.traces else trace.at)
        inside = [t for t in (*self.traces, trace) if t.at > newest - window_seconds]
        inside.sort(key=lambda t: (t.at, t.id))
        kept = _kept(inside)
        if trace not in kept:
            return self
        was_live = any(t is not trace for t in inside)
        return Memory(
            VERSION,
            tuple(kept),
            _sketched(self.met if was_live else (), (*trace.people, trace.actor_id)),
            self.crossed if was_live else {},
        )


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


def _trace(signal: Signal) -> Trace:
    return Trace(
        signal.occurred_at.timestamp(),
        signal.id,
        signal.event_id,
        signal.label,
        signal.score,
        signal.action,
        signal.cues,
        signal.actor_id,
        signal.counterparts[:MOST_PEOPLE],
        signal.counterpart_age_band == "minor" and signal.actor_age_band != "minor",
    )


def _kept(traces: list[Trace]) -> list[Trace]:
    """Drop, while there are too many, the oldest that say nothing a newer one does not, else the oldest."""
    kept = list(traces)
    while len(kept) > MOST_TRACES:
        told: set[tuple[str, str, str]] = set()
        spare = 0
        for at in range(len(kept) - 1, -1, -1):
            says = _says(kept[at])
            if says <= told:
                spare = at
            told |= says
        del kept[spare]
    return kept


def _says(trace: Trace) -> set[tuple[str, str, str]]:
    cues = trace.cues or ("",)
    return {(trace.actor_id, trace.label, cue) for cue in cues}


def _sketched(met: tuple[int, ...], people: Collection[str]) -> tuple[int, ...]:
    hashes = {
        int.from_bytes(hashlib.blake2b(p.encode("utf-8", "surrogatepass"), digest_size=8).digest())
        for p in people
    }
    return tuple(sorted(hashes | set(met)))[:SKETCH]
