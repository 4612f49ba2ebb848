"""Tests for `schemas.source` and `schemas.record`."""

import base64
import json
import re
from datetime import UTC, datetime, timedelta, timezone
from typing import Any, Final

import msgspec
import orjson
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from schemas import Actor, Audience, Conversation, Event, Reason, Rejected, Space
from schemas.source import FieldSource, Limits, MappingError, SourceMapping

NAIVE: Final = (
    "`occurred_at`: expected a timestamp with its offset, such as 2026-01-31T08:00:00+08:00"
)
CANONICAL: Final = SourceMapping.compile({})
RECORD: Final[dict[str, Any]] = {
    "id": "m-1",
    "platform": "acme",
    "kind": "comment",
    "occurred_at": "2026-01-31T16:00:00+08:00",
    "text": "hai semua",
    "actor": {"id": "u-1"},
    "audience": {"kind": "public"},
}
EVENT: Final = Event(
    id="m-1",
    platform="acme",
    kind="comment",
    occurred_at=datetime(2026, 1, 31, 8, tzinfo=UTC),
    text="hai semua",
    actor=Actor(id="u-1"),
    audience=Audience(kind="public"),
)
FIELDS: Final[dict[str, str | FieldSource]] = {
    "id": "message.uuid",
    "text": "message.body",
    "occurred_at": "sent_ms",
    "actor.id": "from.uid",
    "audience.kind": FieldSource(
        path="room.type", values={"direct": "dm", "channel": "public"}, default="group"
    ),
    "platform": FieldSource(constant="acme"),
}
THEIRS: Final[dict[str, Any]] = {
    "message": {"uuid": 77, "body": "hai semua"},
    "sent_ms": 1_769_846_400_123,
    "from": {"uid": 9_007_199_254_740_993},
    "room": {"type": "direct"},
}


def canonical(**changes: object) -> bytes:
    """Return a canonical record with some fields replaced."""
    return orjson.dumps(RECORD | changes)


def mapped(changes: dict[str, Any], **fields: str | FieldSource) -> Event | Rejected:
    """Decode the other platform's record, changed, with more fields mapped (`__` for a dot)."""
    more = {name.replace("__", "."): source for name, source in fields.items()}
    return SourceMapping.compile(FIELDS | more).decode(orjson.dumps(THEIRS | changes))


def event(decoded: Event | Rejected) -> Event:
    """Return what was decoded, which must be an event."""
    assert isinstance(decoded, Event), decoded
    return decoded


def rejected(decoded: Event | Rejected) -> tuple[str, str]:
    """Return reason and detail of what was decoded, which must be refused."""
    assert isinstance(decoded, Rejected), decoded
    return str(decoded.reason), decoded.detail


# The canonical form.


def test_canonical() -> None:
    """Without a mapping a record is an event's own JSON."""
    assert EVENT == CANONICAL.decode(canonical())


def test_round_trip() -> None:
    """An event's own JSON decodes to the same event, whatever it carries."""
    full = msgspec.structs.replace(
        EVENT,
        conversation=Conversation("c-1"),
        space=Space("s-1", "page"),
        language="ms",
        links=("https://example.org",),
        is_ad=True,
        attributes={"a": 1, "b": None, "c": 1.5, "d": "e", "f": ["g", {"h": 2}]},
    )

    assert full == CANONICAL.decode(msgspec.json.encode(full))


def test_unknown_keys() -> None:
    """Keys that the event does not have are left out, so that a platform may send more."""
    assert EVENT == CANONICAL.decode(canonical(colour={"red": [1]}))


@pytest.mark.parametrize("text", ["", "a\x00b", "\ufeff", "😀" * 3])
def test_any_text(text: str) -> None:
    """Empty text is an event with nothing to find, and NUL is text like any other."""
    assert text == event(CANONICAL.decode(canonical(text=text))).text


