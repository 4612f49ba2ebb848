"""Sources: a list fetched from where it is published, over HTTP(S) or from a file, within limits.

Whatever goes wrong is a value: a source that fails must not cost what was good before.
"""

import zlib
from importlib.metadata import version
from pathlib import Path
from typing import Final, Literal
from urllib.parse import unquote, urlsplit

import aiohttp
import msgspec

from pipeline.feed import Feed

Outcome = Literal[
    "updated",
    "unchanged",
    "unreachable",
    "refused",
    "too_large",
    "damaged",
    "html",
    "unreadable",
    "empty",
    "shrunk",
]
"""What can become of a feed in a round; the first two are good."""

_GZIP: Final = b"\x1f\x8b"
_LAYERS: Final = 2
"""A packed file may be packed once more for the journey."""
_CHUNK: Final = 65_536
_REDIRECTS: Final = 5
_OK: Final = 200
_NOT_MODIFIED: Final = 304


class Validators(msgspec.Struct, frozen=True):
    """What a server said of a list, to ask it later whether it has changed."""

    etag: str = ""
    last_modified: str = ""


class Fetched(msgspec.Struct, frozen=True):
    """A list, unpacked."""

    body: bytes
    validators: Validators = Validators()


class Failure(msgspec.Struct, frozen=True):
    """Why there is none. `detail` says it to a person, without the address, which may hold a key."""

    outcome: Outcome
    detail: str


def session() -> aiohttp.ClientSession:
    """Open a session that leaves unpacking to us: the library's has no limit."""
    headers = {"User-Agent": f"penjaga/{version('penjaga')}", "Accept-Encoding": "gzip"}
    return aiohttp.ClientSession(auto_decompress=False, trust_env=True, headers=headers)


async def fetch(
    client: aiohttp.ClientSession, feed: Feed, known: Validators
) -> Fetched | Failure | None:
    """Fetch a list; None if it is what `known` stands for."""
    if feed.url.startswith("file:"):
        return _read(Path(unquote(urlsplit(feed.url).path)), feed.max_bytes)
    asked = {"If-None-Match": known.etag, "If-Modified-Since": known.last_modified}
    try:
        async with client.get(
            feed.url,
            headers={name: value for name, value in asked.items() if value},
            timeout=aiohttp.ClientTimeout(total=feed.timeout_seconds),
            max_redirects=_REDIRECTS,
        ) as response:
            if response.status == _NOT_MODIFIED and any(asked.values()):
                return None
            return await _body(response, feed)
    except TimeoutError:
        return Failure("unreachable", f"no answer within {feed.timeout_seconds:g} s")
    except aiohttp.ClientConnectorError as error:
        return Failure("unreachable", error.os_error.strerror or type(error).__name__)
    except (aiohttp.ClientError, OSError) as error:
        return Failure("unreachable", type(error).__name__)


async def _body(response: aiohttp.ClientResponse, feed: Feed) -> Fetched | Failure:
    limit = feed.max_bytes
    if response.status != _OK:
        return Failure("refused", f"HTTP status {response.status}")
    if feed.url.startswith("https:") and response.url.scheme != "https":
        return Failure("refused", "redirected from https to http")
    encoding = response.headers.get("Content-Encoding", "identity").lower()
    if encoding not in ("identity", "gzip", "x-gzip"):
        return Failure("refused", "packed in a way that was not asked for")
    body = bytearray()
    async for chunk in response.content.iter_chunked(_CHUNK):
        body += chunk
        if len(body) > limit:
            return _too_large(limit)
    unpacked = inflated(bytes(body), limit)
    if isinstance(unpacked, Failure):
        return unpacked
    headers = response.headers
    return Fetched(unpacked, Validators(headers.get("ETag", ""), headers.get("Last-Modified", "")))


def _read(path: Path, limit: int) -> Fetched | Failure:
    try:
        with path.open("rb") as file:
            body = file.read(limit + 1)
    except OSError as error:
        return Failure("unreachable", error.strerror or type(error).__name__)
    if len(body) > limit:
        return _too_large(limit)
    unpacked = inflated(body, limit)
    return unpacked if isinstance(unpacked, Failure) else Fetched(unpacked)


def inflated(body: bytes, limit: int) -> bytes | Failure:
    """Undo gzip, if it is gzip, up to `limit` bytes; never more than that is unpacked."""
    for _ in range(_LAYERS):
        if not body.startswith(_GZIP):
            break
        unpacked = _unpacked(body, limit)
        if isinstance(unpacked, Failure):
            return unpacked
        body = unpacked
    return body


def _unpacked(body: bytes, limit: int) -> bytes | Failure:
    out = bytearray()
    try:
        while body:
            member = zlib.decompressobj(wbits=31)
            out += member.decompress(body, limit - len(out) + 1)
            if len(out) > limit:
                return _too_large(limit)
            if not member.eof:
                return Failure("damaged", "gzip that breaks off")
            body = member.unused_data.lstrip(b"\x00")
    except zlib.error:
        return Failure("damaged", "gzip that cannot be unpacked")
    return bytes(out)


def _too_large(limit: int) -> Failure:
    return Failure("too_large", f"more than max_bytes, {limit}")
