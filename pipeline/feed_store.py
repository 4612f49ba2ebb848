"""The store of feeds: a folder with the last good copy of each list, what became of it, and the table.

Each file is written whole or not at all, and a list before the state that names it: whenever a sync is
killed, what is there fits together.
"""

import fcntl
import gzip
import hashlib
import os
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import msgspec

from pipeline.feed_index import FILE
from pipeline.feed_sources import Outcome, Validators

STATE: Final = "state.json"
_LOCK: Final = ".lock"


class Kept(msgspec.Struct, frozen=True, kw_only=True):
    """The last good copy of a list."""

    sha256: str
    """Of its bytes, unpacked."""
    day: str
    """When it was first seen so, in UTC."""
    names: int
    """How many it holds, before anything is taken out."""

    @property
    def version(self) -> str:
        """The beginning of the checksum, and the day."""
        return f"{self.sha256[:8]}-{self.day}"


class FeedState(msgspec.Struct, frozen=True, kw_only=True):
    """What became of a feed."""

    outcome: Outcome
    """Of the last attempt."""
    detail: str = ""
    checked_at: datetime
    """The last attempt."""
    confirmed_at: datetime | None = None
    """When the source last gave, or confirmed, the copy that is kept."""
    source: str = ""
    """Stands for the address that the copy came from."""
    validators: Validators = Validators()
    kept: Kept | None = None

    def age_seconds(self, now: datetime) -> float:
        """Return for how long nobody has confirmed the copy; infinity if there is none."""
        if self.confirmed_at is None:
            return float("inf")
        return max(0.0, (now - self.confirmed_at).total_seconds())


States = dict[str, FeedState]


class StoreError(Exception):
    """A folder that cannot be used: which, why, and what to do."""


def states(folder: Path) -> States:
    """Return what became of each feed; nothing where nothing was fetched yet.

    Raises:
        StoreError: if what is written there cannot be read.
    """
    path = folder / STATE
    try:
        return msgspec.json.decode(path.read_bytes(), type=States)
    except FileNotFoundError:
        return {}
    except (OSError, msgspec.DecodeError) as error:
        raise StoreError(f"{path} cannot be read ({error}): remove it and sync again") from None


class Store:
    """The folder, for whoever syncs."""

    def __init__(self, folder: Path) -> None:
        """Make the folder if it is not there.

        Raises:
            StoreError: if it cannot be made.
        """
        self.folder = folder
        self.index = folder / FILE
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise unwritable(folder, error) from None

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Wait until nobody else syncs into the folder, and keep others out.

        Raises:
            StoreError: if the folder cannot be written to.
        """
        try:
            lock = (self.folder / _LOCK).open("wb")
        except OSError as error:
            raise unwritable(self.folder, error) from None
        with lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    def save(self, held: States) -> None:
        """Write what became of each feed, then remove the copies of these that it names no more."""
        self._write(self.folder / STATE, msgspec.json.encode(held))
        named = {self._path(n, s.kept.sha256) for n, s in held.items() if s.kept}
        for name in held:
            for path in self.folder.glob(f"{name}.*.gz"):
                if path not in named:
                    path.unlink(missing_ok=True)

    def keep(self, name: str, body: bytes, sha256: str, names: int, now: datetime) -> Kept:
        """Write a copy of a list with this checksum and so many names."""
        self._write(self._path(name, sha256), gzip.compress(body, compresslevel=1, mtime=0))
        return Kept(sha256=sha256, day=now.astimezone(UTC).date().isoformat(), names=names)

    def body(self, name: str, kept: Kept) -> bytes:
        """Return the copy of a list.

        Raises:
            StoreError: if it is not what was kept.
        """
        path = self._path(name, kept.sha256)
        try:
            body = gzip.decompress(path.read_bytes())
        except (OSError, EOFError, zlib.error) as error:
            raise StoreError(f"{path} cannot be read ({error}): remove it and sync again") from None
        if hashlib.sha256(body).hexdigest() != kept.sha256:
            raise StoreError(f"{path} is damaged: remove it and sync again")
        return body

    def has(self, name: str, kept: Kept) -> bool:
        """Tell whether the copy of a list is there."""
        return self._path(name, kept.sha256).is_file()

    def _path(self, name: str, sha256: str) -> Path:
        return self.folder / f"{name}.{sha256[:16]}.gz"

    def _write(self, path: Path, content: bytes) -> None:
        part = path.with_name(f"{path.name}.{os.getpid()}.part")
        try:
            with part.open("wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            part.replace(path)
        except OSError as error:
            raise unwritable(self.folder, error) from None
        finally:
            part.unlink(missing_ok=True)


def unwritable(folder: Path, error: OSError) -> StoreError:
    """Say that a folder cannot be written to, and what to do."""
    return StoreError(
        f"{folder} cannot be written to ({error.strerror}): name another folder in PENJAGA_FEEDS_DIR"
    )
