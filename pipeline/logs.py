"""Logs: one JSON object a line, without message text, ids of people or links."""

import logging
import sys
import threading
import warnings
from datetime import UTC, datetime
from types import TracebackType
from typing import Final, TextIO

import orjson

log: Final = logging.getLogger(__name__)

_QUOTING: Final = "asyncio"
"""The logger whose messages go on, after their first line, with what tasks raised, in words."""


class _Json(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        message = record.getMessage()
        if record.name == _QUOTING:
            message = message.partition("\n")[0]
        line = {
            "time": datetime.fromtimestamp(record.created, UTC),
            "level": record.levelname.lower(),
            "logger": record.name,
            # A file name may hold bytes that are no text; a line that cannot be written is printed raw.
            "message": message.encode(errors="backslashreplace").decode(),
        }
        if record.processName != "MainProcess":  # one of `penjaga worker --processes`
            line["process"] = record.processName
        if record.exc_info and record.exc_info[0]:
            # The traceback's places, never its message: an exception may quote the value it choked on.
            line["error"] = record.exc_info[0].__name__
            line["at"] = _places(record.exc_info[2])
        return orjson.dumps(line, default=str).decode()


def _places(trace: object) -> list[str]:
    places = []
    while trace is not None:
        code = trace.tb_frame.f_code  # type: ignore[attr-defined]
        places.append(f"{code.co_filename}:{trace.tb_lineno} {code.co_name}")  # type: ignore[attr-defined]
        trace = trace.tb_next  # type: ignore[attr-defined]
    return places


def _uncaught(
    kind: type[BaseException], error: BaseException | None, trace: TracebackType | None
) -> None:
    if error is None or issubclass(kind, KeyboardInterrupt):
        sys.__excepthook__(kind, error or kind(), trace)
        return
    log.critical("a bug; please report it", exc_info=(kind, error, trace))


def _warned(  # noqa: PLR0913, PLR0917  # as Python calls it
    message: Warning | str,  # noqa: ARG001
    category: type[Warning],
    filename: str,
    lineno: int,
    file: TextIO | None = None,  # noqa: ARG001
    line: str | None = None,  # noqa: ARG001
) -> None:
    log.warning("%s in %s:%d; its words are left out", category.__name__, filename, lineno)


def configure(level: int = logging.INFO, *, verbose: bool = False) -> None:
    """Send every log line to standard error as JSON; `verbose` lets the libraries speak too."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_Json())
    logging.basicConfig(level=level, handlers=[handler], force=True)
    # What Python itself would print, with all its words.
    sys.excepthook = _uncaught
    threading.excepthook = lambda args: _uncaught(args.exc_type, args.exc_value, args.exc_traceback)
    sys.unraisablehook = lambda args: _uncaught(args.exc_type, args.exc_value, args.exc_traceback)
    warnings.showwarning = _warned
    # What they report as errors is retried, or ends the worker with a line of our own.
    for name in ("aiokafka", "faust", "mode", "aiohttp.access"):
        logging.getLogger(name).setLevel(level if verbose else logging.CRITICAL)
