"""Tests for `schemas.document`."""

from pathlib import Path
from typing import Annotated, Literal

import msgspec
import pytest

from schemas.document import Document, DocumentError


class Part(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A table inside another."""

    size: int
    share: Annotated[float, msgspec.Meta(ge=-1.0, le=1.0)] = 0.0
    mode: Literal["fast", "slow"] = "fast"


class Whole(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A document with every way to nest."""

    one: Part | None = None
    many: tuple[Part, ...] = ()
    named: dict[str, Part] = {}
    keyed: dict[Annotated[str, msgspec.Meta(pattern="^[a-z]+$")], int] = {}
    deep: dict[str, dict[str, Part]] = {}
    either: dict[str, str | Part] = {}
    lists: dict[str, tuple[int, ...]] = {}


def refusal(source: str) -> str:
    """Return what is said about a document that is not a `Whole`."""
    with pytest.raises(DocumentError) as caught:
        Document(source, "file.toml").to(Whole)
    return str(caught.value)


def test_sound_document() -> None:
    """A sound document becomes the value it describes."""
    document = Document("[one]\nsize = 1\n[[many]]\nsize = 2\n", "file.toml")

    assert Whole(one=Part(1), many=(Part(2),)) == document.to(Whole)


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        (
            "\n\n[one]\nsize = 1\nsise = 2",
            "5: unknown key `sise`, expected one of `mode`, `share`, `size`",
        ),
        ("\n[one]\n\nshare = 0.5", "2: missing key `size`"),
        ("\n[one]\n# why\nsize = 'a'", "4: expected `int`, got `str`"),
        ("\n[one]\nsize = 1\nshare = 2.0", "4: expected `float` <= 1.0"),
        ("\n[one]\nsize = 1\nshare = nan", "4: expected `float` >= -1.0"),
        (
            "[one]\nsize = 1\nmode = 'quick'",
            '3: invalid enum value \'quick\', expected one of "fast", "slow"',
        ),
        ("\none = 3", "2: expected `table`, got `int`"),
        ("\n\n[on.a]\nb = 1", "3: unknown key `on`, expected one of "),
    ],
)
def test_line_of_a_table(source: str, expected: str) -> None:
    """An error in a table names the line of the key, or of the table that lacks it."""
    assert refusal(source).startswith(f"file.toml:{expected}")


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("\n\none.size = 'a'", "3: expected `int`, got `str`"),
        ("\n\none.share = 0.5", "3: missing key `size`"),
        ("[named]\n\na.size = 1\nb.size = 'x'", "4: expected `int`, got `str`"),
    ],
)
def test_line_of_a_dotted_key(source: str, expected: str) -> None:
    """An error under a dotted key names its line, also for the table that it only implies."""
    assert f"file.toml:{expected}" == refusal(source)


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("[[many]]\nsize = 1\n\n[[many]]\nsize = 's'", "5: expected `int`, got `str`"),
        ("[[many]]\nsize = 1\n\n[[many]]\nshare = 0.1", "4: missing key `size`"),
        ("many = [\n{size = 1},\n# why\n{size = 's'},\n]", "4: expected `int`, got `str`"),
        ("[lists]\na = [1, 2]\nb = [\n1,\n'x']", "5: expected `int`, got `str`"),
    ],
)
def test_line_of_an_item(source: str, expected: str) -> None:
    """An error in an array names the line of the item, comments and all."""
    assert f"file.toml:{expected}" == refusal(source)


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("[named]\n'a.b' = {size = 1}\n\"c d\" = {size = 's'}", "3: expected `int`, got `str`"),
        ("[named.a]\nsize = 1\n\n[named.'b.c']\nshare = 0.1", "4: missing key `size`"),
        ("[deep.a.b]\nsize = 1\n[deep.a.c]\nsize = 's'", "4: expected `int`, got `str`"),
        ("[either]\na = 's'\nb = {size = 1}\nc = 3", "4: expected `str | table`, got `int`"),
        (
            "[either]\na = 's'\nb = {sise = 1}",
            "3: unknown key `sise`, expected one of `mode`, `share`, `size`",
        ),
        ("[keyed]\na = 1\nB = 2", "3: key `B`: expected `str` matching regex '^[a-z]+$'"),
    ],
)
def test_line_in_a_mapping(source: str, expected: str) -> None:
    """An error under free keys names the line of the key at fault, however it is quoted."""
    assert f"file.toml:{expected}" == refusal(source)


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("[one]\nsize = 1\nsize = 2", "3: not TOML: Cannot overwrite a value"),
        ("[one]\nsize = 1\nsize = 2\n\n\n", "3: not TOML: Cannot overwrite a value"),
        ('[one]\nsize = """\n\n', "2: not TOML: Unterminated string"),
        ("[one]\nsize =", "2: not TOML: Invalid value"),
        ("[one\nsize = 1", "1: not TOML: Expected ']' at the end of a table declaration"),
    ],
)
def test_line_of_a_syntax_error(source: str, expected: str) -> None:
    """What is not TOML is refused with the line."""
    assert f"file.toml:{expected}" == refusal(source)


def test_nested_arrays_of_tables() -> None:
    """A table below an array of tables is found below the array's latest item."""
    document = Document("[[a]]\n[[a.b]]\nc = 1\n[[a]]\n[[a.b]]\nc = 2\n[a.d]\ne = 3\n", "file.toml")

    assert (3, 6, 8) == (
        document.line(("a", 0, "b", 0, "c")),
        document.line(("a", 1, "b", 0, "c")),
        document.line(("a", 1, "d", "e")),
    )


def test_own_header_before_implied_one() -> None:
    """A table's own header is its line, even when a table below it came first."""
    document = Document("[a.b]\nc = 1\n[a]\nd = 2\n", "file.toml")

    assert 3 == document.line(("a",))


def test_error_at_a_path() -> None:
    """An error built for a key that is not there stands at the nearest table above it."""
    document = Document("\n[one]\nsize = 1\n", "file.toml")

    assert "file.toml:2: odd" == str(document.error(("one", "absent", "deeper"), "odd"))


def test_unreadable_files(tmp_path: Path) -> None:
    """A file that is absent or not UTF-8 is refused with its name, and the line if there is one."""
    broken = tmp_path / "broken.toml"
    broken.write_bytes(b"a = 1\nb = '\xff'\n")

    with pytest.raises(DocumentError, match=r"absent\.toml:0: cannot be read: No such file"):
        Document.read(tmp_path / "absent.toml")
    with pytest.raises(DocumentError, match=r"broken\.toml:2: not UTF-8"):
        Document.read(broken)
