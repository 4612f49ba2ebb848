"""The published description of the wire, written from the types: JSON Schemas, AsyncAPI.

`python -m schemas.published` writes the files beside this one; `--check` only says whether they are
current, so that a change of a type cannot go out without its description.
"""

import argparse
import inspect
import re
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import msgspec

from schemas.event import Actor, Audience, Conversation, Event
from schemas.finding import Evidence, Finding
from schemas.labels import taxonomy
from schemas.rejected import Reason, Rejected
from schemas.signal import Signal, signal_id, subject
from schemas.subject_verdict import Part, SubjectVerdict, subject_verdict_id
from schemas.verdict import EventReference, Excerpt, Quotation, Quoted, Verdict, verdict_id

FOLDER: Final = Path(__file__).parent
"""Where the files stand: inside the package, so that they are installed with it."""

_TYPES: Final[tuple[type[msgspec.Struct], ...]] = (
    Event,
    Finding,
    Verdict,
    Rejected,
    Signal,
    SubjectVerdict,
    Quoted,
)
_JSON: Final = "application/json"
_WIRE_VERSION: Final = "1.0.0"

_SOURCE_HEADERS: Final[dict[str, dict[str, Any]]] = {
    "penjaga-source-topic": {"type": "string", "description": "The topic the record came from."},
    "penjaga-source-partition": {"type": "string", "pattern": "^[0-9]+$"},
    "penjaga-source-offset": {"type": "string", "pattern": "^[0-9]+$"},
}
_DEAD_LETTER_HEADERS: Final[dict[str, dict[str, Any]]] = {
    "penjaga-reason": {"enum": [str(reason) for reason in Reason]},
    "penjaga-detail": {
        "type": "string",
        "description": "The field and what was expected of it; never a value of the record.",
    },
    **_SOURCE_HEADERS,
    "penjaga-source-key": {
        "type": "string",
        "description": "The record's key, as it was; left out if it had none.",
    },
}
_VERDICT_HEADERS: Final[dict[str, dict[str, Any]]] = {
    **_SOURCE_HEADERS,
    "traceparent": {
        "type": "string",
        "description": "The record's own, if it had one: W3C Trace Context.",
    },
    "tracestate": {"type": "string", "description": "Likewise."},
}
_OPTIONAL_HEADERS: Final = frozenset({"penjaga-source-key", "traceparent", "tracestate"})


def files() -> dict[str, bytes]:
    """Return every published file by name."""
    contents: dict[str, Any] = {_file_name(type_): _json_schema(type_) for type_ in _TYPES}
    contents["asyncapi.json"] = _asyncapi()
    return {
        name: msgspec.json.format(msgspec.json.encode(content), indent=2) + b"\n"
        for name, content in contents.items()
    }


def stale(folder: Path = FOLDER) -> list[str]:
    """Return the names of the files that do not say what the types say, or are not there."""
    return [
        name
        for name, content in files().items()
        if not (folder / name).is_file() or (folder / name).read_bytes() != content
    ]


def main(arguments: Sequence[str] | None = None, folder: Path = FOLDER) -> int:
    """Write the files, or check them; return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m schemas.published", description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 if stale")
    changed = stale(folder)
    if parser.parse_args(arguments).check:
        for name in changed:
            sys.stderr.write(f"{folder / name}: stale; run `python -m schemas.published`\n")
        return 1 if changed else 0
    for name, content in files().items():
        (folder / name).write_bytes(content)
    return 0


def _file_name(type_: type[msgspec.Struct]) -> str:
    return re.sub(r"(?<!^)(?=[A-Z])", "_", type_.__name__).lower() + ".schema.json"


def _json_schema(type_: type[msgspec.Struct]) -> dict[str, Any]:
    """Return one type's schema, complete in itself."""
    (schema,), definitions = msgspec.json.schema_components((type_,), ref_template="#/$defs/{name}")
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": _file_name(type_),
        **schema,
        "$defs": _tidy(definitions),
    }


