"""The embedded broker starts anywhere, ends with whoever started it, and says what it lacks."""

import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable

import pytest

from pipeline.embedded import EmbeddedBroker, EmbeddedBrokerError, embedded_broker

# Starts a broker as the demonstration does, says where it is, and waits to be killed.
PARENT = """
import time
from pipeline.embedded import embedded_broker
with embedded_broker() as bootstrap_servers:
    print(bootstrap_servers, flush=True)
    time.sleep(60)
"""


def answers(bootstrap_servers: str) -> bool:
    """Whether something listens there."""
    host, _, port = bootstrap_servers.partition(":")
    try:
        socket.create_connection((host, int(port)), timeout=1).close()
    except ConnectionError:  # Refused, or reset by a broker that is just ending.
        return False
    return True


def becomes_true(condition: Callable[[], bool]) -> bool:
    """Whether `condition` holds within five seconds."""
    deadline = time.monotonic() + 5
    while not (held := condition()) and time.monotonic() < deadline:
        time.sleep(0.05)
    return held


def test_a_broker_in_this_process_listens_only_while_entered() -> None:
    """It listens on loopback inside the `with` block and not after it."""
    with EmbeddedBroker() as broker:
        servers = broker.bootstrap_servers
        inside = answers(servers)

    assert servers.startswith("127.0.0.1:")
    assert inside
    assert becomes_true(lambda: not answers(servers))
    assert broker.bootstrap_servers == ""


def test_a_broker_in_its_own_process_ends_with_the_block() -> None:
    """`embedded_broker` leaves nothing behind, also when the block raises."""
    seen = []

    def fail_inside() -> None:
        with embedded_broker() as servers:
            seen.append((servers, answers(servers)))
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail_inside()

    ((servers, inside),) = seen
    assert inside
    assert not answers(servers)


def test_a_broker_ends_when_its_parent_is_killed() -> None:
    """`kill -9` gives the parent no chance to stop it; the closed pipe does."""
    with subprocess.Popen(
        [sys.executable, "-c", PARENT], stdout=subprocess.PIPE, text=True
    ) as parent:
        servers = parent.stdout.readline().strip()
        before = answers(servers)
        parent.kill()

    assert before
    assert becomes_true(lambda: not answers(servers))


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_quietly(number: signal.Signals) -> None:
    """SIGTERM and Ctrl-C are the ordinary ways to stop it: status 0, no traceback."""
    with subprocess.Popen(
        [sys.executable, "-m", "pipeline.embedded"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        process.stdout.readline()
        process.send_signal(number)
        status = process.wait(10)
        errors = process.stderr.read()

    assert (status, errors) == (0, "")


def test_the_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without confluent-kafka, the error says which extra brings it."""
    monkeypatch.setitem(sys.modules, "confluent_kafka", None)

    with pytest.raises(EmbeddedBrokerError, match=r"penjaga\[demo\]"):
        EmbeddedBroker().__enter__()


def test_a_broker_that_does_not_start_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """When its process ends without a word, the caller gets an error, not an empty address."""
    monkeypatch.setattr(sys, "executable", "/bin/false")

    with pytest.raises(EmbeddedBrokerError, match="exit status 1"), embedded_broker():
        pass
