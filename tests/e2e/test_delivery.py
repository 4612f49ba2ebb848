"""The delivery contract, on the embedded broker and on Apache Kafka alike."""

import asyncio
import json
import signal
import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from pipeline.delivery import Delivery
from pipeline.line import line
from pipeline.options import cache_folder
from pipeline.settings import Kafka
from pipeline.writes import Write
from tests.e2e.brokers import Broker, KafkaCluster
from tests.e2e.workers import (
    CANARY,
    Reader,
    Site,
    commit,
    committed,
    event,
    free_port,
    send,
)

Unique = Callable[[str], str]


def expected_ids(site: Site, values: list[bytes | None]) -> set[bytes]:
    """Screen the same records offline and return the ids that have to be escalated."""
    screening = line(site.settings, cache_folder()).screen(site.source, values)
    return {
        verdict.id.encode()
        for verdicts in screening.verdicts.values()
        for verdict in verdicts
        if verdict.action in ("review", "escalate")
    }


async def stopped(process, seconds: float = 60) -> int:  # noqa: ANN001
    """Wait for a worker's exit status."""
    return await asyncio.wait_for(asyncio.to_thread(process.wait), seconds)


async def test_flagged_events_become_escalations_and_bad_records_dead_letters(
    broker: Broker, unique: Unique, tmp_path: Path
) -> None:
    """Received = passed + flagged + rejected; each verdict and each bad record is written once."""
    values: list[bytes | None] = [event(n, CANARY if n % 10 == 0 else "hello") for n in range(500)]
    bad: list[bytes | None] = [b"not json", b"[]", b'{"id": "x"}', b"\xff\xfe", None]
    with Site.make(broker, tmp_path, unique) as site:
        site.start()
        await send(broker.bootstrap_servers, site.source, values + bad)
        async with Reader(
            broker.bootstrap_servers, [site.escalations, site.dead_letters]
        ) as reader:
            await reader.until(lambda: len(reader.records) >= 55)
            await asyncio.sleep(0.5)
            metrics = site.metrics()
        escalations = {r.key: r.value for r in reader.records if r.topic == site.escalations}
        letters = [r for r in reader.records if r.topic == site.dead_letters]

        assert expected_ids(site, values) == set(escalations)
        assert 50 == len(escalations)
        assert sorted(str(b) for b in bad) == sorted(str(r.value) for r in letters)
        assert {
            b"tombstone",
            b"not_json",
            b"not_an_object",
            b"missing_field",
            b"invalid_unicode",
        } >= {dict(r.headers)["penjaga-reason"] for r in letters}
        assert {site.source.encode()} == {dict(r.headers)["penjaga-source-topic"] for r in letters}
        assert 505 == metrics["penjaga_events_received_total"]
        assert 450 == metrics["penjaga_events_passed_total"]
        assert 50 == metrics["penjaga_events_flagged_total"]
        assert 5 == metrics["penjaga_events_rejected_total"]


