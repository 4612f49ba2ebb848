"""Web: metrics, health and the status page, the same for one worker process and for many.

A worker alone answers in its own event loop; of many none does, but a process beside them, from what each
says of itself. `/metrics` and `/health/*` hold nothing but numbers and are open to whoever reaches the port.
The status page, redacted though it is, is for the people who run this: on loopback without more, elsewhere
with the token of `web.token_file` or PENJAGA_WEB_TOKEN, as a bearer token or as the password that a browser
asks for.
"""

import asyncio
import base64
import hmac
import ipaddress
import time
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from http import HTTPStatus
from importlib.resources import files
from typing import Any, Final

import msgspec
from aiohttp import web
from aiohttp.typedefs import Middleware
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest

from pipeline.overview import SAMPLE_SECONDS, SAMPLES, Overview, Sample, overview
from pipeline.processes import Vitals
from pipeline.recent import Recent
from pipeline.settings import Settings, Web

OPEN: Final = frozenset({"/metrics", "/health/live", "/health/ready"})
"""What answers without a token."""

_PAGE: Final = {
    "/": ("index.html", "text/html"),
    "/page.css": ("page.css", "text/css"),
    "/page.js": ("page.js", "text/javascript"),
}
_HEADERS: Final = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": (
        "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; img-src 'self' data:; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}
_LEAST_SECONDS: Final = 0.5
"""How old an overview may be that is shown again: however many look, the metrics are read no oftener."""

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Answer(msgspec.Struct, frozen=True):
    """What a health endpoint answers."""

    status: HTTPStatus
    body: dict[str, Any]


def live(processes: Mapping[int, Vitals], delivery_seconds: float) -> Answer:
    """Say whether every process runs, its event loop turns, and its batch in hand is not overdue."""
    rows = [
        {
            "process": number,
            "pid": vitals.pid,
            "alive": vitals.is_running and vitals.unconfirmed_seconds < delivery_seconds,
            "unconfirmed_seconds": round(vitals.unconfirmed_seconds, 3),
            "silent_seconds": round(vitals.silent_seconds, 3),
        }
        for number, vitals in processes.items()
    ]
    alive = all(row["alive"] for row in rows)
    longest = max(row["unconfirmed_seconds"] for row in rows)
    return _answer(alive, {"alive": alive, "unconfirmed_seconds": longest, "processes": rows})


def ready(processes: Mapping[int, Vitals]) -> Answer:
    """Say whether at least one process has partitions to read."""
    rows = [
        {"process": number, "pid": vitals.pid, "partitions": vitals.partitions}
        for number, vitals in processes.items()
    ]
    count = sum(row["partitions"] for row in rows)
    return _answer(count > 0, {"ready": count > 0, "partitions": count, "processes": rows})


def _answer(is_good: bool, body: dict[str, Any]) -> Answer:  # noqa: FBT001  # it is the status
    return Answer(HTTPStatus.OK if is_good else HTTPStatus.SERVICE_UNAVAILABLE, body)


class _Watcher:
    """Reads the metrics now and then, and says what they come to."""

    def __init__(
        self,
        registry: CollectorRegistry,
        vitals: Callable[[], Mapping[int, Vitals]],
        settings: Settings,
        recent: Recent,
    ) -> None:
        self._registry = registry
        self._vitals = vitals
        self._settings = settings
        self._recent = recent
        self._samples: deque[Sample] = deque(maxlen=SAMPLES)
        self._last: Overview | None = None

    async def watch(self, _: web.Application) -> AsyncIterator[None]:
        """Take samples while the server runs."""
        task = asyncio.create_task(self._sample_regularly())
        yield
        task.cancel()

    def overview(self) -> Overview:
        now = time.time()
        if self._last is None or not 0 <= now - self._last.at < _LEAST_SECONDS:
            self._last = overview(
                self._samples, self._sample(), self._vitals(), self._settings, self._recent.rows()
            )
        return self._last

    async def _sample_regularly(self) -> None:
        while True:
            self._samples.append(self._sample())
            await asyncio.sleep(SAMPLE_SECONDS)

    def _sample(self) -> Sample:
        return Sample.of(time.time(), self._registry.collect())


