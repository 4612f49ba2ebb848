"""The demo: an embedded broker, a real worker, simulated traffic, and a count of what comes out.

The demo screens what it sends itself, through the same pure line, so it knows every escalation that has to
come and notices one that does not, also when somebody kills the worker in the middle. Of subjects it knows
those of its scenes (`pipeline.scenes`), whose messages are sent in their order; others that cross come too.
"""

import asyncio
import contextlib
import os
import signal
import socket
import sys
import tempfile
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime
from itertools import count
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, Any, Final, NoReturn

import aiokafka
import click
import msgspec
import orjson
from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from pipeline.correlate import Heard, correlate_batch
from pipeline.embedded import EmbeddedBrokerError, embedded_broker
from pipeline.explanation import STYLES, highlighted
from pipeline.line import Line
from pipeline.scenes import played, scene_of
from pipeline.screen import Screening
from pipeline.settings import Settings
from pipeline.tally import Escalation, Tally, escalation
from pipeline.traffic import to_bytes, traffic
from schemas import ESCALATIONS, Event
from schemas.signal import kind_of
from schemas.subject_verdict import SubjectVerdict

if TYPE_CHECKING:
    from pipeline.memory import Memory

TICK_SECONDS: Final = 0.1
SETTLE_SECONDS: Final = 20.0
"""How long escalations may take to arrive after the last message, before they count as lost."""
RESTART_SECONDS: Final = 2.0
_STARTING: Final = "starting"

SCENE_SECONDS: Final = 0.2
"""How often the next message of a scene is sent, beside the traffic."""


def demonstrate(
    settings: Settings, line: Line, *, seconds: float | None, rate: float, seed: int
) -> int:
    """Run the demo; returns its exit status: 0 if escalations were seen and none was lost."""
    console = Console()
    try:
        with embedded_broker() as servers, tempfile.TemporaryDirectory(prefix="penjaga-") as folder:
            demo = _Demo(settings, line, servers, Path(folder), seed)
            return asyncio.run(demo.run(console, seconds, rate))
    except EmbeddedBrokerError as error:
        console.print(f"penjaga: {error}")
        return 1


