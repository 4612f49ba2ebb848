"""The store: where a worker keeps the memory of its partitions' subjects, on disk or in the process.

Both are Faust's own stores, filled by Faust's recovery from the memory topic and handed over at a
rebalance, with reads and writes by partition, so that a write holds what it changes together with the
offset up to which the topic is in it.

Faust's for RocksDB is right in what it does and needs care in what it leaves: it never closes a database,
and waits for the garbage collector; each database has a cache of 2 GB and write buffers of 192 MB of its
own; and nothing is ever dropped. Here databases are closed, share one small cache, and drop what lies
behind the longest window. What is on disk is a copy: one that cannot be opened is made again from the
topic, and so is one that nobody has kept current for `STALE_SECONDS`, since the topic may have lost the
tombstone of what it still holds.
"""

import fcntl
import logging
import shutil
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Final, cast

import rocksdict
from faust.stores import memory as faust_memory
from faust.stores import rocksdb as faust_rocksdb
from faust.tables.table import Table
from faust.types import TP, EventT

from pipeline.transport import Run, in_runs

if TYPE_CHECKING:
    import faust

log: Final = logging.getLogger(__name__)

STALE_SECONDS: Final = 12 * 3600.0
"""Half of what Kafka keeps a tombstone for (`delete.retention.ms`)."""

CACHE_BYTES: Final = 64 * 1024 * 1024
"""Of all partitions of a process together."""
_BUFFER_BYTES: Final = 8 * 1024 * 1024
_BUFFERS: Final = 2
_FILE_BYTES: Final = 32 * 1024 * 1024
_OPEN_FILES: Final = 64
_MOST_FOLDERS: Final = 256
_RUNS_AT_ONCE: Final = 2
"""How many runs recovery keeps back before it writes; of 1, Faust thinks it is not buffered."""

Changes = Mapping[bytes, bytes | None]
"""What is to be kept by key; None: no more."""


class FolderError(Exception):
    """No folder for the memory can be had; the message says why."""


class Folder:
    """A folder that is one process's alone, for as long as this is open."""

    def __init__(self, base: Path, name: str) -> None:
        """Take `base/name`, or the first of `name-2`, `name-3` ... that no living process has.

        A process that is killed loses it, and the next one finds what it kept.

        Raises:
            FolderError: if none can be made or written to.
        """
        names = (name, *(f"{name}-{number}" for number in range(2, _MOST_FOLDERS)))
        for each in names:
            self.path = base / each
            try:
                self.path.mkdir(parents=True, exist_ok=True)
                lock = (self.path / "lock").open("wb")
            except OSError as error:
                raise FolderError(
                    f"cannot write to {self.path} ({error.strerror}): name a folder with memory.folder or "
                    "PENJAGA_MEMORY_FOLDER"
                ) from None
            if _is_locked(lock):
                self._lock = lock
                return
            lock.close()
        raise FolderError(f"all of {_MOST_FOLDERS} folders in {base} are in use")

    def close(self) -> None:
        """Leave it to others."""
        self._lock.close()


def _is_locked(lock: IO[bytes]) -> bool:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