def application(
    registry: CollectorRegistry,
    vitals: Callable[[], Mapping[int, Vitals]],
    settings: Settings,
    recent: Recent,
) -> web.Application:
    """Return what answers for the worker processes that `vitals` tells of, by their numbers.

    Raises:
        OSError: if the file with the token cannot be read.
    """
    watcher = _Watcher(registry, vitals, settings, recent)
    delivery_seconds = settings.kafka.delivery_seconds

    async def metrics_page(_: web.Request) -> web.Response:
        return web.Response(
            body=generate_latest(registry), headers={"Content-Type": CONTENT_TYPE_LATEST}
        )

    async def live_page(_: web.Request) -> web.Response:
        answer = live(vitals(), delivery_seconds)
        return web.json_response(answer.body, status=answer.status)

    async def ready_page(_: web.Request) -> web.Response:
        answer = ready(vitals())
        return web.json_response(answer.body, status=answer.status)

    async def status_page(_: web.Request) -> web.Response:
        body = msgspec.json.encode(watcher.overview())
        return web.Response(body=body, content_type="application/json")

    app = web.Application(middlewares=[_guarded(settings.web)], client_max_size=0)
    app.router.add_get("/metrics", metrics_page)
    app.router.add_get("/health/live", live_page)
    app.router.add_get("/health/ready", ready_page)
    app.router.add_get("/status.json", status_page)
    for path, (name, kind) in _PAGE.items():
        app.router.add_get(path, _static(name, kind))
    app.cleanup_ctx.append(watcher.watch)
    return app


def _static(name: str, kind: str) -> Handler:
    content = (files("pipeline") / "page" / name).read_bytes()

    async def page(_: web.Request) -> web.Response:
        return web.Response(body=content, content_type=kind, charset="utf-8")

    return page


def _guarded(settings: Web) -> Middleware:
    """Return what lets through what is open, and whoever may see the rest."""
    token = settings.token().encode()
    is_local = _is_loopback(settings.host)

    @web.middleware
    async def guard(request: web.Request, handler: Handler) -> web.StreamResponse:
        refused = None if request.path in OPEN else _refused(request, token, is_local=is_local)
        try:
            response = refused or await handler(request)
        except web.HTTPException as error:
            # Its text is the library's, which names the path: nothing of a request is said back.
            response = web.Response(text=f"{error.status} {error.reason}\n", status=error.status)
        response.headers.update(_HEADERS)
        return response

    return guard


def _refused(request: web.Request, token: bytes, *, is_local: bool) -> web.Response | None:
    """Return why a request is refused, or None."""
    if token:
        if hmac.compare_digest(_presented(request), token):
            return None
        return web.Response(
            text="401: this needs the token of this worker (web.token_file, PENJAGA_WEB_TOKEN)\n",
            status=HTTPStatus.UNAUTHORIZED,
            headers={"WWW-Authenticate": 'Basic realm="penjaga", charset="UTF-8"'},
        )
    if not is_local:
        return web.Response(
            text="403: only metrics and health are served here. To see the status page, set a token with "
            "web.token_file or PENJAGA_WEB_TOKEN, or listen on loopback\n",
            status=HTTPStatus.FORBIDDEN,
        )
    # A page elsewhere may have its own name lead to this address: then the browser calls us by that name.
    name = request.host.rpartition(":")[0] if ":" in request.host else request.host
    if not _is_loopback(name):
        return web.Response(
            text="403: without a token, ask for this by the name localhost or a loopback address\n",
            status=HTTPStatus.FORBIDDEN,
        )
    return None


def _presented(request: web.Request) -> bytes:
    """Return the token that a request carries, as a bearer token or as a password."""
    kind, _, value = request.headers.get("Authorization", "").partition(" ")
    if kind.lower() == "bearer":
        return value.strip().encode(errors="surrogateescape")
    if kind.lower() != "basic":
        return b""
    try:
        return base64.b64decode(value, validate=True).partition(b":")[2]
    except ValueError:
        return b""


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False
