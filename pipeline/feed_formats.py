"""Formats of lists: the bytes of a list taken apart into names, exceptions and faults.

Pure. Each format is what many lists are written in: one name a line, a hosts file, AdBlock rules, CSV, JSON.
"""

import csv
import io
import re
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final, Literal

import msgspec
import orjson

from pipeline.feed import Feed, Format
from pipeline.feed_names import Fault, Name, name

LineFault = Literal["unsupported_rule", "missing_field"]

_FIELD_CHARACTERS: Final = 131_072
_COMMENT: Final = ("#", "!", ";", "//")
_LOCAL: Final = frozenset(
    "localhost localhost.localdomain local broadcasthost ip6-localhost ip6-loopback ip6-localnet "
    "ip6-mcastprefix ip6-allnodes ip6-allrouters ip6-allhosts 0.0.0.0".split(),
)
"""What hosts files call the machine itself and its network: no part of a list."""
_ADDRESS: Final = re.compile(r"\d{1,3}(?:\.\d{1,3}){3}|[0-9a-fA-F]*:[0-9a-fA-F:.]*(?:%\w+)?")
_RULE: Final = re.compile(r"\|\|(?P<name>[^|^$*\s]+?)[\^|]*(?:\$(?P<options>\S+))?")
_BARE: Final = re.compile(r"[A-Za-z0-9_.-]+\.[A-Za-z0-9-]{2,}")
_OPTIONS: Final = frozenset({"all", "doc", "document", "popup", "important", "third-party", "3p"})
"""Options under which a rule still says of its domain that it is bad."""


class FormatError(ValueError):
    """Bytes that are not in the format they should be in."""


class Exempt(msgspec.Struct, frozen=True):
    """A name that the list itself makes an exception for."""

    name: Name


Item = Name | Exempt | Fault | LineFault


def items(body: bytes, feed: Feed) -> Iterator[Item]:
    """Yield what a list holds, in order; a fault for each place where a name should be and is none.

    Raises:
        FormatError: while it is read, if the whole is not in its format.
    """
    return _READERS[feed.format](body, feed)


def _lines(body: bytes) -> Iterator[str]:
    text = io.TextIOWrapper(io.BytesIO(body), encoding="utf-8-sig", errors="replace")
    return (line for raw in text if (line := raw.strip()) and not line.startswith(_COMMENT))


def _without_remark(line: str) -> str:
    """Cut a remark off a line; a `#` without a blank before it may be part of a URL."""
    return re.split(r"\s#", line, maxsplit=1)[0].rstrip()


def _plain(body: bytes, _: Feed) -> Iterator[Item]:
    for line in _lines(body):
        yield name(_without_remark(line))


def _hosts(body: bytes, _: Feed) -> Iterator[Item]:
    for line in _lines(body):
        address, *names = _without_remark(line).split()
        if not names or not _ADDRESS.fullmatch(address):
            yield "malformed"
            continue
        for written in names:
            if written not in _LOCAL:
                yield name(written)


def _adblock(body: bytes, _: Feed) -> Iterator[Item]:
    text = io.TextIOWrapper(io.BytesIO(body), encoding="utf-8-sig", errors="replace")
    for raw in text:
        line = raw.strip()
        if not line or line.startswith(("!", "# ")) or (line[0] == "[" and line[-1] == "]"):
            continue
        is_exempt = line.startswith("@@")
        rule = _RULE.fullmatch(line.removeprefix("@@"))
        options = (rule["options"] or "").split(",") if rule else []
        if rule and _OPTIONS.issuperset(filter(None, options)):
            found = name(rule["name"], has_wildcard=True)
        elif _BARE.fullmatch(line):
            found = name(line)
        else:
            yield "unsupported_rule"
            continue
        yield Exempt(found) if is_exempt and isinstance(found, Name) else found


def _csv(body: bytes, feed: Feed) -> Iterator[Item]:
    text = io.TextIOWrapper(io.BytesIO(body), encoding="utf-8-sig", errors="replace", newline="")
    rows = _rows(text, feed.delimiter)
    column = feed.column
    position = column - 1 if isinstance(column, int) else _position(rows, column)
    for row in rows:
        if row[0].lstrip().startswith("#"):
            continue
        yield name(row[position]) if len(row) > position else "missing_field"


def _rows(text: io.TextIOWrapper, delimiter: str) -> Iterator[list[str]]:
    # A quote left open would swallow the rest as one field. The limit is the process's, and others lift it.
    csv.field_size_limit(_FIELD_CHARACTERS)
    try:
        yield from filter(None, csv.reader(text, delimiter=delimiter, skipinitialspace=True))
    except csv.Error as error:
        raise FormatError(f"not CSV: {error}") from None


def _position(rows: Iterator[list[str]], column: str) -> int:
    """Read up to the header, which some lists put into a comment, and find a column in it."""
    for row in rows:
        first = row[0].lstrip()
        header = [field.strip() for field in (first.lstrip("# "), *row[1:])]
        if column in header:
            return header.index(column)
        if not first.startswith("#"):
            break
    raise FormatError(f"no column `{column}` in the header")


def _json(body: bytes, feed: Feed) -> Iterator[Item]:
    try:
        value = orjson.loads(body.removeprefix(b"\xef\xbb\xbf"))
    except orjson.JSONDecodeError as error:
        raise FormatError(f"not JSON: line {error.lineno}") from None
    yield from _values(value, _path(feed))


def _json_lines(body: bytes, feed: Feed) -> Iterator[Item]:
    path = _path(feed)
    for raw in io.BytesIO(body.removeprefix(b"\xef\xbb\xbf")):
        line = raw.strip()
        if line:
            try:
                yield from _values(orjson.loads(line), path)
            except orjson.JSONDecodeError:
                yield "malformed"


def _path(feed: Feed) -> list[str]:
    return feed.field.split(".") if feed.field else []


def _values(value: Any, path: Sequence[str]) -> Iterator[Item]:  # noqa: ANN401  # any JSON
    """Walk down the path, through the lists on the way."""
    if isinstance(value, list):
        for member in value:
            yield from _values(member, path)
    elif path and isinstance(value, dict) and path[0] in value:
        yield from _values(value[path[0]], path[1:])
    elif not path and isinstance(value, str):
        yield name(value)
    else:
        yield "missing_field"


_READERS: Final[dict[Format, Callable[[bytes, Feed], Iterator[Item]]]] = {
    "plain": _plain,
    "hosts": _hosts,
    "adblock": _adblock,
    "csv": _csv,
    "json": _json,
    "jsonl": _json_lines,
}
