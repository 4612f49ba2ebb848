"""Recent: the last escalations of each worker process, redacted, for whoever looks at the status page.

A row holds when, what, how sure, and by which detectors: no text, no id, no link. Rows lie in memory that
processes forked later share, so that one of them can show those of all. Nobody locks: a row that is read
while it is written does not parse, and is left out.
"""

import mmap
from typing import Final

import msgspec

ROWS: Final = 12
"""How many rows of each process are kept."""

_SLOT_BYTES: Final = 384
_MOST_NAMES: Final = 4


class Row(msgspec.Struct, frozen=True):
    """One escalation, without anything of a person."""

    at: float
    """When its write was confirmed, Unix time in seconds."""
    action: str
    label: str
    score: float
    found_by: tuple[str, ...]
    """Names of detectors, or that of the behaviour of a subject."""
    where: str
    """The audience of the event: `dm`, `group`, `public`; of a subject, such as `one actor`."""


class Recent:
    """The rows of all processes."""

    def __init__(self, processes: int = 1) -> None:
        """Take memory for so many processes, before they are forked."""
        self._memory = mmap.mmap(-1, processes * ROWS * _SLOT_BYTES)
        self._processes = processes

    def writer(self, process: int = 1) -> "Writer":
        """Return what a process writes its rows with; the first is 1."""
        return Writer(self._memory, (process - 1) * ROWS * _SLOT_BYTES)

    def rows(self) -> list[Row]:
        """Return the rows of all processes, the newest first."""
        found = []
        for slot in range(self._processes * ROWS):
            start = slot * _SLOT_BYTES
            written = self._memory[start : start + _SLOT_BYTES].rstrip(b"\0")
            try:
                found.append(msgspec.json.decode(written, type=Row))
            except msgspec.DecodeError:
                continue
        return sorted(found, key=lambda row: row.at, reverse=True)[:ROWS]


class Writer:
    """Writes the rows of one process, the newest over the oldest."""

    def __init__(self, memory: mmap.mmap, start: int) -> None:
        self._memory = memory
        self._start = start
        self._count = 0

    def add(self, row: Row) -> None:
        """Keep a row; one too long for its place, as with long names of detectors, loses them."""
        short = msgspec.structs.replace(row, found_by=row.found_by[:_MOST_NAMES])
        written = msgspec.json.encode(short)
        if len(written) > _SLOT_BYTES:
            written = msgspec.json.encode(msgspec.structs.replace(row, found_by=()))
        start = self._start + self._count % ROWS * _SLOT_BYTES
        self._memory[start : start + _SLOT_BYTES] = written[:_SLOT_BYTES].ljust(_SLOT_BYTES, b"\0")
        self._count += 1
