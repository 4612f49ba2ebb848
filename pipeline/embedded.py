"""A Kafka broker without Kafka: librdkafka's built-in cluster, for demonstrations and quick tests.

It speaks the Kafka protocol on a loopback port, so that everything above it runs unchanged;
consumer groups, transactions and tables' changelogs work. Its limits, which are librdkafka's:

* There is no CreateTopics. A topic appears when it is first used, always with 4 partitions, so that
  Faust must run with `topic_allow_declare=False` and `topic_disable_leader=True`.
* A fetch that finds nothing is answered only when its time is up (1.5 s for Faust's consumer), where
  Apache Kafka answers as soon as there is something: delays measured on it say nothing.
* It keeps about 5 MB per partition, in memory, and silently drops the oldest beyond that.
* One broker, no replication, no authentication: nothing outlives it.

So it is never for backlogs, benchmarks or fault tests, and never for production.

`python -m pipeline.embedded` serves one until its standard input closes.
"""

import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final, Self

if TYPE_CHECKING:
    from confluent_kafka import Producer

PARTITIONS: Final = 4
"""How many partitions every topic of an embedded broker has."""

_START_SECONDS: Final = 10.0
# Stopping takes some 20 ms; a broker that does not stop holds nothing worth a longer wait.
_STOP_SECONDS: Final = 5.0


class EmbeddedBrokerError(RuntimeError):
    """The embedded broker cannot be had; the message says what to do."""


class EmbeddedBroker:
    """A broker inside this process, from `__enter__` to `__exit__`.

    It dies with the process: where workers are to be killed and started again around it, use
    `embedded_broker` instead.
    """

    def __init__(self) -> None:
        self._producer: Producer | None = None
        self._bootstrap_servers = ""

    @property
    def bootstrap_servers(self) -> str:
        """Where it listens, as `host:port`; empty unless it runs."""
        return self._bootstrap_servers

    def __enter__(self) -> Self:
        """Start it. Raises `EmbeddedBrokerError` where `confluent-kafka` is not installed."""
        try:
            # Here, because only the `demo` and `dev` extras bring it.
            from confluent_kafka import Producer  # noqa: PLC0415
        except ImportError as error:
            message = "the embedded broker needs confluent-kafka: pip install 'penjaga[demo]'"
            raise EmbeddedBrokerError(message) from error
        # The cluster lives exactly as long as this producer, which never sends anything. Level 3
        # hides the notice that a built-in cluster is in use.
        producer = Producer({"test.mock.num.brokers": 1, "log_level": 3})
        brokers = producer.list_topics(timeout=_START_SECONDS).brokers.values()
        self._bootstrap_servers = ",".join(f"{broker.host}:{broker.port}" for broker in brokers)
        self._producer = producer
        return self

    def __exit__(self, *_: object) -> None:
        """Stop it and forget everything it held."""
        self._bootstrap_servers = ""
        self._producer = None


@contextmanager
def embedded_broker() -> Iterator[str]:
    """Run a broker in a process of its own and yield its bootstrap servers.

    It survives workers that are killed, and it ends with this process however that ends: its
    standard input is a pipe from here. Raises `EmbeddedBrokerError` when it does not start.
    """
    command = [sys.executable, "-m", "pipeline.embedded"]
    # A session of its own: Ctrl-C reaches whoever runs this, which then stops the broker last.
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, start_new_session=True
    ) as process:
        try:
            bootstrap_servers = process.stdout.readline().strip() if process.stdout else ""
            if not bootstrap_servers:
                status = process.wait(_STOP_SECONDS)
                message = f"the embedded broker did not start: exit status {status}, see above"
                raise EmbeddedBrokerError(message)
            yield bootstrap_servers
        finally:
            process.terminate()
            try:
                process.wait(_STOP_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()


def _stop(*_: object) -> None:
    raise SystemExit(0)


def main() -> None:
    """Print the bootstrap servers as one line; serve until standard input closes or a signal."""
    signal.signal(signal.SIGTERM, _stop)
    signal.signal(signal.SIGINT, _stop)
    try:
        with EmbeddedBroker() as broker:
            sys.stdout.write(f"{broker.bootstrap_servers}\n")
            sys.stdout.flush()
            while sys.stdin.buffer.read(4096):
                pass
    except EmbeddedBrokerError as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
