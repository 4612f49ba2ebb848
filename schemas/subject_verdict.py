"""A subject verdict: what the memory of a subject adds up to, at the moment it crosses a level.

Its id is a function of the subject, the behaviour and the level, so that whatever is delivered again is
recognised. It holds ids and sums, never text.
"""

import hashlib

import msgspec

from schemas.finding import Score
from schemas.verdict import Action, Severity


class Part(msgspec.Struct, frozen=True):
    """One addend of a subject's score: what was seen, who did it, and what it still weighs."""

    key: str
    actor_id: str
    weight: float


class SubjectVerdict(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One subject, one behaviour, one level: the arithmetic, and the events that made it."""

    id: str
    taxonomy_version: str
    configuration: str
    subject: str
    behaviour: str
    label: str
    severity: Severity
    level: Action
    """What was crossed: a level is told once in a subject's life."""
    action: Action
    """The same, under the name by which every escalation is routed."""
    score: Score
    parts: tuple[Part, ...]
    """What adds up to the score before it is multiplied by `raised` and cut to 1."""
    raised: float = 1.0
    """More than 1 where an adult, or somebody of unknown age, faces a minor."""
    faced: tuple[str, ...] = ()
    """To whom the events that count were written, where the platform says."""
    audiences: tuple[str, ...] = ()
    """Before whom: `dm`, `group`, `public`."""
    counterparts: int = 0
    """How many different people the subject met: exact below 64, estimated from there."""
    evidence: tuple[str, ...]
    """The ids of the events that count, in order of their time."""


def subject_verdict_id(subject: str, behaviour: str, level: str, lives: int = 0) -> str:
    """Derive a subject verdict's id: 32 hexadecimal digits.

    A subject that began anew, after everything of it lay behind the window, and crosses again is no
    redelivery: `lives` counts how often it did.
    """
    again = f"\x00{lives}" if lives else ""
    parts = f"{subject}\x00{behaviour}\x00{level}{again}".encode("utf-8", "surrogatepass")
    return hashlib.blake2b(parts, digest_size=16, person=b"penjaga.subject").hexdigest()
