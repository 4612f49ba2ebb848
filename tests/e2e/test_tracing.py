"""Tracing, at a collector: spans of batches in their times, linked to what was flagged, and no more."""

import asyncio
import gzip
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest

from pipeline.settings import Tracing
from pipeline.tracing import EXPORT_SECONDS, MOST_LINKS, TracingMissingError, contexts, spans
from tests.e2e.brokers import Broker
from tests.e2e.test_delivery import stopped
from tests.e2e.workers import CANARY, Reader, Site, event, send

trace_service = pytest.importorskip(
    "opentelemetry.proto.collector.trace.v1.trace_service_pb2",
    reason="the extra `tracing` brings it",
)

Unique = Callable[[str], str]

TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
PARENT = f"00-{TRACE}-{SPAN}-01".encode()


@contextmanager
def collecting() -> Iterator[tuple[str, list[bytes]]]:
    """Collect what is posted to an address on loopback."""
    bodies: list[bytes] = []

    class Collector(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            packed = self.headers.get("Content-Encoding") == "gzip"
            bodies.append(gzip.decompress(body) if packed else body)
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Collector) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/v1/traces", bodies
        server.shutdown()


async def test_a_batch_is_a_span_with_two_inside_linked_to_what_was_flagged(
    broker: Broker, unique: Unique, tmp_path: Path
) -> None:
    """What waits is sent before the worker ends."""
    with (
        collecting() as (address, bodies),
        Site.make(
            broker,
            tmp_path,
            unique,
            f'[tracing]\nendpoint = "{address}"\nshare = 1.0\n[sources."SOURCE"]',
        ) as site,
    ):
        worker = site.start()
        await send(
            broker.bootstrap_servers,
            site.source,
            [event(1, "hello"), event(2, CANARY), b"not json"],
            key=b"k",
            headers=(("traceparent", PARENT),),
        )
        async with Reader(broker.bootstrap_servers, [site.escalations]) as reader:
            await reader.until(lambda: len(reader.records) == 1)
        await asyncio.sleep(1)
        worker.terminate()
        status = await stopped(worker)

        told = [
            span
            for body in bodies
            for resource in trace_service.ExportTraceServiceRequest.FromString(body).resource_spans
            for scope in resource.scope_spans
            for span in scope.spans
        ]
        wholes = [span for span in told if span.name == f"process {site.source}"]
        linked = [
            (link.trace_id.hex(), link.span_id.hex()) for span in wholes for link in span.links
        ]
        counts = [
            {one.key: one.value.int_value for one in span.attributes if one.value.int_value}
            for span in wholes
        ]

        assert status == 0
        assert [(TRACE, SPAN)] == linked
        assert 3 == sum(one["messaging.batch.message_count"] for one in counts)
        assert 1 == sum(one.get("penjaga.flagged", 0) for one in counts)
        assert 1 == sum(one.get("penjaga.rejected", 0) for one in counts)
        for whole in wholes:
            screen, deliver = (
                next(s for s in told if s.parent_span_id == whole.span_id and s.name == name)
                for name in ("screen", "deliver")
            )
            times = (
                whole.start_time_unix_nano,
                screen.start_time_unix_nano,
                screen.end_time_unix_nano,
                deliver.start_time_unix_nano,
                deliver.end_time_unix_nano,
                whole.end_time_unix_nano,
            )
            assert sorted(times) == list(times)
        assert CANARY.encode() not in b"".join(bodies)
        assert b"m-000002" not in b"".join(bodies)


async def test_a_collector_that_says_nothing_holds_up_no_stop(
    broker: Broker, unique: Unique, tmp_path: Path
) -> None:
    """What is delivered is delivered: the status says so, well within what a supervisor grants."""
    silent = socket.create_server(("127.0.0.1", 0))
    address = f"http://127.0.0.1:{silent.getsockname()[1]}/v1/traces"
    extra = f'[tracing]\nendpoint = "{address}"\nshare = 1.0\n[sources."SOURCE"]'
    with silent, Site.make(broker, tmp_path, unique, extra) as site:
        worker = site.start()
        await send(broker.bootstrap_servers, site.source, [event(1, CANARY)])
        async with Reader(broker.bootstrap_servers, [site.escalations]) as reader:
            await reader.until(lambda: len(reader.records) == 1)
        worker.terminate()

        assert 0 == await stopped(worker, 5 * EXPORT_SECONDS)


@pytest.mark.parametrize(
    "parent",
    [
        b"",
        b"00-zz",
        PARENT[:-1],
        PARENT.upper(),
        b"00-" + b"0" * 32 + PARENT[35:],
        b"01" + PARENT[2:],
    ],
)
def test_what_is_no_trace_context_is_no_link(parent: bytes) -> None:
    """And of many there are no more than so many."""
    assert [] == contexts([(("traceparent", parent),), ()])
    assert MOST_LINKS == len(contexts([(("traceparent", PARENT),)] * 100))


def test_without_the_extra_it_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """Before anything is read."""
    monkeypatch.setitem(__import__("sys").modules, "opentelemetry", None)

    with pytest.raises(TracingMissingError, match=r"penjaga\[tracing\]"):
        spans(Tracing(endpoint="http://127.0.0.1:1/v1/traces"), "group")
