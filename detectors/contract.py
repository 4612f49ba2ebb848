"""The contract between a detector and everything around it.

A detector says what it suspects; the policy decides what happens. It declares patterns, is shown the
events they hit, and yields findings. It reads no clock, opens no file or socket while scanning, and keeps
nothing between calls: the same candidates give the same findings.

What changes while a worker runs, such as lists of bad links, is handed in from outside (`ReadsLists`):
opened by the shell, read-only, and the same for as long as a detector has it. Newer lists make another
detector, with a version of its own, between two batches. So the rule holds per version, and since the
versions of all detectors go into a verdict's configuration, a verdict stays a function of the event and its
configuration.
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
    it, unless it chooses them itself (`reads`). A detector that raises loses its own findings for that event
    and nobody else's.

    What a detector may have besides:

    - `reads_links`: when true it sees every event that carries links beside its text, whatever that holds.
    - `reads(texts)`: is given the folded texts of every batch, and returns the positions of those it wants
      to see though they hold no anchor, each with what its patterns have to reach there: 0 or less to see the
      text whatever it holds. It has to be quick.
    - `opens(texts)`: is asked before `reads`, and returns the positions of texts that `reads` weighs by
      `detectors.reading`. Those of all detectors are then read at once, which is quicker.
    - `reach(ids, *, is_disguised)`: the most that could come of a text if all patterns of these ids matched
      in it. Where that is less than what `reads` says, or than `least_reach` in a text that was not asked
      for, the detector is not shown the text. Answers are remembered, so they must hold for every text, and
      it must not raise.
    - `least_reach`: see `reach`; 0 if left out.
    - `lexicons`: the `detectors.lexicon.Lexicon`s it uses. Before it does, each is held against its own
      examples, once for as long as it stays the same.
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
        """What must be in a text for this detector to see it; empty to see every text, or what it `reads`."""
        ...

    def scan(self, candidates: Sequence[Candidate]) -> Iterable[tuple[Candidate, Finding]]:
        """Yield each finding with the candidate it belongs to."""
        ...


class Listed(msgspec.Struct, frozen=True):
    """That a list holds a link: which list, in which version, and what its holder makes of that."""

    feed: str
    version: str
    """The beginning of the list's checksum, and the day it was first seen so."""
    label: str
    weight: float
    """How sure the list makes one, 0 to 1."""


class Lists(Protocol):
    """Lists of bad links, opened and read-only; whoever holds them sees no change."""

    @property
    def digest(self) -> str:
        """Stands for every name in them, and for their labels and weights."""
        ...

    @property
    def labels(self) -> frozenset[str]:
        """Every label that `find` may return."""
        ...

    def find(self, host: str, domain: str, path: str) -> Sequence[Listed]:
        """Return the lists that hold a link's page, its host, or a domain between host and `domain`.

        The arguments are a `detectors.links.Link`'s. Above the registered domain nothing is looked up,
        and hosting services count as registries: a list that holds one says nothing about its customers.
        """
        ...


@runtime_checkable
class ReadsLists(Protocol):
    """A detector that looks links up. Where no list is configured it is left out, and costs nothing."""

    def with_lists(self, lists: Lists) -> Detector:
        """Return this detector with these lists; its version tells them apart."""
        ...
