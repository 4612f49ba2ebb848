"""The `penjaga feeds` commands: lists of bad links fetched, looked at, and asked."""

import asyncio
import math
import os
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from pipeline import status as exits
from pipeline.options import config_option, feeds_folder, print_rows, settings_path
from pipeline.settings import Settings, load

if TYPE_CHECKING:
    from pipeline.feed_index import Index
    from pipeline.feeds import Round


@click.group()
def feeds() -> None:
    """Fetch lists of bad links, see how they fare, and ask them."""


def _settings(config: Path | None) -> Settings:
    settings = load(settings_path(config), os.environ)
    if not settings.feeds:
        raise click.UsageError(
            "no feed is configured: add a table [feeds.<name>], as deploy/penjaga.toml shows"
        )
    return settings


@feeds.command("sync")
@config_option
@click.option(
    "--every",
    type=click.FloatRange(min=1),
    metavar="SECONDS",
    help="Keep going: look so often for feeds whose interval_seconds has passed.",
)
@click.option(
    "--accept-shrunk",
    is_flag=True,
    help="Believe lists that have become much shorter than the last good copy.",
)
def sync_feeds(config: Path | None, every: float | None, *, accept_shrunk: bool) -> None:
    """Fetch every feed once and compile them into one file, which running workers notice.

    \b
    Kept in:  $PENJAGA_FEEDS_DIR, else ~/.local/state/penjaga/feeds
    A source that fails, or serves something that is no list, leaves the last good copy in use.

    Exit status 1 if a feed failed; what each one's trouble is stands in its row.
    """
    from pipeline.feed_store import Store
    from pipeline.feeds import GOOD, sync
    from pipeline.processes import end_on_signals

    settings = _settings(config)
    store = Store(feeds_folder())

    def turn(*, only_due: bool) -> "Round":
        return asyncio.run(
            sync(
                settings.feeds,
                store,
                lambda: datetime.now(UTC),
                only_due=only_due,
                accept_shrunk=accept_shrunk,
            )
        )

    if every is not None:
        end_on_signals()  # each file is written whole or not at all
    done = turn(only_due=False)
    _print_round(done)
    while every is not None:
        sys.stdout.flush()
        time.sleep(every)
        _print_round(turn(only_due=True))
    if any(state.outcome not in GOOD for state in done.states.values()):
        sys.exit(exits.REJECTED)


def _print_round(done: "Round") -> None:
    print_rows(
        {
            "feed": name,
            "outcome": state.outcome,
            "detail": state.detail,
            "names": state.kept.names if state.kept else 0,
            "version": state.kept.version if state.kept else "",
        }
        for name, state in done.states.items()
    )


@feeds.command("status")
@config_option
def show_status(config: Path | None) -> None:
    """Show each feed: names in use, version, age, what became of it last, and what was left out, by reason.

    The age is how many seconds ago its source last confirmed it. A table for eyes, JSON lines otherwise.
    """
    from pipeline.feed_store import states

    settings = _settings(config)
    held = states(feeds_folder())
    index = _index()
    compiled = {feed.name: feed for feed in index.header.feeds} if index else {}
    now = datetime.now(UTC)

    def row(name: str) -> dict[str, Any]:
        state, in_use = held.get(name), compiled.get(name)
        age = state.age_seconds(now) if state else math.inf
        return {
            "feed": name,
            "label": settings.feeds[name].label or "(innocent)",
            "entries": in_use.entries if in_use else 0,
            "version": in_use.version if in_use else "",
            "age_seconds": None if math.isinf(age) else round(age),
            "last_outcome": state.outcome if state else "never tried",
            "detail": state.detail if state else "",
            "left_out": in_use.rejected if in_use else {},
        }

    print_rows(row(name) for name in settings.feeds)


@feeds.command()
@click.argument("url")
@config_option
def lookup(url: str, config: Path | None) -> None:
    """Say which lists hold URL (or a host), and what that means; or that none does.

    It looks through the kept copies, so it also tells what was left out, and why. Exit status 1 if URL
    is nothing that could be listed.
    """
    from detectors.innocents import Innocents
    from pipeline.feed_lists import FeedLists
    from pipeline.feed_lookup import WHY, answers
    from pipeline.feed_names import name
    from pipeline.feed_store import Store, states
    from pipeline.feeds import sources

    settings = _settings(config)
    asked = name(url)
    if isinstance(asked, str):
        click.echo(f"penjaga: never listed: {WHY[asked]}", err=True)
        sys.exit(exits.REJECTED)
    store = Store(feeds_folder())
    kept = sources(settings.feeds, states(store.folder), store)
    lists = FeedLists(settings.feeds, _index())
    hits = {hit.feed: hit for hit in lists.find(asked.host, asked.domain, asked.page)}
    innocents = Innocents.shipped()

    rows = []
    for answer in answers(asked, kept, innocents, hits):
        row: dict[str, Any] = {"feed": answer.feed, "holds": answer.holds, "use": answer.use}
        hit = hits.get(answer.feed) if answer.use == "listed" else None
        row["label"], row["weight"] = (hit.label, hit.weight) if hit else (None, None)
        rows.append(row | {"version": hit.version if hit else None, "why": answer.why})
    if rows:
        print_rows(rows)
        return
    reason = innocents.reason(asked.host, asked.domain, asked.page)
    never = f"; it would be left out of any: {WHY[reason]}" if reason else ""
    click.echo(f"on none of {len(kept)} lists{never}")


def _index() -> "Index | None":
    """Open the compiled lists, or say why there are none."""
    from pipeline.feed_index import FILE, Index, IndexFileError

    try:
        return Index(feeds_folder() / FILE)
    except FileNotFoundError:
        return None
    except IndexFileError as error:
        click.echo(f"penjaga: {error}", err=True)
        return None
