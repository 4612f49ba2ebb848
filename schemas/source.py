"""A source mapping: bytes from a platform's topic become an event, or a stated reason why not.

Platforms already have topics. A few lines of configuration say where in their JSON each field of an
event stands, so that adopting Penjaga changes nothing upstream.

What is decided here, and why:

* Types are checked strictly. msgspec's `strict=False` would turn the text "1" into a number, "null"
  into an absent field and numbers into timestamps, in silence. A mapped source gets exactly two
  conversions, both stated: whole numbers become ids, and numbers become timestamps by magnitude.
* A timestamp without an offset is refused, since a guess would be hours wrong and night hours
  matter. A mapped source can state the offset its platform means (`offset = "+08:00"`).
* Empty text is an event, with nothing to find. NUL characters are text like any other.
* A lone surrogate escape (half an emoji, cut by the platform) is read as U+FFFD, so that appending
  one does not keep a message from being screened; in an id it is refused, since the id would no
  longer be the platform's.
* Of duplicate keys the last counts. Whole numbers beyond 64 bits are read as floats, so they are
  refused wherever a whole number or an id is expected.
"""

import difflib
import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta, timezone
from functools import cache
from typing import Any, Final, Literal, get_args

import msgspec
import orjson

from schemas.event import SLUGS, Event, is_slug, slug_error
from schemas.record import Limits, Parsed, is_envelope, parsed, unwrapped
from schemas.rejected import Reason, Rejected

__all__ = ["Constant", "FieldSource", "Limits", "MappingError", "SourceMapping"]

Constant = str | int | float | bool | list[str]
"""What a configuration file can put in place of a value of the record."""

_Kind = Literal["plain", "id", "ids", "moment"]

_KINDS: Final[dict[str, _Kind]] = {
    "id": "id",
    "actor.id": "id",
    "conversation.id": "id",
    "space.id": "id",
    "target.id": "id",
    "in_reply_to": "id",
    "audience.recipient_ids": "ids",
    "occurred_at": "moment",
    "actor.created_at": "moment",
}
_LISTS: Final = frozenset({"audience.recipient_ids", "links"})
_REQUIRED: Final = ("id", "platform", "occurred_at", "text", "actor.id", "audience.kind")
# Left out when the record has nothing for their id; the other structures are required.
_OPTIONAL: Final = ("conversation", "space", "target")

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_FIRST_YEAR, _LAST_YEAR = 1, 9999
# A number below each bound counts units of so many microseconds. As seconds the first bound is the
# year 5138, as milliseconds 1973, so no date between 1973 and 5138 is read wrongly.
_UNITS: Final = ((10**11, 1_000_000), (10**14, 1_000), (10**17, 1))

_WHOLE: Final = re.compile(r"-?[0-9]{1,20}")
_INDEX: Final = re.compile(r"[0-9]{1,6}")
_OFFSET: Final = re.compile(r"([+-])([01][0-9]|2[0-3]):([0-5][0-9])")


