"""Tests for `schemas.published`."""

import ast
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import jsonschema
import msgspec
import pytest

import schemas
from schemas import Event, Rejected, Verdict
from schemas.published import FOLDER, files, main, stale
from schemas.signal import Signal
from schemas.source import SourceMapping
from schemas.subject_verdict import SubjectVerdict

NAMES: Final = {
    "event.schema.json",
    "finding.schema.json",
    "verdict.schema.json",
    "rejected.schema.json",
    "signal.schema.json",
    "subject_verdict.schema.json",
    "quoted.schema.json",
    "asyncapi.json",
}
DOCUMENT: Final[dict[str, Any]] = json.loads((FOLDER / "asyncapi.json").read_bytes())


def references(value: object) -> Iterator[str]:
    """Yield every `$ref` in a document."""
    if isinstance(value, dict):
        if isinstance(value.get("$ref"), str):
            yield value["$ref"]
        value = list(value.values())
    if isinstance(value, list):
        for item in value:
            yield from references(item)


def resolved(document: Any, reference: str) -> Any:  # any JSON
    """Follow a reference within its document."""
    assert reference.startswith("#/")
    for key in reference[2:].split("/"):
        document = document[key]
    return document


def validator(name: str) -> jsonschema.Draft202012Validator:
    """Return a validator for one published schema."""
    schema = json.loads((FOLDER / name).read_bytes())
    jsonschema.Draft202012Validator.check_schema(schema)
    return jsonschema.Draft202012Validator(
        schema, format_checker=jsonschema.Draft202012Validator.FORMAT_CHECKER
    )


def test_current() -> None:
    """The published files say what the types say; `python -m schemas.published` makes it so."""
    assert NAMES == set(files())
    assert [] == stale()


def test_check(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """`--check` names stale files, fails and writes nothing; without it they are written."""
    assert 1 == main(["--check"], tmp_path)
    assert [] == list(tmp_path.iterdir())
    assert 0 == main([], tmp_path)
    assert 0 == main(["--check"], tmp_path)

    (tmp_path / "asyncapi.json").write_bytes(b"{}\n")
    capsys.readouterr()

    assert 1 == main(["--check"], tmp_path)
    assert f"{tmp_path}/asyncapi.json: stale; run `python -m schemas.published`\n" == (
        capsys.readouterr().err
    )


@pytest.mark.parametrize("name", sorted(NAMES))
def test_references_resolve(name: str) -> None:
    """Every reference of a published file leads somewhere in it."""
    document = json.loads((FOLDER / name).read_bytes())
    found = [resolved(document, reference) for reference in references(document)]

    assert found
    assert all(isinstance(target, dict) for target in found)


def test_channels() -> None:
    """Every message of every channel is described, and every operation has its channel."""
    channels = DOCUMENT["channels"]

    assert {
        "sourceEvents",
        "escalations",
        "shadow",
        "overflow",
        "quotations",
        "deadLetters",
        "signals",
        "memory",
    } == set(channels)
    assert {
        "Event",
        "Verdict",
        "Quoted",
        "DeadLetter",
        "SubjectVerdict",
        "Signal",
        "Memory",
    } == {name for channel in channels.values() for name in channel["messages"]}
    assert {f"#/channels/{name}" for name in channels} == {
        operation["channel"]["$ref"] for operation in DOCUMENT["operations"].values()
    }


def test_dead_letter_headers() -> None:
    """A dead letter says why it is one and where it came from."""
    headers = DOCUMENT["components"]["messages"]["DeadLetter"]["headers"]

    assert [
        "penjaga-reason",
        "penjaga-detail",
        "penjaga-source-topic",
        "penjaga-source-partition",
        "penjaga-source-offset",
    ] == headers["required"]
    assert [str(reason) for reason in schemas.Reason] == (
        headers["properties"]["penjaga-reason"]["enum"]
    )


@pytest.mark.parametrize(
    ("type_", "file"),
    [
        (Event, "event"),
        (Verdict, "verdict"),
        (Signal, "signal"),
        (SubjectVerdict, "subject_verdict"),
    ],
)
def test_examples(type_: type, file: str) -> None:
    """The examples are valid by the schema, and are what the types read and write."""
    (example,) = DOCUMENT["components"]["messages"][type_.__name__]["examples"]

    validator(f"{file}.schema.json").validate(example["payload"])
    assert example["payload"] == json.loads(
        msgspec.json.encode(msgspec.convert(example["payload"], type_))
    )


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"text": ""},
        {"space": {"id": "s-1", "kind": "page"}, "language": "ms", "is_ad": True},
        {"in_reply_to": None, "attributes": {"a": None, "b": 1.5}},
        {"odd": {"key": []}},
        {"id": ""},
        {"id": 5},
        {"platform": "A B"},
        {"kind": None},
        {"text": None},
        {"actor": {}},
        {"actor": {"id": "u", "age_band": "young"}},
        {"audience": {"kind": "dm", "size": -1}},
        {"audience": {"kind": "dm", "recipient_ids": ["a"] * 1001}},
        {"links": [5]},
        {"attributes": {"a": []}},
        {"is_ad": 1},
    ],
)
def test_schema_agrees_with_decoding(changes: dict[str, Any]) -> None:
    """The event schema accepts what decoding accepts, and refuses what it refuses."""
    (example,) = DOCUMENT["components"]["messages"]["Event"]["examples"]
    record = example["payload"] | changes
    decoded = SourceMapping.compile({}).decode(json.dumps(record).encode())

    assert isinstance(decoded, Event | Rejected)
    assert validator("event.schema.json").is_valid(record) is isinstance(decoded, Event)


def test_schemas_import_nothing_of_ours() -> None:
    """The wire depends on no other package of the project."""
    modules = [
        name
        for path in sorted(FOLDER.glob("*.py"))
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        for name in (
            [alias.name for alias in node.names]
            if isinstance(node, ast.Import)
            else [node.module or ""]
            if isinstance(node, ast.ImportFrom)
            else []
        )
    ]

    assert "schemas.event" in modules
    assert [] == [m for m in modules if m.split(".")[0] in {"detectors", "pipeline", "tests"}]
