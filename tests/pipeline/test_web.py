"""Web: one process and many answer in the same shape, and health says what it must."""

from aiohttp.test_utils import TestClient, TestServer
from prometheus_client import CollectorRegistry, Counter

from pipeline.processes import Vitals
from pipeline.web import SILENT_SECONDS, application, live, ready

WELL = Vitals(partitions=2, unconfirmed_seconds=0.5, pid=11, silent_seconds=0.2)
LIMIT = 120.0


def test_live_shows_every_process() -> None:
    """Their number, id, and the longest any has been waiting for the broker."""
    answer = live({1: WELL, 2: Vitals(unconfirmed_seconds=3.0, pid=12)}, LIMIT)

    assert 200 == answer.status
    assert {
        "alive": True,
        "unconfirmed_seconds": 3.0,
        "processes": [
            {
                "process": 1,
                "pid": 11,
                "alive": True,
                "unconfirmed_seconds": 0.5,
                "silent_seconds": 0.2,
            },
            {
                "process": 2,
                "pid": 12,
                "alive": True,
                "unconfirmed_seconds": 3.0,
                "silent_seconds": 0.0,
            },
        ],
    } == answer.body


def test_one_process_that_is_not_well_is_enough() -> None:
    """It has ended, its event loop stands still, or its batch is overdue."""
    ailing = [
        Vitals(),
        Vitals(pid=12, silent_seconds=SILENT_SECONDS),
        Vitals(pid=12, unconfirmed_seconds=LIMIT),
    ]
    answers = [live({1: WELL, 2: vitals}, LIMIT) for vitals in ailing]

    assert [(503, False)] * 3 == [(answer.status, answer.body["alive"]) for answer in answers]
    assert [[True, False]] * 3 == [
        [row["alive"] for row in answer.body["processes"]] for answer in answers
    ]


def test_ready_takes_one_process_with_partitions() -> None:
    """The others may be idle for want of partitions; none at all is not ready."""
    some = ready({1: Vitals(pid=10), 2: WELL})
    none = ready({1: Vitals(pid=10), 2: Vitals()})

    assert (200, True, 2) == (some.status, some.body["ready"], some.body["partitions"])
    assert [
        {"process": 1, "pid": 10, "partitions": 0},
        {"process": 2, "pid": 11, "partitions": 2},
    ] == some.body["processes"]
    assert (503, False, 0) == (none.status, none.body["ready"], none.body["partitions"])


async def test_the_server_of_many_answers_all_three() -> None:
    """With the status, the shape and the content type that Prometheus and probes expect."""
    registry = CollectorRegistry()
    Counter("seen", "Seen.", registry=registry).inc(3)
    server = TestServer(application(registry, lambda: {1: WELL, 2: Vitals()}, LIMIT))
    async with TestClient(server) as client:
        metrics = await client.get("/metrics")
        alive = await client.get("/health/live")
        is_ready = await client.get("/health/ready")

        assert "seen_total 3.0" in await metrics.text()
        assert metrics.headers["Content-Type"].startswith("text/plain; version=")
        assert (503, live({1: WELL, 2: Vitals()}, LIMIT).body) == (
            alive.status,
            await alive.json(),
        )
        assert (200, ready({1: WELL}).body["partitions"]) == (
            is_ready.status,
            (await is_ready.json())["partitions"],
        )
