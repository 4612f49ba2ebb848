"""Doctor, without a cluster: each check on something sound and on something that is not."""

import json
import socket
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import msgspec
import pytest
from click.testing import CliRunner

from pipeline.cli import cli
from pipeline.doctor import Check, cache, feeds, is_sound, versions, web
from pipeline.doctor_cluster import AHEAD_SECONDS, CORE_RECORDS, clock, group
from pipeline.feed import Feed
from pipeline.feed_store import STATE, FeedState, Kept
from pipeline.settings import Web

NOW = datetime(2026, 1, 2, tzinfo=UTC)
FEED = Feed(url="https://lists.example/a.txt", label="fraud.phishing", interval_seconds=100.0)
KEPT = Kept(sha256="0" * 64, day="2026-01-01", names=1)


@contextmanager
def answering(pages: Mapping[str, Any]) -> Iterator[Web]:
    """Yield the address of a server with these pages; what is not there is 404."""

    class Pages(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = pages.get(self.path)
            good = body is not None and all(body.values())
            self.send_response(404 if body is None else 200 if good else 503)
            self.end_headers()
            self.wfile.write(json.dumps(body).encode())

        def log_message(self, *_: Any) -> None:
            """Say nothing."""

    with HTTPServer(("127.0.0.1", 0), Pages) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield Web(port=server.server_port)
        finally:
            server.shutdown()
            thread.join()


def test_warnings_are_sound_and_failures_are_not() -> None:
    """A script stops at what failed."""
    warned = [Check("a", "ok", ""), Check("b", "warning", "")]

    assert is_sound(warned)
    assert not is_sound([*warned, Check("c", "failed", "")])


def test_the_libraries_are_those_that_were_tested() -> None:
    """The lock is what this runs on; the line names them."""
    check = versions()

    assert "ok" == check.state
    assert "faust-streaming" in check.what


def test_a_cache_is_made_or_told(tmp_path: Path) -> None:
    """A folder that is not there yet is made; where a file is in its place, starts take longer."""
    (tmp_path / "file").touch()

    made, refused = cache(tmp_path / "new"), cache(tmp_path / "file")

    assert ("ok", True) == (made.state, (tmp_path / "new").is_dir())
    assert "warning" == refused.state
    assert "PENJAGA_CACHE_DIR" in refused.do
    assert [] == list((tmp_path / "new").iterdir())


@pytest.mark.parametrize(
    ("age", "kept", "state"),
    [(299, KEPT, "ok"), (301, KEPT, "warning"), (None, None, "warning")],
)
def test_a_list_is_as_old_as_its_last_confirmation(
    tmp_path: Path, age: int | None, kept: Kept | None, state: str
) -> None:
    """Three intervals are the alert's limit; one that was never had is told with the reason."""
    confirmed = None if age is None else NOW - timedelta(seconds=age)
    held = FeedState(outcome="unreachable", checked_at=NOW, confirmed_at=confirmed, kept=kept)
    (tmp_path / STATE).write_bytes(msgspec.json.encode({"bad": held}))

    (check,) = feeds({"bad": FEED}, tmp_path, NOW)

    assert state == check.state
    assert check.what.startswith("bad: ")
    assert ("unreachable" in check.what) == (state == "warning")


def test_feeds_that_nobody_fetched_and_a_broken_store(tmp_path: Path) -> None:
    """None configured is sound; never fetched is a warning; a store that cannot be read has failed."""
    none = feeds({}, tmp_path, NOW)
    never = feeds({"bad": FEED}, tmp_path, NOW)
    (tmp_path / STATE).write_text("{")
    broken = feeds({"bad": FEED}, tmp_path, NOW)

    assert [["ok"], ["warning"], ["failed"]] == [
        [c.state for c in s] for s in (none, never, broken)
    ]


def test_a_free_port_is_ok() -> None:
    """And is left free."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        where = Web(port=free.getsockname()[1])

    assert ["ok", "ok"] == [web(where).state, web(where).state]


@pytest.mark.parametrize(
    ("pages", "state", "what"),
    [
        ({"/health/live": {"alive": True}, "/health/ready": {"ready": True}}, "ok", "reads"),
        (
            {"/health/live": {"alive": True}, "/health/ready": {"ready": False}},
            "warning",
            "without",
        ),
        ({"/health/live": {"alive": False}, "/health/ready": {"ready": True}}, "failed", "hangs"),
        ({}, "failed", "no worker"),
    ],
)
def test_who_has_the_port_is_asked(pages: dict[str, Any], state: str, what: str) -> None:
    """A worker, by its own health; anything else is in the way."""
    with answering(pages) as where:
        check = web(where)

    assert state == check.state
    assert what in check.what


@pytest.mark.parametrize(
    ("members", "lag", "is_new", "state"),
    [
        (0, 500, True, "ok"),
        (0, 500, False, "warning"),
        (2, 2 * 60 * CORE_RECORDS, False, "ok"),
        (2, 2 * 60 * CORE_RECORDS + 1, False, "warning"),
        (5, 0, False, "warning"),
        (5, 0, True, "warning"),
    ],
)
def test_a_group_is_judged_by_members_and_backlog(
    members: int,
    lag: int,
    is_new: bool,  # noqa: FBT001  # by parametrize
    state: str,
) -> None:
    """Nobody yet is how a deployment begins; nobody any more, too many, or a minute's work is told."""
    check = group("penjaga", members, lag, 4, is_new=is_new)

    assert state == check.state
    assert f"records waiting: {lag}" in check.what


@pytest.mark.parametrize(
    ("ahead", "state"), [(-3600.0, "ok"), (AHEAD_SECONDS - 1, "ok"), (AHEAD_SECONDS + 1, "warning")]
)
def test_a_record_from_the_future_tells_of_a_clock(ahead: float, state: str) -> None:
    """An old one tells nothing, and neither does none."""
    assert state == clock((1000.0 + ahead, True), 1000.0).state
    assert "its producer's" in clock((1000.0 + ahead, False), 1000.0).what
    assert "ok" == clock(None, 1000.0).state


def test_a_wrong_configuration_ends_the_examination(tmp_path: Path) -> None:
    """Nothing else could be believed: one check, with the line, and status 1."""
    (tmp_path / "p.toml").write_text("[web]\nport = 0\n")

    done = CliRunner().invoke(cli, ["doctor", "--json", "--config", str(tmp_path / "p.toml")])
    answer = json.loads(done.output)

    assert 1 == done.exit_code
    assert [("configuration", "failed")] == [(c["name"], c["state"]) for c in answer["checks"]]
    assert "p.toml:2" in answer["checks"][0]["what"]
    assert answer["sound"] is False
