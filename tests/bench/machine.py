"""The machine: what the figures were measured on, and what a process has used of it. Linux only."""

import os
import platform
from collections.abc import Callable, Iterable
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Final, TypeVar

import msgspec

T = TypeVar("T", int, float)

_LIBRARIES: Final = (
    "penjaga",
    "aiokafka",
    "confluent-kafka",
    "faust-streaming",
    "quixstreams",
    "hyperscan",
    "regex",
    "orjson",
    "msgspec",
    "uvloop",
)
_TICKS_PER_SECOND: Final = os.sysconf("SC_CLK_TCK")


class Machine(msgspec.Struct, frozen=True):
    """What makes figures comparable, and nothing that names a particular machine."""

    processor: str
    cores: int
    memory_gib: float
    system: str
    python: str
    libraries: dict[str, str]


def machine() -> Machine:
    """Describe this one."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return Machine(
        processor=_processor(),
        cores=len(os.sched_getaffinity(0)),
        memory_gib=round(memory / 2**30, 1),
        system=f"{platform.system()} {platform.release().partition('-')[0]}",
        python=f"{platform.python_implementation()} {platform.python_version()}",
        libraries=dict(_versions(_LIBRARIES)),
    )


def cpu_seconds(process: int) -> float:
    """Return the user and system time of a process and of its descendants, to 10 ms.

    Raises:
        OSError: if the process has ended.
    """
    return _cpu_seconds(process) + _over_descendants(process, _cpu_seconds)


def resident_bytes(process: int) -> int:
    """Return the memory that a process and its descendants hold; what they share counts in each."""
    return _status(process, "VmRSS") + _over_descendants(process, lambda c: _status(c, "VmRSS"))


def peak_resident_bytes(process: int) -> int:
    """Return the most memory that a process held, with the peaks of its descendants.

    Not `ru_maxrss`, which a process inherits from whoever started it.
    """
    return _status(process, "VmHWM") + _over_descendants(process, lambda c: _status(c, "VmHWM"))


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


def _versions(names: Iterable[str]) -> Iterable[tuple[str, str]]:
    for name in names:
        try:
            yield name, version(name)
        except PackageNotFoundError:
            continue


def _cpu_seconds(process: int) -> float:
    # The second field, the command, may hold blanks and brackets. Of the four, two are of ended children.
    fields = Path(f"/proc/{process}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    return sum(map(int, fields[11:15])) / _TICKS_PER_SECOND


def _over_descendants(process: int, figure: Callable[[int], T]) -> T | int:
    total: T | int = 0
    for task in Path(f"/proc/{process}/task").iterdir():
        # A thread or a child may end while it is looked at.
        with suppress(OSError):
            for child in map(int, (task / "children").read_text(encoding="utf-8").split()):
                total += figure(child) + _over_descendants(child, figure)
    return total


def _status(process: int, field: str) -> int:
    for line in Path(f"/proc/{process}/status").read_text(encoding="utf-8").splitlines():
        if line.startswith(f"{field}:"):
            return int(line.split()[1]) * 1024
    return 0