def test_last_duplicate_counts() -> None:
    """Of duplicate keys the last one counts."""
    raw = canonical()[:-1] + b',"text":"later"}'

    assert "later" == event(CANONICAL.decode(raw)).text


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        (None, ("tombstone", "expected a value, got none")),
        (b"", ("not_json", "expected JSON, which ends at character 0")),
        (b'{"id":', ("not_json", "expected JSON, which ends at character 6")),
        (b"{'id': 1}", ("not_json", "expected JSON, which ends at character 1")),
        (b'{"id": NaN}', ("not_json", "expected JSON, which ends at character 7")),
        (b"[]", ("not_an_object", "expected a JSON object")),
        (b'"hai"', ("not_an_object", "expected a JSON object")),
        (b"null", ("not_an_object", "expected a JSON object")),
        (b'{"id": "\xff"}', ("invalid_unicode", "expected UTF-8, which byte 8 is not")),
        (b'{"id": 1e999}', ("out_of_range", "expected numbers that a 64-bit float can hold")),
        (b"{}", ("missing_field", "`id`: expected a value, got none")),
        (canonical(actor={}), ("missing_field", "`actor.id`: expected a value, got none")),
        (canonical(text=None), ("wrong_type", "`text`: expected `str`, got `null`")),
        (canonical(text=5), ("wrong_type", "`text`: expected `str`, got `int`")),
        (canonical(id=5), ("wrong_type", "`id`: expected `str`, got `int`")),
        (canonical(is_ad="true"), ("wrong_type", "`is_ad`: expected `bool`, got `str`")),
        (canonical(id=""), ("out_of_range", "`id`: expected `str` of length >= 1")),
        (canonical(links=["a", 5]), ("wrong_type", "`links[1]`: expected `str`, got `int`")),
        (
            canonical(attributes=["secret"]),
            (
                "wrong_type",
                "`attributes`: expected `object`, got `array`",
            ),
        ),
        (
            canonical(audience={"kind": "secret"}),
            ("out_of_range", '`audience.kind`: expected one of "dm", "group", "public"'),
        ),
        (
            canonical(occurred_at="2026-01-31T08:00:00"),
            (
                "wrong_type",
                NAIVE,
            ),
        ),
        (
            canonical(occurred_at="0000-01-31T08:00:00Z"),
            ("wrong_type", "`occurred_at`: expected an RFC 3339 timestamp"),
        ),
        (
            canonical(occurred_at=1_769_846_400),
            ("wrong_type", "`occurred_at`: expected `datetime`, got `int`"),
        ),
        (
            canonical(occurred_at="0001-01-01T00:00:00+14:00"),
            ("out_of_range", "`occurred_at`: expected a year from 1 to 9999 in UTC"),
        ),
        (
            canonical(actor={"id": "u", "created_at": "9999-12-31T23:59:59-01:00"}),
            ("out_of_range", "`actor.created_at`: expected a year from 1 to 9999 in UTC"),
        ),
    ],
)
def test_refused(raw: bytes | None, expected: tuple[str, str]) -> None:
    """What cannot be an event is a value that names the field and what was expected of it."""
    assert expected == rejected(CANONICAL.decode(raw))


def test_first_and_last_day() -> None:
    """The first and the last moment that exist in UTC are dates like any other."""
    created_at = "0001-01-01T00:00:00Z"
    raw = canonical(actor={"id": "u", "created_at": created_at}, occurred_at="9999-12-31T23:59:59Z")

    assert datetime(1, 1, 1, tzinfo=UTC) == event(CANONICAL.decode(raw)).actor.created_at


@pytest.mark.parametrize("value", ["123456789012345678901234567890", "2.0", '"12"', "-1"])
def test_whole_numbers(value: str) -> None:
    """A number that is no whole number of 64 bits is not taken for one, nor is text."""
    raw = canonical(audience={"kind": "dm", "size": 0}).replace(
        b'"size":0', f'"size":{value}'.encode()
    )

    assert "`audience.size`" == rejected(CANONICAL.decode(raw))[1].partition(":")[0]


def test_details_hold_no_values() -> None:
    """No refusal repeats what stood in the record: it may be personal."""
    details = [
        rejected(CANONICAL.decode(canonical(**{field: value})))[1]
        for field in RECORD
        for value in ("SECRET SECRET", ["SECRET"], {"SECRET": "SECRET"}, {"kind": "SECRET"})
        if not (field in {"id", "text"} and value == "SECRET SECRET")
    ]

    assert 26 == len(details)
    assert [] == [detail for detail in details if "SECRET" in detail]


