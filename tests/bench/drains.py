"""Drains: one backlog emptied by every contender in turn, each between two runs of bare aiokafka.

Timed from before the first fetch, when the partitions are assigned, until everything is done: the
last message decoded, or the last escalation confirmed by the broker. Joining the group, imports and
start-up stay outside.
"""

import logging
import subprocess
import sys
import uuid
from collections.abc import Iterator, Sequence
from pathlib import Path
from statistics import median
from typing import Final

import msgspec
import orjson

from pipeline.line import line
from pipeline.settings import Detectors, load
from tests.bench.contenders.account import Task, Usage, Work
from tests.bench.corpus import batches
from tests.bench.machine import peak_resident_bytes
from tests.bench.topics import PARTITIONS, Watch, ended, fill
from tests.bench.worker import Outputs, Site, Worker
from tests.e2e.brokers import create_topic
from tests.e2e.workers import clean_environment

log: Final = logging.getLogger(__name__)


class Contender(msgspec.Struct, frozen=True):
    """Who drains, and how much of the backlog: the slow ones get a part."""

    name: str
    title: str
    module: str | None
    """None is Penjaga's own worker."""
    work: Work
    is_slow: bool = False
    detectors: tuple[str, ...] = ()
    processes: int = 1


UNIT: Final = Contender(
    "aiokafka", "aiokafka `getmany`, decoding (the unit)", "bare_aiokafka", "decode"
)
CONTENDERS: Final = (
    Contender("confluent", "confluent-kafka `consume`, decoding", "bare_confluent", "decode"),
    Contender(
        "confluent-hyperscan", "the same and a plain Hyperscan scan", "bare_confluent", "scan"
    ),
    Contender("faust", "Faust agent, decoding", "faust_agent", "decode", is_slow=True),
    Contender(
        "faust-screen", "Faust agent, Penjaga's screen", "faust_agent", "screen", is_slow=True
    ),
    Contender("quix", "Quix Streams, decoding", "quix_streams", "decode"),
    Contender(
        "quix-screen", "Quix Streams, Penjaga's screen", "quix_streams", "screen", is_slow=True
    ),
    Contender("penjaga-canary", "**Penjaga**, canary only", None, "screen", detectors=("canary",)),
    Contender("penjaga", "**Penjaga**, all detectors", None, "screen"),
    Contender("penjaga-processes", "**Penjaga**, `--processes 2`", None, "screen", processes=2),
)

SLOW_PART: Final = 5
"""Slow contenders drain one message in so many."""

_SECONDS: Final = 600.0
_ROOT: Final = Path(__file__).parent.parent.parent


class Drain(msgspec.Struct, frozen=True):
    """A contender's medians. Ratios are to the mean of the aiokafka drains before and after, per message."""

    contender: str
    title: str
    messages: int
    messages_per_second: float
    fastest: float
    """Messages/s of its best run."""
    cpu_per_thousand: float
    """CPU seconds per 1,000 messages, user and system, all threads."""
    peak_bytes: int
    rate_ratio: float
    cpu_ratio: float


class Drains(msgspec.Struct, frozen=True):
    """The stage's result; the unit comes first."""

    runs: int
    partitions: int
    drains: tuple[Drain, ...]
    unit_slowest: float
    """Messages/s of the unit's worst run; with `fastest` it tells how steady the machine was."""


class WrongDrainError(RuntimeError):
    """A contender did not do what the others did, so its time means nothing."""


class _Backlog(msgspec.Struct, frozen=True):
    topic: str
    messages: int
    characters: int
    """Of all texts."""
    verdicts: dict[tuple[str, ...], int]
    """How many the whole backlog leads to, by the detectors that run."""


def drains(
    site: Site,
    records: Sequence[bytes],
    runs: int,
    contenders: Sequence[Contender] = CONTENDERS,
) -> Drains:
    """Let every contender drain the records so many times.

    Raises:
        WrongDrainError: if one fails, or comes to another result than the others.
    """
    arena = _Arena(site, ended(records))
    # The broker, too, is slow until it is warm.
    arena.drain(UNIT)
    rounds = [list(_round(arena, contenders)) for _ in range(runs)]
    units = [unit for round_ in rounds for _, _, unit in round_]
    rows = [_drain(UNIT, [(unit, unit) for unit in units])]
    for place, contender in enumerate(contenders):
        rows.append(_drain(contender, [(r[place][1], r[place][2]) for r in rounds]))
    slowest = min(unit.messages / unit.seconds for unit in units)
    return Drains(runs, PARTITIONS, tuple(rows), slowest)


def _round(
    arena: "_Arena", contenders: Sequence[Contender]
) -> Iterator[tuple[Contender, Usage, Usage]]:
    """Yield each contender's drain with the mean of the unit's before and after it."""
    before = arena.drain(UNIT)
    for contender in contenders:
        usage = arena.drain(contender)
        after = arena.drain(UNIT)
        yield contender, usage, _mean(before, after)
        before = after


def _mean(one: Usage, other: Usage) -> Usage:
    return msgspec.structs.replace(
        one,
        seconds=(one.seconds + other.seconds) / 2,
        cpu_seconds=(one.cpu_seconds + other.cpu_seconds) / 2,
        peak_bytes=max(one.peak_bytes, other.peak_bytes),
    )


