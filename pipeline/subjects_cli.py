"""The `penjaga subjects` commands: what is kept of a subject, and forgetting it."""

import asyncio
import os
import sys
from pathlib import Path
from typing import Any, Final

import click
import orjson

from pipeline import status
from pipeline.options import config_option, settings_path
from pipeline.settings import Settings, SettingsError, load

_EXAMPLE: Final = "conversation:acme:c-1"


@click.group()
def subjects() -> None:
    """Look at what is kept of a conversation, a sender, a target, a space or a link; forget it.

    \b
    SUBJECT is kind:platform:id, as verdicts name it, such as
      conversation:acme:c-1   actor:acme:u-1   target:acme:u-2   space:acme:g-1   link:acme:bad.example
    """


def _load(config: Path | None) -> Settings:
    settings = load(settings_path(config), os.environ)
    if not settings.memory.is_on:
        raise SettingsError("memory.store is `off`: nothing is kept of any subject")
    return settings


@subjects.command()
@click.argument("subject")
@config_option
def show(subject: str, config: Path | None) -> None:
    """Print as JSON what is kept of SUBJECT: traces of its signals, levels crossed, never text.

    Read from the memory topic, so it is what workers have confirmed. Exit status 1 if nothing is kept.
    """
    from pipeline.subject_records import shown

    found = asyncio.run(shown(_load(config), subject))
    if found is None:
        kind = subject.partition(":")[0]
        hint = "" if subject.count(":") > 1 else f"; a subject is named like {_EXAMPLE}"
        click.echo(f"penjaga: nothing is kept of this {kind}{hint}", err=True)
        sys.exit(status.REJECTED)
    _print(found)


@subjects.command()
@click.argument("subject")
@config_option
def forget(subject: str, config: Path | None) -> None:
    """Erase what is kept of SUBJECT: in running workers, on their disks, and on the memory topic.

    A request goes to the signals topic, where the worker that has the subject meets it after the signals
    before it, and the entry of the memory topic is erased. Signals and verdicts that are on their topics
    already stay there until those expire.
    """
    from pipeline.subject_records import erase

    asyncio.run(erase(_load(config), subject))
    _print({"subject": subject, "forgotten": True})


def _print(row: dict[str, Any]) -> None:
    option = orjson.OPT_INDENT_2 if sys.stdout.isatty() else 0
    click.echo(orjson.dumps(row, option=option).decode())