class FieldSource(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where a field's value comes from; text in its place in a configuration means `path`.

    `path` is dotted, with list positions (`to.0.id`) and, for lists of values, `*` for every item
    (`to.*.id`). `values` translates what stands there; `default` is for nothing there, or nothing
    in `values`. `offset` is what a timestamp without one means.
    """

    path: str | None = None
    constant: Constant | None = None
    values: dict[str, Constant] | None = None
    default: Constant | None = None
    offset: str | None = None


class MappingError(ValueError):
    """A field mapping that cannot be used; `field` is the event's field it is about."""

    def __init__(self, field: str, problem: str) -> None:
        """Name the field and what is wrong with it."""
        super().__init__(f"`{field}`: {problem}")
        self.field = field
        self.problem = problem


class _Rule(msgspec.Struct, frozen=True, kw_only=True):
    """Where one field of an event comes from, checked."""

    target: str
    group: str
    name: str
    kind: _Kind
    keys: tuple[str, ...]
    values: dict[str, Constant] | None
    default: Constant | None
    zone: timezone | None


class SourceMapping(msgspec.Struct, frozen=True):
    """How the records of one source become events. Without rules a record is an event already."""

    rules: tuple[_Rule, ...] = ()
    limits: Limits = Limits()

    @classmethod
    def compile(
        cls,
        fields: Mapping[str, str | FieldSource],
        limits: Limits | None = None,
    ) -> "SourceMapping":
        """Check a mapping and make it ready; an empty one is for records that are canonical JSON.

        Raises:
            MappingError: naming the field, if it does not exist, is missing, or its source makes no
                sense.
        """
        rules = tuple(
            _rule(name, FieldSource(path=source) if isinstance(source, str) else source)
            for name, source in fields.items()
        )
        for name in _REQUIRED:
            if rules and name not in fields:
                raise MappingError(name, "every event needs it, but it is not mapped")
        for name in fields:
            group = name.partition(".")[0]
            if group in _OPTIONAL and f"{group}.id" not in fields:
                raise MappingError(name, f"means nothing without `{group}.id`, which is not mapped")
        return cls(rules, limits or Limits())

    def decode(self, raw: bytes | None) -> Event | Rejected:
        """Turn a record's value into an event, or say why it cannot be one. Never raises."""
        return self.decode_batch((raw,))[0]

    def decode_batch(self, records: Sequence[bytes | None]) -> list[Event | Rejected]:
        """Decode many records. Never raises.

        Without rules, a record that is a whole event is decoded at once: what stands in fields that no event
        has is then skipped, not examined.
        """
        if self.rules:
            return [self._explored(raw) for raw in records]
        # Together first: what is checked of all at once costs a third of what it costs one by one.
        sound = _sound(records, self.limits)
        if sound is not None:
            return list(sound)
        return [
            sound[0] if (sound := _sound((raw,), self.limits)) else self._explored(raw)
            for raw in records
        ]

    def _explored(self, raw: bytes | None) -> Event | Rejected:
        """Decode step by step: through an envelope, by the rules, and so that what is wrong can be named."""
        record = parsed(raw, self.limits)
        is_repaired = False
        if type(record) is Parsed:
            record, is_repaired = record.value, True
        if type(record) is Rejected:
            return record
        if type(record) is not dict:
            return Rejected(reason=Reason.NOT_AN_OBJECT, detail="expected a JSON object")
        envelope: dict[str, Any] | None = None
        if is_envelope(record):
            envelope, record = record, unwrapped(record, self.limits)
            if type(record) is Parsed:
                record, is_repaired = record.value, True
            if type(record) is Rejected:
                return record
        fields = self._mapped(record) if self.rules else record
        if type(fields) is Rejected:
            return fields
        if envelope is not None:
            _fill(fields, envelope)
        try:
            event = msgspec.convert(fields, Event)
        except msgspec.ValidationError as error:
            return self._explained(error)
        return self._refusal(event, is_repaired=is_repaired) or event

    def _mapped(self, record: dict[str, Any]) -> Any:  # noqa: ANN401  # fields, or `Rejected`
        """Build the canonical fields that the record has."""
        fields: dict[str, Any] = {"kind": "message"}
        for rule in self.rules:
            value = _read(rule, record)
            if value is None:
                continue
            if type(value) is Rejected:
                detail = f"{self._where(rule.target)}: {value.detail}"
                return Rejected(reason=value.reason, detail=detail)
            if rule.group:
                fields.setdefault(rule.group, {})[rule.name] = value
            else:
                fields[rule.name] = value
        for group in _OPTIONAL:
            if group in fields and "id" not in fields[group]:
                del fields[group]
        return fields

    def _refusal(self, event: Event, *, is_repaired: bool) -> Rejected | None:
        """Check what types cannot express: the text limit, slugs, usable dates, ids left as they were."""
        slug = slug_error(event)
        if slug is not None:
            return self._rejected(Reason.OUT_OF_RANGE, slug, _SLUG_EXPECTED)
        if len(event.text) > self.limits.text_characters:
            expected = f"expected at most {self.limits.text_characters} characters"
            return self._rejected(Reason.TEXT_TOO_LONG, "text", expected)
        if not _is_utc_date(event.occurred_at):
            return self._rejected(Reason.OUT_OF_RANGE, "occurred_at", _YEARS)
        created_at = event.actor.created_at
        if created_at is not None and not _is_utc_date(created_at):
            return self._rejected(Reason.OUT_OF_RANGE, "actor.created_at", _YEARS)
        if is_repaired:
            for name, id_ in _ids(event):
                if "\ufffd" in id_:
                    expected = "expected no lone surrogate in an id"
                    return self._rejected(Reason.INVALID_UNICODE, name, expected)
        return None

    def _explained(self, error: msgspec.ValidationError) -> Rejected:
        """Say what was expected, in words that hold no value of the record."""
        message, _, where = str(error).partition(" - at `$")
        name = where.rstrip("`").lstrip(".").replace("[...]", ".*")
        if missing := re.fullmatch(r"Object missing required field `(\w+)`", message):
            name = f"{name}.{missing[1]}".lstrip(".")
            return self._rejected(Reason.MISSING_FIELD, name, "expected a value, got none")
        if message.startswith("Expected `datetime` with"):
            expected = "expected a timestamp with its offset, such as 2026-01-31T08:00:00+08:00"
            return self._rejected(Reason.WRONG_TYPE, name, expected)
        if message.startswith("Invalid RFC3339"):
            return self._rejected(Reason.WRONG_TYPE, name, "expected an RFC 3339 timestamp")
        if message.startswith("Expected "):
            reason = Reason.WRONG_TYPE if ", got `" in message else Reason.OUT_OF_RANGE
            return self._rejected(reason, name, message[:1].lower() + message[1:])
        # msgspec quotes the value of a closed set, which may be personal; so say the set instead.
        choices = ", ".join(f'"{choice}"' for choice in get_args(_targets().get(name)))
        expected = f"expected one of {choices}" if choices else "expected a value in range"
        return self._rejected(Reason.OUT_OF_RANGE, name, expected)

    def _rejected(self, reason: Reason, name: str, expected: str) -> Rejected:
        return Rejected(reason=reason, detail=f"{self._where(name)}: {expected}")

    def _where(self, name: str) -> str:
        """Name a field, and the place in the record it was read from."""
        for rule in self.rules:
            if rule.keys and (name == rule.target or name.startswith(f"{rule.target}[")):
                return f"`{name}` from `{'.'.join(rule.keys)}`"
        return f"`{name}`"


def _sound(records: Sequence[bytes | None], limits: Limits) -> list[Event] | None:
    """Decode records of which each is an event, with certainly nothing to refuse; None if one may not be."""
    try:
        # A tombstone is no bytes and fails like what is no JSON.
        events = [_DECODE(raw) for raw in records]  # type: ignore[arg-type]
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, TypeError):
        return None
    moments = {event.occurred_at.year for event in events}
    moments |= {made.year for event in events if (made := event.actor.created_at) is not None}
    slugs = {event.platform for event in events} | {event.kind for event in events}
    slugs |= {space.kind for event in events if (space := event.space) is not None}
    # Only attributes can be deep, and few hold anything but strings and numbers.
    held = {type(value) for event in events for value in event.attributes.values()}
    deep = records if held & {dict, list} else ()
    is_sound = (
        max((len(raw) for raw in records if raw), default=0) <= limits.record_bytes
        and max((len(event.text) for event in events), default=0) <= limits.text_characters
        and all(_FIRST_YEAR < year < _LAST_YEAR for year in moments)
        and all(map(is_slug, slugs))
        and all(raw.count(b"{") + raw.count(b"[") <= limits.depth for raw in deep if raw)
    )
    return events if is_sound else None


