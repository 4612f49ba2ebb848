"""Run: a worker from its first line of log to its exit status, as one process or as several."""

import asyncio
import logging
import os
import shutil
import socket
import sys
import tempfile
from collections.abc import Callable, Coroutine
from functools import partial
from pathlib import Path
from threading import Thread
from typing import Final

import faust
import msgspec
import uvloop
from aiohttp.web import AppRunner, SockSite, run_app
from prometheus_client import REGISTRY, CollectorRegistry
from prometheus_client.multiprocess import MultiProcessCollector, mark_process_dead

from pipeline import status, web
from pipeline.app import Health, build
from pipeline.delivery import BrokerUnreachableError, check
from pipeline.feed_lists import FeedWatch
from pipeline.latest import LatestLine
from pipeline.line import Line
from pipeline.metrics import Metrics, Usage, process_starts
from pipeline.options import state_folder
from pipeline.processes import METRICS_FOLDER, Board, Parent, end_on_signals, stop_with
from pipeline.recent import Recent, Writer
from pipeline.settings import Settings
from pipeline.store import Folder, FolderError
from pipeline.writes import topics_of

log: Final = logging.getLogger(__name__)

_SAYING_SECONDS: Final = 1.0
_BACKLOG: Final = 128
_WEB: Final = "web"

Beside = Callable[[Health], Coroutine[None, None, None]]
"""What runs in a worker's event loop from before anything else is started, which may take long."""


def run(
    settings: Settings,
    line: Line,
    *,
    processes: int = 1,
    with_parent: bool = False,
    watch: FeedWatch | None = None,
) -> None:
    """Run a worker until it is told to stop; raises `SystemExit` with its status.

    Of several `processes` each is a member of the group, and their metrics and health are on one endpoint.
    `with_parent` stops all when standard input closes, as it does when a parent that holds the other end is
    killed. `watch` notices newer lists of bad links, in each process.
    """
    end_on_signals()
    if with_parent and processes == 1:
        Thread(target=stop_with, args=(sys.stdin.fileno(),), daemon=True).start()
    log.info(
        "reading %s from %s as group %s, in processes: %d; status page on http://%s:%d/; configuration %s",
        ", ".join(settings.sources),
        settings.kafka.bootstrap_servers,
        settings.kafka.group,
        processes,
        settings.web.host,
        settings.web.port,
        line.configuration,
    )
    try:
        asyncio.run(_check(settings))
    except BrokerUnreachableError as error:
        log.critical(str(error))
        sys.exit(status.UNREACHABLE)
    work = _Work(settings, line, watch)
    # Said before anything starts: the port may be another worker's.
    listener = _listener(settings)
    if processes > 1:
        sys.exit(_run_several(work, listener, processes, with_parent=with_parent))
    recent = Recent()
    _work(work, recent.writer(), partial(_serve, settings, recent, listener))


async def _check(settings: Settings) -> None:
    topics = settings.topics
    written = topics_of(settings)
    equal = (topics.signals, topics.memory) if settings.memory.is_on else ()
    await check(settings.kafka, (*settings.sources, *written), equal)


def _run_several(work: "_Work", listener: socket.socket, count: int, *, with_parent: bool) -> int:
    # Kept open here, so that the address stays ours when the process that serves it is replaced.
    listener.listen(_BACKLOG)
    try:
        metrics_folder = tempfile.TemporaryDirectory(prefix="penjaga-metrics-")
    except OSError as error:
        log.critical(
            "no folder for the metrics of several processes (%s): name one in TMPDIR",
            error.strerror,
        )
        return status.CONFIGURATION
    with metrics_folder as folder:
        os.environ[METRICS_FOLDER] = folder
        shared = _Shared(work, Board(count), Recent(count), listener, folder)
        mains: dict[str, Callable[[], None]] = {
            str(number): partial(shared.work, number) for number in range(1, count + 1)
        }
        mains[_WEB] = shared.serve
        return Parent(mains, shared, last=_WEB, with_parent=with_parent).run()


class _Work(msgspec.Struct, frozen=True):
    """What a worker process works by."""

    settings: Settings
    line: Line
    watch: FeedWatch | None


