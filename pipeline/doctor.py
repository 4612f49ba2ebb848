"""Doctor: what of a deployment is as it has to be, seen from where it runs. This half needs no cluster."""

import math
import platform
import socket
import tempfile
import urllib.error
import urllib.request
from collections.abc import Mapping
from datetime import datetime
from importlib.metadata import version
from pathlib import Path
from typing import Final, Literal

import msgspec
import orjson

from pipeline.feed import Feed
from pipeline.feed_store import StoreError, states
from pipeline.settings import Web

State = Literal["ok", "warning", "failed"]

STALE_INTERVALS: Final = 3.0
"""So many intervals without a confirmation make a list stale: the alert's number, PenjagaFeedStale."""

_ASK_SECONDS: Final = 3.0


class Check(msgspec.Struct, frozen=True):
    """One thing that was looked at."""

    name: str
    state: State
    what: str
    do: str = ""
    """What mends it; empty where nothing has to be done."""


def is_sound(checks: list[Check]) -> bool:
    """Tell whether none failed; a warning is for somebody to look at, not for a script to stop at."""
    return all(check.state != "failed" for check in checks)


def versions() -> Check:
    """See that the libraries whose internals are reached into are those that were tested."""
    # Faust takes half a second to import, and only this check of this half needs it.
    from pipeline.transport import (  # noqa: PLC0415
        TESTED,
        UntestedVersionError,
        check_versions,
    )

    try:
        check_versions()
    except UntestedVersionError as error:
        return Check("versions", "failed", str(error), "install from requirements.lock")
    found = ", ".join(f"{name} {version(name)}" for name in ("penjaga", *TESTED))
    return Check("versions", "ok", f"Python {platform.python_version()}, {found}")


def cache(folder: Path) -> Check:
    """See that compiled patterns can be kept; without, each start compiles them again."""
    if problem := _unwritable(folder):
        do = "let this user write there, or name another folder in PENJAGA_CACHE_DIR"
        return Check("cache", "warning", f"{folder}: {problem}; every start takes longer", do)
    return Check("cache", "ok", f"{folder} can be written to")


def _unwritable(folder: Path) -> str:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder) as file:
            file.write(b"\0")
    except OSError as error:
        return error.strerror or str(error)
    return ""


def feeds(feeds: Mapping[str, Feed], folder: Path, now: datetime) -> list[Check]:
    """See that each list of bad links was confirmed by its source lately."""
    try:
        held = states(folder) if feeds else {}
    except StoreError as error:
        return [Check("feeds", "failed", str(error), "mend or empty the folder, and sync again")]
    checks = []
    for name, feed in feeds.items():
        state = held.get(name)
        age = state.age_seconds(now) if state else math.inf
        do = "penjaga feeds sync"
        if state is None or math.isinf(age):
            why = f"{state.outcome}: {state.detail}" if state else "never fetched"
            checks.append(Check("feeds", "warning", f"{name}: no copy of it ({why})", do))
        elif age > STALE_INTERVALS * feed.interval_seconds:
            what = (
                f"{name}: confirmed {age:.0f} s ago, last {state.outcome}; it should be every "
                f"{feed.interval_seconds:.0f} s"
            )
            checks.append(Check("feeds", "warning", what, f"{do} --every 60, beside the workers"))
        else:
            checks.append(Check("feeds", "ok", f"{name}: confirmed {age:.0f} s ago"))
    return checks or [Check("feeds", "ok", "none configured")]


def web(where: Web) -> Check:
    """See that the port is free, or that it is a worker that has it."""
    address = f"{where.host}:{where.port}"
    try:
        with socket.socket(socket.getaddrinfo(where.host, where.port)[0][0]) as listener:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind((where.host, where.port))
    except OSError as error:
        worker = _worker(where)
        if worker is None:
            do = "stop what has it, or give this worker another port in PENJAGA_WEB_PORT"
            return Check("web", "failed", f"{address}: {error.strerror}; it is no worker", do)
        alive, reads = worker
        if not alive:
            do = "read its log; kill -9 loses nothing"
            return Check("web", "failed", f"{address}: a worker that hangs", do)
        if not reads:
            do = "wait for the group to settle; more workers than partitions leave some idle"
            return Check("web", "warning", f"{address}: a worker without partitions", do)
        return Check("web", "ok", f"{address}: a worker that reads")
    return Check("web", "ok", f"{address} is free")


def _worker(where: Web) -> tuple[bool, bool] | None:
    """Ask whoever has the port: alive, and reading; None if it is no worker."""
    host = "127.0.0.1" if where.host in ("0.0.0.0", "") else where.host  # noqa: S104  # not bound
    answers = [
        _asked(f"http://{host}:{where.port}/health/{page}", key)
        for page, key in (("live", "alive"), ("ready", "ready"))
    ]
    alive, reads = answers
    return None if alive is None or reads is None else (alive, reads)


def _asked(url: str, key: str) -> bool | None:
    try:
        with urllib.request.urlopen(url, timeout=_ASK_SECONDS) as response:  # noqa: S310  # http, as written
            content = response.read()
    except urllib.error.HTTPError as error:
        with error:
            content = error.read()
    except OSError:
        return None
    try:
        body = orjson.loads(content)
    except ValueError:
        return None
    return body.get(key) if isinstance(body, dict) else None
