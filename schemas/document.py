"""A TOML document read into a typed value, where every error names its file and line.

Configuration, labels and lexicons are edited by people at all hours; "line 41: unknown key
`treshold`, expected one of ..." is the difference between a fix and a call.
"""

import re
import tomllib
import types
import typing
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import msgspec
import tree_sitter_toml
from tree_sitter import Language, Node, Parser

T = TypeVar("T")

Path_ = tuple[str | int, ...]

_LANGUAGE = Language(tree_sitter_toml.language())
_STEP = re.compile(r"\.(?P<key>[^.\[\]]+)|\[(?P<index>\d+)\]|\[\.\.\.\]")
_SYNTAX = re.compile(
    r"(?P<what>.*?) \(at (line (?P<line>\d+), column \d+|end of document)\)", re.DOTALL
)
# JSON's word, which msgspec uses; nor does TOML have a null.
_TABLE = re.compile(r"(?<=[`|, ])object(?=[`|, ])")


class DocumentError(ValueError):
    """A document that cannot be used as it stands: where, what, and what was expected."""

    def __init__(self, file: str, line: int, problem: str) -> None:
        """Name the file, the line from 1 (0 for the whole file) and what is wrong there."""
        super().__init__(f"{file}:{line}: {problem}")
        self.file = file
        self.line = line
        self.problem = problem


class Document:
    """A parsed TOML file that still knows which line each key stands on."""

    def __init__(self, source: str, file: str) -> None:
        """Parse.

        Raises:
            DocumentError: if `source` is not TOML.
        """
        self.file = file
        self._source = source
        try:
            self.content = tomllib.loads(source)
        except tomllib.TOMLDecodeError as error:
            found = _SYNTAX.fullmatch(str(error))
            line = int(found["line"] or 0) if found else 0
            what = found["what"] if found else str(error)
            line = line or source.rstrip().count("\n") + 1
            raise DocumentError(file, line, f"not TOML: {what}") from None

    @classmethod
    def read(cls, path: Path) -> "Document":
        """Read and parse a file.

        Raises:
            DocumentError: if it cannot be read, is not UTF-8 or not TOML.
        """
        try:
            source = path.read_text(encoding="utf-8")
        except OSError as error:
            raise DocumentError(str(path), 0, f"cannot be read: {error.strerror}") from None
        except UnicodeDecodeError as error:
            line = path.read_bytes()[: error.start].count(b"\n") + 1
            raise DocumentError(str(path), line, "not UTF-8") from None
        return cls(source, str(path))

    def error(self, path: Path_, problem: str) -> DocumentError:
        """Build the error for the value at `path`, found at its line or its nearest parent's."""
        return DocumentError(self.file, self.line(path), problem)

    def line(self, path: Path_) -> int:
        """Return the line, from 1, where the value at `path` or its nearest parent is written."""
        lines = _Lines(self._source).found
        while path:
            if path in lines:
                return lines[path]
            path = path[:-1]
        return 1

    def to(self, type_: type[T], *, path: Path_ = ()) -> T:
        """Convert the value at `path` to `type_`.

        Raises:
            DocumentError: naming the line, what stands there and what was expected.
        """
        value: object = self.content
        for step in path:
            value = value[step]  # type: ignore[index]  # the caller walks what it has just seen
        try:
            return msgspec.convert(value, type_, strict=True)
        except msgspec.ValidationError as error:
            raise self._explained(error, type_, path) from None

    def _explained(
        self, error: msgspec.ValidationError, type_: object, path: Path_
    ) -> DocumentError:
        message, _, where = str(error).partition(" - at `")
        # Of a key that does not fit, msgspec says "at `key` in `$.where`".
        is_key = where.startswith("key` in `")
        steps = [*path]
        type_at = type_
        for step in _STEP.finditer(where.rstrip("`")):
            if step["key"] is not None:
                steps.append(step["key"])
            elif step["index"] is not None:
                steps.append(int(step["index"]))
            else:
                # msgspec writes `[...]` for any key of a mapping: find the one that does not fit.
                steps.append(_culprit(_at(self.content, steps), _member(type_at)))
            type_at = _member(type_at, steps[-1])
        if is_key:
            steps.append(_culprit_key(_at(self.content, steps), type_at))
            message = f"key `{steps[-1]}`: {message[:1].lower()}{message[1:]}"
        elif unknown := re.fullmatch(r"Object contains unknown field `(?P<name>.*)`", message):
            steps.append(unknown["name"])
            known = ", ".join(f"`{name}`" for name in sorted(_fields(type_at)))
            message = f"unknown key `{unknown['name']}`, expected one of {known or 'none here'}"
        elif missing := re.fullmatch(r"Object missing required field `(?P<name>.*)`", message):
            message = f"missing key `{missing['name']}`"
        elif message.startswith("Invalid enum value") and (choices := _choices(type_at)):
            message = f"{message[:1].lower()}{message[1:]}, expected one of {choices}"
        else:
            message = _TABLE.sub("table", message[:1].lower() + message[1:]).replace(" | null", "")
        return self.error(tuple(steps), message)


