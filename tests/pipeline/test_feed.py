"""A feed's settings: every mistake is named with its line."""

from pathlib import Path

import pytest

from pipeline.feed import Feed
from pipeline.settings import Settings, SettingsError, load

GOOD = 'url = "https://lists.example/a"\nlabel = "fraud.phishing"\n'

MISTAKES = {
    "unknown key": (f"[feeds.a]\n{GOOD}wieght = 1\n", 4, "unknown key `wieght`, expected one of"),
    "no address": ('[feeds.a]\nlabel = "fraud.phishing"\n', 1, "missing key `url`"),
    "no scheme": ('[feeds.a]\nurl = "lists.example/a"\nlabel = "x"\n', 2, "matching regex"),
    "another scheme": ('[feeds.a]\nurl = "ftp://lists.example/a"\n', 2, "matching regex"),
    "a file elsewhere": ('[feeds.a]\nurl = "file://host/a"\n', 2, "matching regex"),
    "name": (f'[feeds."A b"]\n{GOOD}', 1, "key `A b`: expected `str` matching regex"),
    "no label": ('[feeds.a]\nurl = "https://lists.example/a"\n', 1, "a: unknown label ``"),
    "unknown label": (
        '[feeds.a]\nurl = "https://lists.example/a"\nlabel = "fraud.phising"\n',
        3,
        "a: unknown label `fraud.phising`, expected one of ",
    ),
    "internal label": (
        '[feeds.a]\nurl = "https://lists.example/a"\nlabel = "detector.failed"\n',
        3,
        "a: unknown label `detector.failed`",
    ),
    "bad and innocent": (f"[feeds.a]\n{GOOD}subtract = true\n", 4, "either `label` or `subtract`"),
    "format": (f'[feeds.a]\n{GOOD}format = "xml"\n', 4, 'expected one of "plain", "hosts"'),
    "csv without column": (f'[feeds.a]\n{GOOD}format = "csv"\n', 1, "`column` where the format"),
    "column without csv": (f'[feeds.a]\n{GOOD}column = "url"\n', 4, "`column` where the format"),
    "column 0": (f'[feeds.a]\n{GOOD}format = "csv"\ncolumn = 0\n', 5, ">= 1"),
    "field without json": (f'[feeds.a]\n{GOOD}field = "url"\n', 4, "`field` only where"),
    "weight of nothing": (f"[feeds.a]\n{GOOD}weight = 0.0\n", 4, "> 0"),
    "too often": (f"[feeds.a]\n{GOOD}interval_seconds = 5.0\n", 4, ">= 60"),
    "share": (f"[feeds.a]\n{GOOD}least_share = 1.5\n", 4, "<= 1"),
    "no bytes": (f"[feeds.a]\n{GOOD}max_bytes = 0\n", 4, ">= 1"),
}  # fmt: skip


@pytest.mark.parametrize("name", MISTAKES)
def test_a_mistake_is_named_with_its_file_and_line(tmp_path: Path, name: str) -> None:
    """The message starts with `file:line:` and says what was expected."""
    content, line, problem = MISTAKES[name]
    path = tmp_path / "my.toml"
    path.write_text(content, encoding="utf-8")
    with pytest.raises(SettingsError) as caught:
        load(path, {})

    assert str(caught.value).startswith(f"{path}:{line}: ")
    assert problem in str(caught.value)


def test_no_feed_is_configured_by_default() -> None:
    """Lists are the operator's choice."""
    assert {} == Settings().feeds


def test_the_shipped_example_is_one_that_works(tmp_path: Path) -> None:
    """Its commented table says every key, with its default."""
    shipped = Path(__file__).parents[2] / "deploy" / "penjaga.toml"
    lines = shipped.read_text(encoding="utf-8").splitlines()
    start = lines.index("# [feeds.phishing]")
    end = lines.index("", start)
    path = tmp_path / "my.toml"
    path.write_text("\n".join(line.removeprefix("# ") for line in lines[start:end]))
    (feed,) = load(path, {}).feeds.values()
    path.write_text(
        '[feeds.a]\nurl = "https://lists.example/phishing.txt"\nlabel = "fraud.phishing"'
    )

    assert load(path, {}).feeds["a"] == feed
    assert {line.split(" ")[1] for line in lines[start + 1 : end]} == set(Feed.__struct_fields__)


def test_labels_of_ones_own_and_lists_of_innocents_are_fine(tmp_path: Path) -> None:
    """Below an open family any label is known; an innocent list has none."""
    path = tmp_path / "my.toml"
    path.write_text(
        '[feeds.a]\nurl = "file:///a"\nlabel = "custom.ours"\n'
        '[feeds.b]\nurl = "http://lists.example/b"\nsubtract = true\n'
    )
    feeds = load(path, {}).feeds

    assert ("custom.ours", True) == (feeds["a"].label, feeds["b"].subtract)