class _Shared:
    """What the parent hands to its processes, and what it notes of them."""

    def __init__(
        self, work: _Work, board: Board, recent: Recent, listener: socket.socket, folder: str
    ) -> None:
        self._work = work
        self._board = board
        self._recent = recent
        self._listener = listener
        self._folder = folder
        self._starts = process_starts(CollectorRegistry())

    def work(self, number: int) -> None:
        """Be a worker, in a process of its own."""
        self._listener.close()
        settings = self._work.settings
        kafka = settings.kafka
        if kafka.instance:
            kafka = msgspec.structs.replace(kafka, instance=f"{kafka.instance}-{number}")
        settings = msgspec.structs.replace(settings, kafka=kafka)
        work = msgspec.structs.replace(self._work, settings=settings)
        _work(work, self._recent.writer(number), partial(self._keep_saying, number))

    async def _keep_saying(self, number: int, health: Health) -> None:
        while True:
            self._board.say(number, health.vitals())
            await asyncio.sleep(_SAYING_SECONDS)

    def serve(self) -> None:
        """Answer for all workers, in a process of its own."""
        registry = CollectorRegistry()
        MultiProcessCollector(registry, self._folder)  # type: ignore[no-untyped-call]  # no types
        registry.register(Usage(self._board.pids))
        application = web.application(
            registry, self._board.vitals, self._work.settings, self._recent
        )
        # What asks keeps its connection open, and a stop need not wait for it.
        run_app(application, sock=self._listener, access_log=None, print=None, shutdown_timeout=0.1)

    def starts(self, name: str) -> None:
        self._starts.labels(name).inc()
        if name != _WEB:
            self._board.start(int(name))

    def runs(self, name: str, pid: int) -> None:
        if name != _WEB:
            self._board.run(int(name), pid)

    def ended(self, name: str, pid: int) -> None:
        self.runs(name, 0)
        mark_process_dead(pid, self._folder)  # type: ignore[no-untyped-call]  # no types

    def orphaned(self) -> None:
        shutil.rmtree(self._folder, ignore_errors=True)


async def _serve(
    settings: Settings, recent: Recent, listener: socket.socket, health: Health
) -> None:
    """Answer for this process alone, until it ends."""
    application = web.application(REGISTRY, lambda: {1: health.vitals()}, settings, recent)
    runner = AppRunner(application, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    await SockSite(runner, listener).start()
    try:
        await asyncio.Event().wait()
    finally:
        await runner.cleanup()


def _work(work: _Work, recent: Writer, beside: Beside) -> None:
    """Be a worker, with what tells others how it fares running beside it."""
    # Also of the loop in the consumer's thread, which Faust makes by itself.
    asyncio.set_event_loop_policy(uvloop.EventLoopPolicy())
    health = Health()
    try:
        folder = _memory_folder(work.settings)
    except FolderError as error:
        log.critical(str(error))
        sys.exit(status.CONFIGURATION)
    path = folder.path if folder else None
    latest = LatestLine(work.settings, work.line, work.watch, path)
    app = build(work.settings, latest, Metrics(), health, recent, folder=path)
    # Its banner and cursor codes are for a terminal that a worker does not have.
    with Path(os.devnull).open("w", encoding="utf-8") as nowhere:
        worker = _Worker(app, quiet=True, stdout=nowhere, redirect_stdouts=False)
        worker.beside = partial(beside, health)
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


def _memory_folder(settings: Settings) -> Folder | None:
    """Take a folder for a memory on disk, by the worker's name if it has one."""
    if settings.memory.store != "rocksdb":
        return None
    base = Path(settings.memory.folder) if settings.memory.folder else state_folder() / "memory"
    return Folder(base / settings.kafka.group, settings.kafka.instance or "worker")


def _listener(settings: Settings) -> socket.socket:
    """Take the web address, or say that another worker has it."""
    where = (settings.web.host, settings.web.port)
    try:
        listener = socket.socket(socket.getaddrinfo(*where)[0][0])
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
    return listener


class _Worker(faust.Worker):
    """Faust's worker with the logging it finds, and something beside it."""

    beside: Callable[[], Coroutine[None, None, None]]

    def _setup_logging(self) -> None:
        """Leave logging as `pipeline.logs` configured it; Faust would replace it."""

    async def on_first_start(self) -> None:
        """Start it before anything else."""
        await super().on_first_start()
        self.add_future(self.beside())
