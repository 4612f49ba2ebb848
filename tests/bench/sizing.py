"""Sizing: how many processes, partitions and bytes a rate of messages takes, by the baseline's figures."""

import math
from pathlib import Path
from typing import Final

import msgspec

from tests.bench.results import Results
from tests.bench.subjects import Remembered

RATES: Final = (1_000, 10_000, 100_000, 1_000_000)
"""Messages/s at the busiest time."""
PLANNED_SHARE: Final = 0.6
"""Of what a process drains at most: the rest is for catching up, a neighbour that is down, and bursts."""
USERS: Final = (8_000_000, 1_000_000_000)
A_DAY: Final = 50
"""Messages of a user a day. Assumed: count your own."""
PEAK: Final = 3.0
"""The busiest time, as a multiple of the mean. Assumed, too."""
_PARTITIONS_STEP: Final = 12
_DAY_SECONDS: Final = 86_400
_PAGE: Final = Path(__file__).with_name("sizing.page.md")


class Size(msgspec.Struct, frozen=True):
    """What one rate takes."""

    rate: int
    processes: int
    partitions: int
    """Of the source: a multiple of 12, which 2, 3, 4, 6 and 12 processes share evenly."""
    memory_bytes: int
    read_bytes: int
    """Of the source, a second."""


def size(rate: int, process_rate: float, process_bytes: int, record_bytes: int) -> Size:
    """Return what a rate takes where a process drains so many messages a second, in so much memory."""
    processes = max(2, math.ceil(rate / (process_rate * PLANNED_SHARE)))
    return Size(
        rate,
        processes,
        _PARTITIONS_STEP * math.ceil(processes / _PARTITIONS_STEP),
        processes * process_bytes,
        rate * record_bytes,
    )


def busiest(users: int) -> int:
    """Return the messages/s of so many users at the busiest time, to two digits."""
    rate = users * A_DAY / _DAY_SECONDS * PEAK
    step = 10 ** (math.floor(math.log10(rate)) - 1)
    return math.ceil(rate / step) * step


def sizing(results: Results) -> str:
    """Return the page, of a run with drains.

    Raises:
        ValueError: if the run has none.
    """
    if results.drains is None:
        raise ValueError("sizing needs a run with drains")
    worker = next(one for one in results.drains.drains if one.contender == "penjaga")
    record_bytes = results.corpus.record_bytes[0]
    # A short drain ends before everything that a worker remembers is full.
    held = max(worker.peak_bytes, results.memory.peak_bytes if results.memory else 0)

    def of(rate: int) -> Size:
        return size(rate, worker.messages_per_second, held, record_bytes)

    small, large = (of(busiest(users)) for users in USERS)
    machine = results.machine
    return _PAGE.read_text(encoding="utf-8").format(
        processor=f"{machine.cores} cores ({machine.processor}), {machine.system}",
        drained=f"{worker.messages_per_second:,.0f}",
        planned=f"{worker.messages_per_second * PLANNED_SHARE:,.0f}",
        share=f"{PLANNED_SHARE:.0%}",
        cpu=f"{worker.cpu_per_thousand * 1000:.0f}",
        memory=_bytes(held),
        record=record_bytes,
        rows="\n".join(_row(of(rate)) for rate in RATES),
        a_day=A_DAY,
        peak=f"{PEAK:g}",
        small=_said(small),
        large=_said(large),
        remembered=_remembered(results.subjects),
        harmful=f"{results.corpus.harmful:.1%}",
        escalated=f"{results.corpus.harmful * large.rate:,.0f}",
    )


def _remembered(found: Remembered | None) -> str:
    if found is None:
        return "What millions of them take has not been measured on this machine."
    return (
        f"One process remembered {found.subjects:,} of one signal each, {found.signals_per_second:,.0f} a "
        f"second, in\n{_bytes(found.peak_bytes)} of memory and {_bytes(found.disk_bytes)} of disk; killed, "
        f"and with its disk lost, it had them back after {found.recovery_seconds:.1f} s."
    )


def _row(one: Size) -> str:
    cells = (
        f"{one.rate:,}",
        f"{one.processes:,}",
        f"{one.partitions:,}",
        _bytes(one.memory_bytes),
        f"{_bytes(one.read_bytes)}/s",
    )
    return f"| {' | '.join(cells)} |"


def _said(one: Size) -> str:
    return (
        f"{one.rate:,} messages a second: {one.processes:,} processes, {one.partitions:,} partitions, "
        f"{_bytes(one.memory_bytes)} of memory, {_bytes(one.read_bytes)} a second read"
    )


def _bytes(count: float) -> str:
    for unit in ("B", "kB", "MB"):
        if count < 1000:
            return f"{count:.0f} {unit}"
        count /= 1000
    return f"{count:.1f} GB"
