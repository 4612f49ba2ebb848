"""The contract between a detector and everything around it.

A detector says what it suspects; the policy decides what happens. It declares patterns, is shown the
events they hit, and yields findings. It reads no clock, opens no file or socket while scanning, and keeps
nothing between calls: the same candidates give the same findings.
"""

from collections.abc import Iterable, Sequence
from typing import Literal, Protocol, runtime_checkable

import msgspec

from detectors.folding import Folded
from schemas import Event, Finding

View = Literal["folded", "squeezed"]


class Pattern(msgspec.Struct, frozen=True):
    r"""An expression over folded text, in the syntax of the `regex` library.

    All detectors' patterns are compiled into one multi-pattern database that is scanned once per batch; a
    hit is then confirmed with `regex`, so look-around, `\b` and Unicode classes mean what they mean there.
    Text is lower case and has single-line white space only.
    """

    id: str
    expression: str
    is_anchor: bool = True
    """A detector sees the texts that hold one of its anchors; its other patterns only matter there."""

    group: str = ""
    """Of the patterns of one group only the heaviest that match count, each with its first match.

    Empty: every match of the pattern is wanted.
    """
    weight: float = 0.0
    """How heavy the pattern is in its group, without sign."""

    is_hint: bool = False
    """An anchor that is not confirmed: the detector looks for itself, and is shown no match of it."""


class Match(msgspec.Struct, frozen=True):
    """A confirmed hit of one pattern; `start` and `end` are code points of the original text."""

    pattern: Pattern
    start: int
    end: int
    view: View = "folded"
    groups: dict[str, str] = {}
    """Named groups of the expression that took part, as folded text."""


class Candidate(msgspec.Struct, frozen=True):
    """An event, its folded text, and the hits of this detector's own patterns in order of their start.

    One of them at least is an anchor's, unless a hint showed it.
    """

    event: Event
    folded: Folded
    matches: tuple[Match, ...] = ()
    incomplete: bool = False
    """One of the expressions took too long on this text, so its matches are missing."""


@runtime_checkable
class Detector(Protocol):
    """What a plugin provides. Found through the `penjaga.detectors` entry-point group.

    `labels` are ids from `schemas/labels.toml`. A detector without patterns sees every event and pays for
    it. A detector that raises loses its own findings for that event and nobody else's.

    What a detector may have besides:

    - `reads_links`: when true it sees every event that carries links beside its text, whatever that holds.
    - `reads(texts)`: is given the folded texts of every batch, and returns the positions of those it wants
      to see whatever they hold. It has to be quick.
    - `may_find(ids, *, is_disguised)`: whether a finding could come of a text it has not asked for, if all
      patterns of these ids matched in it. Where it says no, the detector is not shown the text. Answers are
      remembered, so they must hold for every text, and it must not raise.
    """

    @property
    def name(self) -> str:
        """What it finds: lower case, underscores, unique among the detectors in use."""
        ...

    @property
    def version(self) -> str:
        """Changes whenever the same text may get another finding."""
        ...

    @property
    def labels(self) -> frozenset[str]:
        """Every label it may put on a finding."""
        ...

    @property
    def patterns(self) -> Sequence[Pattern]:
        """What must be in a text for this detector to see it; empty to see every text."""
        ...

    def scan(self, candidates: Sequence[Candidate]) -> Iterable[tuple[Candidate, Finding]]:
        """Yield each finding with the candidate it belongs to."""
        ...