_DECODE: Final = msgspec.json.Decoder(Event).decode
_SLUG_EXPECTED: Final = "expected a lower-case word of at most 64 letters, digits and `_.-`"
_YEARS: Final = f"expected a year from {_FIRST_YEAR} to {_LAST_YEAR} in UTC"


def _fill(fields: dict[str, Any], envelope: dict[str, Any]) -> None:
    """Let a CloudEvents envelope give the id and time that its data does not have."""
    for name, attribute in (("id", "id"), ("occurred_at", "time")):
        if fields.get(name) is None and attribute in envelope:
            fields[name] = envelope[attribute]


def _read(rule: _Rule, record: dict[str, Any]) -> Any:  # noqa: ANN401  # any JSON, or `Rejected`
    """Return what a record has for one field, `None` for nothing."""
    if not rule.keys:
        return rule.default
    value: Any = record
    try:
        for key in rule.keys:
            value = value[key]
    except (KeyError, TypeError):
        value = _at(record, rule.keys)
    if value is None:
        return rule.default
    if rule.values is not None:
        return _translated(value, rule)
    return value if rule.kind == "plain" else _converted(value, rule)


def _at(value: Any, keys: tuple[str, ...]) -> Any:  # noqa: ANN401  # any JSON
    """Follow a path through objects and lists; `None` where it ends early."""
    for position, key in enumerate(keys):
        if type(value) is dict:
            value = value.get(key)
        elif type(value) is list and key == "*":
            found = (_at(item, keys[position + 1 :]) for item in value)
            return [item for item in found if item is not None]
        elif type(value) is list and _INDEX.fullmatch(key) and int(key) < len(value):
            value = value[int(key)]
        else:
            return None
    return value


