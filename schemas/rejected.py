"""A rejected record: bytes from a source that could not become an event, and why.

Bad input is a value, not an exception: it travels to the dead-letter topic with its bytes untouched.
"""

from enum import StrEnum

import msgspec


class Reason(StrEnum):
    """Every way a record can be refused; the value is a metric label and a dead-letter header."""

    TOMBSTONE = "tombstone"
    RECORD_TOO_LARGE = "record_too_large"
    NOT_JSON = "not_json"
    NOT_AN_OBJECT = "not_an_object"
    MISSING_FIELD = "missing_field"
    WRONG_TYPE = "wrong_type"
    OUT_OF_RANGE = "out_of_range"
    TEXT_TOO_LONG = "text_too_long"
    INVALID_UNICODE = "invalid_unicode"
    TOO_DEEP = "too_deep"
    INVALID_ENVELOPE = "invalid_envelope"
    ESCALATION_TOO_LARGE = "escalation_too_large"
    SCREENING_FAILED = "screening_failed"


class Rejected(msgspec.Struct, frozen=True, kw_only=True):
    """Why a record was refused.

    `detail` names the field and what was expected of it, for the operator; it never holds a value of the
    record, which may be personal.
    """

    reason: Reason
    detail: str
