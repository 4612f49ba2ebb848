"""Labelled lines: how they are read, what is refused, and what the line says of them."""

import gzip
import hashlib
import io
import json
from collections.abc import Sequence
from typing import Any

import msgspec
import pytest

from pipeline.chain import Chain
from pipeline.labelled import (
    Labelled,
    Reading,
    Refused,
    Row,
    Said,
    WordError,
    label_named,
    read,
    screened,
)
from pipeline.line import Line
from pipeline.policy import Policy, Rule
from pipeline.scan import BATCH_LINES
from schemas import Event, Finding
from schemas.labels import taxonomy
from schemas.record import Limits
from tests.pipeline.events import CANARY, record

LIMITS = Limits(record_bytes=400)
ADVERT = "slot gacor maxwin free kredit RM10 daftar sekarang wa.me/60123456789"


def lines_of(
    content: bytes, reading: Reading | None = None, file: str = "f"
) -> list[Labelled | Refused]:
    """Read the content of a file."""
    return list(read(io.BytesIO(content), file, LIMITS, reading or Reading()))


def written(*values: Any) -> bytes:
    """Write JSON lines."""
    return b"".join(json.dumps(value).encode() + b"\n" for value in values)


def told(content: bytes, reading: Reading | None = None) -> list[tuple[str, str, tuple[str, ...]]]:
    """Return label, language and slices of lines that can all be used."""
    found = [item for item in lines_of(content, reading) if isinstance(item, Labelled)]
    assert len(content.splitlines()) == len(found)
    return [(item.truth, item.language, item.slices) for item in found]


@pytest.mark.parametrize(
    ("word", "expected"),
    [
        ("benign", "benign"),
        ("gambling.promotion", "gambling.promotion"),
        ("fraud", "fraud.*"),
        ("fraud.*", "fraud.*"),
        ("hate", "hate.*"),
        ("custom.ticket_resale", "custom.ticket_resale"),
        ("fraud.nonsense", None),
        ("spam", None),
        ("", None),
    ],
)
def test_a_label_a_family_or_benign(word: str, expected: str | None) -> None:
    """Anything else stands for nothing."""
    assert expected == label_named(word)


def test_a_sources_own_words_are_mapped() -> None:
    """To labels and families; a mapped word wins over a label of that name."""
    reading = Reading.of(["smishing=fraud", "ham=benign", "a=b=gambling.promotion", "hate=benign"])

    assert {
        "smishing": "fraud.*",
        "ham": "benign",
        "a=b": "gambling.promotion",
        "hate": "benign",
    } == reading.words
    assert ["fraud.*", "benign", "benign"] == [
        truth
        for truth, _, _ in told(
            written(*({"text": "a", "label": word} for word in ("smishing", "ham", "hate"))),
            reading,
        )
    ]


@pytest.mark.parametrize("pair", ["smishing", "=fraud", "smishing=", "smishing=spam"])
def test_a_wrong_pair_is_refused(pair: str) -> None:
    """It is quoted."""
    with pytest.raises(WordError, match=f"`{pair}`"):
        Reading.of([pair])


def test_language_and_slices_come_from_the_line_or_its_attributes() -> None:
    """A list puts a line in several slices; what is missing is called so."""
    reading = Reading.of([], ["slice", "disguise", "year", "is_new"])
    content = written(
        {"text": "a", "label": "benign", "language": "ms", "slice": "plain", "year": 2025},
        {
            "text": "a",
            "label": "benign",
            "attributes": {
                "lang": "id",
                "disguise": ["styled", "spaced", "styled"],
                "is_new": True,
            },
        },
        {"text": "a", "label": "benign", "attributes": {"disguise": {"x": 1}}},
    )

    def named(*values: str) -> tuple[str, ...]:
        return tuple(values)

    missing = {name: f"{name}: not given" for name in reading.slice_by}
    assert [
        (
            "benign",
            "ms",
            named("slice: plain", missing["disguise"], "year: 2025", missing["is_new"]),
        ),
        (
            "benign",
            "id",
            named(
                missing["slice"],
                "disguise: styled",
                "disguise: spaced",
                missing["year"],
                "is_new: true",
            ),
        ),
        ("benign", "not given", named(*missing.values())),
    ] == told(content, reading)


def test_lines_that_cannot_be_used_are_refused_with_their_place() -> None:
    """What is no event is left to screening, which says more precisely why."""
    content = written(
        {"text": "a"},
        {"text": "a", "label": 7},
        {"text": "a", "label": "spam"},
        {"text": "a", "label": "come to 5 Jalan Satu, Ali"},
        {"text": "a" * 500, "label": "benign"},
        {"text": "a", "label": "benign"},
    )
    found = lines_of(content)
    refused = [item for item in found if isinstance(item, Refused)]

    assert [1, 2, 3, 4, 5] == [item.number for item in refused]
    assert {"f"} == {item.file for item in refused}
    assert [
        "missing_label",
        "wrong_type",
        "unknown_label",
        "unknown_label",
        "record_too_large",
    ] == [item.reason for item in refused]
    assert "no label `spam`" in refused[2].detail
    assert "--map word=label" in refused[2].detail
    assert "Ali" not in refused[3].detail


def test_a_packed_file_is_unpacked_by_its_name() -> None:
    """Under another name it is what it is: no JSON."""
    content = gzip.compress(written({"text": "a", "label": "benign"}))

    (item,) = lines_of(content, file="f.jsonl.gz")

    assert isinstance(item, Labelled)
    assert "benign" == item.truth
    assert item.number == 1


@pytest.mark.parametrize("content", [b"no gzip", b"\x1f\x8b\x08\x00broken and so on"])
def test_a_file_that_cannot_be_unpacked_is_refused(content: bytes) -> None:
    """It ends there, without a fault."""
    (item,) = lines_of(content, file="f.gz")

    assert isinstance(item, Refused)
    assert ("f.gz", 1, "unreadable") == (item.file, item.number, item.reason)


