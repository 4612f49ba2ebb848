"""Quix Streams as its documentation writes it: a dataframe over a topic."""

from typing import Any

import msgspec
from quixstreams import Application
from quixstreams.models import SerializationContext, Serializer

from schemas import Verdict
from tests.bench.contenders.account import LIBRDKAFKA, Account, Task
from tests.bench.contenders.screening import screening


class _Application(Application):
    """An application that says when its partitions are assigned."""

    account: Account

    def _on_assign(self, *assigned: Any) -> None:
        self.account.start()
        super()._on_assign(*assigned)


class _Json(Serializer):
    """Verdicts as Penjaga writes them."""

    def __init__(self) -> None:
        self._encode = msgspec.json.Encoder().encode

    def __call__(self, value: Verdict, ctx: SerializationContext) -> bytes:  # noqa: ARG002
        return self._encode(value)


def drain(task: Task, account: Account) -> None:
    """Decode each message, or screen it and produce its verdicts."""
    seen = characters = sent = 0

    def count(*_: object) -> None:
        nonlocal seen
        seen += 1
        if seen == task.messages and task.work == "screen":
            app.stop()  # which has the escalations confirmed
        elif seen == task.messages:
            account.finish(characters)

    app = _Application(
        broker_address=task.bootstrap_servers,
        consumer_group=task.group,
        auto_offset_reset="earliest",
        auto_create_topics=False,
        loglevel="WARNING",
        on_message_processed=count,
        consumer_extra_config=LIBRDKAFKA,
    )
    app.account = account

    def read(event: dict[str, Any]) -> None:
        nonlocal characters
        characters += len(event["text"])

    def sending(verdict: Verdict) -> Verdict:
        nonlocal sent
        sent += 1
        return verdict

    if task.work == "screen":
        found = app.dataframe(app.topic(task.topic, value_deserializer="bytes"))
        found = found.apply(screening(task), expand=True).apply(sending)
        escalations = app.topic(task.escalations, value_serializer=_Json())
        found.to_topic(escalations, key=lambda verdict: verdict.id)
    else:
        app.dataframe(app.topic(task.topic, value_deserializer="json")).update(read)
    app.run()
    account.finish(characters, sent)


if __name__ == "__main__":
    given = Task.given()
    drain(given, Account(given))