def _translated(value: object, rule: _Rule) -> object:
    """Look a value up; numbers and booleans by how JSON writes them."""
    key = value if isinstance(value, str) else orjson.dumps(value).decode()
    found = (rule.values or {}).get(key, rule.default)
    if found is None:
        return Rejected(reason=Reason.OUT_OF_RANGE, detail="expected one of the mapped `values`")
    return found


def _converted(value: Any, rule: _Rule) -> object:  # noqa: ANN401  # any JSON
    """Turn whole numbers into ids and numbers into dates; leave the rest to the type check."""
    if rule.kind == "moment":
        return _moment(value, rule.zone)
    if rule.kind == "ids" and type(value) is list:
        return [str(item) if type(item) is int else item for item in value]
    return str(value) if type(value) is int else value


def _moment(value: object, zone: timezone | None) -> object:
    """Turn a number, or a timestamp without an offset, into a date."""
    if isinstance(value, str) and _WHOLE.fullmatch(value):
        value = int(value)  # JSON from protocol buffers writes 64-bit numbers as text
    if type(value) is int or type(value) is float:
        for bound, unit in _UNITS:
            if -bound < value < bound:
                try:
                    return _EPOCH + timedelta(microseconds=round(value * unit))
                except OverflowError:
                    break
        expected = "expected seconds, milliseconds or microseconds since 1970"
        return Rejected(reason=Reason.OUT_OF_RANGE, detail=expected)
    if isinstance(value, str) and zone is not None:
        try:
            moment = msgspec.convert(value, datetime)
        except msgspec.ValidationError:
            return value
        return moment if moment.tzinfo else moment.replace(tzinfo=zone)
    return value


def _is_utc_date(moment: datetime) -> bool:
    """Tell whether a date is still one in UTC, as everything after this counts on."""
    if _FIRST_YEAR < moment.year < _LAST_YEAR:
        return True
    try:
        moment.astimezone(UTC)
    except OverflowError:
        return False
    return True