# Limits.


def test_record_limit() -> None:
    """A record may have as many bytes as the limit, and not one more."""
    raw = canonical()

    assert EVENT == SourceMapping.compile({}, Limits(record_bytes=len(raw))).decode(raw)
    assert ("record_too_large", f"expected at most {len(raw) - 1} bytes") == rejected(
        SourceMapping.compile({}, Limits(record_bytes=len(raw) - 1)).decode(raw)
    )


def test_text_limit() -> None:
    """A text may have as many characters as the limit, and not one more; it is never cut."""
    limits = Limits(text_characters=3)

    assert (
        "😀😀😀" == event(SourceMapping.compile({}, limits).decode(canonical(text="😀" * 3))).text
    )
    assert ("text_too_long", "`text`: expected at most 3 characters") == rejected(
        SourceMapping.compile({}, limits).decode(canonical(text="abcd"))
    )


@pytest.mark.parametrize("brackets", [("[", "]"), ('{"a":', "}")])
def test_depth_limit(brackets: tuple[str, str]) -> None:
    """Objects and lists may lie inside each other as deep as the limit, the record included."""
    opening, closing = brackets
    start = canonical()[:-1].decode() + ',"attributes":{"x":'
    deep = start + opening * 30 + "1" + closing * 30 + "}}"
    deeper = start + opening * 31 + "1" + closing * 31 + "}}"

    assert EVENT.text == event(CANONICAL.decode(deep.encode())).text
    assert "too_deep" == rejected(CANONICAL.decode(deeper.encode()))[0]


@pytest.mark.parametrize(
    "value", ["[" * 40 + "]" * 40, "1e999", '"\xff"', "123456789012345678901234567890"]
)
def test_fields_of_no_event_are_skipped(value: str) -> None:
    """What stands in a field that no event has is not looked at, beside a whole event."""
    raw = canonical()[:-1] + b',"x":' + value.encode("latin-1") + b"}"

    assert EVENT == CANONICAL.decode(raw)


def test_a_whole_event_is_no_envelope() -> None:
    """Fields that CloudEvents has too do not make an envelope of what is an event already."""
    raw = canonical(specversion="1.0", type="t", source="s", data={"text": "inside"})

    assert EVENT == CANONICAL.decode(raw)


@pytest.mark.parametrize("text", ["[" * 1000, '"[' * 1000, "\\" + "{" * 99, "[]" * 99])
def test_brackets_in_text(text: str) -> None:
    """Brackets that people write are no depth, nor are lists beside each other."""
    raw = canonical(text=text, wide=[[]] * 99)

    assert text == event(CANONICAL.decode(raw)).text


def test_extreme_depth() -> None:
    """Nesting that would exhaust any parser's stack is refused before parsing."""
    assert "too_deep" == rejected(CANONICAL.decode(b"[" * 1_000_000))[0]


# Unicode.


@pytest.mark.parametrize(
    ("escaped", "expected"),
    [
        (rb"\ud83d", "\ufffd"),
        (rb"\uDE00", "\ufffd"),
        (rb"\ud83d\ud83d\ude00", "\ufffd😀"),
        (rb"\\ud83d\ud83d", "\\ud83d\ufffd"),
        (rb"\ud83d\ude00", "😀"),
    ],
)
def test_half_an_emoji(escaped: bytes, expected: str) -> None:
    """A lone surrogate does not keep a message from being screened, and its place stays counted."""
    raw = canonical().replace(b"hai semua", b"hai " + escaped)

    assert f"hai {expected}" == event(CANONICAL.decode(raw)).text


@pytest.mark.parametrize(
    ("field", "record"),
    [
        ("id", {"id": "X"}),
        ("actor.id", {"actor": {"id": "X"}}),
        ("conversation.id", {"conversation": {"id": "X"}}),
        ("space.id", {"space": {"id": "X"}}),
        ("target.id", {"target": {"id": "X"}}),
        ("in_reply_to", {"in_reply_to": "X"}),
        ("audience.recipient_ids[1]", {"audience": {"kind": "dm", "recipient_ids": ["a", "X"]}}),
    ],
)
def test_half_an_emoji_in_an_id(field: str, record: dict[str, Any]) -> None:
    """An id with a lone surrogate is refused, since it would not be the platform's any more."""
    raw = canonical(**record).replace(b'"X"', rb'"\ud800"')

    assert ("invalid_unicode", f"`{field}`: expected no lone surrogate in an id") == rejected(
        CANONICAL.decode(raw)
    )


