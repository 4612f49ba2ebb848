"""The web server: what each route answers, to whom, and that it says nothing back."""

import base64
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from importlib.resources import files
from pathlib import Path

import pytest
from aiohttp.test_utils import TestClient, TestServer
from prometheus_client import CollectorRegistry, Counter

from pipeline.overview import DetectorRow, FeedRow, LabelRow, ProcessRow
from pipeline.processes import Vitals
from pipeline.recent import Recent, Row
from pipeline.settings import Settings, Web
from pipeline.web import OPEN, application

TOKEN = "kunci-rahsia-é"  # noqa: S105  # of a test
GUARDED = {"/", "/page.css", "/page.js", "/status.json"}
Serve = Callable[..., AbstractAsyncContextManager[TestClient]]


@pytest.fixture
def serve(monkeypatch: pytest.MonkeyPatch) -> Serve:
    """Return what serves one process that is well, by the settings of its web address."""

    @asynccontextmanager
    async def served(token: str = "", host: str = "127.0.0.1") -> AsyncIterator[TestClient]:
        monkeypatch.setenv("PENJAGA_WEB_TOKEN", token)
        registry = CollectorRegistry()
        Counter("penjaga_events_received", "-", ["source"], registry=registry).labels("a").inc(7)
        recent = Recent()
        recent.writer().add(Row(1.0, "review", "fraud.scam", 0.7, ("scams",), "dm"))
        app = application(
            registry,
            lambda: {1: Vitals(partitions=2, pid=5)},
            Settings(web=Web(host=host)),
            recent,
        )
        async with TestClient(TestServer(app)) as client:
            yield client

    return served


async def statuses(client: TestClient, **options: object) -> dict[str, int]:
    """Ask every route there is."""
    paths = {resource.canonical for resource in client.app.router.resources()}
    return {path: (await client.get(path, **options)).status for path in paths}


async def test_on_loopback_everything_is_served(serve: Serve) -> None:
    """These are all the routes."""
    async with serve() as client:
        found = await statuses(client)

    assert dict.fromkeys(OPEN | GUARDED, 200) == found


async def test_elsewhere_without_a_token_only_metrics_and_health(serve: Serve) -> None:
    """The rest says what to set."""
    async with serve(host="0.0.0.0") as client:  # noqa: S104  # a value; the test's server is on loopback
        found = await statuses(client)
        said = await (await client.get("/")).text()

    assert dict.fromkeys(OPEN, 200) | dict.fromkeys(GUARDED, 403) == found
    assert "PENJAGA_WEB_TOKEN" in said


@pytest.mark.parametrize("host", ["127.0.0.1", "0.0.0.0"])  # noqa: S104
async def test_with_a_token_the_rest_asks_for_it(serve: Serve, host: str) -> None:
    """As a bearer token or as a password; a wrong one, a part of it and none are refused alike."""
    wrong = ("Bearer", "Bearer kunci", "Basic", "Basic !!", "Basic a3VuY2k=", "Digest x", "")
    password = base64.b64encode(f"any:{TOKEN}".encode()).decode()
    async with serve(TOKEN, host) as client:
        bare = await statuses(client)
        bearer = await statuses(client, headers={"Authorization": f"Bearer {TOKEN}"})
        basic = await statuses(client, headers={"Authorization": f"Basic {password}"})
        refused = [
            (await client.get("/status.json", headers={"Authorization": value})).status
            for value in wrong
        ]
        asked = (await client.get("/")).headers["WWW-Authenticate"]

    assert dict.fromkeys(OPEN, 200) | dict.fromkeys(GUARDED, 401) == bare
    assert dict.fromkeys(OPEN | GUARDED, 200) == bearer == basic
    assert {401} == set(refused)
    assert asked.startswith("Basic ")


async def test_a_name_that_somebody_else_points_here_is_refused(serve: Serve) -> None:
    """Without a token the browser has to call us by a loopback name."""
    async with serve() as client:
        found = {
            name: (await client.get("/status.json", headers={"Host": name})).status
            for name in (
                "localhost:6066",
                "127.0.0.1",
                "[::1]:6066",
                "evil.example:6066",
                "10.0.0.1",
            )
        }

    assert [200, 200, 200, 403, 403] == list(found.values())


async def test_nothing_of_a_request_is_said_back(serve: Serve) -> None:
    """Nor is anything but reading allowed; every answer forbids what a page does not need."""
    async with serve() as client:
        lost = await client.get("/tables/<script>?q=secret")
        post = await client.post("/status.json", data=b"x")
        text = await lost.text()
        policies = {a.headers["Content-Security-Policy"] for a in (lost, post)}

    assert (404, 405) == (lost.status, post.status)
    assert "404 Not Found\n" == text
    (policy,) = policies
    assert policy.startswith("default-src 'none';")
    assert "unsafe" not in policy
    assert "frame-ancestors 'none'" in policy


async def test_the_overview_is_what_the_page_shows(serve: Serve) -> None:
    """Counters, health and the last escalations, without anything of a person."""
    async with serve() as client:
        told = await (await client.get("/status.json")).json()
        script = await (await client.get("/page.js")).text()

    assert (7, "ok") == (told["received"], told["state"])
    assert [{"process": 5}] == [{"process": row["pid"]} for row in told["processes"]]
    assert {"at", "action", "label", "score", "found_by", "where"} == set(told["recent"][0])
    missing = [name for name in told if f"now.{name}" not in script and name != "at"]
    assert [] == missing
    rows = (LabelRow, DetectorRow, FeedRow, ProcessRow, Row)
    unread = [name for row in rows for name in row.__struct_fields__ if f"one.{name}" not in script]
    assert [] == unread


def test_the_page_is_small_and_asks_nobody_else() -> None:
    """No address but its own, no script or style inside the markup, and less than 40 KB in all."""
    content = {path.name: path.read_text() for path in (files("pipeline") / "page").iterdir()}

    assert {"index.html", "page.css", "page.js"} == set(content)
    assert sum(len(text.encode()) for text in content.values()) < 40_000
    assert not any(
        "//" in text.replace("http://www.w3.org/2000/svg", "").replace("// ", "")
        for text in content.values()
    )
    assert "style=" not in content["index.html"]
    assert "innerHTML" not in content["page.js"]


def test_the_token_comes_from_the_environment_or_a_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The environment goes first; neither is an empty token."""
    (tmp_path / "token").write_text("from-file\n")
    monkeypatch.delenv("PENJAGA_WEB_TOKEN", raising=False)
    web = Web(token_file=str(tmp_path / "token"))

    found = web.token(), Web().token()
    monkeypatch.setenv("PENJAGA_WEB_TOKEN", "from-environment")

    assert ("from-file", "") == found
    assert "from-environment" == web.token()
