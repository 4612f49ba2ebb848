"""Sources: fetched over loopback, within limits; whatever goes wrong is a value."""

import asyncio
import gzip
import tracemalloc
import zlib
from pathlib import Path

import pytest
from aiohttp import web

from pipeline.feed import Feed
from pipeline.feed_sources import Failure, Fetched, Validators, fetch, inflated, session
from tests.pipeline.lists import Lists, served

BODY = b"example.com\nexample.net\n"


async def fetched(feed: Feed, known: Validators | None = None) -> Fetched | Failure | None:
    """Fetch once."""
    async with session() as client:
        return await fetch(client, feed, known or Validators())


def outcome(got: Fetched | Failure | None) -> str:
    """Return what a failure is called."""
    assert isinstance(got, Failure)
    return got.outcome


async def test_a_list_comes_with_what_tells_whether_it_changed() -> None:
    """The server's ETag and date are kept, and sent the next time: then nothing comes twice."""
    async with served() as lists:

        async def answer(request: web.Request) -> web.Response:
            if request.headers.get("If-None-Match") == '"1"':
                return web.Response(status=304)
            return web.Response(body=BODY, headers={"ETag": '"1"', "Last-Modified": "yesterday"})

        lists.answers["/a"] = answer
        first = await fetched(lists.feed("/a"))
        assert isinstance(first, Fetched)
        second = await fetched(lists.feed("/a"), first.validators)
        asked = [request.headers.get("If-Modified-Since") for request in lists.asked]

    assert (BODY, Validators('"1"', "yesterday")) == (first.body, first.validators)
    assert second is None
    assert [None, "yesterday"] == asked


@pytest.mark.parametrize("encoded", [False, True])
@pytest.mark.parametrize("layers", [1, 2])
async def test_gzip_is_unpacked_however_it_is_said(layers: int, *, encoded: bool) -> None:
    """As the encoding of the answer, as a file, or as both."""
    body = BODY
    for _ in range(layers):
        body = gzip.compress(body)
    async with served() as lists:
        lists.serve("/a.gz", body, **({"Content_Encoding": "gzip"} if encoded else {}))
        got = await fetched(lists.feed("/a.gz"))

    assert isinstance(got, Fetched)
    assert BODY == got.body


async def test_more_than_the_limit_is_not_read() -> None:
    """Neither of what is sent, whatever its length says, nor of what it would unpack to."""
    async with served() as lists:

        async def endless(request: web.Request) -> web.StreamResponse:
            response = web.StreamResponse()
            await response.prepare(request)
            for _ in range(1000):
                await response.write(b"x" * 65_536)
            return response

        lists.serve("/long", b"x" * 1001)
        lists.serve("/bomb", gzip.compress(b"\0" * 50_000_000))
        lists.answers["/endless"] = endless
        long, bomb, stream = [
            outcome(await fetched(lists.feed(path, max_bytes=limit)))
            for path, limit in (("/long", 1000), ("/bomb", 1_000_000), ("/endless", 100_000))
        ]
        lists.serve("/just", b"x" * 1000)
        just = await fetched(lists.feed("/just", max_bytes=1000))

    assert ["too_large"] * 3 == [long, bomb, stream]
    assert isinstance(just, Fetched)


def test_a_bomb_is_never_unpacked_beyond_the_limit() -> None:
    """A gigabyte of zeros in a megabyte: the memory taken is the limit's, layer by layer."""
    packer = zlib.compressobj(9, wbits=31)
    megabyte = bytes(1_000_000)
    bomb = b"".join(packer.compress(megabyte) for _ in range(1000)) + packer.flush()

    peaks = []
    for body in (bomb, gzip.compress(bomb), bomb * 2):
        tracemalloc.start()
        got = inflated(body, 2_000_000)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
        assert "too_large" == outcome(got if isinstance(got, Failure) else None)

    assert 3 == len(peaks)
    assert max(peaks) < 10_000_000


def test_gzip_that_is_not_whole_is_damaged() -> None:
    """Cut off, changed, or with something behind it; members joined to one file are whole."""
    packed = gzip.compress(BODY)
    for body in (packed[:-5], packed[:12] + b"\xff" * 4 + packed[16:], packed + b"more"):
        got = inflated(body, 1000)
        assert "damaged" == outcome(got if isinstance(got, Failure) else None)

    assert BODY * 2 == inflated(packed * 2 + bytes(100), 1000)


async def test_an_answer_that_is_no_list_is_refused() -> None:
    """Any status but 200 is told; 304 to a question that was not asked is one; so is another packing."""
    async with served() as lists:
        lists.refuse("/down", 503)
        lists.refuse("/same", 304)
        lists.serve("/odd", BODY, Content_Encoding="br")
        found = [await fetched(lists.feed(path)) for path in ("/absent", "/down", "/same", "/odd")]

    assert [
        Failure("refused", "HTTP status 404"),
        Failure("refused", "HTTP status 503"),
        Failure("refused", "HTTP status 304"),
        Failure("refused", "packed in a way that was not asked for"),
    ] == found


async def test_redirects_are_followed_a_few_times() -> None:
    """A moved list is found; one that moves for ever is not."""
    async with served() as lists:
        lists.serve("/new", BODY)
        lists.refuse("/old", 302, Location="/new")
        lists.refuse("/ring", 302, Location="/ring")
        moved = await fetched(lists.feed("/old"))
        ring = await fetched(lists.feed("/ring"))

        rounds = sum(request.path == "/ring" for request in lists.asked)

    assert isinstance(moved, Fetched)
    assert rounds < 10
    assert ("unreachable", "TooManyRedirects") == (outcome(ring), getattr(ring, "detail", ""))


async def test_a_server_that_does_not_answer_is_given_up() -> None:
    """Silent in time, or not there; the detail names no address."""
    given_up = asyncio.Event()

    async def silent(_: web.Request) -> web.Response:
        await given_up.wait()
        return web.Response()

    async with served() as lists:
        lists.answers["/slow"] = silent
        late = await fetched(lists.feed("/slow?key=secret", timeout_seconds=0.2))
        given_up.set()
        address = lists.address
    gone = await fetched(Feed(url=f"{address}/a?key=secret", label="fraud.phishing"))

    assert Failure("unreachable", "no answer within 0.2 s") == late
    assert isinstance(gone, Failure)
    assert ("unreachable", False) == (gone.outcome, "secret" in gone.detail)


async def test_a_file_is_a_source_too(tmp_path: Path) -> None:
    """With the same limits; a blank in its name is written %20."""
    path = tmp_path / "my list.txt"
    path.write_bytes(gzip.compress(BODY))
    there = Feed(url=path.as_uri(), label="fraud.phishing")
    small = Feed(url=path.as_uri(), label="fraud.phishing", max_bytes=20)
    absent = Feed(url="file:///absent", label="fraud.phishing")

    assert Fetched(BODY) == await fetched(there)
    assert "too_large" == outcome(await fetched(small))
    assert Failure("unreachable", "No such file or directory") == await fetched(absent)


def test_the_server_of_these_tests_is_on_loopback() -> None:
    """Nothing here asks another machine."""

    async def address() -> str:
        async with served() as lists:
            return lists.address

    assert asyncio.run(address()).startswith("http://127.0.0.1:")
    assert Lists("http://127.0.0.1:1").feed("/a").url == "http://127.0.0.1:1/a"
