"""A record: the bytes of one Kafka message's value, read as JSON within limits.

Apart from `schemas.source` because this half knows bytes, JSON and CloudEvents, not events.
"""

import base64
import re
from typing import Annotated, Any, Final

import msgspec
import orjson

from schemas.rejected import Reason, Rejected

_BOM: Final = b"\xef\xbb\xbf"
# Every escape of a JSON text; a match of 6 bytes that starts with \uD is half of a surrogate pair.
_ESCAPE: Final = re.compile(
    rb"\\(?:u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}"
    rb"|u[dD][89a-fA-F][0-9a-fA-F]{2}|.)",
    re.DOTALL,
)
_SURROGATE: Final = re.compile(rb"\\u[dD][89a-fA-F]")
_LONE: Final = len(rb"\ud800")
_STRING: Final = re.compile(rb'"(?:[^"\\]|\\.)*+(?:"|\\?\Z)', re.DOTALL)
_NOT_BRACKETS: Final = bytes(set(range(256)) - set(b"[]{}"))


class Limits(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How much of a record is accepted; anything beyond is rejected, never cut."""

    record_bytes: Annotated[int, msgspec.Meta(ge=1)] = 1_048_576
    text_characters: Annotated[int, msgspec.Meta(ge=1)] = 65_536
    depth: Annotated[int, msgspec.Meta(ge=1, le=512)] = 32
    """Objects and lists inside each other, the record itself included. orjson ends at 1024."""


class Parsed(msgspec.Struct, frozen=True):
    """A record orjson refuses as it stands, read with U+FFFD for every lone surrogate escape."""

    value: Any


def parsed(raw: bytes | None, limits: Limits) -> Any:  # noqa: ANN401  # any JSON
    """Return the JSON value, `Parsed` if it had to be repaired, or `Rejected`. Never raises."""
    if raw is None:
        return Rejected(reason=Reason.TOMBSTONE, detail="expected a value, got none")
    if len(raw) > limits.record_bytes:
        detail = f"expected at most {limits.record_bytes} bytes"
        return Rejected(reason=Reason.RECORD_TOO_LARGE, detail=detail)
    # Counting costs nothing next to parsing; only a record with many brackets is looked at closely.
    if raw.count(b"{") + raw.count(b"[") > limits.depth and _is_deeper(raw, limits.depth):
        detail = f"expected at most {limits.depth} objects and lists inside each other"
        return Rejected(reason=Reason.TOO_DEEP, detail=detail)
    try:
        return orjson.loads(raw)
    except orjson.JSONDecodeError:
        return _repaired(raw)


def is_envelope(record: dict[str, Any]) -> bool:
    """Tell whether an object has the four attributes every CloudEvent has."""
    return "specversion" in record and "type" in record and "source" in record and "id" in record


def unwrapped(envelope: dict[str, Any], limits: Limits) -> Any:  # noqa: ANN401  # any JSON
    """Return the data of a CloudEvents 1.0 envelope, as `parsed` does."""
    version = envelope["specversion"]
    if not isinstance(version, str) or not version.startswith("1."):
        return _invalid("`specversion`: expected CloudEvents 1.0")
    data = envelope.get("data")
    if data is None and "data_base64" in envelope:
        try:
            content = base64.b64decode(envelope["data_base64"], validate=True)
        except (TypeError, ValueError):
            return _invalid("`data_base64`: expected base64 text")
        data = parsed(content, limits)
        if type(data) is Rejected:
            return Rejected(reason=data.reason, detail=f"`data_base64`: {data.detail}")
    if type(data) is dict or (type(data) is Parsed and type(data.value) is dict):
        return data
    return _invalid("`data`: expected a JSON object")


def _invalid(detail: str) -> Rejected:
    return Rejected(reason=Reason.INVALID_ENVELOPE, detail=detail)


def _repaired(raw: bytes) -> Parsed | Rejected:
    """Parse what can be read although orjson refuses it, or say what is wrong with it."""
    text = raw.removeprefix(_BOM)
    if _SURROGATE.search(text):
        text = _ESCAPE.sub(_without_lone_surrogate, text)
    try:
        return Parsed(orjson.loads(text))
    except orjson.JSONDecodeError as error:
        try:
            raw.decode()
        except UnicodeDecodeError as broken:
            detail = f"expected UTF-8, which byte {broken.start} is not"
            return Rejected(reason=Reason.INVALID_UNICODE, detail=detail)
        if "infinity" in error.msg:
            detail = "expected numbers that a 64-bit float can hold"
            return Rejected(reason=Reason.OUT_OF_RANGE, detail=detail)
        detail = f"expected JSON, which ends at character {error.pos}"
        return Rejected(reason=Reason.NOT_JSON, detail=detail)


def _without_lone_surrogate(escape: re.Match[bytes]) -> bytes:
    found = escape[0]
    return rb"\ufffd" if len(found) == _LONE else found


def _is_deeper(raw: bytes, limit: int) -> bool:
    """Count brackets outside strings."""
    depth = 0
    for bracket in _STRING.sub(b"", raw).translate(None, _NOT_BRACKETS):
        depth += 1 if bracket in b"[{" else -1
        if depth > limit:
            return True
    return False
