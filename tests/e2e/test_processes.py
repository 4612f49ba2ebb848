"""Several processes under one parent: they share the work, an endpoint, and the contract of one worker."""

import asyncio
import contextlib
import json
import os
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

from pipeline import status
from pipeline.cli import cache_folder
from pipeline.embedded import PARTITIONS
from pipeline.line import line
from tests.e2e.brokers import Broker
from tests.e2e.workers import CANARY, Reader, Site, clean_environment, event, send

Unique = Callable[[str], str]


def start(site: Site, processes: int = 2) -> subprocess.Popen[bytes]:
    """Start a parent with so many workers, whose metrics are in the test's own folder."""
    command = [sys.executable, "-m", "pipeline", "worker", "--config", str(site.config)]
    with site.log.open("ab") as log:
        parent = subprocess.Popen(
            [*command, "--processes", str(processes)],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            env=clean_environment() | {"TMPDIR": str(site.folder)},
        )
    site.processes.append(parent)
    return parent


def ask(site: Site, path: str) -> tuple[int, dict[str, Any]]:
    """Ask a health endpoint; 0 where nobody answers yet."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{site.port}{path}", timeout=10) as response:
            return response.status, json.load(response)
    except urllib.error.HTTPError as error:
        with error:
            return error.code, json.load(error)
    except OSError:
        return 0, {}


def partitions(site: Site) -> list[int]:
    """Return how many partitions each process reads."""
    return [row["partitions"] for row in ask(site, "/health/ready")[1].get("processes", ())]


def pids(site: Site) -> list[int]:
    """Return the workers' process ids, 0 for one that does not run."""
    return [row["pid"] for row in ask(site, "/health/live")[1].get("processes", ())]


