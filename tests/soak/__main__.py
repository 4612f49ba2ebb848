"""Run the soak: `python -m tests.soak --minutes 60`.

One worker under a supervisor, behind a proxy, on Apache Kafka. Messages come at a steady rate, each with an
id of its own; faults come in turn. At the end every escalation has to be there that the same line makes
offline, under one id and with the same bytes, and neither memory, open files nor threads may have grown.
"""

import argparse
import logging
import signal
import sys
import tempfile
import threading
import time
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from typing import Final

import msgspec
from confluent_kafka import Consumer, Producer

from pipeline.line import line
from pipeline.options import cache_folder
from schemas import Event
from tests.bench.corpus import corpus, escalations
from tests.bench.machine import resident_bytes
from tests.e2e.brokers import Broker, KafkaCluster, kafka_missing
from tests.e2e.proxy import Proxy
from tests.e2e.workers import Site, free_port
from tests.soak.report import Fault, Outcome, Sample, markdown, plot

log: Final = logging.getLogger(__name__)

OUT: Final = Path(__file__).parents[2] / "build" / "soak"
_MESSAGES: Final = 20_000
"""Different ones; sent over and over, each time under other ids."""
_SAMPLE_SECONDS: Final = 5.0
_QUIET_SECONDS: Final = 60.0
"""Without faults, at the beginning and between two of them."""
_CATCH_UP_SECONDS: Final = 300.0
_SEEN_SECONDS: Final = 2.0
"""A worker tells its lag once a second: what it tells sooner may be from before the fault."""


class Load(threading.Thread):
    """A producer that keeps its schedule whatever happens."""

    def __init__(self, servers: str, topic: str, rate: int) -> None:
        super().__init__(daemon=True)
        self._producer = Producer(
            {
                "bootstrap.servers": servers,
                "linger.ms": 10,
                "queue.buffering.max.messages": 2_000_000,
                "message.timeout.ms": 600_000,
                "enable.idempotence": True,
                "log_level": 0,
            }
        )
        self._topic = topic
        self._rate = rate
        self._events = [
            msgspec.json.decode(record, type=Event) for record in corpus(_MESSAGES).records
        ]
        self._ending = threading.Event()
        self.sent = 0

    def run(self) -> None:
        began = time.monotonic()
        encode = msgspec.json.Encoder().encode
        while not self._ending.is_set():
            due = int((time.monotonic() - began) * self._rate)
            while self.sent < due:
                number = self.sent
                event = msgspec.structs.replace(
                    self._events[number % _MESSAGES],
                    id=f"{number}",
                    occurred_at=datetime.now(UTC),
                    conversation=None,
                    space=None,
                )
                self._producer.produce(self._topic, encode(event), b"%d" % number)
                self.sent += 1
            self._producer.poll(0)
            time.sleep(0.01)

    def end(self) -> None:
        """Stop, and return when the broker has everything."""
        self._ending.set()
        self.join()
        if left := self._producer.flush(120):
            raise RuntimeError(f"{left} messages were not taken by the broker")


class Collector(threading.Thread):
    """A reader of the escalations of events, which notes how long each took."""

    def __init__(self, servers: str, topic: str) -> None:
        super().__init__(daemon=True)
        self._consumer = Consumer(
            {
                "bootstrap.servers": servers,
                "group.id": "soak",
                "auto.offset.reset": "earliest",
                "log_level": 0,
            }
        )
        self._consumer.subscribe([topic])
        self._ending = threading.Event()
        self.bodies: dict[bytes, int] = {}
        """By id, a hash of the bytes."""
        self.repeated = 0
        self.different = 0
        self.delays: list[float] = []

    def run(self) -> None:
        while not self._ending.is_set():
            for message in self._consumer.consume(500, timeout=0.5):
                value = message.value()
                if message.error() or b'"behaviour":' in value:
                    continue
                body, key = hash(value), message.key()
                if key in self.bodies:
                    self.repeated += 1
                    self.different += self.bodies[key] != body
                    continue
                self.bodies[key] = body
                at = msgspec.json.decode(value, type=_At).event.occurred_at
                self.delays.append((datetime.now(UTC) - at).total_seconds())

    def end(self) -> None:
        """Stop."""
        self._ending.set()
        self.join()
        self._consumer.close()


class _When(msgspec.Struct):
    occurred_at: datetime


class _At(msgspec.Struct):
    event: _When