def _at(value: Any, steps: Sequence[str | int]) -> Any:  # noqa: ANN401  # any TOML
    for step in steps:
        value = value[step]
    return value


def _fields(type_: object) -> set[str]:
    """Return the keys a table of this type may have."""
    return {name for part in _alternatives(type_) for name in _encoded(part)}


def _encoded(type_: object) -> tuple[str, ...]:
    return getattr(type_, "__struct_encode_fields__", ())


def _choices(type_: object) -> str:
    """Return the values of a `Literal`."""
    literals = (p for p in _alternatives(type_) if typing.get_origin(p) is typing.Literal)
    return ", ".join(f'"{value}"' for part in literals for value in typing.get_args(part))


def _member(type_: object, step: str | int = "") -> object:
    """Return the type that stands under `step` of `type_`, as far as the annotations tell."""
    for part in _alternatives(type_):
        if step in _encoded(part):
            fields = msgspec.structs.fields(typing.cast("type[msgspec.Struct]", part))
            return next(field.type for field in fields if field.encode_name == step)
        arguments = [a for a in typing.get_args(part) if a is not Ellipsis]
        if arguments and typing.get_origin(part) is not typing.Literal:
            return arguments[-1]
    return object


def _alternatives(type_: object) -> Iterator[object]:
    """Unwrap `Annotated` and unions to the types that may stand in their place."""
    if typing.get_origin(type_) is typing.Annotated:
        yield from _alternatives(typing.get_args(type_)[0])
    elif isinstance(type_, types.UnionType) or typing.get_origin(type_) is typing.Union:
        for part in typing.get_args(type_):
            yield from _alternatives(part)
    else:
        yield type_


def _culprit(mapping: Mapping[str, object], member: object) -> str:
    """Return the first key of `mapping` whose value is refused; msgspec stops at the first, too."""
    for key, value in mapping.items():
        try:
            msgspec.convert(value, member)
        except msgspec.ValidationError:
            return key
    return next(iter(mapping))


def _culprit_key(mapping: Mapping[str, object], type_: object) -> str:
    """Return the first key of `mapping` that is refused as a key."""
    for part in _alternatives(type_):
        if typing.get_origin(part) is dict:
            wanted = typing.get_args(part)[0]
            for key in mapping:
                try:
                    msgspec.convert(key, wanted)
                except msgspec.ValidationError:
                    return key
    return next(iter(mapping))


class _Lines:
    """Where each key path of a TOML document is written, its first line from 1."""

    def __init__(self, source: str) -> None:
        self.found: dict[Path_, int] = {}
        self._implied: dict[Path_, int] = {}
        self._counts: dict[Path_, int] = {}
        for node in Parser(_LANGUAGE).parse(source.encode()).root_node.children:
            if node.type == "pair":
                self._pair(node, ())
            elif node.type in ("table", "table_array_element"):
                self._table(node)
        self.found = self._implied | self.found

    def _table(self, node: Node) -> None:
        keys = _keys(node.children[1])
        if node.type == "table_array_element":
            path = (*self._resolved(keys[:-1]), keys[-1])
            self.found.setdefault(path, _row(node))
            self._counts[path] = self._counts.get(path, 0) + 1
            path = (*path, self._counts[path] - 1)
        else:
            path = self._resolved(keys)
        self._place(path, node)
        for child in node.children:
            if child.type == "pair":
                self._pair(child, path)

    def _pair(self, node: Node, prefix: Path_) -> None:
        path = (*prefix, *_keys(node.children[0]))
        self._place(path, node)
        self._value(node.children[-1], path)

    def _value(self, node: Node, path: Path_) -> None:
        if node.type == "array":
            items = [c for c in node.children if c.is_named and c.type != "comment"]
            for index, item in enumerate(items):
                self.found[*path, index] = _row(item)
                self._value(item, (*path, index))
        elif node.type == "inline_table":
            for child in node.children:
                if child.type == "pair":
                    self._pair(child, path)

    def _place(self, path: Path_, node: Node) -> None:
        """Note a path, and the tables above it that have no line of their own."""
        self.found[path] = _row(node)
        for length in range(1, len(path)):
            self._implied.setdefault(path[:length], _row(node))

    def _resolved(self, keys: Path_) -> Path_:
        """Insert the current index behind every key that names an array of tables."""
        path: Path_ = ()
        for key in keys:
            path = (*path, key)
            if path in self._counts:
                path = (*path, self._counts[path] - 1)
        return path


def _row(node: Node) -> int:
    return node.start_point.row + 1


def _keys(node: Node) -> tuple[str, ...]:
    """Return the parts of a bare, quoted or dotted key."""
    if node.type == "dotted_key":
        return tuple(part for child in node.children if child.is_named for part in _keys(child))
    text = (node.text or b"").decode()
    if node.type == "quoted_key":
        return tuple(tomllib.loads(f"{text} = 0"))
    return (text,)
