"""The `penjaga topics` commands: what a cluster needs before a worker can run on it."""

import asyncio
import logging
import os
import sys
from pathlib import Path
from typing import Any

import click

from pipeline import status
from pipeline.options import config_option, settings_path
from pipeline.settings import Settings, SettingsError, load
from pipeline.topics import Plan, lines, owned
from pipeline.topics import plan as planned


@click.group()
def topics() -> None:
    """See which topics a cluster lacks, and create or configure them."""


class _Telling(click.Command):
    """A command whose exit status 2 is an answer, so that wrong usage is 1."""

    def make_context(self, *arguments: Any, **named: Any) -> click.Context:
        try:
            return super().make_context(*arguments, **named)
        except click.UsageError as error:
            error.exit_code = status.UNMET
            raise

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except SettingsError as error:
            click.echo(f"penjaga: {error}", err=True)
            sys.exit(status.UNMET)


@topics.command("plan", cls=_Telling)
@config_option
def show_plan(config: Path | None) -> None:
    """Show what `apply` would change, and change nothing.

    \b
    + topic  would be created
    ~ topic  would be configured otherwise, or widened
    ! topic  is not as it has to be, and `apply` cannot mend it

    \b
    Exit status, as of terraform plan -detailed-exitcode:
      0   the cluster is as the settings want it
      2   there is something to apply
      1   there is something that `apply` cannot mend, or the configuration or the usage is wrong
      69  no broker answered
    """
    settings = load(settings_path(config), os.environ)
    found = _run(settings)
    _show(found)
    if found.problems:
        sys.exit(status.UNMET)
    if found.changes:
        sys.exit(status.CHANGES)


@topics.command("apply")
@config_option
@click.option(
    "--add-partitions",
    is_flag=True,
    help="Widen topics that have too few; records of a key then go elsewhere than those before.",
)
def apply_plan(config: Path | None, *, add_partitions: bool) -> None:
    """Create the topics that are missing and configure those that differ, after showing which.

    No topic is deleted, none loses partitions, and sources, which are the platform's, are not touched.
    What else was set for a topic stays.

    Exit status 1 if something is left that this cannot mend, or may not without --add-partitions.
    """
    settings = load(settings_path(config), os.environ)
    found = _run(settings, add_partitions=add_partitions)
    if found.problems or (found.grow and not add_partitions):
        sys.exit(status.UNMET)


def _run(settings: Settings, *, add_partitions: bool | None = None) -> Plan:
    """Return the plan; unless `add_partitions` is None, show it and carry it out."""
    from pipeline.topics_cluster import RefusedError, administration, apply
    from pipeline.topics_cluster import topics as existing

    names = [*settings.sources, *(topic.name for topic in owned(settings))]

    async def act() -> Plan:
        async with administration(settings.kafka) as admin:
            found = planned(settings, await existing(admin, names))
            if add_partitions is not None:
                _show(found)
                await apply(admin, found, add_partitions=add_partitions)
            return found

    # What it says of failed tries is said here once, with what to do.
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)
    try:
        found = asyncio.run(act())
    except RefusedError as error:
        click.echo(f"penjaga: the cluster refused {error}", err=True)
        sys.exit(status.UNMET)
    return found


def _show(found: Plan) -> None:
    for line in lines(found):
        click.echo(line)
    click.echo(
        f"{len(found.create)} to create, {len(found.alter)} to configure, {len(found.grow)} to widen, "
        f"{len(found.problems)} to mend by hand"
    )