def test_byte_order_mark() -> None:
    """A byte order mark before the record is passed over."""
    assert EVENT == CANONICAL.decode(b"\xef\xbb\xbf" + canonical())


# CloudEvents.


def envelope(**changes: object) -> bytes:
    """Return a record in a CloudEvents envelope, with some attributes replaced."""
    attributes = {"specversion": "1.0", "type": "acme.said", "source": "/chat", "id": "e-1"}
    return orjson.dumps(attributes | {"time": "2026-01-31T08:00:00Z", "data": RECORD} | changes)


def test_envelope() -> None:
    """A CloudEvents envelope unwraps by itself, its data plain or in base64."""
    encoded = base64.b64encode(canonical()).decode()

    assert EVENT == CANONICAL.decode(envelope())
    assert EVENT == CANONICAL.decode(envelope(data=None, data_base64=encoded))


def test_envelope_gives_id_and_time() -> None:
    """An envelope's id and time are the event's, if its data has none."""
    bare = {k: v for k, v in RECORD.items() if k not in {"id", "occurred_at"}}

    assert msgspec.structs.replace(EVENT, id="e-1") == CANONICAL.decode(envelope(data=bare))
    assert (
        "`occurred_at`: expected a value, got none"
        == (
            rejected(
                CANONICAL.decode(envelope(data=bare, time=None).replace(b'"time":null,', b""))
            )[1]
        )
    )


def test_mapped_envelope() -> None:
    """A mapping looks inside the envelope, and what it does not find there the envelope gives."""
    theirs = THEIRS | {"message": {"body": "hai semua"}}
    decoded = event(SourceMapping.compile(FIELDS).decode(envelope(data=theirs)))

    assert ("e-1", "hai semua") == (decoded.id, decoded.text)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"specversion": "0.3"}, ("invalid_envelope", "`specversion`: expected CloudEvents 1.0")),
        ({"specversion": 1}, ("invalid_envelope", "`specversion`: expected CloudEvents 1.0")),
        ({"data": "{}"}, ("invalid_envelope", "`data`: expected a JSON object")),
        ({"data": None}, ("invalid_envelope", "`data`: expected a JSON object")),
        (
            {"data": None, "data_base64": "%"},
            ("invalid_envelope", "`data_base64`: expected base64 text"),
        ),
        (
            {"data": None, "data_base64": 5},
            ("invalid_envelope", "`data_base64`: expected base64 text"),
        ),
        (
            {"data": None, "data_base64": "W10="},
            ("invalid_envelope", "`data`: expected a JSON object"),
        ),
        (
            {"data": None, "data_base64": "ew=="},
            ("not_json", "`data_base64`: expected JSON, which ends at character 1"),
        ),
        ({"data": {}}, ("missing_field", "`platform`: expected a value, got none")),
    ],
)
def test_refused_envelope(changes: dict[str, Any], expected: tuple[str, str]) -> None:
    """An envelope that holds no record is refused with its attribute."""
    assert expected == rejected(CANONICAL.decode(envelope(**changes)))


def test_half_an_emoji_in_base64() -> None:
    """Repair works inside base64 data too."""
    raw = base64.b64encode(canonical().replace(b"hai", rb"\ud800")).decode()

    assert "\ufffd semua" == event(CANONICAL.decode(envelope(data=None, data_base64=raw))).text


# Mapped sources.


def test_mapping() -> None:
    """Six lines map another platform's record: whole numbers become ids, milliseconds a date."""
    assert Event(
        id="77",
        platform="acme",
        kind="message",
        occurred_at=datetime(2026, 1, 31, 8, 0, 0, 123_000, tzinfo=UTC),
        text="hai semua",
        actor=Actor(id="9007199254740993"),
        audience=Audience(kind="dm"),
    ) == mapped({})


