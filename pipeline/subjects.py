"""Subjects: the second agent, from chunks of signals to confirmed verdicts and memory.

Each batch takes these steps, and none begins before the one before it is confirmed:

1. `correlate` adds the signals to what the store has of their subjects.
2. The verdicts go to the escalations topic.
3. What is now kept of each subject goes to the memory topic, once for each.
4. The store takes the same, together with the offset that this has on the memory topic.
5. The batch's offsets on the signals topic may be committed.

So a crash between any two of them loses nothing and makes nothing twice under another id:

* before 3, wholly or for some subjects: their memory is as it was, the signals come again, and make the
  same verdict: the same id, and the same bytes under the same configuration. Consumers see it twice at
  most.
* after 3: what the topic has, the store is given when it is recovered, also where it lacks step 4. The
  signals come again and are known by their ids, so that nothing changes; their verdicts were confirmed in
  step 2.

The store is never ahead of the topic: nothing is in it that was not confirmed, so a signal is never known
whose verdict is missing.

Faust's own writes to a changelog are not used. They are handed to a producer without a way to wait for
them, and the store would be written first: a crash in between would leave a subject that knows a signal,
and no verdict.

A worker that lost a partition without knowing yet may still write what it has in hand, for as long as one
write takes: it looks right before, and the verdicts are the new owner's too, with the same ids. If the new
owner wrote the same subject meanwhile, what is on the topic then lacks its last signals until that
subject's next one.

A record without a value on the signals topic is a request to forget the subject that is its key: the store
and the memory topic lose it, in the order in which that came among its signals.
"""

import logging
import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Final

import msgspec

from pipeline.batch import Batch
from pipeline.correlate import Correlation, Heard, Watch, correlate_batch
from pipeline.memory import Memory, MemoryVersionError, decoded, encoded
from pipeline.recent import Row
from pipeline.transport import Chunk, consumer_of
from pipeline.writes import Write, dead_letter, key_of, subject_verdict
from schemas import Reason, Rejected
from schemas.signal import Signal, kind_of
from schemas.subject_verdict import SubjectVerdict

if TYPE_CHECKING:
    import faust

    from pipeline.app import Worker
    from pipeline.store import Changes, Subjects

log: Final = logging.getLogger(__name__)

BATCH_RECORDS: Final = 2000
"""The most signals that are taken at once: each batch waits for the broker twice."""

AHEAD_SECONDS: Final = 86_400.0
"""How far ahead of its record an event's time may lie; a later one counts as of then."""

_decoder: Final = msgspec.json.Decoder(Signal)


class Read(msgspec.Struct, frozen=True):
    """What a batch of records turned out to be, with the position of each in the batch."""

    heard: dict[int, list[tuple[int, Heard]]]
    """By partition, in order."""
    rejected: dict[int, Rejected]
    forgotten: int


def read(batch: Batch) -> Read:
    """Read the records of a batch."""
    heard: dict[int, list[tuple[int, Heard]]] = {}
    rejected: dict[int, Rejected] = {}
    forgotten = position = 0
    for chunk in batch.chunks:
        of_partition = heard.setdefault(chunk.span.partition.partition, [])
        for record in chunk.records:
            one = _heard(record.key, record.value, (record.timestamp or 0) / 1000)
            if isinstance(one, Rejected):
                rejected[position] = one
            else:
                forgotten += one.signal is None
                of_partition.append((position, one))
            position += 1
    return Read(heard, rejected, forgotten)


def _heard(key: bytes | None, value: bytes | None, at: float) -> Heard | Rejected:
    if value is None:
        if key is None:
            return Rejected(reason=Reason.TOMBSTONE, detail="neither a key nor a value")
        return Heard(key.decode("utf-8", "surrogatepass"), None)
    try:
        signal = _decoder.decode(value)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        detail = "expected a signal (schemas/signal.schema.json)"
        return Rejected(reason=Reason.WRONG_TYPE, detail=detail)
    return Heard(signal.subject, signal, at + AHEAD_SECONDS)


