"""What commands have in common: where the configuration and our folders are, and how rows are printed."""

import os
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final

import click
import orjson
from rich.console import Console
from rich.table import Table
from rich.text import Text

_CONFIG_HELP: Final = (
    "The configuration file. Without it: $PENJAGA_CONFIG, then ./penjaga.toml, then built-in "
    "defaults."
)

config_option = click.option(
    "--config", type=click.Path(exists=True, dir_okay=False, path_type=Path), help=_CONFIG_HELP
)


def settings_path(config: Path | None) -> Path | None:
    """Return the configuration file to read, if any."""
    if config is not None:
        return config
    if named := os.environ.get("PENJAGA_CONFIG"):
        return Path(named)
    here = Path("penjaga.toml")
    return here if here.exists() else None


def cache_folder() -> Path:
    """Return where compiled patterns are kept between starts, and which lexicons have passed."""
    if folder := os.environ.get("PENJAGA_CACHE_DIR"):
        return Path(folder)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "penjaga"


def feeds_folder() -> Path:
    """Return where lists of bad links are kept, fetched and compiled."""
    if folder := os.environ.get("PENJAGA_FEEDS_DIR"):
        return Path(folder)
    return state_folder() / "feeds"


def state_folder() -> Path:
    """Return where what outlives a process is kept."""
    state = os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state"
    return Path(state) / "penjaga"


def print_rows(rows: Iterable[dict[str, Any]]) -> None:
    """Print a table for eyes, JSON lines otherwise."""
    if not sys.stdout.isatty():
        for row in rows:
            click.echo(orjson.dumps(row).decode())
        return
    table = Table(box=None)
    for number, row in enumerate(rows):
        if number == 0:
            for name in row:
                table.add_column(name.replace("_", " "))
        table.add_row(*(Text(_shown(value)) for value in row.values()))
    Console().print(table)


def _shown(value: object) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{key} {member}" for key, member in value.items())
    if value is None:
        return ""
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)
