"""The `penjaga doctor` command: whether a deployment is as it has to be."""

import asyncio
import os
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import click
import orjson

from pipeline import doctor as examination
from pipeline import registry, status
from pipeline.automaton import PatternError
from pipeline.doctor import Check
from pipeline.options import cache_folder, config_option, feeds_folder, settings_path
from pipeline.settings import Settings, SettingsError, load
from schemas.document import DocumentError

_STYLES: Final = {"ok": "green", "warning": "yellow", "failed": "red"}


@click.command()
@config_option
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead.")
def doctor(config: Path | None, *, as_json: bool) -> None:
    """Check a deployment from where it runs: ok, warning or failed, each with what to do.

    \b
    Looked at: configuration and detectors, versions, cache folder, lists of bad links, web port; brokers,
    credentials, sources, topics as `penjaga topics` wants them, the consumer group's lag, this clock.

    Nothing is written to the cluster and nothing committed, so the right to write is not checked. A clock
    is compared with the newest record of the sources: that shows one that is behind, not one that is ahead.

    \b
    Exit status: 0 nothing failed, 1 something did.
    With --json: {"sound": true, "checks": [{"name", "state", "what", "do"}]}
    """
    checks = _checks(settings_path(config))
    is_sound = examination.is_sound(checks)
    if as_json:
        rows = [{f: getattr(check, f) for f in Check.__struct_fields__} for check in checks]
        click.echo(orjson.dumps({"sound": is_sound, "checks": rows}).decode())
    else:
        for check in checks:
            click.echo(
                f"{click.style(f'{check.state:<8}', _STYLES[check.state])} {check.name:<13} {check.what}"
            )
            if check.do:
                click.echo(f"{'':22} do: {check.do}")
    if not is_sound:
        sys.exit(status.UNMET)


def _checks(path: Path | None) -> list[Check]:
    try:
        settings = load(path, os.environ)
    except SettingsError as error:
        do = "correct it; nothing else was looked at"
        return [Check("configuration", "failed", str(error), do)]
    from pipeline.doctor_cluster import examine

    return [
        _line(settings, path),
        examination.versions(),
        examination.cache(cache_folder()),
        *examination.feeds(settings.feeds, feeds_folder(), datetime.now(UTC)),
        examination.web(settings.web),
        *asyncio.run(examine(settings)),
    ]


def _line(settings: Settings, path: Path | None) -> Check:
    """Build the line as a worker would: mappings, detectors, lexicons, patterns, lists."""
    from pipeline.feed_index import IndexFileError
    from pipeline.feed_lists import FeedWatch
    from pipeline.feed_store import StoreError
    from pipeline.line import line

    name = "configuration"
    try:
        watch = FeedWatch(settings.feeds, feeds_folder()) if settings.feeds else None
        built = line(settings, cache_folder(), watch.lists if watch else None)
    except (registry.RegistryError, PatternError, DocumentError) as error:
        return Check(name, "failed", str(error), "correct what it names")
    except (StoreError, IndexFileError) as error:
        return Check(name, "failed", str(error), "penjaga feeds sync")
    shown = path or "built-in defaults"
    what = f"{shown}: sound; configuration {built.configuration}, {len(built.registered)} detectors"
    return Check(name, "ok", what)
