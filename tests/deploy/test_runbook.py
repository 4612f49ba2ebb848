"""The runbook: a section for each alert, and nothing in it that is not there when it is needed."""

import shlex
from typing import Final

import click
import regex

from pipeline.cli import cli
from pipeline.settings import Settings, load
from tests.deploy.monitoring import DEPLOY, RUNBOOK, alerts, dashboards, sections, unknown

PARTS: Final = ("**Means.**", "**Look here.**", "**Do this.**", "**Wake** ")
_CODE: Final = regex.compile(r"`([^`\n]+)`")


def commands(text: str) -> list[str]:
    """Return every command of ours that is quoted, from its name on."""
    quoted = _CODE.findall(text)
    return [
        code[code.index("penjaga ") :] for code in quoted if regex.search(r"(^|\| )penjaga ", code)
    ]


def complaint(command: str) -> str | None:
    """Parse a command as the command line would; return what is wrong with it."""
    words = shlex.split(command.partition(" | ")[0])[1:]
    found: click.Command = cli
    context = click.Context(cli, info_name="penjaga")
    while isinstance(found, click.Group):
        inner = found.get_command(context, words[0]) if words else None
        if inner is None:
            return f"{command}: no such command"
        found, words = inner, words[1:]
    known = {option for parameter in found.params for option in parameter.opts}
    strange = [word for word in words if word.startswith("--") and word not in known]
    return f"{command}: {strange}" if strange else None


def test_each_alert_has_a_section_and_each_section_an_alert() -> None:
    """One to one, in the order of the rules."""
    assert list(alerts()) == list(sections())


def test_each_section_says_what_it_means_where_to_look_what_to_do_and_whom_to_wake() -> None:
    """In this order; the first thing to do is a command."""
    found = sections()

    assert found
    for name, text in found.items():
        places = [text.find(part) for part in PARTS]
        assert -1 not in places, name
        assert places == sorted(places), name
        first = regex.search(r"^1\. (.+)$", text, regex.M)
        assert first, name
        assert regex.match(r"`(?:penjaga|curl|echo|kafka-\w[\w-]*\.sh) [^`]+`", first[1]), name


def test_each_command_exists() -> None:
    """With the options that it is shown with; what is wrong is found out."""
    found = commands(RUNBOOK.read_text())

    assert complaint("penjaga feeds mend") is not None
    assert complaint("penjaga feeds sync --now") is not None
    assert len(found) > 20
    assert [] == [problem for command in found if (problem := complaint(command))]


def test_each_metric_and_setting_exists() -> None:
    """Also the other alerts and the settings that it sends one to."""
    text = RUNBOOK.read_text()
    named = set(regex.findall(r"\bPenjaga[A-Z]\w+", text))
    settings = set(regex.findall(r"`((?:kafka|screening|web)\.\w+)`", text))
    values = load(DEPLOY / "penjaga.toml", {})

    assert set() == unknown(text)
    assert alerts().keys() == named
    assert isinstance(values, Settings)
    assert len(settings) >= 3
    for setting in settings:
        table, _, key = setting.partition(".")
        assert hasattr(getattr(values, table), key), setting


def test_each_dashboard_exists() -> None:
    """Those it names in italics are those that are deployed."""
    titles = {dashboard["title"].removeprefix("Penjaga: ") for dashboard in dashboards()}
    italics = regex.findall(r"(?<!\*)\*([A-Z][^*]+)\*(?!\*)", RUNBOOK.read_text())

    assert titles == {" ".join(name.split()) for name in italics}
