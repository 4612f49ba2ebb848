"""Labelled conversations: whole talks that say what they are, and when the line flags each.

A conversation is flagged at the turn at which one of its messages, or the memory of the conversation, first
comes before somebody for its label.
"""

from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Annotated, BinaryIO, Final

import msgspec

from pipeline.correlate import Heard, correlate_batch
from pipeline.labelled import NOT_GIVEN, Reading, Refused, records
from pipeline.line import Line
from schemas import ESCALATIONS, Actor, Audience, Event, Rejected
from schemas.event import AgeBand, Conversation, Id
from schemas.record import Limits
from schemas.signal import kind_of
from schemas.source import SourceMapping

_SOURCE: Final = "conversations"
_START: Final = datetime(2026, 1, 1, tzinfo=UTC)
_Minutes = Annotated[float, msgspec.Meta(ge=0.0, le=5_256_000.0)]


class Turn(msgspec.Struct, frozen=True):
    """One message; `minutes` after the first."""

    actor: Id
    text: str
    minutes: _Minutes


class Talk(msgspec.Struct, frozen=True):
    """A line of a file: a conversation and what it is said to be."""

    id: Id
    label: str
    turns: Annotated[tuple[Turn, ...], msgspec.Meta(min_length=1, max_length=10_000)]
    language: str = NOT_GIVEN
    bands: dict[str, AgeBand] = {}
    """The age bands of actors, where they are known."""
    file: str = ""
    """Where it stands, as is its number; whatever the line says of that is not read."""
    number: int = 0


class Flagged(msgspec.Struct, frozen=True):
    """One conversation, and at which turn, from 1, it was flagged for each label."""

    id: str
    truth: str
    language: str
    turns: int
    at: dict[str, int]


def read(stream: BinaryIO, file: str, limits: Limits, reading: Reading) -> Iterator[Talk | Refused]:
    """Read the conversations of a file. Never raises for what is in it."""
    # A line is a whole conversation.
    wide = msgspec.structs.replace(limits, record_bytes=64 * limits.record_bytes)
    decoder = msgspec.json.Decoder(Talk)
    for item in records(stream, file, wide, fill=False):
        if isinstance(item, Refused):
            yield item
            continue
        number, record = item
        try:
            talk = decoder.decode(record)
        except (msgspec.MsgspecError, UnicodeDecodeError):
            detail = 'expected {"id", "label", "turns": [{"actor", "text", "minutes"}]}'
            yield Refused(file, number, "wrong_type", detail)
            continue
        label = reading.label(talk.label)
        if label is None:
            detail = (
                "no such label in schemas/labels.toml; say what it stands for: --map word=label"
            )
            yield Refused(file, number, "unknown_label", detail)
        else:
            yield msgspec.structs.replace(talk, label=label, file=file, number=number)


def events(talk: Talk) -> list[Event]:
    """Return a conversation as a platform would send it: direct messages of two, or messages of a group."""
    people = tuple(dict.fromkeys(turn.actor for turn in talk.turns))
    is_direct = len(people) <= 2  # noqa: PLR2004
    out = []
    for number, turn in enumerate(talk.turns):
        others = tuple(person for person in people if person != turn.actor)
        bands = {talk.bands.get(person, "unknown") for person in others}
        out.append(
            Event(
                id=f"{talk.id[:200]}/{number + 1}",
                platform="conversations",
                kind="message",
                occurred_at=_START + timedelta(minutes=turn.minutes),
                text=turn.text,
                actor=Actor(id=turn.actor, age_band=talk.bands.get(turn.actor, "unknown")),
                audience=Audience(
                    kind="dm" if is_direct else "group",
                    recipient_ids=others[:16],
                    recipient_age_band="minor" if "minor" in bands else "unknown",
                ),
                conversation=Conversation(id=talk.id),
            )
        )
    return out


def flagged(
    items: Iterable[Talk | Refused], line: Line, limits: Limits
) -> Iterator[Flagged | Refused]:
    """Play each conversation through a line, its memory empty at the start, in order of time."""
    mapping = SourceMapping.compile({}, limits)
    worker = msgspec.structs.replace(line, mappings={_SOURCE: mapping})
    for item in items:
        yield item if isinstance(item, Refused) else _flagged(item, worker)


def _flagged(talk: Talk, line: Line) -> Flagged | Refused:
    ordered = sorted(events(talk), key=lambda event: event.occurred_at)
    screening = line.screen(_SOURCE, [msgspec.json.encode(event) for event in ordered])
    told = []
    for position, event in enumerate(screening.events):
        if isinstance(event, Rejected):
            detail = f"turn {position + 1}: {event.detail}"
            return Refused(talk.file, talk.number, event.reason.value, detail)
        told += [
            (position, signal)
            for signal in screening.signals.get(position, ())
            if kind_of(signal.subject) == "conversation"
        ]
    heard = [Heard(signal.subject, signal) for _, signal in told]
    alerts = [
        (position, verdict.label)
        for position, verdicts in screening.verdicts.items()
        for verdict in verdicts
        if verdict.action in ESCALATIONS
    ]
    alerts += [
        (told[number][0], verdict.label)
        for number, verdict in correlate_batch({}, heard, line.watch).verdicts
        if verdict.action in ESCALATIONS
    ]
    at: dict[str, int] = {}
    for position, label in sorted(alerts):
        at.setdefault(label, position + 1)
    return Flagged(talk.id, talk.label, talk.language, len(talk.turns), at)