def _asyncapi() -> dict[str, Any]:
    """Return the AsyncAPI 3.0 document: which topics there are and what is on them."""
    _, schemas = msgspec.json.schema_components(_TYPES, ref_template="#/components/schemas/{name}")
    channels = {
        "sourceEvents": _channel(
            "platform.events",
            ("Event",),
            "What people write. Any topic can be a source, in this shape or mapped to it by "
            "[sources] in penjaga.toml; CloudEvents 1.0 envelopes in structured mode unwrap.",
        ),
        "escalations": _channel(
            "penjaga.escalations",
            ("Verdict", "SubjectVerdict"),
            "Verdicts to be acted on: of single events, and of subjects that crossed a level. At "
            "least once; the key is the verdict's id, so that a redelivery is recognised and log "
            "compaction can drop it.",
        ),
        "shadow": _channel(
            "penjaga.shadow",
            ("Verdict",),
            "Verdicts that are only measured: labels and thresholds on trial.",
        ),
        "overflow": _channel(
            "penjaga.overflow",
            ("Verdict",),
            "Verdicts to be acted on that were more than a quota allows, as they would be on "
            "escalations. A verdict may be on both after a crash, under one id, and is never on neither.",
        ),
        "quotations": _channel(
            "penjaga.quotations",
            ("Quoted",),
            "What verdicts quote, where that is kept apart from them: in clear, or sealed. The key is "
            "the verdict's id.",
        ),
        "deadLetters": _channel(
            "penjaga.dead-letters",
            ("DeadLetter",),
            "Records that could not be screened or escalated, with their bytes untouched. The "
            "key is the place they came from: topic/partition/offset.",
        ),
        "signals": _channel(
            "penjaga.signals",
            ("Signal",),
            "What findings say of the subjects they concern. The key is the subject; a record "
            "without a value tells whoever remembers the subject to forget it. Not compacted.",
        ),
        "memory": _channel(
            "penjaga.memory",
            ("Memory",),
            "What is kept of each subject, as a log to recover from: compacted, with as many "
            "partitions as the signals. The key is the subject.",
        ),
    }
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "Penjaga",
            "version": _WIRE_VERSION,
            "description": "Platform events in, explainable escalations out.",
        },
        "defaultContentType": _JSON,
        "channels": channels,
        "operations": {
            "screen": _operation("receive", "sourceEvents"),
            "escalate": _operation("send", "escalations"),
            "measure": _operation("send", "shadow"),
            "holdBack": _operation("send", "overflow"),
            "quote": _operation("send", "quotations"),
            "setAside": _operation("send", "deadLetters"),
            "tell": _operation("send", "signals"),
            "correlate": _operation("receive", "signals"),
            "remember": _operation("send", "memory"),
        },
        "components": {"messages": _messages(), "schemas": _tidy(schemas)},
    }


def _channel(topic: str, messages: tuple[str, ...], description: str) -> dict[str, Any]:
    return {
        "address": topic,
        "description": f"{description} The address is the default and can be configured.",
        "messages": {name: {"$ref": f"#/components/messages/{name}"} for name in messages},
    }


def _operation(action: str, channel: str) -> dict[str, Any]:
    return {"action": action, "channel": {"$ref": f"#/channels/{channel}"}}


def _messages() -> dict[str, Any]:
    """Return the messages, each with what its headers and its key are."""
    event, verdict = _examples()
    signal = _signal(verdict)
    return {
        "Event": {
            "contentType": _JSON,
            "payload": {"$ref": "#/components/schemas/Event"},
            "examples": [{"payload": msgspec.to_builtins(event)}],
        },
        "Verdict": {
            "contentType": _JSON,
            "headers": _headers(_VERDICT_HEADERS),
            "payload": {"$ref": "#/components/schemas/Verdict"},
            "bindings": {"kafka": {"key": {"type": "string", "pattern": "^[0-9a-f]{32}$"}}},
            "examples": [{"payload": msgspec.to_builtins(verdict)}],
        },
        "SubjectVerdict": {
            "contentType": _JSON,
            "headers": _headers(_SOURCE_HEADERS),
            "payload": {"$ref": "#/components/schemas/SubjectVerdict"},
            "bindings": {"kafka": {"key": {"type": "string", "pattern": "^[0-9a-f]{32}$"}}},
            "examples": [{"payload": msgspec.to_builtins(_subject_verdict(signal, verdict))}],
        },
        "Quoted": {
            "contentType": _JSON,
            "headers": _headers(_SOURCE_HEADERS),
            "payload": {"$ref": "#/components/schemas/Quoted"},
            "bindings": {"kafka": {"key": {"type": "string", "pattern": "^[0-9a-f]{32}$"}}},
            "examples": [{"payload": msgspec.to_builtins(_quoted(verdict))}],
        },
        "Signal": {
            "contentType": _JSON,
            "payload": {"$ref": "#/components/schemas/Signal"},
            "bindings": {"kafka": {"key": {"type": "string", "description": "The subject."}}},
            "examples": [{"payload": msgspec.to_builtins(signal)}],
        },
        "Memory": {
            "contentType": "application/msgpack",
            "payload": {"description": "Penjaga's own; `penjaga subjects show` reads it."},
            "bindings": {"kafka": {"key": {"type": "string", "description": "The subject."}}},
        },
        "DeadLetter": {
            "contentType": "application/octet-stream",
            "headers": _headers(_DEAD_LETTER_HEADERS),
            "payload": {"description": "The source record's value, byte for byte, or null."},
            "bindings": {"kafka": {"key": {"type": "string"}}},
        },
    }


