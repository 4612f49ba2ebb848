"""The chain: every detector on a batch, none of them able to harm another.

A detector that raises, takes too long, or returns what its contract does not allow, loses its findings for
the events it failed on. The failure is itself a finding (`detector.failed`), and the policy decides what it
means. How detectors are called, and for how long, is `pipeline.guard`'s.
"""

import copy
import hashlib
import math
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Final

import msgspec

from detectors import reading
from detectors.contract import Candidate, Detector, Match
from detectors.folding import FoldedBatch, fold_batch
from pipeline.database import PatternDatabase
from pipeline.guard import DIRECT, Calls, Found, OverrunError
from pipeline.isolated import DiedError
from schemas import Event, Finding

FAILED: Final = "detector.failed"


class ContractBreach(Exception):  # noqa: N818 - a breach is what it is; it never leaves this module
    """A detector returned what its contract does not allow."""


class Chain:
    """Detectors behind one pattern database."""

    def __init__(self, detectors: Sequence[Detector], cache: Path | None = None) -> None:
        """Compile all patterns into one database.

        Raises:
            PatternError: if a detector's expression cannot be used.
        """
        self.detectors = tuple(detectors)
        self._calls: Calls = DIRECT
        patterns = [(owner, p) for owner, d in enumerate(detectors) for p in d.patterns]
        self._owners = [owner for owner, _ in patterns]
        self._readers = [o for o, d in enumerate(detectors) if hasattr(d, "reads")]
        self._openers = [o for o in self._readers if hasattr(detectors[o], "opens")]
        self._sees_all = [
            o for o, d in enumerate(detectors) if not d.patterns and o not in self._readers
        ]
        self._reads_links = [
            owner
            for owner, d in enumerate(detectors)
            if d.patterns and getattr(d, "reads_links", False)
        ]
        self._ids = [pattern.id for _, pattern in patterns]
        self.database = PatternDatabase(
            [p for _, p in patterns],
            cache,
            self._owners,
            self._reach,
            {o: float(getattr(d, "least_reach", 0.0)) for o, d in enumerate(detectors)},
        )

    def _reach(self, owner: int, patterns: frozenset[int], is_disguised: bool) -> float:  # noqa: FBT001
        """Ask a detector for the most that could come of these patterns; by itself, anything could."""
        ask = getattr(self.detectors[owner], "reach", None)
        if ask is None:
            return math.inf
        return float(ask({self._ids[n] for n in patterns}, is_disguised=is_disguised))

    @property
    def digest(self) -> str:
        """Stands for everything the detectors say of themselves; part of a verdict's configuration."""
        content = hashlib.sha256(self.database.digest.encode())
        for detector in self.detectors:
            content.update(f"{detector.name}\x00{detector.version}\x00".encode())
        return content.hexdigest()

    def behind(self, detectors: Sequence[Detector]) -> "Chain":
        """Return a chain of other detectors with the same patterns, which are not compiled again."""
        other = copy.copy(self)
        other.detectors = tuple(detectors)
        return other

    def called_by(self, calls: Calls) -> "Chain":
        """Return the same chain, its detectors called in another way."""
        other = copy.copy(self)
        other._calls = calls  # noqa: SLF001
        return other

    def findings(self, events: Sequence[Event]) -> dict[int, tuple[Finding, ...]]:
        """Return the findings of each event, by its position; events without any are left out."""
        folded = fold_batch(event.text for event in events)
        shown = self._candidates(events, folded, self._asked(folded))
        anchored = {position for owner in self._openers for position in shown.get(owner, ())}
        reading.read([folded[position] for position in sorted(anchored)])
        found: dict[int, list[Finding]] = {}
        for owner, detector in enumerate(self.detectors):
            candidates = shown.get(owner)
            if candidates:
                for position, finding in _isolated(self._calls, detector, candidates):
                    found.setdefault(position, []).append(finding)
        return {position: tuple(found[position]) for position in sorted(found)}

    def candidates(
        self, events: Sequence[Event], *, asked_by_all: bool = False
    ) -> dict[int, dict[int, Candidate]]:
        """Return what each detector is shown, by its place among them and the event's position.

        With `asked_by_all` each is shown every event, as if it had asked for it.
        """
        folded = fold_batch(event.text for event in events)
        everyone = dict.fromkeys(range(len(self.detectors)), 0.0)
        asked = dict.fromkeys(range(len(events)), everyone) if asked_by_all else self._asked(folded)
        return self._candidates(events, folded, asked)

    def _asked(self, folded: FoldedBatch) -> dict[int, dict[int, float]]:
        """For each text that detectors ask for, which, and what their patterns have to reach in it."""
        asked: dict[int, dict[int, float]] = {}
        if not len(folded):
            return asked
        opened = {p for o in self._openers for p in _opened(self.detectors[o], folded)}
        reading.read([folded[position] for position in sorted(opened)])
        for owner in self._readers:
            for position, least in _chosen(self.detectors[owner], folded).items():
                asked.setdefault(position, {})[owner] = least
        return {position: asked[position] for position in sorted(asked)}

    def _candidates(
        self,
        events: Sequence[Event],
        folded: FoldedBatch,
        asked: Mapping[int, Mapping[int, float]],
    ) -> dict[int, dict[int, Candidate]]:
        """For each detector, the candidates it has to see, by their position."""
        shown: dict[int, dict[int, Candidate]] = {
            owner: {p: Candidate(e, f) for p, (e, f) in enumerate(zip(events, folded, strict=True))}
            for owner in self._sees_all
        }
        if self._reads_links:
            linked = {p: Candidate(e, folded[p]) for p, e in enumerate(events) if e.links}
            shown.update({owner: dict(linked) for owner in self._reads_links})
        for position, owners in asked.items():
            for owner, least in owners.items():
                if least <= 0:
                    shown.setdefault(owner, {})[position] = Candidate(
                        events[position], folded[position]
                    )
        for position, hits in self.database.scan(folded, asked).items():
            by_owner: dict[int, list[Match]] = {}
            for index, match in hits.matches:
                by_owner.setdefault(self._owners[index], []).append(match)
            for index in (*hits.overruns, *hits.hints):
                by_owner.setdefault(self._owners[index], [])
            overrun = {self._owners[index] for index in hits.overruns}
            for owner, matches in by_owner.items():
                candidate = Candidate(
                    events[position], folded[position], tuple(matches), owner in overrun
                )
                shown.setdefault(owner, {})[position] = candidate
        return shown


