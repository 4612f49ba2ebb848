"""Processes: what crashes is replaced, what must be seen stops all, and nobody outlives the parent."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import pytest

from pipeline import status
from pipeline.processes import CRASH_SECONDS, CRASHES, Board, Crashes, Vitals

FAMILY: Final = """
import json, os, sys, time
from pipeline import logs, processes, status

class Register:
    def starts(self, name): say("starts", name, 0)
    def runs(self, name, pid): say("runs", name, pid)
    def ended(self, name, pid): say("ended", name, pid)
    def orphaned(self): say("orphaned", "", 0)

def say(what, name, pid):
    os.write(1, json.dumps([what, name, pid]).encode() + b"\\n")

def wait():
    time.sleep(60)

def end(code):
    def main():
        time.sleep(0.2)
        sys.exit(code)
    return main

def raises():
    time.sleep(0.2)
    raise ValueError("secret text")

logs.configure()
processes.FIRST_PAUSE_SECONDS = 0.05
processes.STOP_SECONDS = 3
MAINS = {"1": wait, "2": wait, "web": wait}
"""
RUN: Final = """
sys.exit(processes.Parent(MAINS, Register(), last="web", with_parent=len(sys.argv) > 1).run())
"""


class Family:
    """A parent with three processes that wait, or do what `script` puts in their place."""

    def __init__(self, script: str, *arguments: str) -> None:
        self.parent = subprocess.Popen(
            [sys.executable, "-c", FAMILY + script + RUN, *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.notes: list[tuple[str, str, int]] = []

    def until(self, enough: Callable[[], bool]) -> None:
        """Read what is noted until that is enough; fails when the parent ends before."""
        assert self.parent.stdout is not None
        while not enough():
            self.notes.append(tuple(json.loads(self.parent.stdout.readline())))

    def pids(self, name: str) -> list[int]:
        """Return the ids under which a process has run, one after the other."""
        return [pid for what, who, pid in self.notes if (what, who) == ("runs", name)]

    def started(self) -> None:
        """Wait until all three run and have left the parent's handling of signals behind."""
        self.until(lambda: self.pids("web") != [])

    def end(self) -> tuple[int, list[dict[str, Any]]]:
        """Wait for the end; return the status and what was logged."""
        out, err = self.parent.communicate(timeout=20)
        self.notes += [tuple(json.loads(line)) for line in out.splitlines()]
        return self.parent.returncode, [json.loads(line) for line in err.splitlines()]


@pytest.fixture
def family() -> Iterator[Callable[..., Family]]:
    """Return a function that starts a parent; none outlives the test."""
    started: list[Family] = []

    def start(script: str = "", *arguments: str) -> Family:
        started.append(Family(script, *arguments))
        return started[-1]

    yield start
    for one in started:
        # Its children see it, or end by themselves.
        one.parent.kill()
        one.parent.communicate()