def _headers(properties: dict[str, dict[str, Any]]) -> dict[str, Any]:
    required = [name for name in properties if name not in _OPTIONAL_HEADERS]
    return {"type": "object", "properties": properties, "required": required}


def _examples() -> tuple[Event, Verdict]:
    """Return an event and what could follow from it: the canary, which nobody writes."""
    text = "PENJAGA-CANARY-7f3a91c4"
    event = Event(
        id="m-1",
        platform="acme",
        kind="message",
        occurred_at=datetime(2026, 1, 31, 8, tzinfo=UTC),
        text=text,
        actor=Actor(id="u-1"),
        audience=Audience(kind="group", size=12),
        conversation=Conversation(id="c-1"),
    )
    label = taxonomy()["canary.seen"]
    finding = Finding(
        detector="canary",
        version="1",
        label=label.id,
        score=1.0,
        start=0,
        end=len(text),
        reason="the canary string",
        evidence=(Evidence("canary", 1.0, 0, len(text)),),
    )
    verdict = Verdict(
        id=verdict_id(event.platform, event.id, label.id),
        taxonomy_version=taxonomy().version,
        configuration="0" * 16,
        event=EventReference(
            id=event.id,
            platform=event.platform,
            kind=event.kind,
            occurred_at=event.occurred_at,
            actor_id=event.actor.id,
            audience=event.audience.kind,
            conversation_id="c-1",
        ),
        label=label.id,
        severity=label.severity,
        action="review",
        score=1.0,
        findings=(finding,),
        excerpt=Excerpt(text, 0),
    )
    return event, verdict


def _quoted(verdict: Verdict) -> Quoted:
    """Return what the example quotes."""
    attributes = tuple(finding.attributes for finding in verdict.findings)
    return Quoted(id=verdict.id, quotation=Quotation(verdict.excerpt, attributes))


def _signal(verdict: Verdict) -> Signal:
    """Return what the example's finding would say of its sender."""
    of = subject("actor", verdict.event.platform, verdict.event.actor_id)
    return Signal(
        id=signal_id(verdict.event.platform, verdict.event.id, "csea.grooming", of),
        subject=of,
        label="csea.grooming",
        score=0.2,
        cues=("age_access",),
        event_id=verdict.event.id,
        platform=verdict.event.platform,
        occurred_at=verdict.event.occurred_at,
        actor_id=verdict.event.actor_id,
        counterparts=("u-2",),
        counterpart_age_band="minor",
        audience=verdict.event.audience,
    )


def _subject_verdict(signal: Signal, verdict: Verdict) -> SubjectVerdict:
    """Return what could follow from such signals about three people."""
    people = ("u-2", "u-3", "u-4")
    return SubjectVerdict(
        id=subject_verdict_id(signal.subject, "grooming_fan_out", "review"),
        taxonomy_version=verdict.taxonomy_version,
        configuration=verdict.configuration,
        subject=signal.subject,
        behaviour="grooming_fan_out",
        label=signal.label,
        severity=taxonomy().severity(signal.label),
        level="review",
        action="review",
        score=0.75,
        parts=tuple(Part(person, signal.actor_id, 0.2) for person in people),
        raised=1.25,
        faced=people,
        audiences=("group",),
        counterparts=4,
        evidence=("m-1", "m-2", "m-3"),
    )


def _tidy(schema: Any) -> Any:  # noqa: ANN401  # any JSON
    """Take the indentation of the source code out of descriptions."""
    if isinstance(schema, dict):
        return {
            key: inspect.cleandoc(value)
            if key == "description" and isinstance(value, str)
            else _tidy(value)
            for key, value in schema.items()
        }
    return [_tidy(item) for item in schema] if isinstance(schema, list) else schema


if __name__ == "__main__":
    sys.exit(main())
