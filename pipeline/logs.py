"""Logs: one JSON object a line, without message text, ids of people or links."""

import logging
import sys
from datetime import UTC, datetime

import orjson


class _Json(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        line = {
            "time": datetime.fromtimestamp(record.created, UTC),
            "level": record.levelname.lower(),
            "logger": record.name,
            # A file name may hold bytes that are no text; a line that cannot be written is printed raw.
            "message": record.getMessage().encode(errors="backslashreplace").decode(),
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


def configure(level: int = logging.INFO, *, verbose: bool = False) -> None:
    """Send every log line to standard error as JSON; `verbose` lets the libraries speak too."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_Json())
    logging.basicConfig(level=level, handlers=[handler], force=True)
    # What they report as errors is retried, or ends the worker with a line of our own.
    for name in ("aiokafka", "faust", "mode", "aiohttp.access"):
        logging.getLogger(name).setLevel(level if verbose else logging.CRITICAL)
