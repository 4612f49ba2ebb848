"""Replay: dead letters through the line once more, straight to their escalations."""

from collections.abc import Callable
from typing import Final

import msgspec

from pipeline import dead_letters
from pipeline.delivery import Delivery
from pipeline.line import Line
from pipeline.settings import Settings
from pipeline.writes import Record, writes

BATCH_RECORDS: Final = 500


async def replay(
    settings: Settings,
    line: Line,
    reason: str | None,
    *,
    dry_run: bool,
    advance: Callable[[int], None],
) -> dict[str, int]:
    """Screen dead letters again and deliver what they cause; those still rejected stay where they are.

    Returns how many were `read`, `passed`, `flagged`, still `rejected`, and how many were of a source that
    is no longer configured (`unknown_source`).

    Raises:
        BrokerUnreachableError: if no broker answers or the topic is not there.
        DeliveryFailedError: if a write cannot be confirmed; run it again, ids are the same.
    """
    counts = {"read": 0, "passed": 0, "flagged": 0, "rejected": 0, "unknown_source": 0}
    waiting: dict[str, list[Record]] = {}
    quoting = settings.escalations.quoting()
    async with Delivery(settings.kafka) as delivery:

        async def flush(source: str) -> None:
            records = waiting.pop(source)
            advance(len(records))
            if source not in line.mappings:
                counts["unknown_source"] += len(records)
                return
            screening = line.screen(source, [record.value for record in records])
            counts["passed"] += screening.passed
            counts["flagged"] += screening.flagged
            counts["rejected"] += len(screening.rejected)
            if not dry_run:
                read = msgspec.structs.replace(screening, rejected={})
                out = writes(
                    records.__getitem__,
                    read,
                    settings.topics,
                    with_signals=settings.memory.is_on,
                    quoting=quoting,
                )
                await delivery.deliver(out)

        async for letter in dead_letters.read(settings.kafka, settings.topics.dead_letters, reason):
            counts["read"] += 1
            source = letter.record.topic
            waiting.setdefault(source, []).append(letter.record)
            if len(waiting[source]) == BATCH_RECORDS:
                await flush(source)
        for source in list(waiting):
            await flush(source)
    return counts