def _ids(event: Event) -> Iterator[tuple[str, str]]:
    """Name every id of an event that is there."""
    yield "id", event.id
    yield "actor.id", event.actor.id
    for group in _OPTIONAL:
        if (part := getattr(event, group)) is not None:
            yield f"{group}.id", part.id
    if event.in_reply_to is not None:
        yield "in_reply_to", event.in_reply_to
    for index, id_ in enumerate(event.audience.recipient_ids):
        yield f"audience.recipient_ids[{index}]", id_


@cache
def _targets() -> dict[str, Any]:
    """Return every field a mapping can fill, with its type; attributes are open."""
    targets: dict[str, Any] = {}
    for field in msgspec.structs.fields(Event):
        parts = [p for p in (field.type, *get_args(field.type)) if hasattr(p, "__struct_fields__")]
        if not parts:
            targets[field.encode_name] = field.type
        for part in parts:
            for inner in msgspec.structs.fields(part):
                targets[f"{field.encode_name}.{inner.encode_name}"] = inner.type
    del targets["attributes"]
    return targets


def _rule(target: str, source: FieldSource) -> _Rule:
    """Check and compile one field.

    Raises:
        MappingError: if the field does not exist or its source makes no sense.
    """
    group, _, name = target.rpartition(".")
    if target.startswith("attributes."):
        group, _, name = target.partition(".")
    type_ = _targets().get(target)
    if group == "attributes" and name:
        type_ = str | int | float | bool
    if type_ is None:
        near = difflib.get_close_matches(target, _targets(), n=1)
        hint = f"did you mean `{near[0]}`?" if near else f"expected one of {', '.join(_targets())}"
        raise MappingError(target, f"no such field of an event; {hint}")
    if (source.path is None) == (source.constant is None):
        raise MappingError(target, "needs either a `path` or a `constant`")
    if source.constant is not None and (source.values or source.default or source.offset):
        raise MappingError(target, "a `constant` takes no `values`, `default` or `offset`")
    constant = _fitting(target, "constant", source.constant, type_)
    default = _fitting(target, "default", source.default, type_)
    values = None
    if source.values is not None:
        fitted = {k: _fitting(target, "values", v, type_) for k, v in source.values.items()}
        values = {k: v for k, v in fitted.items() if v is not None}
    return _Rule(
        target=target,
        group=group,
        name=name,
        kind=_KINDS.get(target, "plain"),
        keys=_keys(target, source.path),
        values=values,
        default=constant if default is None else default,
        zone=_zone(target, source.offset),
    )


def _fitting(target: str, key: str, value: Constant | None, type_: object) -> Constant | None:
    """Return a constant as the field's type wants it."""
    if value is None:
        return None
    if type(value) is int and _KINDS.get(target) == "id":
        value = str(value)
    try:
        msgspec.convert(value, type_)
    except msgspec.ValidationError as error:
        raise MappingError(target, f"`{key}` does not fit: {error}") from None
    if target in SLUGS and not (isinstance(value, str) and is_slug(value)):
        raise MappingError(target, f"`{key}` does not fit: {_SLUG_EXPECTED}")
    return value


def _keys(target: str, path: str | None) -> tuple[str, ...]:
    if path is None:
        return ()
    keys = tuple(path.split("."))
    if not all(keys):
        raise MappingError(target, "a `path` is keys with one dot between each two")
    if keys.count("*") > (target in _LISTS):
        raise MappingError(target, "`*` may stand once, in the path of a list of values")
    return keys


def _zone(target: str, offset: str | None) -> timezone | None:
    if offset is None:
        return None
    found = _OFFSET.fullmatch(offset)
    if _KINDS.get(target) != "moment" or found is None:
        raise MappingError(target, '`offset` is for timestamps and looks like "+08:00"')
    sign = 1 if found[1] == "+" else -1
    return timezone(sign * timedelta(hours=int(found[2]), minutes=int(found[3])))
