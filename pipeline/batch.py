"""A batch: chunks that are taken together, and what still waits to fill it up."""

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from itertools import accumulate
from typing import Any

from pipeline.transport import Chunk
from pipeline.writes import Record


class Batch:
    """Chunks that are taken together: their values, and where each record stands."""

    def __init__(self, chunks: Sequence[Chunk]) -> None:
        """Take the chunks, in their order."""
        self.chunks = chunks
        self.values = [record.value for chunk in chunks for record in chunk.records]
        self._ends = list(accumulate(len(chunk) for chunk in chunks))

    def record(self, position: int) -> Record:
        """Return a record by its position in the batch."""
        index = bisect_right(self._ends, position)
        chunk = self.chunks[index]
        record = chunk.records[position - self._ends[index]]
        topic, partition = chunk.span.partition
        return Record(
            topic, partition, record.offset, record.key, record.value, tuple(record.headers)
        )


def waiting(first: Chunk, queue: Any, records: int) -> Iterator[Chunk]:  # noqa: ANN401  # Faust's
    """Yield the chunks already waiting that fill up the batch of so many records which the first begins.

    At a low rate every fetch brings a few records of each partition; each batch costs the same.
    """
    room = records - len(first)
    while not queue.empty() and len(queue._queue[0].value) <= room:  # noqa: SLF001
        chunk: Chunk = queue.get_nowait().value
        room -= len(chunk)
        yield chunk