async def test_kill_minus_nine_loses_nothing(
    broker: Broker, unique: Unique, tmp_path: Path
) -> None:
    """Killed three times in the middle, restarted each time: every escalation is there, with one id."""
    count = 3000 if broker.kind == "embedded" else 20_000
    values: list[bytes | None] = [
        event(n, CANARY if n % 10 == 0 else "hello") for n in range(count)
    ]
    with Site.make(broker, tmp_path, unique) as site:
        expected = expected_ids(site, values)
        async with Reader(broker.bootstrap_servers, [site.escalations]) as reader:
            await send(broker.bootstrap_servers, site.source, values[: count // 2])
            worker = site.start()
            kills = 0
            sending = asyncio.create_task(
                send(broker.bootstrap_servers, site.source, values[count // 2 :])
            )
            for share in (0.1, 0.35, 0.6):
                wanted = share * len(expected)
                await reader.until(lambda w=wanted: len(set(reader.keys(site.escalations))) >= w)
                worker.send_signal(signal.SIGKILL)
                assert -signal.SIGKILL == await stopped(worker)
                kills += 1
                worker = site.start()
            await sending
            await reader.until(lambda: expected <= set(reader.keys(site.escalations)))
        bodies: dict[bytes, set[bytes]] = {}
        for record in reader.records:
            bodies.setdefault(record.key, set()).add(record.value)

        assert 3 == kills
        assert expected == set(bodies)
        assert {1} == {len(same) for same in bodies.values()}


async def test_sigterm_ends_with_zero_and_the_next_worker_goes_on(
    broker: Broker, unique: Unique, tmp_path: Path
) -> None:
    """A worker told to stop commits what it delivered; its successor repeats none of it."""
    first: list[bytes | None] = [event(n, CANARY) for n in range(100)]
    second: list[bytes | None] = [event(n, CANARY) for n in range(100, 200)]
    with Site.make(broker, tmp_path, unique) as site:
        async with Reader(broker.bootstrap_servers, [site.escalations]) as reader:
            await send(broker.bootstrap_servers, site.source, first)
            worker = site.start()
            await reader.until(lambda: len(reader.records) >= 100)
            await asyncio.sleep(0.5)
            worker.terminate()
            status = await stopped(worker)
            await send(broker.bootstrap_servers, site.source, second)
            site.start()
            await reader.until(lambda: len(set(reader.keys(site.escalations))) >= 200)

        assert 0 == status
        assert 200 == len(reader.records)


async def test_workers_that_join_and_leave_lose_nothing(
    broker: Broker, unique: Unique, tmp_path: Path
) -> None:
    """Partitions move to a second worker and back while records arrive: every escalation is there."""
    count = 3000
    values: list[bytes | None] = [
        event(n, CANARY if n % 10 == 0 else "hello") for n in range(count)
    ]
    with Site.make(broker, tmp_path, unique) as site:
        expected = expected_ids(site, values)
        async with Reader(broker.bootstrap_servers, [site.escalations]) as reader:
            first = site.start()
            await send(broker.bootstrap_servers, site.source, values[:1000])
            await reader.until(lambda: len(reader.records) >= 50)
            other = {"PENJAGA_WEB_PORT": str(free_port()), "PENJAGA_KAFKA_INSTANCE": "second"}
            second = site.start(other)
            for start in range(1000, 2000, 100):
                await send(broker.bootstrap_servers, site.source, values[start : start + 100])
                await asyncio.sleep(0.8)
            first.terminate()
            status = await stopped(first)
            await send(broker.bootstrap_servers, site.source, values[2000:])
            await reader.until(lambda: expected <= set(reader.keys(site.escalations)))

        assert 0 == status
        assert second.poll() is None
        assert expected == set(reader.keys(site.escalations))


async def test_an_escalation_too_large_for_its_topic_is_written_smaller(
    kafka: Broker, unique: Unique, tmp_path: Path
) -> None:
    """The reviewer gets the reference without excerpt and evidence, and the offset is not stuck."""
    extra = '[escalations]\nexcerpt_characters = 10000\n[sources."SOURCE"]'
    with Site.make(kafka, tmp_path, unique, extra, escalation_bytes=2000) as site:
        values: list[bytes | None] = [
            event(1, CANARY + " " + "lorem ipsum " * 600),
            event(2, CANARY),
        ]
        site.start()
        async with Reader(kafka.bootstrap_servers, [site.escalations]) as reader:
            await send(kafka.bootstrap_servers, site.source, values)
            await reader.until(lambda: len(set(reader.keys(site.escalations))) >= 2)
            await asyncio.sleep(0.5)
            metrics = site.metrics()
        by_event = {json.loads(r.value)["event"]["id"]: json.loads(r.value) for r in reader.records}

        assert "excerpt" not in by_event["m-000001"]
        assert "excerpt" in by_event["m-000002"]
        assert 1 == metrics["penjaga_writes_reduced_total"]


async def test_what_is_refused_as_too_large_holds_up_nothing_behind_it(
    kafka: Broker, unique: Unique
) -> None:
    """Neither what is queued for the same partition nor what comes later; its smaller form is written."""
    topic = unique("narrow")
    kafka.create_topic(topic, {"max.message.bytes": "1000"})
    small = Write(topic, b"small", b"1", (), partition=1)
    large = Write(topic, b"large", b"x" * 2_000, (), small, partition=1)
    async with Delivery(Kafka(bootstrap_servers=kafka.bootstrap_servers)) as delivery:
        done = [await delivery.deliver([small])]
        for _ in range(3):
            sent = [await delivery.send([write]) for write in (small, large, small, large, small)]
            done += await asyncio.gather(*map(delivery.confirm, sent))
    async with Reader(kafka.bootstrap_servers, [topic]) as reader:
        await reader.until(lambda: len(reader.records) >= 16)

    assert 6 == sum(one.reduced.get("reference", 0) for one in done)
    assert [b"1"] * 16 == [record.value for record in reader.records]


async def test_writes_go_where_other_clients_look_for_their_keys(
    broker: Broker, unique: Unique
) -> None:
    """Kafka's own hash of the key, so that a subject's records are on one partition, whoever writes them."""
    topic = unique("keys")
    broker.create_topic(topic)
    keys = [f"conversation/acme/c-{n}".encode() for n in range(60)] + [b"", "வோ".encode()]
    async with Delivery(Kafka(bootstrap_servers=broker.bootstrap_servers)) as delivery:
        await delivery.deliver([Write(topic, key, b"ours", ()) for key in keys])
    for key in keys:
        await send(broker.bootstrap_servers, topic, [b"theirs"], key=key)
    async with Reader(broker.bootstrap_servers, [topic]) as reader:
        await reader.until(lambda: len(reader.records) >= 2 * len(keys))
    ours, theirs = (
        {record.key: record.partition for record in reader.records if record.value == value}
        for value in (b"ours", b"theirs")
    )

    assert ours == theirs
    assert len(set(ours.values())) > 1


async def test_an_escalation_that_fits_in_no_form_becomes_a_dead_letter(
    kafka: Broker, unique: Unique, tmp_path: Path
) -> None:
    """When even the reference is too large, the source record is kept, with the reason."""
    with Site.make(kafka, tmp_path, unique, escalation_bytes=200) as site:
        value = event(1, CANARY)
        site.start()
        async with Reader(kafka.bootstrap_servers, [site.dead_letters]) as reader:
            await send(kafka.bootstrap_servers, site.source, [value])
            await reader.until(lambda: len(reader.records) >= 1)
        (letter,) = reader.records

        assert value == letter.value
        assert b"escalation_too_large" == dict(letter.headers)["penjaga-reason"]


async def test_a_storm_of_rejections_stops_every_worker_and_commits_none_of_it(
    broker: Broker, unique: Unique, tmp_path: Path
) -> None:
    """A changed format must not empty the topic into the dead letters, one restart after the other."""
    extra = '[screening]\ndead_letters_in_a_row = 700\n[sources."SOURCE"]'
    with Site.make(broker, tmp_path, unique, extra) as site:
        await send(broker.bootstrap_servers, site.source, [event(1, "hello")])
        await send(broker.bootstrap_servers, site.source, [b"<xml/>"] * 1500)
        statuses = [await stopped(site.start()) for _ in range(2)]
        offset, end = await committed(broker.bootstrap_servers, site.group, site.source)

        assert [75, 75] == statuses
        assert "rejected" in site.log_messages()[-1]
        assert 1501 == end
        # The good record may share its batch, and so its commit, with bad ones.
        assert offset <= 501


async def test_a_topic_made_anew_is_read_from_its_beginning(
    broker: Broker, unique: Unique, tmp_path: Path
) -> None:
    """Offsets committed for what is no longer there must not hide what is."""
    values: list[bytes | None] = [event(n, CANARY) for n in range(40)]
    with Site.make(broker, tmp_path, unique) as site:
        await send(broker.bootstrap_servers, site.source, values)
        await commit(broker.bootstrap_servers, site.group, site.source, 1000)
        async with Reader(broker.bootstrap_servers, [site.escalations]) as reader:
            site.start()
            await reader.until(lambda: len(set(reader.keys(site.escalations))) >= 40)

        assert expected_ids(site, values) == set(reader.keys(site.escalations))


async def test_a_second_worker_on_the_same_port_is_told_so(
    broker: Broker, unique: Unique, tmp_path: Path
) -> None:
    """Two workers of one machine need two ports; the second says which variable to set."""
    with Site.make(broker, tmp_path, unique) as site, socket.socket() as taken:
        taken.bind(("127.0.0.1", site.port))
        taken.listen()
        status = await stopped(site.start())

        assert 69 == status
        assert "PENJAGA_WEB_PORT" in site.log_messages()[-1]


async def test_dead_letters_are_listed_shown_and_replayed(
    broker: Broker, unique: Unique, tmp_path: Path
) -> None:
    """After the mapping is corrected, replay escalates what was rejected, under the usual ids."""
    row = {"uuid": "a-1", "body": CANARY, "when": "2026-01-01T00:00:00Z", "from": "u1"}
    value = json.dumps(row).encode()
    with Site.make(broker, tmp_path, unique) as site:
        worker = site.start()
        async with Reader(
            broker.bootstrap_servers, [site.dead_letters, site.escalations]
        ) as reader:
            await send(broker.bootstrap_servers, site.source, [value])
            await reader.until(lambda: len(reader.records) == 1)
            worker.terminate()
            await stopped(worker)
            listed = json.loads(site.penjaga("deadletters", "list").stdout)
            shown = site.penjaga("deadletters", "show", listed["dead_letter"]).stdout.decode()
            still = site.penjaga("deadletters", "replay")
            site.config.write_text(
                site.config.read_text()
                + f"""
[sources."{site.source}".fields]
id = "uuid"
text = "body"
occurred_at = "when"
"actor.id" = "from"
"audience.kind" = {{ constant = "group" }}
platform = {{ constant = "acme" }}
"""
            )
            replayed = site.penjaga("deadletters", "replay", "--reason", "missing_field")
            await reader.until(lambda: len(reader.records) == 2)

        assert "missing_field" == listed["reason"]
        assert value.decode() in shown
        assert 1 == still.returncode
        assert 0 == replayed.returncode
        assert 1 == json.loads(replayed.stdout)["flagged"]
        assert "a-1" == json.loads(reader.records[-1].value)["event"]["id"]


def test_a_broker_that_is_not_there_is_named_and_ends_the_worker(tmp_path: Path) -> None:
    """The worker tries again with pauses, says so, and exits 69 when the time is up."""
    nowhere = Broker("nowhere", "127.0.0.1:1")
    names = ("events", "out", "shadow", "overflow", "dead", "signals", "memory", "group")
    site = Site(nowhere, tmp_path, *names)
    site.config.write_text(
        '[kafka]\nbootstrap_servers = "127.0.0.1:1"\nconnect_seconds = 2.0\n'
        f"[web]\nport = {site.port}\n"
    )
    with site:
        status = site.start().wait(60)
        messages = site.log_messages()

        assert 69 == status
        assert any("next try" in message for message in messages)
        assert "no Kafka broker at 127.0.0.1:1" in messages[-1]


@pytest.mark.usefixtures("needs_kafka")
def test_a_topic_that_is_not_there_is_named_and_ends_the_worker(tmp_path: Path) -> None:
    """Where topics do not appear by themselves, a missing one ends the worker with its name."""
    with KafkaCluster(settings={"auto.create.topics.enable": "false"}) as cluster:
        site = Site(
            Broker("strict", cluster.bootstrap_servers),
            tmp_path,
            *("nothing", "out", "s", "o", "d", "signals", "memory", "g"),
        )
        site.config.write_text(
            f'[kafka]\nbootstrap_servers = "{cluster.bootstrap_servers}"\nconnect_seconds = 2.0\n'
            f'[web]\nport = {site.port}\n[sources."nothing"]\n[detectors]\nonly = ["canary"]\n'
        )
        with site:
            status = site.start().wait(60)

            assert 69 == status
            assert "no such topic" in site.log_messages()[-1]
            assert "nothing" in site.log_messages()[-1]
