"""A verdict: what the policy makes of an event's findings for one label.

An escalation is a verdict whose action is `review` or `escalate`, as bytes. Its id is a function of the
event's id and the label, its bytes a function of the event and the configuration: a redelivery is
recognisable, and log compaction can drop it.
"""

import hashlib
from typing import Literal

import msgspec

from schemas.event import AgeBand, Id, Moment, Slug
from schemas.finding import Finding, Score

Action = Literal["none", "shadow", "review", "escalate"]
ACTIONS: tuple[Action, ...] = ("none", "shadow", "review", "escalate")
"""From the mildest to the strongest."""
ESCALATIONS: frozenset[Action] = frozenset({"review", "escalate"})
"""Those that bring an event to people."""

Severity = Literal["SEV0", "SEV1", "SEV2", "SEV3"]


class EventReference(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a reviewer needs to find the event on the platform, and no more."""

    id: Id
    platform: Slug
    kind: Slug
    occurred_at: Moment
    actor_id: Id
    actor_age_band: AgeBand = "unknown"
    audience: Literal["dm", "group", "public"]
    recipient_age_band: AgeBand = "unknown"
    conversation_id: Id | None = None
    space_id: Id | None = None
    target_id: Id | None = None
    language: str | None = None
    is_ad: bool = False


class Excerpt(msgspec.Struct, frozen=True):
    """The part of the original text around the evidence; `offset` is where it starts, in code points."""

    text: str
    offset: int


class Quotation(msgspec.Struct, frozen=True, omit_defaults=True):
    """All that a verdict quotes of a text: its excerpt, and the attributes of its findings in their order."""

    excerpt: Excerpt | None = None
    attributes: tuple[dict[str, str], ...] = ()


class Sealed(msgspec.Struct, frozen=True):
    """A quotation, encrypted: by AES-SIV under a data key, which is wrapped by a master key (RFC 3394)."""

    key: str
    """Which master key."""
    data_key: bytes
    content: bytes


class Verdict(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One event, one label, one action, with everything that led to it."""

    id: str
    taxonomy_version: str
    configuration: str
    event: EventReference
    label: str
    severity: Severity
    action: Action
    score: Score
    findings: tuple[Finding, ...]
    excerpt: Excerpt | None = None
    sealed: Sealed | None = None
    """Instead of the excerpt and the attributes of findings, where quotations are sealed."""


class Quoted(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a verdict quotes, on a topic of its own: in clear, or sealed."""

    id: str
    """The verdict's."""
    quotation: Quotation | None = None
    sealed: Sealed | None = None


def verdict_id(platform: str, event_id: str, label: str) -> str:
    """Derive a verdict's id: 32 hexadecimal digits, the same for every redelivery of the event."""
    parts = f"{platform}\x00{event_id}\x00{label}".encode("utf-8", "surrogatepass")
    return hashlib.blake2b(parts, digest_size=16, person=b"penjaga.verdict").hexdigest()
