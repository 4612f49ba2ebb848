"""Labelled lines: JSON lines that say what they are, and what the line says of each of them.

Apart from `pipeline.evaluation`, which only counts: this half knows files, words for labels and the line.
"""

import gzip
import re
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any, BinaryIO, Final

import msgspec
import orjson

from pipeline.line import Line
from pipeline.policy import Policy, scores
from pipeline.scan import BATCH_LINES, json_lines, room_to_fill
from pipeline.screen import Screening
from schemas import ESCALATIONS, Event, Finding, Rejected, Verdict
from schemas.labels import taxonomy
from schemas.record import Limits
from schemas.source import SourceMapping

BENIGN: Final = "benign"
NOT_GIVEN: Final = "not given"
"""The language and the slice of a line that names none."""

_SOURCE: Final = "labelled"
_SHOWN_CHARACTERS: Final = 300
# A word that is shown so that it can be mapped; anything else under `label` may be a person's text.
_WORD: Final = re.compile(r"[\w.?-]{1,40}")


class WordError(ValueError):
    """A `--map` that cannot be used."""


class Reading(msgspec.Struct, frozen=True):
    """How to read labelled lines: what a source's own words stand for, and what to slice by.

    A name of `slice_by` is a field of the line or of its `attributes`; a list there puts a line in several
    slices.
    """

    words: Mapping[str, str] = {}
    slice_by: tuple[str, ...] = ("slice",)

    @classmethod
    def of(cls, pairs: Iterable[str], slice_by: Sequence[str] = ()) -> "Reading":
        """Read pairs such as `smishing=fraud`.

        Raises:
            WordError: if a pair is none, or names no label.
        """
        words = {}
        for pair in pairs:
            word, equals, label = pair.rpartition("=")
            if not (word and equals):
                raise WordError(f"`{pair}`: expected word=label, such as smishing=fraud")
            named = label_named(label)
            if named is None:
                raise WordError(
                    f"`{pair}`: `{label}` is neither `benign` nor a label or family of schemas/labels.toml"
                )
            words[word] = named
        return cls(words, tuple(slice_by) or ("slice",))

    def label(self, word: str) -> str | None:
        """Return what a word under `label` stands for, or that it is none."""
        return self.words.get(word) or label_named(word)


class Labelled(msgspec.Struct, frozen=True, gc=False):
    """A line and what it is said to be: `benign`, a label, or a family such as `fraud.*`."""

    file: str
    number: int
    record: bytes
    truth: str
    language: str
    slices: tuple[str, ...]


class Refused(msgspec.Struct, frozen=True):
    """A line that is not measured: where, and why."""

    file: str
    number: int
    reason: str
    detail: str


class Said(msgspec.Struct, frozen=True, gc=False):
    """What was said of an event: the highest finding score of each label, and the labels of its alerts."""

    scores: dict[str, float]
    alerts: frozenset[str]


NOTHING: Final = Said({}, frozenset())


class Shown(msgspec.Struct, frozen=True):
    """What a reader of mistakes needs to see."""

    text: str
    findings: tuple[Finding, ...]


class Row(msgspec.Struct, frozen=True):
    """One labelled event, and what the whole line and each of its detectors said of it."""

    file: str
    number: int
    id: str
    truth: str
    language: str = NOT_GIVEN
    slices: tuple[str, ...] = ()
    said: Said = NOTHING
    by_detector: dict[str, Said] = {}
    shown: Shown | None = None


def label_named(word: str) -> str | None:
    """Return what a word stands for: `benign`, a label, a family as `fraud.*`; or that it is none."""
    labels = taxonomy()
    if word == BENIGN:
        return word
    name = word.removesuffix(".*")
    if name in {label.partition(".")[0] for label in (*labels.ids, *labels.families)}:
        return f"{name}.*"
    return word if word in labels else None


def read(
    stream: BinaryIO, file: str, limits: Limits, reading: Reading
) -> Iterator[Labelled | Refused]:
    """Read the labelled lines of a file."""
    for item in records(stream, file, limits, fill=True):
        yield item if isinstance(item, Refused) else _labelled(file, *item, reading)


def records(
    stream: BinaryIO, file: str, limits: Limits, *, fill: bool
) -> Iterator[tuple[int, bytes] | Refused]:
    """Read the JSON lines of a file, unpacked if its name ends in `.gz`. Never raises for what is in it."""
    content: Any = gzip.GzipFile(fileobj=stream) if file.endswith(".gz") else stream
    lines = json_lines(content, limits, fill=fill)
    number = 0
    while True:
        try:
            item = next(lines, None)
        except (OSError, EOFError, zlib.error) as error:
            detail = f"the file cannot be read from here on ({type(error).__name__})"
            yield Refused(file, number + 1, "unreadable", detail)
            return
        if item is None:
            return
        number = item.number
        if isinstance(item.record, Rejected):
            yield Refused(file, number, item.record.reason.value, item.record.detail)
        else:
            yield number, item.record


