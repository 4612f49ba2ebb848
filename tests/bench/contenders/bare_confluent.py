"""confluent-kafka without a framework: `consume`, orjson, and for `scan` one plain Hyperscan database.

The scan finds which of 3,000 terms are in a batch of lower-cased, joined texts, and no more: no folding, no
confirmation, no verdict. It is the floor under any detection with Hyperscan.
"""

from collections.abc import Callable, Sequence

import hyperscan
import orjson
from confluent_kafka import Consumer

from tests.bench.contenders.account import LIBRDKAFKA, Account, Task
from tests.bench.terms import terms

_TERMS = 3_000
# As many a call as Penjaga screens at once; 5,000 cost a tenth more.
_RECORDS = 500


def drain(task: Task, account: Account) -> None:
    """Read, decode and perhaps scan until everything was seen, then commit."""
    scan = _scan() if task.work == "scan" else None
    consumer = Consumer(
        LIBRDKAFKA | {"bootstrap.servers": task.bootstrap_servers, "group.id": task.group}
    )
    consumer.subscribe([task.topic], on_assign=lambda *_: account.start())
    seen = characters = 0
    while seen < task.messages:
        texts = [
            orjson.loads(message.value())["text"]
            for message in consumer.consume(_RECORDS, timeout=0.1)
            if message.error() is None
        ]
        seen += len(texts)
        characters += sum(map(len, texts))
        if scan is not None:
            scan(texts)
    consumer.commit(asynchronous=False)
    account.finish(characters)


def _scan() -> Callable[[Sequence[str]], int]:
    database = hyperscan.Database()
    database.compile(
        expressions=[term.encode() for term in terms(_TERMS)],
        ids=list(range(_TERMS)),
        elements=_TERMS,
        flags=0,
    )

    def scan(texts: Sequence[str]) -> int:
        hits: list[int] = []
        database.scan("\n".join(texts).lower().encode(), lambda _id, _from, to, *_: hits.append(to))
        return len(hits)

    return scan


if __name__ == "__main__":
    given = Task.given()
    drain(given, Account(given))