def is_running(pid: int) -> bool:
    """Whether a process is there and no mere entry that waits to be read."""
    with contextlib.suppress(FileNotFoundError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    return False


def wait_for(fact: Callable[[], bool]) -> None:
    """Wait until something holds, 10 s at most."""
    deadline = time.monotonic() + 10
    while not fact():
        assert time.monotonic() < deadline, "it did not come to hold within 10 s"
        time.sleep(0.02)


@pytest.mark.parametrize("sign", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_to_the_parent_stops_all_the_web_last(
    family: Callable[..., Family], sign: signal.Signals
) -> None:
    """The status is 0, and health is answered until the workers have ended."""
    one = family(
        "import signal\n"
        "def slow():\n"
        "    signal.signal(signal.SIGTERM, lambda *_: (time.sleep(0.5), os._exit(0)))\n"
        '    say("ready", "1", 0)\n'
        "    wait()\n"
        'MAINS["1"] = slow\n'
    )
    one.until(lambda: "ready" in {what for what, _, _ in one.notes})
    one.started()
    one.parent.send_signal(sign)
    code, _ = one.end()
    ended = [name for what, name, _ in one.notes if what == "ended"]

    assert 0 == code
    assert ["2", "1", "web"] == ended


def test_what_a_terminal_sends_is_for_the_parent(family: Callable[..., Family]) -> None:
    """Ctrl-C goes to a whole session; each process has one of its own, and is stopped in order."""
    one = family()
    one.started()
    pids = [pid for what, _, pid in one.notes if what == "runs"]
    wait_for(lambda: all(os.getsid(pid) == pid for pid in pids))

    assert 3 == len(pids)


@pytest.mark.parametrize("name", ["1", "web"])
def test_a_killed_process_is_replaced_alone(family: Callable[..., Family], name: str) -> None:
    """The others stay the processes they were; a log line names the signal."""
    one = family()
    one.started()
    os.kill(one.pids(name)[0], signal.SIGKILL)
    one.until(lambda: len(one.pids(name)) == 2)
    one.parent.terminate()
    code, logged = one.end()

    assert 0 == code
    assert {n: 2 if n == name else 1 for n in ("1", "2", "web")} == {
        n: len(one.pids(n)) for n in ("1", "2", "web")
    }
    assert any(f"process {name} was killed by SIGKILL" in line["message"] for line in logged)


@pytest.mark.parametrize("code", [status.CONFIGURATION, status.UNREACHABLE, status.UNDELIVERED])
def test_a_status_that_a_start_would_meet_again_stops_all(
    family: Callable[..., Family], code: int
) -> None:
    """The parent ends with it, and nothing was started twice."""
    one = family(f'MAINS["2"] = end({code})\n')
    ended, logged = one.end()

    assert code == ended
    assert 3 == len([what for what, _, _ in one.notes if what == "runs"])
    assert [f"process 2 ended with status {code}; stopping the others"] == [
        line["message"] for line in logged if "process" not in line
    ]


def test_crashes_that_go_on_stop_all(family: Callable[..., Family]) -> None:
    """One more than is borne, of all processes together, and the parent's status is that of a crash."""
    one = family('processes.FIRST_PAUSE_SECONDS = 0.001\nMAINS["1"] = MAINS["2"] = end(1)\n')
    code, logged = one.end()

    assert status.CRASHED == code
    assert CRASHES + 1 == len([line for line in logged if "ended with status 1" in line["message"]])


def test_an_exception_is_logged_without_its_words_and_with_the_process(
    family: Callable[..., Family],
) -> None:
    """A crash like any other; every line of the log is JSON and says which process wrote it."""
    one = family('MAINS["2"] = raises\n')
    one.until(lambda: len(one.pids("2")) == 2)
    one.parent.terminate()
    code, logged = one.end()
    [line] = [line for line in logged if line.get("error")][:1]

    assert 0 == code
    assert ("2", "ValueError") == (line["process"], line["error"])
    assert "secret" not in json.dumps(logged)
    assert [] == [line for line in logged if "replacing" in line["message"] and "process" in line]


def test_a_worker_that_fails_to_stop_lends_the_parent_its_status(
    family: Callable[..., Family],
) -> None:
    """A stop that leaves writes unconfirmed is no clean one."""
    one = family(
        "import signal\n"
        "def stubborn():\n"
        f"    signal.signal(signal.SIGTERM, lambda *_: os._exit({status.UNDELIVERED}))\n"
        '    say("ready", "1", 0)\n'
        "    wait()\n"
        'MAINS["1"] = stubborn\n'
    )
    one.until(lambda: {"ready", "runs"} <= {what for what, _, _ in one.notes})
    one.started()
    one.parent.terminate()
    code, _ = one.end()

    assert status.UNDELIVERED == code


def test_a_worker_that_does_not_stop_is_killed(family: Callable[..., Family]) -> None:
    """Before whoever stopped the parent would kill them all."""
    one = family(
        "import signal\n"
        "def deaf():\n"
        "    signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        '    say("ready", "1", 0)\n'
        "    wait()\n"
        'processes.STOP_SECONDS = 0.5\nMAINS["1"] = deaf\n'
    )
    one.until(lambda: "ready" in {what for what, _, _ in one.notes})
    one.started()
    one.parent.terminate()
    code, logged = one.end()

    assert status.CRASHED == code
    assert any("killed by SIGKILL while stopping" in line["message"] for line in logged)
    assert not any(is_running(pid) for what, _, pid in one.notes if what == "runs")


def test_nobody_outlives_a_killed_parent(family: Callable[..., Family]) -> None:
    """Also when one was started after the others; the last one clears up."""
    one = family()
    one.started()
    os.kill(one.pids("1")[0], signal.SIGKILL)
    one.until(lambda: len(one.pids("1")) == 2)
    pids = [one.pids("1")[1], *one.pids("2"), *one.pids("web")]
    assert all(is_running(pid) for pid in pids)
    one.parent.kill()
    wait_for(lambda: not any(is_running(pid) for pid in pids))
    one.end()

    assert 1 == len([what for what, _, _ in one.notes if what == "orphaned"])


def test_the_parent_ends_when_its_standard_input_closes(family: Callable[..., Family]) -> None:
    """If it is told to watch it, as by a demonstration that was killed."""
    one = family("", "--with-parent")
    one.started()
    pids = [pid for what, _, pid in one.notes if what == "runs"]
    assert one.parent.stdin is not None
    one.parent.stdin.close()
    one.parent.stdin = None
    wait_for(lambda: not any(is_running(pid) for pid in pids))

    assert 3 == len(pids)
    assert 0 == one.parent.wait(10)


def test_a_parent_with_threads_refuses_to_fork(family: Callable[..., Family]) -> None:
    """A lock that a thread holds would stay locked in every child."""
    one = family("import threading\nthreading.Thread(target=wait, daemon=True).start()\n")
    _, err = one.parent.communicate(timeout=20)

    assert '"error":"RuntimeError"' in err
    assert "pipeline/processes.py" in err


def test_pauses_double_and_end_with_too_many_crashes() -> None:
    """1, 2, 4, 8 and 16 s, then no more."""
    crashes = Crashes()
    pauses = [crashes.pause(100.0 + n) for n in range(CRASHES + 1)]

    assert [1.0, 2.0, 4.0, 8.0, 16.0, None] == pauses


def test_crashes_of_long_ago_count_no_more() -> None:
    """One crash every few minutes is borne for ever."""
    crashes = Crashes()
    pauses = {crashes.pause(n * (CRASH_SECONDS / 2 + 1)) for n in range(100)}

    assert {1.0, 2.0} == pauses


def test_what_a_process_says_is_read_by_others() -> None:
    """Through shared memory, with the age of what was said, and nothing of one that has ended."""
    board = Board(2)
    for number in (1, 2):
        board.start(number)
        board.run(number, 1000 + number)
    child = os.fork()
    if child == 0:
        board.say(2, Vitals(partitions=3, unconfirmed_seconds=5.0))
        os._exit(0)
    os.waitpid(child, 0)
    before = board.vitals()
    board.run(1, 0)
    after = board.vitals()

    assert (3, 1002) == (before[2].partitions, before[2].pid)
    assert 5.0 <= before[2].unconfirmed_seconds < 15.0
    assert 0.0 <= before[2].silent_seconds < 10.0
    assert {1: 1001, 2: 1002} == {number: vitals.pid for number, vitals in before.items()}
    assert Vitals() == after[1]
    assert {2: 1002} == board.pids()


def test_a_replaced_process_has_yet_to_speak_for_itself() -> None:
    """It inherits neither the partitions nor the overdue batch of the one before."""
    board = Board(1)
    board.start(1)
    board.say(1, Vitals(partitions=3, unconfirmed_seconds=500.0))
    board.start(1)
    board.run(1, 7)

    assert (0, 0.0, 7) == (
        board.vitals()[1].partitions,
        board.vitals()[1].unconfirmed_seconds,
        board.vitals()[1].pid,
    )


def test_metrics_are_shared_only_if_that_is_said_in_time() -> None:
    """prometheus-client decides when it is imported; and the module that tells it does not import it."""
    script = "import sys, pipeline.cli, pipeline.processes as p; p.share_metrics(); {}; p.share_metrics()"
    late = subprocess.run(
        [sys.executable, "-c", script.format("import prometheus_client")],
        capture_output=True,
        text=True,
        check=False,
    )
    twice = subprocess.run(
        [sys.executable, "-c", script.format("pass")], capture_output=True, text=True, check=False
    )

    assert "RuntimeError: too late" in late.stderr
    assert (0, "") == (twice.returncode, twice.stderr)
