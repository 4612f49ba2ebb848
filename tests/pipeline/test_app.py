"""The worker's own judgement, without a broker: runs of rejected records, and what is in hand."""

import asyncio
from http import HTTPStatus
from types import SimpleNamespace

import pytest
from faust.types import TP

from pipeline.app import Health, _rejected_in_a_row
from pipeline.batch import Batch
from pipeline.offsets import Span
from pipeline.transport import Chunk
from pipeline.web import ready
from schemas import Reason, Rejected

BAD = Rejected(reason=Reason.NOT_JSON, detail="")
GONE = Rejected(reason=Reason.TOMBSTONE, detail="")


@pytest.mark.parametrize(
    ("records", "before", "longest", "run"),
    [
        ("", 3, 3, 3),
        ("....", 3, 3, 0),
        ("xx..", 3, 5, 0),
        ("..xx", 3, 3, 2),
        ("xxxx", 3, 7, 7),
        ("x.xx", 0, 2, 2),
        ("xxx.x", 0, 3, 1),
        ("xtx", 0, 2, 2),
        ("tt", 5, 5, 5),
        ("t.t", 5, 5, 0),
        (".t", 5, 5, 0),
    ],
)
def test_runs_of_rejected_records_go_over_batches(
    records: str, before: int, longest: int, run: int
) -> None:
    """A good record (.) ends a run of bad ones (x); a tombstone (t) neither lengthens nor ends it."""
    rejected = {
        position: BAD if record == "x" else GONE
        for position, record in enumerate(records)
        if record != "."
    }

    assert (longest, run) == _rejected_in_a_row(rejected, len(records), before)


def test_a_batch_of_several_chunks_knows_where_each_record_stands() -> None:
    """Screened together, records keep their own partition, offset, key and headers."""
    chunks = [
        Chunk(
            Span(TP("events", partition), 1, partition, 0, 9),
            [
                SimpleNamespace(offset=o, key=b"k", value=b"%d" % o, headers=[("h", b"v")])
                for o in offsets
            ],
            SimpleNamespace(append=lambda _: None),
        )
        for partition, offsets in enumerate([(5, 7), (1,), (2, 3, 4)])
    ]
    batch = Batch(chunks)
    places = [
        (record.partition, record.offset, record.value, record.headers)
        for record in map(batch.record, range(6))
    ]

    assert [b"5", b"7", b"1", b"2", b"3", b"4"] == batch.values
    assert [
        (partition, offset, b"%d" % offset, (("h", b"v"),))
        for partition, offset in [(0, 5), (0, 7), (1, 1), (2, 2), (2, 3), (2, 4)]
    ] == places


def test_a_worker_is_not_ready_before_its_memory_is_back() -> None:
    """It has partitions by then, and screens nothing: the next one must not be stopped yet."""
    health = Health()
    health.partitions = {TP("events", 0), TP("events", 1)}
    health.is_recovering = True
    during = ready({1: health.vitals()}).status
    health.is_recovering = False

    assert HTTPStatus.SERVICE_UNAVAILABLE == during
    assert HTTPStatus.OK == ready({1: health.vitals()}).status


async def test_a_stop_waits_for_every_batch_in_hand() -> None:
    """Confirmed in any order, the last one lets it go on; and the longest unconfirmed is what is told."""
    health = Health()
    first, second = object(), object()
    health.took(first)
    await asyncio.sleep(0.02)
    health.took(second)
    waiting = asyncio.ensure_future(health.settled())
    await asyncio.sleep(0)
    both = health.vitals().unconfirmed_seconds
    health.confirmed(first)
    await asyncio.sleep(0)
    one = health.vitals().unconfirmed_seconds
    was_waiting = not waiting.done()
    health.confirmed(second)
    await waiting

    assert was_waiting
    assert both > one
    assert 0.0 == health.vitals().unconfirmed_seconds