@pytest.mark.parametrize(
    ("room", "expected"),
    [({"type": "channel"}, "public"), ({"type": "odd"}, "group"), ({}, "group"), (5, "group")],
)
def test_translated_values(room: object, expected: str) -> None:
    """`values` translates what it lists; `default` is for the rest, and for nothing."""
    assert expected == event(mapped({"room": room})).audience.kind


def test_translated_numbers() -> None:
    """Numbers and booleans are looked up as JSON writes them."""
    is_ad = FieldSource(path="ad", values={"1": True, "true": True, "0": False})

    assert [True, True, False] == [
        event(mapped({"ad": ad}, is_ad=is_ad)).is_ad for ad in (1, True, 0)
    ]


def test_value_nobody_mapped() -> None:
    """A value outside `values` without a default is refused, and not repeated."""
    kind = FieldSource(path="room.type", values={"direct": "dm"})

    assert ("out_of_range", "`kind` from `room.type`: expected one of the mapped `values`") == (
        rejected(mapped({"room": {"type": "SECRET"}}, kind=kind))
    )


@pytest.mark.parametrize(
    ("sent", "expected"),
    [
        (1_769_846_400, datetime(2026, 1, 31, 8, tzinfo=UTC)),
        (1_769_846_400.5, datetime(2026, 1, 31, 8, 0, 0, 500_000, tzinfo=UTC)),
        (1_769_846_400_001, datetime(2026, 1, 31, 8, 0, 0, 1_000, tzinfo=UTC)),
        (1_769_846_400_000_001, datetime(2026, 1, 31, 8, 0, 0, 1, tzinfo=UTC)),
        ("1769846400001", datetime(2026, 1, 31, 8, 0, 0, 1_000, tzinfo=UTC)),
        (0, datetime(1970, 1, 1, tzinfo=UTC)),
        (10**11 - 1, datetime(5138, 11, 16, 9, 46, 39, tzinfo=UTC)),
        (10**11, datetime(1973, 3, 3, 9, 46, 40, tzinfo=UTC)),
        (10**14 - 1, datetime(5138, 11, 16, 9, 46, 39, 999_000, tzinfo=UTC)),
        (10**14, datetime(1973, 3, 3, 9, 46, 40, tzinfo=UTC)),
        (10**17 - 1, datetime(5138, 11, 16, 9, 46, 39, 999_999, tzinfo=UTC)),
        (-1, datetime(1969, 12, 31, 23, 59, 59, tzinfo=UTC)),
        ("2026-01-31T16:00:00+08:00", datetime(2026, 1, 31, 8, tzinfo=UTC)),
    ],
)
def test_moments(sent: object, expected: datetime) -> None:
    """A timestamp is RFC 3339 text, or seconds, milliseconds or microseconds by magnitude."""
    assert expected == event(mapped({"sent_ms": sent})).occurred_at


@pytest.mark.parametrize("sent", [10**17, -(10**17), 2**64 - 1, 1e300, -(10**11) + 1, "9" * 20])
def test_moments_out_of_range(sent: float | str) -> None:
    """A number that is no date in any unit is refused."""
    assert (
        "out_of_range",
        "`occurred_at` from `sent_ms`: expected seconds, milliseconds or microseconds since 1970",
    ) == rejected(mapped({"sent_ms": sent}))


def test_offset() -> None:
    """A timestamp without an offset is refused unless the source says which one it means."""
    sent = {"sent": "2026-01-31T16:00:00"}
    local = FieldSource(path="sent", offset="+08:00")

    assert "wrong_type" == rejected(mapped(sent, occurred_at="sent"))[0]
    assert datetime(2026, 1, 31, 16, tzinfo=timezone(timedelta(hours=8))) == (
        event(mapped(sent, occurred_at=local)).occurred_at
    )
    assert datetime(2026, 1, 31, 16, tzinfo=UTC) == (
        event(mapped({"sent": "2026-01-31T16:00:00Z"}, occurred_at=local)).occurred_at
    )
    assert "wrong_type" == rejected(mapped({"sent": "soon"}, occurred_at=local))[0]


