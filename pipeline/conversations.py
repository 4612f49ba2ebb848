"""Labelled conversations: whole talks that say what they are, and when the line flags each.

A conversation is flagged at the turn at which one of its messages, or the memory of the conversation, first
comes before somebody for its label.
"""

import gzip
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, BinaryIO, Final

import msgspec

from pipeline.correlate import correlate
from pipeline.labelled import ALERTS, BENIGN, NOT_GIVEN, Reading, Refused, label_named
from pipeline.line import Line
from pipeline.memory import Memory
from pipeline.scan import json_lines
from schemas import Actor, Audience, Event, Rejected
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


class Flagged(msgspec.Struct, frozen=True):
    """One conversation, and at which turn, from 1, it was flagged for each label."""

    id: str
    truth: str
    language: str
    turns: int
    at: dict[str, int]


def read(stream: BinaryIO, file: str, limits: Limits, reading: Reading) -> Iterator[Talk | Refused]:
    """Read the JSON lines of a file, unpacked if its name ends in `.gz`. Never raises for what is in it."""
    content: Any = gzip.GzipFile(fileobj=stream) if file.endswith(".gz") else stream
    # A line is a whole conversation.
    wide = msgspec.structs.replace(limits, record_bytes=64 * limits.record_bytes)
    decoder = msgspec.json.Decoder(Talk)
    for item in json_lines(content, wide, fill=False):
        if isinstance(item.record, Rejected):
            yield Refused(file, item.number, item.record.reason.value, item.record.detail)
            continue
        try:
            talk = decoder.decode(item.record)
        except (msgspec.MsgspecError, UnicodeDecodeError):
            detail = 'expected {"id", "label", "turns": [{"actor", "text", "minutes"}]}'
            yield Refused(file, item.number, "wrong_type", detail)
            continue
        label = reading.words.get(talk.label) or label_named(talk.label)
        if label is None:
            detail = (
                "no such label in schemas/labels.toml; say what it stands for: --map word=label"
            )
            yield Refused(file, item.number, "unknown_label", detail)
        else:
            yield msgspec.structs.replace(talk, label=label)


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
    memories: dict[str, Memory] = {}
    at: dict[str, int] = {}
    for position, event in enumerate(screening.events):
        if isinstance(event, Rejected):
            return Refused(talk.id, position + 1, event.reason.value, event.detail)
        alerts = [v.label for v in screening.verdicts.get(position, ()) if v.action in ALERTS]
        for signal in screening.signals.get(position, ()):
            before = memories.get(signal.subject, Memory())
            memories[signal.subject], crossed = correlate(before, signal, line.watch)
            if kind_of(signal.subject) == "conversation":
                alerts += [verdict.label for verdict in crossed if verdict.action in ALERTS]
        for label in alerts:
            at.setdefault(label, position + 1)
    return Flagged(talk.id, talk.label, talk.language, len(talk.turns), at)


def labels_in(conversations: Sequence[Flagged]) -> list[str]:
    """Return the labels and families that conversations are said to be of."""
    return sorted({one.truth for one in conversations} - {BENIGN})
