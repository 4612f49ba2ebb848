"""A Faust agent as its documentation writes one: one message, one event."""

import os
import tempfile
from pathlib import Path
from typing import Any

import faust
import msgspec

from tests.bench.contenders.account import Account, Task
from tests.bench.contenders.screening import screening


def build(task: Task, account: Account) -> faust.App:
    """Build an app whose agent decodes each event, or screens it and sends its verdicts."""
    app = faust.App(
        task.group,
        broker=f"kafka://{task.bootstrap_servers}",
        consumer_auto_offset_reset="earliest",
        # Nothing here needs either, and both cost.
        web_enabled=False,
        topic_disable_leader=True,
        # Made at every start, though there are no tables to keep.
        datadir=Path(tempfile.gettempdir()) / f"{task.group}-data",
    )
    app.on_partitions_assigned.connect(_starting(account), weak=False)
    (_screen_agent if task.work == "screen" else _decode_agent)(app, task, account)
    return app


def _starting(account: Account) -> Any:
    async def start(*_: object, **__: object) -> None:
        account.start()

    return start


def _decode_agent(app: faust.App, task: Task, account: Account) -> None:
    @app.agent(app.topic(task.topic, value_serializer="json"))
    async def decode(events: Any) -> None:
        seen = characters = 0
        async for event in events:
            characters += len(event["text"])
            seen += 1
            if seen == task.messages:
                account.finish(characters)


def _screen_agent(app: faust.App, task: Task, account: Account) -> None:
    screen = screening(task)
    encode = msgspec.json.Encoder().encode
    escalations = app.topic(task.escalations, value_serializer="raw")

    @app.agent(app.topic(task.topic, value_serializer="raw"))
    async def screen_each(events: Any) -> None:
        seen = sent = 0
        async for event in events:
            for verdict in screen(event):
                await escalations.send(key=verdict.id, value=encode(verdict))
                sent += 1
            seen += 1
            if seen == task.messages:
                await app.producer.flush()
                account.finish(0, sent)


if __name__ == "__main__":
    given = Task.given()
    app = build(given, Account(given))
    # Its banner and cursor codes would stand before the answer.
    with Path(os.devnull).open("w", encoding="utf-8") as nowhere:
        worker = app.Worker(loglevel="WARNING", quiet=True, stdout=nowhere, redirect_stdouts=False)
        worker.execute_from_commandline()