def _opened(detector: Detector, folded: FoldedBatch) -> list[int]:
    """Return which texts a detector will read closely; of one that fails to tell, none are read ahead."""
    try:
        opened = [int(position) for position in detector.opens(folded)]  # type: ignore[attr-defined]
    except Exception:  # noqa: BLE001 - isolation: whatever a plugin raises must stay its own
        return []
    return [position for position in opened if 0 <= position < len(folded)]


def _chosen(detector: Detector, folded: FoldedBatch) -> dict[int, float]:
    """Return what a detector asks for, and what is to be reached there; one that fails to choose sees all."""
    try:
        chosen = {int(p): float(least) for p, least in detector.reads(folded).items()}  # type: ignore[attr-defined]
    except Exception:  # noqa: BLE001 - isolation: whatever a plugin raises must stay its own
        return dict.fromkeys(range(len(folded)), 0.0)
    return {position: least for position, least in chosen.items() if 0 <= position < len(folded)}


def _isolated(
    calls: Calls, detector: Detector, candidates: dict[int, Candidate]
) -> list[tuple[int, Finding]]:
    """Run one detector; where a batch fails, run its events one by one to find the ones that break it."""
    if not calls.is_asked(detector):
        return [
            (p, _failure(detector, "is left alone after repeated failures")) for p in candidates
        ]
    slow = {position for position, c in candidates.items() if c.incomplete}
    found = [(p, _failure(detector, "an expression took too long")) for p in sorted(slow)]
    sound = {p: c for p, c in candidates.items() if not c.incomplete or c.matches}
    failed = set(slow)
    try:
        found += _scan(detector, sound, lambda: calls.scan(detector, list(sound.values())))
    except (Exception, SystemExit):  # noqa: BLE001 - isolation: whatever a plugin raises must stay its own
        ask = calls.alone(detector)
        for position, candidate in sound.items():
            try:
                found += _scan(detector, {position: candidate}, partial(ask, candidate))
            except (Exception, SystemExit) as error:  # noqa: BLE001
                if position not in slow:  # that failure is told already
                    found.append((position, _failure(detector, _told(error))))
                failed.add(position)
    calls.done(detector, len(failed), len(candidates))
    return found


def _scan(
    detector: Detector, candidates: dict[int, Candidate], ask: Callable[[], Found]
) -> list[tuple[int, Finding]]:
    positions = {id(candidate): position for position, candidate in candidates.items()}
    found = []
    for candidate, finding in ask():
        position = positions.get(id(candidate))
        if position is None:
            raise ContractBreach
        found.append((position, _checked(detector, candidates[position], finding)))
    return found


def _checked(detector: Detector, candidate: Candidate, finding: object) -> Finding:
    """Return the finding as a verdict will carry it, so that none can fail to be written later."""
    try:
        sound = msgspec.json.decode(msgspec.json.encode(finding), type=Finding)
    except Exception:  # noqa: BLE001 - a plugin's value may fail to be written in any way
        raise ContractBreach from None
    is_sound = (
        isinstance(finding, Finding)
        and sound.detector == detector.name
        and sound.version == detector.version
        and sound.label in detector.labels
        and 0 <= sound.start <= sound.end <= len(candidate.event.text)
        and all(0 <= e.start <= e.end <= len(candidate.event.text) for e in sound.evidence)
    )
    if not is_sound:
        raise ContractBreach
    return sound


def _told(error: Exception | SystemExit) -> str:
    if isinstance(error, ContractBreach):
        return "returned what its contract does not allow"
    if isinstance(error, OverrunError):
        return "took longer than its budget"
    if isinstance(error, DiedError):
        return "its process died"
    return f"raised {type(error).__name__}"


def _failure(detector: Detector, reason: str) -> Finding:
    """Say that a detector did not answer. Names the kind of error only: its text may quote the event."""
    return Finding(
        detector=detector.name,
        version=detector.version,
        label=FAILED,
        score=1.0,
        start=0,
        end=0,
        reason=reason,
    )
