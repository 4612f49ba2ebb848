"""Writes: what a screened batch puts on which topic, as bytes. Pure; `delivery` sends them.

A write that its topic refuses as too large has a fallback: an escalation loses its excerpt and evidence, and
when even that does not fit, its source record goes to the dead-letter topic.
"""

from collections.abc import Callable, Iterable
from typing import Final

import msgspec

from pipeline.policy import bare
from pipeline.screen import Screening
from pipeline.seal import IN_CLEAR, Quoting
from pipeline.settings import Settings, Topics
from schemas import Reason, Rejected, Verdict
from schemas.subject_verdict import SubjectVerdict
from schemas.verdict import Quoted

Headers = tuple[tuple[str, bytes], ...]

_TRACE_BYTES: Final = 512
"""As much as anybody has to pass on (W3C Trace Context, 3.3.1.5)."""
_TRACE_HEADERS: Final = frozenset({"traceparent", "tracestate"})

_encode: Final = msgspec.json.Encoder().encode


class Record(msgspec.Struct, frozen=True):
    """A record as it was read, with its place."""

    topic: str
    partition: int
    offset: int
    key: bytes | None
    value: bytes | None
    headers: Headers = ()


class Write(msgspec.Struct, frozen=True):
    """One record to be written, and what to write instead when it is too large for its topic."""

    topic: str
    key: bytes
    value: bytes | None
    headers: Headers
    fallback: "Write | None" = None
    partition: int | None = None
    """None: the one that the key stands for."""


def writes(
    record_at: Callable[[int], Record],
    screening: Screening,
    topics: Topics,
    *,
    with_signals: bool = True,
    quoting: Quoting = IN_CLEAR,
) -> list[Write]:
    """Return every write a batch causes, in the order of its records; few records cause any."""
    out: list[Write] = []
    told = screening.signals if with_signals else {}
    for position in sorted(screening.rejected.keys() | screening.verdicts.keys() | told.keys()):
        record = record_at(position)
        if position in screening.rejected:
            out.append(dead_letter(record, screening.rejected[position], topics))
        for verdict in screening.verdicts.get(position, ()):
            written, quoted = quoting.told(verdict)
            if quoted is not None:
                out.append(_quoted(record, quoted, topics))
            is_held_back = verdict.id in screening.held_back
            out.append(_verdict(record, written, topics, is_held_back=is_held_back))
        out.extend(
            Write(topics.signals, key_of(signal.subject), _encode(signal), ())
            for signal in told.get(position, ())
        )
    return out


def key_of(subject: str) -> bytes:
    """Return the key that a subject's records have."""
    return subject.encode("utf-8", "surrogatepass")


def subject_verdict(record: Record, verdict: SubjectVerdict, topics: Topics) -> Write:
    """Address a subject's verdict; `record` is the signal that made it cross."""
    key = verdict.id.encode()
    headers = _source(record)
    last = dead_letter(record, _too_large(verdict.id, topics.escalations), topics)
    bare = msgspec.structs.replace(verdict, parts=(), faced=())
    reduced = Write(topics.escalations, key, _encode(bare), headers, last)
    return Write(topics.escalations, key, _encode(verdict), headers, reduced)


def dead_letter(record: Record, rejected: Rejected, topics: Topics) -> Write:
    """Address a record's untouched bytes to the dead-letter topic; its place there is its key."""
    place = f"{record.topic}/{record.partition}/{record.offset}".encode()
    return Write(
        topics.dead_letters,
        place,
        record.value,
        (
            *(h for h in record.headers if not h[0].startswith("penjaga-")),
            ("penjaga-reason", rejected.reason.value.encode()),
            ("penjaga-detail", rejected.detail.encode()),
            *_source(record),
            *((("penjaga-source-key", record.key),) if record.key is not None else ()),
        ),
    )


def _verdict(record: Record, verdict: Verdict, topics: Topics, *, is_held_back: bool) -> Write:
    if verdict.action == "shadow":
        topic = topics.shadow
    else:
        topic = topics.overflow if is_held_back else topics.escalations
    key = verdict.id.encode()
    headers = (*_source(record), *_trace(record))
    last = dead_letter(record, _too_large(verdict.id, topic), topics)
    reduced = Write(topic, key, _encode(_reduced(verdict)), headers, last)
    return Write(topic, key, _encode(verdict), headers, reduced)


def _quoted(record: Record, quoted: Quoted, topics: Topics) -> Write:
    last = dead_letter(record, _too_large(quoted.id, topics.quotations), topics)
    return Write(
        topics.quotations, quoted.id.encode(), _encode(quoted), _source(record), fallback=last
    )


def _too_large(verdict_id: str, topic: str) -> Rejected:
    return Rejected(
        reason=Reason.ESCALATION_TOO_LARGE,
        detail=f"verdict {verdict_id} does not fit topic {topic} even without evidence; "
        "raise its max.message.bytes",
    )


def _reduced(verdict: Verdict) -> Verdict:
    """Keep what leads a reviewer to the event; leave out text and evidence."""
    return msgspec.structs.replace(
        verdict, excerpt=None, sealed=None, findings=tuple(bare(f) for f in verdict.findings)
    )


def _source(record: Record) -> Headers:
    return (
        ("penjaga-source-topic", record.topic.encode()),
        ("penjaga-source-partition", str(record.partition).encode()),
        ("penjaga-source-offset", str(record.offset).encode()),
    )


def _trace(record: Record) -> Headers:
    """Return the context of whoever traces messages (W3C Trace Context), so that an escalation is in it."""
    return tuple(
        (name, value)
        for name, value in record.headers
        if name in _TRACE_HEADERS and len(value) <= _TRACE_BYTES
    )


def topics_of(settings: Settings) -> Iterable[str]:
    """Return every topic that is written to."""
    topics = settings.topics
    yield from (topics.escalations, topics.shadow, topics.dead_letters)
    if settings.quotas:
        yield topics.overflow
    if settings.escalations.quotations == "apart":
        yield topics.quotations
    if settings.memory.is_on:
        yield from (topics.signals, topics.memory)