class DiskStore(faust_rocksdb.Store):
    """One RocksDB database for each partition."""

    def __init__(self, *args: Any, keep_seconds: int, **kwargs: Any) -> None:  # noqa: ANN401  # Faust's
        """Take what Faust's store takes; what was written longer ago may be dropped."""
        super().__init__(*args, driver="rocksdict", **kwargs)
        self._keep_seconds = keep_seconds
        self._cache = rocksdict.Cache(CACHE_BYTES)

    @classmethod
    def _init_subclass_logger(cls) -> None:
        cls.logger = faust_rocksdb.Store.logger

    def read(self, partition: int, keys: Sequence[bytes]) -> list[bytes | None]:
        """Return what is kept under each key, None for nothing."""
        found: list[bytes | None] = self._db_for_partition(partition).get(list(keys))
        return found

    def restore(self, partition: int, changes: Changes, offset: int) -> None:
        """Keep what was read back from the topic."""
        self._db_for_partition(partition)
        self.write(partition, changes, offset)

    def write(self, partition: int, changes: Changes, offset: int) -> None:
        """Keep changes that the topic holds up to `offset`, all or none; without effect if not ours."""
        database = self._dbs.get(partition)
        if database is None:
            return
        batch = rocksdict.WriteBatch(raw_mode=True)
        for key, value in changes.items():
            if value is None:
                batch.delete(key)
            else:
                batch.put(key, value)
        batch.put(self.offset_key, b"%d" % offset)
        database.write(batch)

    def touch(self) -> None:
        """Say of every open database that it is current."""
        for partition in self._dbs:
            _mark(self.partition_path(partition)).touch()

    def revoke_partitions(self, table: Any, tps: set[TP]) -> None:  # noqa: ANN401  # Faust's
        """Close the databases of partitions that others get."""
        for tp in tps:
            if tp.topic in table.changelog_topic.topics:
                self._close(tp.partition)

    async def stop(self) -> None:
        """Close all."""
        for partition in list(self._dbs):
            self._close(partition)

    def _close(self, partition: int) -> None:
        database = self._dbs.pop(partition, None)
        if database is not None:
            database.close()
            _mark(self.partition_path(partition)).touch()

    def _open_for_partition(self, partition: int) -> Any:  # noqa: ANN401  # rocksdict's
        path = self.partition_path(partition)
        mark = _mark(path)
        age = time.time() - mark.stat().st_mtime if mark.exists() else float("inf")
        if path.exists() and age > STALE_SECONDS:
            log.info(
                "what is on disk of partition %d is old, so it is read back from the topic",
                partition,
            )
            shutil.rmtree(path)
        try:
            database = self._opened(path)
        except Exception as error:
            if "lock" in str(error):
                raise
            log.warning(
                "what is on disk of partition %d cannot be opened (%s), so it is read back from the topic",
                partition,
                type(error).__name__,
            )
            shutil.rmtree(path, ignore_errors=True)
            database = self._opened(path)
        mark.touch()
        return database

    def _opened(self, path: Path) -> rocksdict.Rdict:
        options = rocksdict.Options(raw_mode=True)
        options.create_if_missing(True)  # noqa: FBT003  # rocksdict's
        options.set_max_open_files(_OPEN_FILES)
        options.set_keep_log_file_num(2)
        options.set_write_buffer_size(_BUFFER_BYTES)
        options.set_max_write_buffer_number(_BUFFERS)
        options.set_target_file_size_base(_FILE_BYTES)
        options.set_compression_type(rocksdict.DBCompressionType.lz4())
        blocks = rocksdict.BlockBasedOptions()
        blocks.set_block_cache(self._cache)
        blocks.set_bloom_filter(10, block_based=False)
        blocks.set_cache_index_and_filter_blocks(True)
        options.set_block_based_table_factory(blocks)
        return rocksdict.Rdict(
            str(path),
            options=options,
            access_type=rocksdict.AccessType.with_ttl(self._keep_seconds),
        )


def _mark(path: Path) -> Path:
    return path.with_name(f"{path.name}.current")


class ProcessStore(faust_memory.Store[bytes, bytes]):
    """A dictionary, read back from the topic at every start."""

    @classmethod
    def _init_subclass_logger(cls) -> None:
        cls.logger = faust_memory.Store.logger

    def read(self, partition: int, keys: Sequence[bytes]) -> list[bytes | None]:  # noqa: ARG002
        """Return what is kept under each key, None for nothing."""
        return [self.data.get(key) for key in keys]

    def write(self, partition: int, changes: Changes, offset: int) -> None:  # noqa: ARG002
        """Keep changes."""
        for key, value in changes.items():
            if value is None:
                self.data.pop(key, None)
                self._key_partition.pop(key, None)
            else:
                self.data[key] = value
                self._key_partition[key] = partition

    restore = write

    def touch(self) -> None:
        """Do nothing: it is never older than the process."""


class Subjects(Table[bytes, bytes]):
    """The table of what is remembered, by subject. Faust recovers it and hands it over.

    It is written through `write`, never item by item: Faust would send each change on its own way, and tell
    nobody when it is confirmed.
    """

    def __init__(
        self,
        *args: Any,  # noqa: ANN401  # Faust's
        topic: str,
        on_disk: bool,
        keep_seconds: int,
        **kwargs: Any,  # noqa: ANN401  # Faust's
    ) -> None:
        """Take the topic that it is recovered from, and for how long entries count."""
        self._topic_name = topic
        self._on_disk = on_disk
        self._keep_seconds = keep_seconds
        super().__init__(
            *args, key_type=bytes, value_type=bytes, recovery_buffer_size=_RUNS_AT_ONCE, **kwargs
        )
        in_runs(cast("faust.App", self.app), topic)

    def apply_changelog_batch(self, batch: Iterable[EventT[Any]]) -> None:
        """Keep what recovery read back, by runs: by the record, Faust's loop costs twenty times as much."""
        for event in batch:
            message = event.message
            records = message.records if isinstance(message, Run) else [message]
            changes: Changes = {r.key: r.value for r in records if r.key is not None}
            self.store.restore(message.partition, changes, message.offset)

    @classmethod
    def _init_subclass_logger(cls) -> None:
        cls.logger = Table.logger

    @property
    def store(self) -> DiskStore | ProcessStore:
        """The store behind it."""
        return cast("DiskStore | ProcessStore", self.data)

    def _changelog_topic_name(self) -> str:
        return self._topic_name

    def _new_store(self) -> DiskStore | ProcessStore:
        given: dict[str, Any] = {
            "table_name": self.name,
            "key_type": self.key_type,
            "key_serializer": self.key_serializer,
            "value_type": self.value_type,
            "value_serializer": self.value_serializer,
        }
        if self._on_disk:
            return DiskStore(
                "rocksdb://", self.app, self, keep_seconds=self._keep_seconds, options={}, **given
            )
        return ProcessStore("memory://", self.app, self, options={}, **given)