class _Demo:
    def __init__(
        self, settings: Settings, line: Line, servers: str, folder: Path, seed: int
    ) -> None:
        self._settings = settings
        self._line = line
        self._source = next(iter(settings.sources))
        self._servers = servers
        self._log = folder / "worker.log"
        self._folder = folder
        self._seed = seed
        self._port = _free_port()
        self._worker: asyncio.subprocess.Process | None = None
        self._status = _STARTING
        self._tally = Tally()
        self._stop = asyncio.Event()
        self._scenes = (
            event for number in count(1) for event in played(number, start=datetime.now(UTC))
        )
        self._scened = 0
        self._remembered: dict[str, Memory] = {}

    async def run(self, console: Console, seconds: float | None, rate: float) -> int:
        loop = asyncio.get_running_loop()
        for sign in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(sign, self._stop.set)
        if seconds is not None:
            loop.call_later(seconds, self._stop.set)
        tally = self._tally
        async with self._tasks(console, rate) as tasks:
            first = asyncio.create_task(self._stop.wait())
            done, _ = await asyncio.wait({first, *tasks}, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
            self._status = "waiting for the last escalations"
            deadline = monotonic() + SETTLE_SECONDS
            while tally.awaited and monotonic() < deadline:
                await asyncio.sleep(TICK_SECONDS)
        console.print_json(data=tally.summary()) if console.is_terminal else _print(tally.summary())
        if tally.awaited or not tally.arrived:
            console.print(f"the worker's log ended with:\n{self._tail()}", markup=False)
            return 1
        return 0

    @contextlib.asynccontextmanager
    async def _tasks(
        self, console: Console, rate: float
    ) -> AsyncIterator[list[asyncio.Task[None]]]:
        """Run the worker, the traffic, the reader and the display; stop them all at the end."""
        producer = aiokafka.AIOKafkaProducer(bootstrap_servers=self._servers)
        await producer.start()
        reader = aiokafka.AIOKafkaConsumer(
            self._settings.topics.escalations,
            bootstrap_servers=self._servers,
            auto_offset_reset="earliest",
        )
        await reader.start()
        tasks = [
            asyncio.create_task(self._keep_working()),
            asyncio.create_task(self._send(producer, rate)),
            asyncio.create_task(self._read(reader, console)),
            asyncio.create_task(self._display(console)),
        ]
        try:
            yield tasks
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await self._end_worker()
            await reader.stop()
            await producer.stop()

    async def _keep_working(self) -> None:
        """Start the worker, and start it again whenever it is gone."""
        environment = {k: v for k, v in os.environ.items() if not k.startswith("PENJAGA_")}
        if cache := os.environ.get("PENJAGA_CACHE_DIR"):
            environment["PENJAGA_CACHE_DIR"] = cache
        environment |= {
            "KAFKA_BOOTSTRAP_SERVERS": self._servers,
            "PENJAGA_WEB_PORT": str(self._port),
            "PENJAGA_KAFKA_INSTANCE": "demo",
            "PENJAGA_MEMORY_FOLDER": str(self._folder / "memory"),
        }
        while True:
            with self._log.open("ab") as log:
                self._worker = await asyncio.create_subprocess_exec(
                    sys.executable,
                    *("-m", "pipeline", "worker", "--with-parent"),
                    stdin=asyncio.subprocess.PIPE,
                    stdout=log,
                    stderr=log,
                    env=environment,
                    cwd=self._folder,
                    start_new_session=True,
                )
            self._status = f"worker {self._worker.pid} running"
            status = await self._worker.wait()
            how = (
                f"killed by {signal.Signals(-status).name}"
                if status < 0
                else f"ended with {status}"
            )
            self._status = f"worker {how}; starting it again"
            self._tally.restarts += 1
            await asyncio.sleep(RESTART_SECONDS)

    async def _end_worker(self) -> None:
        if self._worker is None or self._worker.returncode is not None:
            return
        self._worker.terminate()
        try:
            await asyncio.wait_for(self._worker.wait(), 10)
        except TimeoutError:
            self._worker.kill()
            await self._worker.wait()

    async def _send(self, producer: Any, rate: float) -> None:
        """Send traffic at a steady rate, and a message of a scene now and then, until told to stop."""
        source = traffic(self._seed, start=datetime.now(UTC))
        begun = monotonic()
        sent = 0
        while not self._stop.is_set():
            elapsed = monotonic() - begun
            due = int(elapsed * rate) + 1 - sent
            now = datetime.now(UTC)
            talk = [
                msgspec.structs.replace(next(source).event, occurred_at=now) for _ in range(due)
            ]
            sent += due
            await self._send_events(producer, talk, _key)
            scenes = int(elapsed / SCENE_SECONDS) + 1 - self._scened
            acted = [
                msgspec.structs.replace(next(self._scenes), occurred_at=now) for _ in range(scenes)
            ]
            self._scened += scenes
            self._expect_subjects(await self._send_events(producer, acted, scene_of))
            await asyncio.sleep(TICK_SECONDS)
        await producer.flush()
        await asyncio.Event().wait()

    async def _send_events(
        self, producer: Any, events: list[Event], key_of: Callable[[Event], str]
    ) -> Screening:
        """Send events and note which escalations have to come of them."""
        records = [to_bytes(event) for event in events]
        screening = self._line.screen(self._source, records)
        escalated = (
            verdict.id
            for verdicts in screening.verdicts.values()
            for verdict in verdicts
            if verdict.action in ESCALATIONS
        )
        self._tally.expect(set(escalated))
        for event, record in zip(events, records, strict=True):
            await producer.send(self._source, record, key_of(event).encode())
        self._tally.sent += len(events)
        return screening

    def _expect_subjects(self, screening: Screening) -> None:
        """Remember the subjects of the scenes as the worker has to, and note which have to cross."""
        told = [
            one for position in sorted(screening.signals) for one in screening.signals[position]
        ]
        heard = [Heard(one.subject, one) for one in told]
        outcome = correlate_batch(self._remembered, heard, self._line.watch)
        self._remembered |= {name: kept for name, kept in outcome.changed.items() if kept}
        self._tally.expect({verdict.id for _, verdict in outcome.verdicts})

    async def _read(self, reader: Any, console: Console) -> None:
        async for message in reader:
            verdict = escalation(message.value)
            if self._tally.arrive(verdict) and not console.is_terminal:
                _print(msgspec.to_builtins(verdict))

    async def _display(self, console: Console) -> None:
        if not console.is_terminal:
            await self._tell()
        with Live(console=console, refresh_per_second=4, transient=True) as live:
            while True:
                live.update(self._picture(console.width))
                await asyncio.sleep(0.25)

    async def _tell(self) -> NoReturn:
        """Say on stderr, which no pipe takes, what becomes of the worker."""
        click.echo(self._address(), err=True)
        told = _STARTING
        while True:
            if self._status != told:
                told = self._status
                click.echo(told, err=True)
            await asyncio.sleep(TICK_SECONDS)

    def _picture(self, width: int) -> Group:
        tally = self._tally
        pid = self._worker.pid if self._worker else "-"
        elapsed = max(0.001, monotonic() - tally.started)
        counts = Table.grid(padding=(0, 3))
        counts.add_row(
            f"sent [bold]{tally.sent:,}[/] ({tally.sent / elapsed:.0f}/s)",
            f"escalated [bold]{tally.arrived:,}[/]",
            f"subjects [bold]{len(tally.subjects):,}[/]",
            f"on their way {len(tally.awaited)}",
            f"delay p50 {tally.delay(0.5):.1f} s, p99 {tally.delay(0.99):.1f} s",
            f"restarts {tally.restarts}",
        )
        rows = Table(
            "action", "label", "score", "evidence", box=None, header_style="dim", width=width
        )
        for verdict in tally.latest:
            rows.add_row(
                Text(verdict.action, STYLES[verdict.action]),
                verdict.label,
                f"{verdict.score:.2f}",
                _evidence(verdict),
            )
        counted = sorted((tally.labels + tally.behaviours).items())
        labels = "  ".join(f"{label} {number}" for label, number in counted)
        return Group(
            Text("Penjaga demo: simulated traffic, a real worker, an embedded broker", "bold"),
            counts,
            Text(labels, "dim"),
            Text(),
            rows,
            Text(),
            Text(
                f"{self._status}. {self._address()}\n"
                f"Try it: kill -9 {pid}   (nothing goes missing; Ctrl-C ends the demo)\n"
                "The delay is mostly the embedded broker's, which answers a waiting fetch every 1.5 s.",
                "dim",
            ),
        )

    def _address(self) -> str:
        return f"Status page: http://127.0.0.1:{self._port}/"

    def _tail(self) -> str:
        if not self._log.exists():
            return "(nothing)"
        return "\n".join(self._log.read_text(errors="replace").splitlines()[-20:])


def _key(event: Event) -> str:
    return event.conversation.id if event.conversation else event.actor.id


def _evidence(verdict: Escalation) -> Text:
    if isinstance(verdict, SubjectVerdict):
        kind = kind_of(verdict.subject)
        what = verdict.behaviour.replace("_", " ")
        return Text(f"{what} in one {kind}, by {len(verdict.evidence)} messages", "bold")
    if verdict.excerpt is None:
        return Text(verdict.findings[0].reason, "dim")
    shown = highlighted(verdict.excerpt.text, verdict.findings, verdict.excerpt.offset)
    shown.truncate(200, overflow="ellipsis")
    return shown


def _free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
        return port


def _print(row: dict[str, Any]) -> None:
    sys.stdout.buffer.write(orjson.dumps(row, option=orjson.OPT_APPEND_NEWLINE))
    sys.stdout.flush()
