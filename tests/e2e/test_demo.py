"""The demo: real escalations, a worker that may be killed, nothing left behind."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from pipeline.scenes import names
from tests.e2e.workers import clean_environment


def processes_of(marker: str) -> set[int]:
    """Return the processes whose environment holds `marker`."""
    found = set()
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                environment = (entry / "environ").read_bytes()
                status = (entry / "stat").read_text().rpartition(")")[2].split()[0]
            except OSError:
                continue
            if marker.encode() in environment and status != "Z":
                found.add(int(entry.name))
    return found


def worker_among(pids: set[int]) -> int | None:
    """Return the one that runs `worker`."""
    for pid in pids:
        try:
            if b"worker" in Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0"):
                return pid
        except OSError:
            continue
    return None


def test_the_demo_survives_a_killed_worker_and_leaves_nothing_behind(tmp_path: Path) -> None:
    """All families and scenes are escalated; `kill -9` is told of and loses nothing; no process stays."""
    marker = f"DEMO_MARKER={os.getpid()}-{time.monotonic_ns()}"
    name, value = marker.split("=")
    told = tmp_path / "told"
    with told.open("wb") as stderr:
        demo = subprocess.Popen(
            [sys.executable, "-m", "pipeline", "demo", "--seconds", "25", "--rate", "200"],
            stdout=subprocess.PIPE,
            stderr=stderr,
            env=clean_environment() | {name: value},
            start_new_session=True,
        )
    assert demo.stdout
    rows = [json.loads(demo.stdout.readline())]
    worker = worker_among(processes_of(marker))
    assert worker
    os.kill(worker, signal.SIGKILL)
    rows += [json.loads(line) for line in demo.stdout]
    demo.stdout.close()
    status = demo.wait(90)
    summary = rows.pop()

    assert 0 == status, summary
    assert 0 == summary["lost"]
    assert 1 == summary["worker_restarts"]
    _, first, killed, second = told.read_text().splitlines()[:4]
    assert f"worker {worker} running" == first
    assert "worker killed by SIGKILL; starting it again" == killed
    assert second != first
    events = [row for row in rows if "event" in row]
    crossings = [row for row in rows if "behaviour" in row]
    assert {"bullying", "csea", "fraud", "gambling"} <= {
        row["label"].partition(".")[0] for row in events
    }
    assert all(row["excerpt"]["text"] for row in events if row["findings"][0]["end"])
    assert set(names()) == {row["behaviour"] for row in crossings}
    assert len(rows) == len(events) + len(crossings)
    assert set() == processes_of(marker)


def test_a_demo_that_is_killed_takes_its_processes_with_it() -> None:
    """`kill -9` on the demo itself leaves neither broker nor worker."""
    marker = f"DEMO_MARKER={os.getpid()}-{time.monotonic_ns()}"
    name, value = marker.split("=")
    demo = subprocess.Popen(
        [sys.executable, "-m", "pipeline", "demo", "--rate", "200"],
        stdout=subprocess.PIPE,
        env=clean_environment() | {name: value},
        start_new_session=True,
    )
    assert demo.stdout
    demo.stdout.readline()
    running = processes_of(marker)
    demo.kill()
    demo.wait()
    demo.stdout.close()
    deadline = time.monotonic() + 30
    while processes_of(marker) and time.monotonic() < deadline:
        time.sleep(0.2)

    assert len(running) >= 3
    assert set() == processes_of(marker)