def test_of_a_packed_file_that_is_cut_short_the_beginning_is_used() -> None:
    """The rest is one refusal, at the line where it broke."""
    texts = [f"{number:x} {hashlib.sha256(bytes(number)).hexdigest()}" for number in range(5000)]
    packed = gzip.compress(written(*({"text": text, "label": "benign"} for text in texts)))
    found = lines_of(packed[: len(packed) // 2], file="f.gz")

    assert len(found) > 100
    assert all(isinstance(item, Labelled) for item in found[:-1])
    assert isinstance(found[-1], Refused)
    assert ("unreadable", len(found)) == (found[-1].reason, found[-1].number)


def outcomes(
    content: bytes, lines: Sequence[Line], *, show: bool = False
) -> list[tuple[Row, ...] | Refused]:
    """Screen the content of a file under some configurations."""
    return list(screened(lines_of(content), lines, LIMITS, show=show))


def rows(content: bytes, built: Line, *, show: bool = False) -> list[Row]:
    """Screen lines that can all be used under one configuration."""
    found = [
        item for item in outcomes(content, [built], show=show) if not isinstance(item, Refused)
    ]
    return [row for (row,) in found]


def test_a_row_carries_what_the_line_said(built: Line) -> None:
    """Scores and alerts of the whole and of each detector; nothing of what passes."""
    advert, clean = rows(
        written(
            {"text": ADVERT, "label": "gambling.promotion", "id": "x"},
            {"text": "hello", "label": "benign"},
        ),
        built,
    )
    screening = built.screen("platform.events", [record(ADVERT, "x")])
    findings = screening.findings[0]

    assert ("f", 1, "x", "gambling.promotion") == (
        advert.file,
        advert.number,
        advert.id,
        advert.truth,
    )
    assert {f.label: f.score for f in findings}["gambling.promotion"] == advert.said.scores[
        "gambling.promotion"
    ]
    assert frozenset(v.label for v in screening.verdicts[0]) == advert.said.alerts
    assert {f.detector for f in findings} == set(advert.by_detector)
    assert (
        Said({"gambling.promotion": 1.0}, frozenset({"gambling.promotion"}))
        == advert.by_detector["gambling_promotion"]
    )
    assert ("line-2", Said({}, frozenset()), {}) == (clean.id, clean.said, clean.by_detector)


@pytest.mark.parametrize(
    ("rule", "alerts"),
    [
        (Rule(), set()),
        (Rule(shadow=0.5), set()),
        (Rule(review=0.5), {"canary.seen"}),
        (Rule(escalate=0.5), {"canary.seen"}),
    ],
)
def test_what_nobody_has_to_look_at_is_no_alert(built: Line, rule: Rule, alerts: set[str]) -> None:
    """Its findings count for ranking all the same."""
    policy = Policy({}, rule, taxonomy(), excerpt_characters=0, configuration="")
    line = msgspec.structs.replace(built, policy=policy)
    (row,) = rows(written({"text": CANARY, "label": "canary.seen"}), line)

    assert Said({"canary.seen": 1.0}, frozenset(alerts)) == row.said


def test_texts_are_kept_only_to_show_what_may_be_a_mistake(built: Line) -> None:
    """Long ones are cut around what was found."""
    limits = Limits()
    long = "a " * 2000 + CANARY + " b" * 2000
    content = written(
        {"text": long, "label": "benign"},
        {"text": "hello", "label": "benign"},
        {"text": "hello", "label": "fraud"},
    )
    items = list(read(io.BytesIO(content), "f", limits, Reading()))
    found = [
        row
        for item in screened(items, [built], limits, show=True)
        if not isinstance(item, Refused)
        for row in item
    ]

    assert [True, False, True] == [row.shown is not None for row in found]
    assert found[0].shown is not None
    assert CANARY in found[0].shown.text
    assert len(found[0].shown.text) < 310
    assert {None} == {row.shown for row in rows(written({"text": "a", "label": "fraud"}), built)}


def test_every_line_is_answered_in_order_over_batches(built: Line) -> None:
    """By a row for each configuration, or by a refusal."""
    one = [
        written({"text": "hello", "label": "benign"}),
        b"{broken\n",
        b"[1]\n",
        written({"text": 7, "label": "benign"}),
        written({"text": "hello", "label": "nothing"}),
    ]
    found = outcomes(b"".join(one) * 150, [built, built])

    assert len(found) > BATCH_LINES
    assert ["row", "not_json", "not_an_object", "wrong_type", "unknown_label"] * 150 == [
        item.reason if isinstance(item, Refused) else "row" for item in found
    ]
    assert list(range(1, 751)) == [
        item.number if isinstance(item, Refused) else item[0].number for item in found
    ]
    assert {2} == {len(item) for item in found if not isinstance(item, Refused)}


def test_a_line_that_breaks_screening_is_refused_alone(built: Line) -> None:
    """As a worker would reject it."""

    class Fragile(Chain):
        def __init__(self) -> None:
            """Take over the chain that is built."""
            self.__dict__.update(vars(built.chain))

        def findings(self, events: Sequence[Event]) -> dict[int, tuple[Finding, ...]]:
            if any(event.text == "poison" for event in events):
                raise RuntimeError
            return super().findings(events)

    fragile = msgspec.structs.replace(built, chain=Fragile())
    content = written(*({"text": text, "label": "benign"} for text in ("a", "poison", "b")))

    assert ["row", "screening_failed", "row"] == [
        item.reason if isinstance(item, Refused) else "row" for item in outcomes(content, [fragile])
    ]
