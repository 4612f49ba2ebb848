"""Scan: the line offline, over a file. One output line per input line, in order, in constant memory."""

import csv
import io
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import Any, BinaryIO, Final

import msgspec
import orjson

from pipeline.correlate import Watch, correlate
from pipeline.line import Line
from pipeline.memory import Memory
from pipeline.policy import scores, strongest
from pipeline.screen import Screening, screen
from schemas import Action, Event, Finding, Reason, Rejected
from schemas.record import Parsed, parsed
from schemas.signal import Signal
from schemas.source import Limits, SourceMapping
from schemas.subject_verdict import SubjectVerdict

BATCH_LINES: Final = 500
_FILL_BYTES: Final = 4096


class MissingColumnError(ValueError):
    """A CSV header without the column that was asked for."""


class Input(msgspec.Struct, frozen=True):
    """One line of input, from 1: the record it stands for, or why it is none."""

    number: int
    record: bytes | Rejected


class Scanned(msgspec.Struct, frozen=True):
    """What became of one line of input."""

    number: int
    event: Event | Rejected
    action: Action
    findings: tuple[Finding, ...]
    output: dict[str, Any]
    signals: tuple[Signal, ...] = ()


def scan(inputs: Iterable[Input], line: Line, mapping: SourceMapping) -> Iterator[Scanned]:
    """Screen every line, a batch at a time."""
    remaining = iter(inputs)
    while batch := list(islice(remaining, BATCH_LINES)):
        records = [item.record for item in batch if isinstance(item.record, bytes)]
        screening = screen(records, mapping, line.chain, line.policy, line.watch)
        position = 0
        for item in batch:
            if isinstance(item.record, Rejected):
                yield _scanned(item.number, item.record, screening, -1)
            else:
                yield _scanned(item.number, screening.events[position], screening, position)
                position += 1


def _scanned(number: int, event: Event | Rejected, screening: Screening, position: int) -> Scanned:
    if isinstance(event, Rejected):
        rejected = {"rejected": event.reason.value, "line": number}
        return Scanned(number, event, "none", (), rejected)
    findings = screening.findings.get(position, ())
    verdicts = screening.verdicts.get(position, ())
    action = strongest(verdicts)
    output = {
        "event_id": event.id,
        "action": action,
        "scores": scores(findings),
        "findings": [
            {
                "detector": f.detector,
                "label": f.label,
                "score": f.score,
                "start": f.start,
                "end": f.end,
                "reason": f.reason,
            }
            for f in findings
        ],
    }
    return Scanned(number, event, action, findings, output, screening.signals.get(position, ()))


def subjects(scanned: Sequence[Scanned], watch: Watch) -> dict[int, list[dict[str, Any]]]:
    """Correlate what was scanned, in order of the events' time; return subject lines by line number."""
    memories: dict[str, Memory] = {}
    told: dict[int, list[dict[str, Any]]] = {}
    dated = [(item.event, item) for item in scanned if isinstance(item.event, Event)]
    for _, item in sorted(dated, key=lambda d: (d[0].occurred_at, d[1].number)):
        for signal in item.signals:
            before = memories.get(signal.subject, Memory())
            memories[signal.subject], crossed = correlate(before, signal, watch)
            told.setdefault(item.number, []).extend(_subject(verdict) for verdict in crossed)
    return told


def _subject(verdict: SubjectVerdict) -> dict[str, Any]:
    return {
        "subject": verdict.subject,
        "behaviour": verdict.behaviour,
        "level": verdict.level,
        "action": verdict.action,
        "scores": {verdict.label: verdict.score},
        "evidence": verdict.evidence,
    }


def json_lines(stream: BinaryIO, limits: Limits, *, fill: bool) -> Iterator[Input]:
    """Read JSON lines; with `fill`, put what an event needs beside its text where it is missing.

    A line longer than a record may be is read past, not into memory. What is filled in does not count.
    """
    number = 0
    while head := stream.readline(limits.record_bytes + 2):
        number += 1
        raw = head.rstrip(b"\r\n")
        while not head.endswith(b"\n") and (head := stream.readline(limits.record_bytes)):
            pass
        if len(raw) > limits.record_bytes:
            yield Input(number, _too_large(limits))
        else:
            yield Input(number, filled(raw, number, limits) if fill else raw)


def room_to_fill(limits: Limits) -> Limits:
    """Return limits under which a filled record is no larger for what was filled in."""
    return msgspec.structs.replace(limits, record_bytes=2 * limits.record_bytes + _FILL_BYTES)


def csv_rows(stream: BinaryIO, text_column: str, limits: Limits) -> Iterator[Input]:
    """Read CSV rows with a header; other columns named like an event's plain fields are used too.

    Raises:
        MissingColumnError: if the header has no such column.
    """
    text = io.TextIOWrapper(stream, encoding="utf-8-sig", errors="surrogateescape", newline="")
    csv.field_size_limit(2**31 - 1)
    rows = csv.DictReader(text)
    if text_column not in (rows.fieldnames or ()):
        raise MissingColumnError(
            f"no column `{text_column}`; the header has {', '.join(rows.fieldnames or ()) or 'nothing'}"
        )
    for number, row in enumerate(rows, start=1):
        value = row[text_column]
        if value is None or None in row:
            detail = f"expected as many columns as the header's {len(rows.fieldnames or ())}"
            yield Input(number, Rejected(reason=Reason.WRONG_TYPE, detail=detail))
            continue
        plain = {k: row[k] for k in ("id", "platform", "kind", "language") if row.get(k)}
        try:
            yield Input(number, filled(orjson.dumps({"text": value, **plain}), number, limits))
        except orjson.JSONEncodeError:
            detail = "the row is not UTF-8"
            yield Input(number, Rejected(reason=Reason.INVALID_UNICODE, detail=detail))


def filled(raw: bytes, number: int, limits: Limits) -> bytes:
    """Put an id from the line number, and neutral values for the rest, into a JSON object without them."""
    value = parsed(raw, limits)
    if isinstance(value, Parsed):  # a byte order mark, or half an emoji
        value = value.value
    if not isinstance(value, dict):
        return raw
    return orjson.dumps(_neutral(number) | value)


def _neutral(number: int) -> dict[str, Any]:
    return {
        "id": f"line-{number}",
        "platform": "scan",
        "kind": "message",
        "occurred_at": "1970-01-01T00:00:00Z",
        "actor": {"id": "unknown"},
        "audience": {"kind": "public"},
    }


def _too_large(limits: Limits) -> Rejected:
    return Rejected(
        reason=Reason.RECORD_TOO_LARGE, detail=f"longer than {limits.record_bytes} bytes"
    )
