"""An event: one piece of writing on a platform, in the shape every detector reads.

Platforms have shapes of their own; `schemas.source` maps them to this one, so that no detector ever
knows where a message came from.
"""

import re
from datetime import datetime
from functools import lru_cache
from typing import Annotated, Any, Final, Literal

import msgspec

Id = Annotated[str, msgspec.Meta(min_length=1, max_length=512)]
_SLUG: Final = re.compile(r"[a-z][a-z0-9_.-]{0,63}")
# Checked by `slug_error` and not by msgspec, which would call a regular expression for every event.
Slug = Annotated[str, msgspec.Meta(extra_json_schema={"pattern": f"^{_SLUG.pattern}$"})]
Moment = Annotated[datetime, msgspec.Meta(tz=True)]

AgeBand = Literal["minor", "adult", "unknown"]
AudienceKind = Literal["dm", "group", "public"]


class Actor(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """Who wrote it. An unknown age band is the normal case and silences nothing."""

    id: Id
    created_at: Moment | None = None
    age_band: AgeBand = "unknown"


class Audience(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """Who could read it: the Malaysian Online Safety Act leaves private messaging out (s.2)."""

    kind: AudienceKind
    size: Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)] | None = None
    recipient_ids: Annotated[tuple[Id, ...], msgspec.Meta(max_length=1000)] = ()
    recipient_age_band: AgeBand = "unknown"


class Conversation(msgspec.Struct, frozen=True, gc=False):
    """The exchange a message belongs to: a direct chat, a thread, a comment section."""

    id: Id


class Space(msgspec.Struct, frozen=True, gc=False):
    """The group, page or channel it was written in."""

    id: Id
    kind: Slug = "group"


class Target(msgspec.Struct, frozen=True, gc=False):
    """The person it is addressed to or about, where the platform knows."""

    id: Id


class Event(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """One message, comment, post, bio or space name, as it was written.

    `text` is the original, never normalised; every span in a finding counts its Unicode code points.
    `attributes` are carried along and never required.
    """

    # What JSON can say holds no cycle, so the garbage collector need not look at events (`gc=False`).

    id: Id
    platform: Slug
    kind: Slug
    occurred_at: Moment
    text: str
    actor: Actor
    audience: Audience
    conversation: Conversation | None = None
    space: Space | None = None
    in_reply_to: Id | None = None
    target: Target | None = None
    language: Annotated[str, msgspec.Meta(max_length=35)] | None = None
    links: Annotated[tuple[str, ...], msgspec.Meta(max_length=1000)] = ()
    is_ad: bool = False
    attributes: dict[str, Any] = {}


SLUGS: Final = ("platform", "kind", "space.kind")
"""The fields that hold a slug."""


def slug_error(event: Event) -> str | None:
    """Name the field whose slug is none, if there is one."""
    held = (event.platform, event.kind, event.space.kind if event.space else None)
    wrong = (
        name
        for name, slug in zip(SLUGS, held, strict=True)
        if slug is not None and not is_slug(slug)
    )
    return next(wrong, None)


@lru_cache(maxsize=4096)
def is_slug(text: str) -> bool:
    """Tell whether a text is a slug; platforms have few, so each is looked at once."""
    return _SLUG.fullmatch(text) is not None
