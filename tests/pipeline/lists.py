"""Lists to test with, and a server on loopback that serves them."""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from aiohttp import web
from aiohttp.test_utils import TestServer

from pipeline.feed import Feed
from pipeline.feed_index import Index
from pipeline.feed_lists import FeedLists
from pipeline.feed_store import Store
from pipeline.feeds import Round, sync

Answer = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Lists:
    """What a server serves, by path; a test changes it as it goes, and looks at what was asked."""

    def __init__(self, address: str) -> None:
        self.address = address
        self.answers: dict[str, Answer] = {}
        self.asked: list[web.Request] = []

    def feed(self, path: str, **settings: Any) -> Feed:
        """Describe the list at a path."""
        return Feed(url=f"{self.address}{path}", **({"label": "fraud.phishing"} | settings))

    def serve(self, path: str, body: str | bytes, **headers: str) -> None:
        """Serve a body under a path from now on."""
        self._answer(path, body.encode() if isinstance(body, str) else body, 200, headers)

    def refuse(self, path: str, status: int, **headers: str) -> None:
        """Answer with another status than 200 under a path from now on."""
        self._answer(path, b"", status, headers)

    def _answer(self, path: str, body: bytes, status: int, headers: dict[str, str]) -> None:
        named = {name.replace("_", "-"): value for name, value in headers.items()}

        async def answer(_: web.Request) -> web.Response:
            return web.Response(body=body, status=status, headers=named)

        self.answers[path] = answer


@asynccontextmanager
async def served() -> AsyncIterator[Lists]:
    """Run a server on loopback."""

    async def handle(request: web.Request) -> web.StreamResponse:
        lists.asked.append(request)
        answer = lists.answers.get(request.path)
        return await answer(request) if answer else web.Response(status=404)

    app = web.Application()
    app.router.add_get("/{path:.*}", handle)
    server = TestServer(app)
    await server.start_server()
    lists = Lists(str(server.make_url("")).rstrip("/"))
    try:
        yield lists
    finally:
        await server.close()


class Clock:
    """A clock that stands until a test moves it."""

    def __init__(self) -> None:
        self.at = datetime(2026, 1, 31, 12, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.at

    def pass_(self, **time: float) -> None:
        """Let time pass."""
        self.at += timedelta(**time)


def file_feed(path: Path, content: str | bytes, **settings: Any) -> Feed:
    """Write a list to a file and describe it."""
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return Feed(url=path.as_uri(), **({"label": "fraud.phishing"} | settings))


async def synced(feeds: Mapping[str, Feed], folder: Path, **options: Any) -> Round:
    """Sync once into a folder."""
    return await sync(feeds, Store(folder), Clock(), **options)


async def compiled(folder: Path, **bodies: str) -> FeedLists:
    """Compile plain lists by their names, and open them."""
    feeds = {name: file_feed(folder / f"{name}.txt", body) for name, body in bodies.items()}
    await synced(feeds, folder / "store")
    return FeedLists(feeds, Index(folder / "store" / "feeds.index"))
