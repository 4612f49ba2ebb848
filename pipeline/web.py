"""Web: `/metrics`, `/health/live` and `/health/ready`, the same for one worker process and for many.

One process answers in Faust's own web server. Of many, none has one: a server of their own answers for all of
them, from what each says of itself. What an answer looks like is said here once, for both.
"""

from collections.abc import Callable, Mapping
from http import HTTPStatus
from typing import Any, Final

import faust
import msgspec
from aiohttp import web
from faust.web import Request, Response, View
from prometheus_client import CONTENT_TYPE_LATEST, REGISTRY, CollectorRegistry, generate_latest

from pipeline.processes import Vitals

_EXPOSITION: Final = CONTENT_TYPE_LATEST.removesuffix("; charset=utf-8")

SILENT_SECONDS: Final = 30.0
"""How long a process may be silent, where it speaks every second and a batch takes some 10 ms."""


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
            "alive": vitals.pid != 0
            and vitals.silent_seconds < SILENT_SECONDS
            and vitals.unconfirmed_seconds < delivery_seconds,
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


def mount(app: faust.App, vitals: Callable[[], Vitals], delivery_seconds: float) -> None:
    """Answer in Faust's web server for the one process it runs in."""

    @app.page("/metrics")
    async def metrics_page(view: View, _request: Request) -> Response:
        return view.bytes(generate_latest(REGISTRY), content_type=_EXPOSITION)

    @app.page("/health/live")
    async def live_page(view: View, _request: Request) -> Response:
        answer = live({1: vitals()}, delivery_seconds)
        return view.json(answer.body, status=answer.status)

    @app.page("/health/ready")
    async def ready_page(view: View, _request: Request) -> Response:
        answer = ready({1: vitals()})
        return view.json(answer.body, status=answer.status)


def application(
    registry: CollectorRegistry, vitals: Callable[[], Mapping[int, Vitals]], delivery_seconds: float
) -> web.Application:
    """Return a server's application that answers for many processes."""

    async def metrics_page(_: web.Request) -> web.Response:
        return web.Response(body=generate_latest(registry), headers={"Content-Type": _EXPOSITION})

    async def live_page(_: web.Request) -> web.Response:
        answer = live(vitals(), delivery_seconds)
        return web.json_response(answer.body, status=answer.status)

    async def ready_page(_: web.Request) -> web.Response:
        answer = ready(vitals())
        return web.json_response(answer.body, status=answer.status)

    app = web.Application()
    app.router.add_get("/metrics", metrics_page)
    app.router.add_get("/health/live", live_page)
    app.router.add_get("/health/ready", ready_page)
    return app
