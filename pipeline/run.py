"""Run: a worker process from its first line of log to its exit status."""

import asyncio
import logging
import os
import signal
import socket
import sys
from pathlib import Path
from threading import Thread
from typing import Final

import faust

from pipeline import status
from pipeline.app import build
from pipeline.delivery import BrokerUnreachableError, check
from pipeline.line import Line
from pipeline.metrics import Metrics
from pipeline.settings import Settings
from pipeline.writes import topics_of

log: Final = logging.getLogger(__name__)


def run(settings: Settings, line: Line, *, with_parent: bool = False) -> None:
    """Run a worker until it is told to stop; raises `SystemExit` with its status.

    `with_parent` stops it too when standard input closes, as it does when a parent that holds the other
    end is killed.
    """
    # Until Faust takes over there is nothing in hand to finish.
    for sign in (signal.SIGTERM, signal.SIGINT):
        signal.signal(sign, lambda *_: os._exit(0))
    if with_parent:
        Thread(target=_stop_with_parent, daemon=True).start()
    log.info(
        "reading %s from %s as group %s; metrics on http://%s:%d/metrics; configuration %s",
        ", ".join(settings.sources),
        settings.kafka.bootstrap_servers,
        settings.kafka.group,
        settings.web.host,
        settings.web.port,
        line.configuration,
    )
    try:
        topics = (*settings.sources, *topics_of(settings.topics))
        asyncio.run(check(settings.kafka, topics))
    except BrokerUnreachableError as error:
        log.critical(str(error))
        sys.exit(status.UNREACHABLE)
    _see_port(settings)
    app = build(settings, line, Metrics())
    # Its banner and cursor codes are for a terminal that a worker does not have.
    with Path(os.devnull).open("w", encoding="utf-8") as nowhere:
        worker = _Worker(app, quiet=True, stdout=nowhere, redirect_stdouts=False)
        try:
            worker.execute_from_commandline()
        except SystemExit as stop:
            if not stop.code:
                raise
        except Exception as error:
            log.exception("the worker could not run")
            worker.crash_reason = error
    reason = worker.crash_reason or app.crash_reason
    log.critical(
        "the worker crashed with %s; nothing unconfirmed was committed. Start it again, with --verbose "
        "to see what Faust and the Kafka client say",
        type(reason).__name__ if reason else "no reason given",
    )
    sys.exit(status.CRASHED)


def _see_port(settings: Settings) -> None:
    """Say so before anything starts when another worker already listens at the web address."""
    where = (settings.web.host, settings.web.port)
    try:
        kind = socket.getaddrinfo(*where)[0][0]
        with socket.socket(kind) as listener:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind(where)
    except OSError as error:
        log.critical(
            "cannot listen on %s:%d (%s): give each worker of a machine a port of its own with "
            "PENJAGA_WEB_PORT, or correct web.host",
            *where,
            error.strerror,
        )
        sys.exit(status.UNREACHABLE)


class _Worker(faust.Worker):
    """Faust's worker with the logging it finds."""

    def _setup_logging(self) -> None:
        """Leave logging as `pipeline.logs` configured it; Faust would replace it."""


def _stop_with_parent() -> None:
    sys.stdin.buffer.read()
    # At once: a broker that the parent ran is gone too, and a clean stop would wait for it.
    os._exit(0)