def _drain(contender: Contender, pairs: Sequence[tuple[Usage, Usage]]) -> Drain:
    """Take the medians over (own, unit) pairs."""
    return Drain(
        contender=contender.name,
        title=contender.title,
        messages=pairs[0][0].messages,
        messages_per_second=median(own.messages / own.seconds for own, _ in pairs),
        fastest=max(own.messages / own.seconds for own, _ in pairs),
        cpu_per_thousand=median(1000 * own.cpu_seconds / own.messages for own, _ in pairs),
        peak_bytes=max(own.peak_bytes for own, _ in pairs),
        rate_ratio=median(
            own.messages / own.seconds / (unit.messages / unit.seconds) for own, unit in pairs
        ),
        cpu_ratio=median(
            own.cpu_seconds / own.messages / (unit.cpu_seconds / unit.messages)
            for own, unit in pairs
        ),
    )


class _Arena:
    """The filled topics, and what is expected to come of them."""

    def __init__(self, site: Site, records: Sequence[bytes]) -> None:
        self._site = site
        name = f"drains-{uuid.uuid4().hex[:8]}"
        part = ended(records[: max(PARTITIONS, len(records) // SLOW_PART)])
        self._backlogs = {
            is_slow: _Backlog(
                topic=f"{name}-{len(content)}",
                messages=len(content),
                characters=sum(len(orjson.loads(record)["text"]) for record in content),
                verdicts=_verdicts(content, self._site.cache),
            )
            for is_slow, content in ((False, records), (True, part))
        }
        fill(site.bootstrap_servers, self._backlogs[False].topic, records)
        fill(site.bootstrap_servers, self._backlogs[True].topic, part)
        self._name = name
        self._escalations = f"{name}-escalations"
        create_topic(site.bootstrap_servers, self._escalations, partitions=PARTITIONS)

    def drain(self, contender: Contender) -> Usage:
        """Run one contender in a process of its own."""
        backlog = self._backlogs[contender.is_slow]
        group = f"{contender.name}-{uuid.uuid4().hex[:8]}"
        if contender.module is None:
            usage = self._worker(contender, backlog, group)
        else:
            usage = self._peer(contender, backlog, group)
        rate = usage.messages / usage.seconds
        log.info("%s: %.0f messages/s, %.2f s CPU", contender.name, rate, usage.cpu_seconds)
        return usage

    def _peer(self, contender: Contender, backlog: _Backlog, group: str) -> Usage:
        task = Task(
            bootstrap_servers=self._site.bootstrap_servers,
            topic=backlog.topic,
            escalations=self._escalations,
            group=group,
            messages=backlog.messages,
            work=contender.work,
            cache=str(self._site.cache),
        )
        ended = subprocess.run(
            [
                *(sys.executable, "-m", f"tests.bench.contenders.{contender.module}"),
                msgspec.json.encode(task).decode(),
            ],
            capture_output=True,
            check=False,
            timeout=_SECONDS,
            cwd=self._site.folder,
            env=clean_environment() | {"PYTHONPATH": str(_ROOT)},
        )
        if ended.returncode != 0:
            said = ended.stderr.decode(errors="replace")[-2000:]
            raise WrongDrainError(f"{contender.name} ended with status {ended.returncode}:\n{said}")
        usage = msgspec.json.decode(ended.stdout, type=Usage)
        if contender.work == "screen":
            _agree(contender, "verdicts", usage.verdicts, backlog.verdicts[()])
        else:
            _agree(contender, "characters", usage.characters, backlog.characters)
        return usage

    def _worker(self, contender: Contender, backlog: _Backlog, group: str) -> Usage:
        # Its own: a new group reads the signals of all that were there before it.
        outputs = Outputs.create(self._site.bootstrap_servers, f"{self._name}-{group}")
        watch = Watch(self._site.bootstrap_servers, outputs.of_events)
        expected = backlog.verdicts[contender.detectors]
        with Worker(
            site=self._site,
            source=backlog.topic,
            outputs=outputs,
            group=group,
            detectors=contender.detectors,
            processes=contender.processes,
        ) as worker:
            start = worker.until_joined()
            worker.until(lambda: watch.count() >= expected, _SECONDS)
            end = worker.mark()
            peak = peak_resident_bytes(worker.pid)
        _agree(contender, "verdicts", watch.count(), expected)
        return Usage(
            messages=backlog.messages,
            seconds=end.moment - start.moment,
            cpu_seconds=end.cpu_seconds - start.cpu_seconds,
            peak_bytes=peak,
            verdicts=expected,
        )


def _verdicts(records: Sequence[bytes], cache: Path) -> dict[tuple[str, ...], int]:
    """Return how many verdicts the records lead to, with all detectors and with the canary alone."""
    counts: dict[tuple[str, ...], int] = {}
    for detectors in sorted({contender.detectors for contender in CONTENDERS}):
        settings = load(None, {})
        settings = msgspec.structs.replace(settings, detectors=Detectors(only=detectors))
        ready = line(settings, cache)
        source = next(iter(settings.sources))
        counts[detectors] = sum(
            len(verdicts)
            for batch in batches(records, settings.screening.batch_records)
            for verdicts in ready.screen(source, batch).verdicts.values()
        )
    return counts


def _agree(contender: Contender, what: str, got: int, expected: int) -> None:
    if got != expected:
        raise WrongDrainError(f"{contender.name} came to {got} {what}, not {expected}")
