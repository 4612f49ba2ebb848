"""Isolation: what a detector that breaks costs the others, while the worker runs.

Each broken detector runs in a process of its own beside all that are shipped. Once a second a message comes
on which it breaks, with good ones before and after it. The others' escalations are timed: at first, while
each such message holds everything up, and then, when the detector is left alone.
"""

import logging
import uuid
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import msgspec

from schemas import Event, Verdict
from tests.bench.latency import percentile, timed
from tests.bench.topics import PARTITIONS
from tests.bench.worker import Outputs, Site, Worker
from tests.e2e.brokers import create_topic
from tests.pipeline.broken import TEXT, Backtracks, Burns, Crashes, Garbage, Hangs, Leaks, Sound

log: Final = logging.getLogger(__name__)

RATE: Final = 1_000
"""Messages a second; one of each second's breaks the detector."""
BROKEN: Final = (Sound, Hangs, Burns, Backtracks, Leaks, Crashes, Garbage)
"""The first never breaks: what the others are compared with."""
FIRST_SECONDS: Final = 16.0
"""By then it is left alone."""
ALONE_SECONDS: Final = 36.0
"""Until then it is: the first trial follows."""
_LABEL: Final = "custom.apple"
_ROOT: Final = Path(__file__).parents[2]


class Isolation(msgspec.Struct, frozen=True):
    """What one broken detector did to the others."""

    detector: str
    what: str
    same: bool
    """Whether the others' escalations are those they make beside one that never breaks."""
    escalations: int
    """Of the others."""
    first_99th: float
    """Seconds, of what was due until it was left alone: what 99 % took no longer than."""
    alone_99th: float
    """The same, of what was due while it was left alone."""
    alone_ratio: float
    """The same, as a ratio to that of the one that never breaks."""


def isolation(site: Site, records: Sequence[bytes]) -> tuple[Isolation, ...]:
    """Measure every broken detector."""
    texts = {RATE // 4: "a good apple", RATE // 2: TEXT}
    sent = [_saying(record, texts.get(n % RATE)) for n, record in enumerate(records)]
    found = [(one, *_of_others(site, sent, one)) for one in BROKEN]
    _, verdicts, beside_sound = found[0]
    usual = _percentile_99(beside_sound, FIRST_SECONDS, ALONE_SECONDS)
    return tuple(
        Isolation(
            detector=one.name,
            what=(one.__doc__ or "").rstrip("."),
            same=held == verdicts,
            escalations=len(held),
            first_99th=_percentile_99(times, 0.0, FIRST_SECONDS),
            alone_99th=(alone := _percentile_99(times, FIRST_SECONDS, ALONE_SECONDS)),
            alone_ratio=alone / usual,
        )
        for one, held, times in found
    )


def _of_others(
    site: Site, records: Sequence[bytes], detector: type[Sound]
) -> tuple[Mapping[bytes, Any], list[tuple[float, float]]]:
    """Return the others' escalations of events by id, and when each was due and how long it took."""
    name = f"isolation-{detector.name}-{uuid.uuid4().hex[:8]}".replace("_", "-")
    create_topic(site.bootstrap_servers, name, partitions=PARTITIONS)
    worker = Worker(
        site,
        name,
        Outputs.create(site.bootstrap_servers, name),
        name,
        isolated=[detector.name],
        environment={"PYTHONPATH": f"{_packages(site.folder / name, detector)}:{_ROOT}"},
    )
    found = timed(worker, records, RATE, int(RATE * ALONE_SECONDS))
    held: dict[bytes, Any] = {}
    times = []
    for due, took, message in found.seconds:
        try:
            verdict = msgspec.json.decode(message.value(), type=Verdict)
        except msgspec.ValidationError:  # a subject's, which takes as long as its events come
            continue
        if verdict.label != _LABEL and message.key() not in held:
            held[message.key()] = msgspec.structs.replace(verdict, configuration="")
            times.append((due, took))
    log.info("%s: %d escalations of others", detector.name, len(held))
    return held, times


def _percentile_99(times: Sequence[tuple[float, float]], begin: float, end: float) -> float:
    return percentile(sorted(took for due, took in times if begin <= due < end), 99)


def _saying(record: bytes, text: str | None) -> bytes:
    """Return a record with another text, if there is one."""
    if text is None:
        return record
    event = msgspec.json.decode(record, type=Event)
    return msgspec.json.encode(msgspec.structs.replace(event, text=text))


def _packages(folder: Path, detector: type[Sound]) -> Path:
    """Return a folder in which a worker finds a detector installed."""
    info = folder / "broken-1.dist-info"
    info.mkdir(parents=True)
    entry = f"{detector.name} = {detector.__module__}:{detector.__name__}"
    (info / "METADATA").write_text("Name: broken\nVersion: 1\n", encoding="utf-8")
    (info / "entry_points.txt").write_text(f"[penjaga.detectors]\n{entry}\n", encoding="utf-8")
    return folder
