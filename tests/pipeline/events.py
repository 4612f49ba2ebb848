"""Events and records to test with."""

from datetime import UTC, datetime
from typing import Any, Literal

import orjson

from schemas import Actor, Audience, Event

CANARY = "PENJAGA-CANARY-7f3a91c4"


def event(
    text: str, id_: str = "e1", audience: Literal["dm", "group", "public"] = "public"
) -> Event:
    """Make an event around a text."""
    return Event(
        id=id_,
        platform="test",
        kind="message",
        occurred_at=datetime(2026, 1, 31, 8, tzinfo=UTC),
        text=text,
        actor=Actor(id="a1"),
        audience=Audience(kind=audience),
    )


def record(text: str, id_: str = "e1", **more: Any) -> bytes:  # any JSON
    """Make a canonical record around a text."""
    fields = {
        "id": id_,
        "platform": "test",
        "kind": "message",
        "occurred_at": "2026-01-31T08:00:00Z",
        "text": text,
        "actor": {"id": "a1"},
        "audience": {"kind": "public"},
    }
    return orjson.dumps(fields | more)