def is_running(pid: int) -> bool:
    """Whether a process is there."""
    with contextlib.suppress(FileNotFoundError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    return False


def children(pid: int) -> list[int]:
    """Return the processes that a process started, whichever of its threads did."""
    tasks = Path(f"/proc/{pid}/task").glob("*/children")
    return [int(child) for task in tasks for child in task.read_text().split()]


async def until(fact: Callable[[], bool], seconds: float = 60) -> None:
    """Wait until something holds, without keeping the test's own clients waiting."""
    async with asyncio.timeout(seconds):
        while not await asyncio.to_thread(fact):  # noqa: ASYNC110  # other processes set no event
            await asyncio.sleep(0.1)


def is_shared(site: Site) -> bool:
    """Whether two processes have all partitions between them."""
    shares = partitions(site)
    return len(shares) == 2 and min(shares) > 0 and sum(shares) == PARTITIONS


def metrics_folders(site: Site) -> list[Path]:
    """Return the folders in which processes keep their metrics."""
    return list(site.folder.glob("penjaga-metrics-*"))


async def ended(parent: subprocess.Popen[bytes], seconds: float = 60) -> int:
    """Wait for a status."""
    return await asyncio.wait_for(asyncio.to_thread(parent.wait), seconds)


def expected_ids(site: Site, values: list[bytes | None]) -> set[bytes]:
    """Return the ids that have to be escalated."""
    screening = line(site.settings, cache_folder()).screen(site.source, values)
    return {
        verdict.id.encode()
        for verdicts in screening.verdicts.values()
        for verdict in verdicts
        if verdict.action in ("review", "escalate")
    }


async def test_processes_share_partitions_and_one_endpoint(
    kafka: Broker, unique: Unique, tmp_path: Path
) -> None:
    """Both read, one page counts what both read, and SIGTERM ends all with 0 and leaves nothing.

    On Apache Kafka alone: with two members at once the embedded broker's group sometimes never settles.
    """
    values: list[bytes | None] = [event(n, CANARY if n % 10 == 0 else "hello") for n in range(1000)]
    with Site.make(kafka, tmp_path, unique) as site:
        parent = start(site)
        await until(lambda: is_shared(site))
        await send(kafka.bootstrap_servers, site.source, values)
        await until(lambda: site.metrics().get("penjaga_events_received_total") == len(values))
        metrics = site.metrics()
        live = ask(site, "/health/live")
        page = ask(site, "/status.json")[1]
        workers = pids(site)
        folders = metrics_folders(site)
        parent.terminate()
        code = await ended(parent)
        logged = [json.loads(row) for row in site.log.read_text().splitlines()]

    assert (200, True) == (live[0], live[1]["alive"])
    assert (1000, 900, 100, 2) == (
        *(page[name] for name in ("received", "passed", "flagged")),
        len({row["pid"] for row in page["processes"] if row["is_alive"]}),
    )
    assert {("canary.seen", "review")} == {(r["label"], r["action"]) for r in page["recent"]}
    assert {
        "penjaga_events_passed_total": 900,
        "penjaga_events_flagged_total": 100,
        "penjaga_writes_confirmed_total": 100,
        "penjaga_assigned_partitions": PARTITIONS,
        "penjaga_configuration_info": 1,
        "penjaga_process_starts_total": 3,
    } == {
        name: metrics[name]
        for name in (
            "penjaga_events_passed_total",
            "penjaga_events_flagged_total",
            "penjaga_writes_confirmed_total",
            "penjaga_assigned_partitions",
            "penjaga_configuration_info",
            "penjaga_process_starts_total",
        )
    }
    assert metrics["process_resident_memory_bytes"] > 0
    assert {"1", "2", "web"} == {row["process"] for row in logged if "process" in row}
    assert 0 == code
    assert 1 == len(folders)
    assert [] == metrics_folders(site)
    assert 2 == len(workers)
    assert not any(is_running(pid) for pid in workers)


async def test_a_killed_process_is_replaced_and_nothing_is_missing(
    kafka: Broker, unique: Unique, tmp_path: Path
) -> None:
    """While records arrive: the other stays, every escalation comes, and the page keeps what was counted."""
    values: list[bytes | None] = [
        event(n, CANARY if n % 10 == 0 else "hello") for n in range(20_000)
    ]
    with Site.make(kafka, tmp_path, unique) as site:
        parent = start(site)
        await until(lambda: is_shared(site))
        first, second = pids(site)
        await send(kafka.bootstrap_servers, site.source, values[:10_000])
        await until(lambda: site.metrics().get("penjaga_events_received_total", 0) > 0)
        os.kill(first, signal.SIGKILL)
        await send(kafka.bootstrap_servers, site.source, values[10_000:])
        await until(lambda: 0 not in pids(site) and is_shared(site))
        replaced = pids(site)
        expected = expected_ids(site, values)
        async with Reader(kafka.bootstrap_servers, [site.escalations]) as reader:
            await reader.until(lambda: expected <= set(reader.keys(site.escalations)))
        metrics = site.metrics()
        parent.terminate()
        code = await ended(parent)
        messages = site.log_messages()

    assert 2000 == len(expected)
    assert expected == set(reader.keys(site.escalations))
    assert first != replaced[0]
    assert second == replaced[1]
    assert 4 == metrics["penjaga_process_starts_total"]
    assert PARTITIONS == metrics["penjaga_assigned_partitions"]
    assert 1 == len([m for m in messages if m.startswith("process 1 was killed by SIGKILL")])
    assert 0 == code


async def test_a_detector_in_a_process_of_its_own_holds_up_no_stop(
    kafka: Broker, unique: Unique, tmp_path: Path
) -> None:
    """SIGTERM ends the workers with 0, and the detector's processes with them."""
    extra = '[detectors]\nisolated = ["canary"]\n[sources."SOURCE"]'
    values: list[bytes | None] = [event(n, CANARY) for n in range(100)]
    with Site.make(kafka, tmp_path, unique, extra) as site:
        parent = start(site)
        await until(lambda: is_shared(site))
        await send(kafka.bootstrap_servers, site.source, values)
        await until(lambda: site.metrics().get("penjaga_writes_confirmed_total") == len(values))
        isolated = [child for pid in pids(site) for child in children(pid)]
        parent.terminate()
        code = await ended(parent)

    assert 0 == code
    assert len(isolated) >= 2
    assert not any(is_running(pid) for pid in isolated)


async def test_a_killed_parent_leaves_no_process_and_no_folder(
    kafka: Broker, unique: Unique, tmp_path: Path
) -> None:
    """What remained would read on beside what a supervisor starts next."""
    with Site.make(kafka, tmp_path, unique) as site:
        parent = start(site)
        await until(lambda: is_shared(site))
        workers = pids(site)
        folders = metrics_folders(site)
        parent.kill()
        await ended(parent)
        await until(lambda: not any(is_running(pid) for pid in workers), 10)
        await until(lambda: ask(site, "/health/live")[0] == 0, 10)
        await until(lambda: metrics_folders(site) == [], 10)

    assert 2 == len(workers)
    assert 1 == len(folders)


async def test_a_storm_in_one_process_stops_all(
    kafka: Broker, unique: Unique, tmp_path: Path
) -> None:
    """Starting that process again would meet it again; the parent's status says so to its supervisor."""
    storm = "[screening]\ndead_letters_in_a_row = 30\n[sources.SOURCE]\n"
    with Site.make(kafka, tmp_path, unique, extra=storm) as site:
        parent = start(site)
        await until(lambda: is_shared(site))
        workers = pids(site)
        await send(kafka.bootstrap_servers, site.source, [b"not json"] * 1000)
        code = await ended(parent)
        messages = site.log_messages()

    assert status.UNDELIVERED == code
    assert any("records in a row were rejected" in m for m in messages)
    assert any(m.endswith(f"status {code}; stopping the others") for m in messages)
    assert 2 == len(workers)
    assert not any(is_running(pid) for pid in workers)
