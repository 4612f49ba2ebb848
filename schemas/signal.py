"""A signal: what a finding says about one subject, for whoever remembers subjects. It holds no text.

A subject is what is watched over time: a conversation, a sender, a target, a space, or a link (a registered
domain, a chat handle, a phone number). Its name holds the platform, so that the ids of two never mix.
"""

import hashlib
from typing import Annotated, Literal

import msgspec

from schemas.event import AgeBand, AudienceKind, Id, Moment, Slug
from schemas.finding import Score
from schemas.verdict import Action

SubjectKind = Literal["conversation", "actor", "target", "space", "link"]


class Signal(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One label that one event was given, as it concerns one subject."""

    id: Annotated[str, msgspec.Meta(min_length=1, max_length=64)]
    subject: Annotated[str, msgspec.Meta(min_length=1, max_length=1024)]
    label: str
    score: Score
    action: Action = "none"
    """What the policy made of the event for this label."""
    cues: tuple[str, ...] = ()
    """What of the label was seen, such as the processes of grooming; the likeliest first."""
    strengths: tuple[Score, ...] = ()
    """How likely each cue is, where one of them is less than certain."""
    event_id: Id
    platform: Slug
    occurred_at: Moment
    actor_id: Id
    actor_age_band: AgeBand = "unknown"
    counterparts: tuple[Id, ...] = ()
    """Whom it was written to, where the platform says."""
    counterpart_age_band: AgeBand = "unknown"
    audience: AudienceKind


def subject(kind: SubjectKind, platform: str, name: str) -> str:
    """Return the name of a subject: `conversation:chat:c-1`."""
    return f"{kind}:{platform}:{name}"


def kind_of(name: str) -> str:
    """Return what kind of subject a name stands for."""
    return name.partition(":")[0]


def signal_id(platform: str, event_id: str, label: str, of: str) -> str:
    """Derive a signal's id: 16 hexadecimal digits, the same for every redelivery of the event."""
    parts = f"{platform}\x00{event_id}\x00{label}\x00{of}".encode("utf-8", "surrogatepass")
    return hashlib.blake2b(parts, digest_size=8, person=b"penjaga.signal").hexdigest()