def recalled(keys: Sequence[str], kept: Sequence[bytes | None]) -> dict[str, Memory]:
    """Decode what a store has.

    What cannot be read at all was not written by a worker; its subject begins anew.

    Raises:
        MemoryVersionError: if a newer release wrote it.
    """
    remembered = {}
    for key, content in zip(keys, kept, strict=True):
        if content is None:
            continue
        try:
            remembered[key] = decoded(content)
        except MemoryVersionError:
            raise
        except msgspec.MsgspecError:
            log.error("what is kept of a subject cannot be read, so it begins anew")  # noqa: TRY400
    return remembered


def memory_writes(topic: str, partition: int, changes: "Changes") -> list[Write]:
    """Return what tells the memory topic of changes."""
    return [Write(topic, key, value, (), partition=partition) for key, value in changes.items()]


class Correlator:
    """The agent's work: one batch after the other."""

    def __init__(self, app: "faust.App", table: "Subjects", worker: "Worker") -> None:
        """Take what the process shares."""
        self._app = app
        self._table = table
        self._worker = worker

    async def correlate(self, chunks: Sequence[Chunk]) -> None:
        """Take chunks as one batch through all its steps.

        Raises:
            DeliveryFailedError: if a write is not confirmed.
            MemoryVersionError: if a newer release wrote what is kept of a subject.
        """
        worker = self._worker
        await worker.is_connected.wait()
        if worker.health.is_stopping:
            return
        batch = Batch([chunk for chunk in chunks if self._is_ours(chunk)])
        if not batch.chunks:
            return
        worker.health.took(batch)
        with worker.metrics.correlate_seconds.time():
            entries = read(batch)
            watch = worker.latest.line.watch
            outcomes = {p: self._outcome(p, part, watch) for p, part in entries.heard.items()}
        verdicts = [
            (entries.heard[partition][index][0], verdict)
            for partition, outcome in outcomes.items()
            for index, verdict in outcome.verdicts
        ]
        await self._deliver(batch, entries, verdicts)
        await self._keep(batch, outcomes)
        for chunk in batch.chunks:
            consumer_of(self._app).confirm(chunk)
        worker.health.confirmed(batch)
        counted = sum(outcome.counted for outcome in outcomes.values())
        worker.metrics.correlated(
            len(batch.values), counted, entries.forgotten, len(entries.rejected), verdicts
        )
        for _, verdict in verdicts:
            worker.recent.add(
                Row(
                    at=time.time(),
                    action=verdict.action,
                    label=verdict.label,
                    score=verdict.score,
                    found_by=(verdict.behaviour,),
                    where=f"one {kind_of(verdict.subject)}",
                )
            )

    def _is_ours(self, chunk: Chunk) -> bool:
        return consumer_of(self._app).is_current(chunk)

    def _outcome(
        self, partition: int, part: Sequence[tuple[int, Heard]], watch: Watch
    ) -> Correlation:
        batch = [heard for _, heard in part]
        names = list(dict.fromkeys(heard.subject for heard in batch))
        kept = self._table.store.read(partition, [key_of(name) for name in names])
        return correlate_batch(recalled(names, kept), batch, watch)

    async def _deliver(
        self, batch: Batch, entries: Read, verdicts: Sequence[tuple[int, SubjectVerdict]]
    ) -> None:
        topics = self._worker.settings.topics
        out = [dead_letter(batch.record(p), why, topics) for p, why in entries.rejected.items()]
        out += [subject_verdict(batch.record(p), verdict, topics) for p, verdict in verdicts]
        self._worker.metrics.delivered(await self._worker.delivery.deliver(out))

    async def _keep(self, batch: Batch, outcomes: Mapping[int, Correlation]) -> None:
        ours = {c.span.partition.partition for c in batch.chunks if self._is_ours(c)}
        changes: dict[int, Changes] = {
            partition: {
                key_of(name): encoded(memory) if memory else None
                for name, memory in outcome.changed.items()
            }
            for partition, outcome in outcomes.items()
            if partition in ours and outcome.changed
        }
        topic = self._worker.settings.topics.memory
        out = [
            w for partition, each in changes.items() for w in memory_writes(topic, partition, each)
        ]
        delivered = await self._worker.delivery.deliver(out)
        self._worker.metrics.delivered(delivered)
        for partition, each in changes.items():
            self._table.store.write(partition, each, delivered.ends[topic, partition])
