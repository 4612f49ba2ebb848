"""aiokafka without a framework: `getmany`, orjson. The unit that everything else is compared with."""

import asyncio

import orjson
from aiokafka import AIOKafkaConsumer, ConsumerRebalanceListener

from tests.bench.contenders.account import Account, Task


class _Start(ConsumerRebalanceListener):
    def __init__(self, account: Account) -> None:
        self._account = account

    async def on_partitions_revoked(self, revoked: object) -> None:
        """Nothing to do."""

    async def on_partitions_assigned(self, assigned: object) -> None:  # noqa: ARG002
        self._account.start()


async def drain(task: Task, account: Account) -> None:
    """Read and decode until everything was seen; commit as the client does by itself, and at the end."""
    consumer = AIOKafkaConsumer(
        bootstrap_servers=task.bootstrap_servers,
        group_id=task.group,
        auto_offset_reset="earliest",
    )
    consumer.subscribe([task.topic], listener=_Start(account))
    await consumer.start()
    seen = characters = 0
    while seen < task.messages:
        fetched = await consumer.getmany(timeout_ms=1000)
        for records in fetched.values():
            for record in records:
                characters += len(orjson.loads(record.value)["text"])
            seen += len(records)
    await consumer.commit()
    account.finish(characters)


if __name__ == "__main__":
    given = Task.given()
    asyncio.run(drain(given, Account(given)))