def test_lists() -> None:
    """A path takes a list position, or with `*` every item that has something there."""
    to = {"to": [{"id": 5}, {}, {"id": "b"}], "urls": ["https://example.org"]}
    decoded = event(
        mapped(to, audience__recipient_ids="to.*.id", target__id="to.0.id", links="urls")
    )

    assert decoded.target is not None
    assert ("5", "b") == decoded.audience.recipient_ids
    assert ("5", ("https://example.org",)) == (decoded.target.id, decoded.links)


@pytest.mark.parametrize("to", [None, [], [{}], {}, "to", 5, [None]])
def test_optional_structures(to: object) -> None:
    """A target, space or conversation that the record has no id for is left out."""
    decoded = event(
        mapped(
            {"to": to},
            target__id="to.0.id",
            space__id="to.0.space",
            space__kind=FieldSource(constant="page"),
            conversation__id="to.7.id",
        )
    )

    assert (None, None, None) == (decoded.target, decoded.space, decoded.conversation)


def test_attributes() -> None:
    """Anything scalar can be carried along under a name of the platform's choice."""
    decoded = event(mapped({"app": {"v": 3}}, attributes__app_version="app.v", attributes__x="y"))

    assert {"app_version": 3} == decoded.attributes


def test_kind_defaults_to_message() -> None:
    """A mapped record whose kind is nowhere is a message."""
    assert "message" == event(mapped({}, kind="nowhere")).kind
    assert "post" == event(mapped({"what": "post"}, kind="what")).kind


def test_text_default() -> None:
    """A platform whose pictures come without text can say that this means empty text."""
    body = FieldSource(path="message.body", default="")
    picture = {"message": {"uuid": "m-1"}}

    assert "" == event(mapped(picture, text=body)).text
    assert ("missing_field", "`text` from `message.body`: expected a value, got none") == rejected(
        mapped(picture)
    )


@pytest.mark.parametrize("uid", [1.5, 10**30, True, [], {"id": 5}])
def test_ids_are_text_or_whole_numbers(uid: object) -> None:
    """Only text and whole numbers of 64 bits become ids."""
    raw = orjson.dumps(THEIRS).replace(
        b"9007199254740993", str(uid).replace("'", '"').lower().encode()
    )

    assert re.match(
        "`actor.id` from `from.uid`: expected `str`, got ",
        rejected(SourceMapping.compile(FIELDS).decode(raw))[1],
    )


@pytest.mark.parametrize(
    ("field", "source", "expected"),
    [
        ("actor.name", "x", "`actor.name`: no such field of an event; did you mean"),
        ("colour", "x", "`colour`: no such field of an event; expected one of id, platform"),
        ("attributes", "x", "`attributes`: no such field of an event"),
        ("attributes.", "x", "`attributes.`: no such field of an event"),
        ("actor", "x", "`actor`: no such field of an event"),
        ("kind", "", "`kind`: a `path` is keys with one dot between each two"),
        ("kind", "a..b", "`kind`: a `path` is keys with one dot between each two"),
        ("kind", "a.*", "`kind`: `*` may stand once, in the path of a list of values"),
        ("links", "a.*.*", "`links`: `*` may stand once, in the path of a list of values"),
        ("kind", FieldSource(), "`kind`: needs either a `path` or a `constant`"),
        ("kind", FieldSource(path="a", constant="b"), "`kind`: needs either a `path` or"),
        ("kind", FieldSource(constant="a", default="b"), "`kind`: a `constant` takes no `values`"),
        ("kind", FieldSource(constant="A B"), "`kind`: `constant` does not fit: expected a lower"),
        ("kind", FieldSource(path="a", default=5), "`kind`: `default` does not fit: Expected"),
        ("audience.kind", FieldSource(path="a", values={"x": "secret"}), "`audience.kind`: `val"),
        ("kind", FieldSource(path="a", offset="+08:00"), "`kind`: `offset` is for timestamps"),
        ("occurred_at", FieldSource(path="a", offset="8"), "`occurred_at`: `offset` is for"),
        ("space.kind", "x", "`space.kind`: means nothing without `space.id`"),
    ],
)
def test_refused_mapping(field: str, source: str | FieldSource, expected: str) -> None:
    """A mapping that cannot work is refused when it is compiled, naming the field."""
    with pytest.raises(MappingError, match=re.escape(expected)) as caught:
        SourceMapping.compile({**FIELDS, field: source})

    assert field == caught.value.field