def _labelled(file: str, number: int, record: bytes, reading: Reading) -> Labelled | Refused:
    try:
        fields = orjson.loads(record)
    except orjson.JSONDecodeError:
        fields = None
    if not isinstance(fields, dict):
        # Screening names what is wrong with a record better than could be done here.
        return Labelled(file, number, record, BENIGN, NOT_GIVEN, ())
    word = fields.get("label")
    if word is None:
        return Refused(file, number, "missing_label", "`label`: expected a value, got none")
    if not isinstance(word, str):
        return Refused(file, number, "wrong_type", "`label`: expected `str`")
    truth = reading.label(word)
    if truth is None:
        said = f" `{word}`" if _WORD.fullmatch(word) else ""
        detail = f"no label{said} in schemas/labels.toml; say what it stands for: --map word=label"
        return Refused(file, number, "unknown_label", detail)
    attributes = fields.get("attributes")
    attributes = attributes if isinstance(attributes, dict) else {}
    language = fields.get("language") or attributes.get("lang")
    slices = [
        f"{name}: {value}"
        for name in reading.slice_by
        for value in _values(fields.get(name, attributes.get(name))) or (NOT_GIVEN,)
    ]
    if not isinstance(language, str):
        language = NOT_GIVEN
    return Labelled(file, number, record, truth, language, tuple(slices))


def _values(value: object) -> list[str]:
    """Return the names of slices that stand in a field: text, a number, true or false, or a list of them."""
    if isinstance(value, list):
        return list(dict.fromkeys(name for item in value for name in _values(item)))
    if isinstance(value, str):
        return [value]
    return [orjson.dumps(value).decode()] if isinstance(value, int | float) else []


def screened(
    items: Iterable[Labelled | Refused],
    lines: Sequence[Line],
    limits: Limits,
    *,
    show: bool = False,
) -> Iterator[tuple[Row, ...] | Refused]:
    """Screen labelled lines, a batch at a time; yield a row for each of `lines`, which are configurations.

    With `show`, rows that may turn out to be mistakes carry their text and findings.
    """
    mapping = SourceMapping.compile({}, room_to_fill(limits))
    # As a worker does, so that one record that breaks the line itself is refused alone.
    workers = [msgspec.structs.replace(line, mappings={_SOURCE: mapping}) for line in lines]
    remaining = iter(items)
    while batch := list(islice(remaining, BATCH_LINES)):
        records = [item.record for item in batch if isinstance(item, Labelled)]
        screenings = [worker.screen(_SOURCE, records) for worker in workers]
        position = 0
        for item in batch:
            if isinstance(item, Refused):
                yield item
                continue
            events = [screening.events[position] for screening in screenings]
            refusal = next((event for event in events if isinstance(event, Rejected)), None)
            if refusal is not None:
                yield Refused(item.file, item.number, refusal.reason.value, refusal.detail)
            else:
                yield tuple(
                    _row(item, screening, position, worker.policy, show=show)
                    for screening, worker in zip(screenings, workers, strict=True)
                )
            position += 1


def _row(item: Labelled, screening: Screening, position: int, policy: Policy, *, show: bool) -> Row:
    event = screening.events[position]
    assert isinstance(event, Event)  # noqa: S101  # the caller has looked
    findings = screening.findings.get(position, ())
    said = _said(findings, screening.verdicts.get(position, ())) if findings else NOTHING
    detectors = sorted({finding.detector for finding in findings})
    by_detector = {}
    for detector in detectors:
        own = tuple(finding for finding in findings if finding.detector == detector)
        by_detector[detector] = (
            _said(own, policy.decide(event, own)) if len(detectors) > 1 else said
        )
    may_be_mistaken = item.truth != BENIGN or bool(said.alerts)
    return Row(
        item.file,
        item.number,
        event.id,
        item.truth,
        item.language,
        item.slices,
        said,
        by_detector,
        Shown(_excerpt(event.text, findings), findings) if show and may_be_mistaken else None,
    )


def _said(findings: Sequence[Finding], verdicts: Sequence[Verdict]) -> Said:
    alerts = frozenset(verdict.label for verdict in verdicts if verdict.action in ESCALATIONS)
    return Said(scores(findings), alerts)


def _excerpt(text: str, findings: Sequence[Finding]) -> str:
    """Cut a long text so that what was found first is in it."""
    if len(text) <= _SHOWN_CHARACTERS:
        return text
    found = min((finding.start for finding in findings), default=0)
    first = max(0, min(found - _SHOWN_CHARACTERS // 4, len(text) - _SHOWN_CHARACTERS))
    last = first + _SHOWN_CHARACTERS
    return ("…" if first else "") + text[first:last] + ("…" if last < len(text) else "")