class Soak:
    """The worker, its supervisor, and what goes wrong."""

    def __init__(self, site: Site, cluster: KafkaCluster, proxy: Proxy) -> None:
        self._site = site
        self._cluster = cluster
        self._proxy = proxy
        self._worker = site.start()
        self.restarts = 0
        self.faults: list[Fault] = []

    def supervise(self) -> None:
        """Start the worker again if it ended."""
        if self._worker.poll() is not None:
            self.restarts += 1
            self._worker = self._site.start()

    def fault(self, at: float, number: int, rate: int) -> None:
        """Let the next thing go wrong, and wait until it is made good."""
        kinds = [
            ("kill -9", self._kill),
            ("SIGTERM", self._end),
            ("connections cut", lambda: log.info("%d cut", self._proxy.cut())),
            ("slow network", lambda: self._for_a_while("delay", 0.1, 0.0, 10)),
            ("broker stands still", self._hang),
            ("worker stands still", self._stop),
        ]
        name, happen = kinds[number % len(kinds)]
        log.info("%.0f s: %s", at, name)
        happen()
        self.faults.append(Fault(at, name, self._recovery(rate)))

    def _recovery(self, rate: int) -> float | None:
        """Return after how many seconds the worker tells of less than a second's messages, twice in a row."""
        began = time.monotonic()
        caught_up: float | None = None
        while (took := time.monotonic() - began) < _CATCH_UP_SECONDS:
            self.supervise()
            lag = float("inf")
            with suppress(OSError, ValueError, KeyError):
                lag = self._site.metrics()["penjaga_consumer_lag_records"]
            if lag >= rate:
                caught_up = None
            elif caught_up is None:
                caught_up = took
            elif took - caught_up >= _SEEN_SECONDS:
                return caught_up
            time.sleep(0.2)
        return None

    def _end(self) -> None:
        self._worker.terminate()
        self._worker.wait()

    def _kill(self) -> None:
        self._worker.kill()
        self._worker.wait()

    def _for_a_while(self, name: str, value: float, then: float, seconds: float) -> None:
        setattr(self._proxy, name, value)
        time.sleep(seconds)
        setattr(self._proxy, name, then)

    def _hang(self) -> None:
        self._cluster.pause(1)
        time.sleep(8)
        self._cluster.resume(1)

    def _stop(self) -> None:
        self._worker.send_signal(signal.SIGSTOP)
        time.sleep(12)
        self._worker.send_signal(signal.SIGCONT)

    def sample(self, at: float, load: Load, collector: Collector) -> Sample | None:
        """Look at the worker; None while there is none to look at."""
        delays, collector.delays = collector.delays, []
        pid = self._worker.pid
        with suppress(OSError, ValueError, KeyError):
            lag = self._site.metrics()["penjaga_consumer_lag_records"]
            return Sample(
                at,
                resident_bytes(pid),
                len(list(Path(f"/proc/{pid}/fd").iterdir())),
                len(list(Path(f"/proc/{pid}/task").iterdir())),
                int(lag),
                median(delays) if delays else None,
                max(delays) if delays else None,
                load.sent,
            )
        return None


def main(arguments: list[str]) -> int:
    """Run it; return 1 if anything is missing, differs or grew."""
    parser = argparse.ArgumentParser(prog="python -m tests.soak", description=__doc__)
    parser.add_argument("--minutes", type=float, default=60.0)
    parser.add_argument("--rate", type=int, default=6_000, help="messages a second")
    asked = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    if remedy := kafka_missing():
        log.error("%s", remedy)
        return 2
    outcome = soak(asked.minutes * 60, asked.rate)
    OUT.mkdir(parents=True, exist_ok=True)
    (OUT / "soak.md").write_text(markdown(outcome), encoding="utf-8")
    plot(outcome, OUT / "soak.png")
    print(markdown(outcome))  # noqa: T201  # that is what it is for
    return 0 if outcome.is_well else 1


def soak(seconds: float, rate: int) -> Outcome:
    """Let a worker work for so long."""
    with Proxy(free_port()) as proxy, tempfile.TemporaryDirectory(prefix="penjaga-soak-") as folder:
        advertised = {"advertised.listeners": f"PLAINTEXT://127.0.0.1:{proxy.port}"}
        cluster = KafkaCluster(settings=advertised)
        # Before it starts: whoever asks whether it is up is sent here.
        proxy.upstream = cluster.bootstrap_servers
        with cluster:
            broker = Broker("kafka", f"127.0.0.1:{proxy.port}")
            with Site.make(broker, Path(folder), lambda name: f"soak-{name}") as site:
                return _run(site, cluster, proxy, seconds, rate)


def _run(site: Site, cluster: KafkaCluster, proxy: Proxy, seconds: float, rate: int) -> Outcome:
    servers = site.broker.bootstrap_servers
    load = Load(servers, site.source, rate)
    wanted = _wanted(site)
    collector = Collector(servers, site.escalations)
    running = Soak(site, cluster, proxy)
    collector.start()
    load.start()
    began = time.monotonic()
    samples: list[Sample] = []
    faults, due = 0, _QUIET_SECONDS
    while (at := time.monotonic() - began) < seconds:
        running.supervise()
        # The last fifth is left in peace: what has grown by then stays grown.
        if at >= due and at < 0.8 * seconds:
            running.fault(at, faults, rate)
            faults, due = faults + 1, time.monotonic() - began + _QUIET_SECONDS
        if sample := running.sample(at, load, collector):
            samples.append(sample)
        time.sleep(_SAMPLE_SECONDS)
    load.end()
    expected = sum(wanted[number % _MESSAGES] for number in range(load.sent))
    give_up = time.monotonic() + _CATCH_UP_SECONDS
    while len(collector.bodies) < expected and time.monotonic() < give_up:
        running.supervise()
        time.sleep(1)
    collector.end()
    return Outcome(
        seconds,
        rate,
        load.sent,
        expected,
        len(collector.bodies),
        collector.repeated,
        collector.different,
        running.restarts,
        tuple(running.faults),
        tuple(samples),
    )


def _wanted(site: Site) -> list[int]:
    """Return how many escalations each of the different messages makes."""
    built = line(site.settings, cache_folder())
    records = [
        msgspec.json.encode(
            msgspec.structs.replace(
                msgspec.json.decode(record, type=Event), conversation=None, space=None
            )
        )
        for record in corpus(_MESSAGES).records
    ]
    return escalations(built, site.source, records)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
