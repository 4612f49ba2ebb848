"""Scenes: what shows only over several messages, played by people of the simulated platform.

The messages beside them are `pipeline.traffic`'s; the lines of each scene are data (`scenes.toml`).
"""

from collections.abc import Iterator
from datetime import datetime, timedelta
from functools import cache
from itertools import chain, zip_longest
from pathlib import Path
from typing import Final

import msgspec

from pipeline.traffic import PLATFORM
from schemas import Actor, Audience, Conversation, Event, Space, Target
from schemas.document import Document
from schemas.event import AudienceKind

_BETWEEN: Final = timedelta(seconds=1)


class _Said(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    by: str
    text: str
    to: str = ""


class _Scene(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    audience: AudienceKind
    lines: tuple[_Said, ...]


@cache
def names() -> tuple[str, ...]:
    """Return the names of the scenes, which are those of the behaviours they show."""
    return tuple(_scenes())


@cache
def _scenes() -> dict[str, _Scene]:
    document = Document.read(Path(__file__).with_name("scenes.toml"))
    return document.to(dict[str, _Scene])


def played(number: int, *, start: datetime) -> Iterator[Event]:
    """Play every scene once, in turns, from `start` on; `number` is the round, with people of its own.

    Raises:
        DocumentError: if `scenes.toml` cannot be used.
    """
    each = [_events(name, scene, number, start) for name, scene in _scenes().items()]
    in_turns = (event for event in chain.from_iterable(zip_longest(*each)) if event is not None)
    for count, event in enumerate(in_turns):
        yield msgspec.structs.replace(event, occurred_at=start + count * _BETWEEN)


def scene_of(event: Event) -> str:
    """Return the place of an event: what is sent under one key stays in order."""
    return event.id.rpartition("-")[0]


def _events(name: str, scene: _Scene, number: int, at: datetime) -> Iterator[Event]:
    place = f"scene-{name}-{number}"
    for count, said in enumerate(scene.lines):
        by, to = (f"{place}-{role}" if role else "" for role in (said.by, said.to))
        is_dm = scene.audience == "dm"
        low, high = sorted((by, to))
        yield Event(
            id=f"{place}-{count}",
            platform=PLATFORM,
            kind="message",
            occurred_at=at,
            text=said.text.replace("{round}", str(number)),
            actor=Actor(id=by),
            audience=Audience(kind=scene.audience, recipient_ids=(to,) if is_dm else ()),
            conversation=Conversation(f"{low}-{high}" if is_dm else place),
            space=None if is_dm else Space(place),
            target=Target(to) if to and not is_dm else None,
        )