@pytest.mark.parametrize("field", sorted(FIELDS))
def test_incomplete_mapping(field: str) -> None:
    """A mapping that leaves out what every event needs is refused, naming the field."""
    with pytest.raises(MappingError, match="every event needs it") as caught:
        SourceMapping.compile({k: v for k, v in FIELDS.items() if k != field})

    assert field == caught.value.field


# Whatever the bytes.

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=8,
)
MAPPED = SourceMapping.compile(
    FIELDS
    | {
        "actor.created_at": FieldSource(path="sent_ms", offset="-12:00"),
        "audience.recipient_ids": "to.*.id",
        "audience.size": "to.0",
        "kind": FieldSource(path="room.type", values={"1": "post"}),
        "space.id": "room.0.id",
        "attributes.x": "from",
        "is_ad": FieldSource(path="message.ad", default=False),
    }
)


def dumped(value: object) -> bytes:
    """Return JSON as the most careless of producers would write it: NaN, huge and lone."""
    return json.dumps(value).encode()


@given(st.binary() | JSON.map(dumped))
@example(b'{"id":' + b"9" * 5000 + b"}")
@example(b"\xef\xbb\xbf")
@example(b'"' * 1000)
@example(b'{"a":"\\')
@example(b'{"specversion":"1","type":1,"source":1,"id":1,"data_base64":"\\u00e9"}')
@example(b'{"specversion":"1","type":1,"source":1,"id":[],"data":{}}')
def test_any_bytes(raw: bytes) -> None:
    """No bytes at all make decoding raise: each is an event or refused with a reason."""
    for mapping in (CANONICAL, MAPPED):
        decoded = mapping.decode(raw)

        assert isinstance(decoded, Event | Rejected)


@given(
    st.dictionaries(st.sampled_from(sorted(RECORD)), JSON),
    st.dictionaries(st.sampled_from([*sorted(THEIRS), "to"]), JSON),
)
def test_any_values(ours: dict[str, object], theirs: dict[str, object]) -> None:
    """No value in any field makes decoding raise, and every event is one by its own schema."""
    for mapping, record in ((CANONICAL, RECORD | ours), (MAPPED, THEIRS | theirs)):
        decoded = mapping.decode(dumped(record))

        assert isinstance(decoded, Event | Rejected)
        if isinstance(decoded, Event):
            assert decoded == msgspec.json.decode(msgspec.json.encode(decoded), type=Event)
            assert decoded.occurred_at.astimezone(UTC)


@given(st.integers(-(2**70), 2**70) | st.floats(allow_nan=False, allow_infinity=False))
@example(253_402_300_800)
@example(99_999_999_999.999999)
@example(-62_135_596_801)
def test_any_number_as_a_moment(number: float) -> None:
    """Every number is a date, or refused."""
    assert isinstance(
        SourceMapping.compile(FIELDS).decode(dumped(THEIRS | {"sent_ms": number})),
        (Event | Rejected),
    )


def test_reasons_are_all_used_here_or_by_delivery() -> None:
    """Decoding gives each of its reasons; the others belong to what comes after it."""
    later = {Reason.ESCALATION_TOO_LARGE, Reason.SCREENING_FAILED}
    seen = {
        rejected(decoded)[0]
        for decoded in (
            CANONICAL.decode(None),
            CANONICAL.decode(b"x" * (Limits().record_bytes + 1)),
            CANONICAL.decode(b"x"),
            CANONICAL.decode(b"[]"),
            CANONICAL.decode(b"{}"),
            CANONICAL.decode(canonical(id=1)),
            CANONICAL.decode(canonical(id="")),
            CANONICAL.decode(canonical(text="x" * 70_000)),
            CANONICAL.decode(b"\xff"),
            CANONICAL.decode(b"[" * 99),
            CANONICAL.decode(envelope(data=1)),
        )
    }

    assert {*Reason} - later == seen
