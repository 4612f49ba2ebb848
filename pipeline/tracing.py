"""Tracing: spans of some batches, for whoever follows messages through a platform (OpenTelemetry, OTLP).

A span from when a batch was taken until the broker had confirmed all that it caused, with one inside it for
screening and one for delivery. It is linked to the traces of the messages that were flagged, as far as their
records carry a W3C trace context, and holds counts and places, nothing of a message.
"""

import re
import time
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Final, Protocol

import msgspec

from pipeline.batch import Batch
from pipeline.screen import Screening
from pipeline.writes import Headers

if TYPE_CHECKING:
    from pipeline.settings import Tracing

MOST_LINKS: Final = 32
"""Of the messages of a batch that were flagged, so many are linked."""

EXPORT_SECONDS: Final = 2
"""How long a collector may take, retries among it: a stop waits for the last spans."""

_PARENT: Final = re.compile(
    rb"00-(?P<trace>[0-9a-f]{32})-(?P<span>[0-9a-f]{16})-(?P<flags>[0-9a-f]{2})"
)
_EXTRA: Final = "pip install 'penjaga[tracing]'"


class TracingMissingError(Exception):
    """Tracing was asked for, and its extra is not installed."""


class Moments(msgspec.Struct):
    """When a batch went through what, in nanoseconds since 1970."""

    taken: int = msgspec.field(default_factory=time.time_ns)
    screened: int = 0


class Spans(Protocol):
    """Where spans go."""

    def screened(self, topic: str, batch: Batch, screening: Screening, moments: Moments) -> None:
        """Tell of a batch, of which everything is confirmed now."""
        ...

    def close(self) -> None:
        """Send what waits."""
        ...


class NoSpans:
    """Nowhere."""

    def screened(self, topic: str, batch: Batch, screening: Screening, moments: Moments) -> None:
        """Tell nobody."""

    def close(self) -> None:
        """Do nothing."""


def spans(settings: "Tracing", group: str) -> Spans:
    """Return where spans go.

    Raises:
        TracingMissingError: if there is an endpoint, and no OpenTelemetry.
    """
    if not settings.endpoint:
        return NoSpans()
    try:
        return _Exported(settings, group)
    except ImportError:
        raise TracingMissingError(f"tracing.endpoint needs OpenTelemetry: {_EXTRA}") from None


class _Exported:
    """To a collector."""

    def __init__(self, settings: "Tracing", group: str) -> None:
        # Of the extra, so not known to be there.
        from opentelemetry import trace  # noqa: PLC0415
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import (  # noqa: PLC0415
            OTLPSpanExporter,
        )
        from opentelemetry.sdk.resources import Resource  # noqa: PLC0415
        from opentelemetry.sdk.trace import TracerProvider  # noqa: PLC0415
        from opentelemetry.sdk.trace.export import BatchSpanProcessor  # noqa: PLC0415
        from opentelemetry.sdk.trace.sampling import TraceIdRatioBased  # noqa: PLC0415

        self._api: Any = trace
        self._group = group
        self._provider = TracerProvider(
            sampler=TraceIdRatioBased(settings.share),
            resource=Resource.create({"service.name": "penjaga"}),
            shutdown_on_exit=False,
        )
        self._provider.add_span_processor(
            BatchSpanProcessor(OTLPSpanExporter(endpoint=settings.endpoint, timeout=EXPORT_SECONDS))
        )
        self._tracer = self._provider.get_tracer("penjaga")

    def screened(self, topic: str, batch: Batch, screening: Screening, moments: Moments) -> None:
        """Tell of a batch, of which everything is confirmed now."""
        now = time.time_ns()
        whole = self._tracer.start_span(
            f"process {topic}", kind=self._api.SpanKind.CONSUMER, start_time=moments.taken
        )
        if whole.is_recording():
            whole.set_attributes(
                {
                    "messaging.system": "kafka",
                    "messaging.operation.type": "process",
                    "messaging.destination.name": topic,
                    "messaging.consumer.group.name": self._group,
                    "messaging.batch.message_count": len(batch.values),
                    "penjaga.flagged": screening.flagged,
                    "penjaga.rejected": len(screening.rejected),
                }
            )
            flagged = (batch.record(position).headers for position in screening.verdicts)
            for trace, span, flags in contexts(flagged):
                context = self._api.SpanContext(
                    trace, span, is_remote=True, trace_flags=self._api.TraceFlags(flags)
                )
                whole.add_link(context)
            inside = self._api.set_span_in_context(whole)
            for name, begin, end in (
                ("screen", moments.taken, moments.screened),
                ("deliver", moments.screened, now),
            ):
                self._tracer.start_span(name, inside, start_time=begin).end(end)
        whole.end(now)

    def close(self) -> None:
        """Send what waits."""
        self._provider.shutdown()


def contexts(records: Iterable[Headers]) -> list[tuple[int, int, int]]:
    """Return trace, span and flags of each record with a sound W3C trace context; at most `MOST_LINKS`."""
    found: list[tuple[int, int, int]] = []
    for headers in records:
        parent = next((value for name, value in headers if name == "traceparent"), b"")
        match = _PARENT.fullmatch(parent)
        if match and int(match["trace"], 16) and int(match["span"], 16):
            found.append((int(match["trace"], 16), int(match["span"], 16), int(match["flags"], 16)))
            if len(found) == MOST_LINKS:
                break
    return found
