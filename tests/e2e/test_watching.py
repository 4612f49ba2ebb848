"""What those on call see: each alert fired once by its fault, and each panel of a dashboard with its data.

Apache Kafka, workers, Prometheus and Alertmanager are real; in the rules, a minute is a second. Not fired
here: PenjagaConservationBroken, which takes a bug, PenjagaEscalationsUnusual, which takes a day of history,
and PenjagaRecoverySlow, which takes more than a worker of a test remembers. Their tests are in
deploy/prometheus/tests.
"""

import asyncio
import itertools
import math
import os
import shutil
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import msgspec
import pytest
import regex
from confluent_kafka import Producer

from pipeline.traffic import to_bytes, traffic
from tests.deploy.monitoring import alerts, dashboards, queries, sections
from tests.e2e.brokers import Broker, KafkaCluster
from tests.e2e.watching import HASTE, Watch, until
from tests.e2e.workers import CANARY, Site, clean_environment, event, expire, metrics_at, plugin

FAULTY: Final = '''
"""A detector that does what an event tells it to."""

import time

from prometheus_client import REGISTRY

from detectors.contract import Pattern
from schemas import Finding


def miscount():
    received = REGISTRY._names_to_collectors["penjaga_events_received_total"]
    next(iter(received._metrics.values())).inc()


class Faulty:
    """Find nothing, slowly or not at all, or something in everything.

    Misses: everything.
    """

    name = "faulty"
    version = "1"
    labels = frozenset({"custom.fault"})
    patterns = (Pattern("fault", r"penjaga-fault-(?P<kind>raise|sleep|flood|miscount)"),)

    def scan(self, candidates):
        for candidate in candidates:
            if candidate.matches[0].groups["kind"] == "raise":
                raise RuntimeError
            if candidate.matches[0].groups["kind"] == "sleep":
                time.sleep(0.005)
                continue
            if candidate.matches[0].groups["kind"] == "miscount":
                miscount()
                continue
            yield candidate, Finding(
                detector=self.name, version=self.version, label="custom.fault", score=0.9,
                start=0, end=1, reason="it was told to",
            )
'''
SLOW: Final = f"PENJAGA-FAULT-SLEEP {CANARY}"
FLOOD: Final = "PENJAGA-FAULT-FLOOD"
BROKEN: Final = "PENJAGA-FAULT-RAISE"
MISCOUNTED: Final = "PENJAGA-FAULT-MISCOUNT"
HEALTHY, TROUBLED, SLOWED = (f"penjaga-{how}" for how in ("healthy", "troubled", "slowed"))
_SELECTED: Final = '[detectors]\nonly = ["canary", "faulty", "listed_links"]\n'
_NARROW: Final = '[quotas."custom.*"]\nescalations_a_minute = 10\n'
# Small batches: while one is screened, no page is served.
_SMALL: Final = "[screening]\nbatch_records = 50\n"


def feed(folder: Path, interval: int) -> str:
    """Return a list of bad links, and write it."""
    (folder / "bad.txt").write_text("bad.example.com\n")
    return (
        f'[feeds.listed]\nurl = "{(folder / "bad.txt").as_uri()}"\nlabel = "fraud.phishing"\n'
        f"interval_seconds = {interval}\n"
    )


class Scene:
    """Three workers under watch, what is sent to them, and when a fault of each began."""

    def __init__(self, kafka: Broker, folder: Path, unique: Callable[[str], str]) -> None:
        self._producer = Producer({"bootstrap.servers": kafka.bootstrap_servers, "linger.ms": 5})
        self._servers = kafka.bootstrap_servers
        self._folder = folder
        self._stopping = threading.Event()
        self.is_faulty = False
        self.canaries = 1
        """Of the 41 records that the healthy worker gets at once, and more beyond it."""
        self.began: dict[tuple[str, str], float] = {}
        self.seconds: dict[tuple[str, str], float] = {}
        extras = {
            HEALTHY: "",
            TROUBLED: _SELECTED,
            SLOWED: _SELECTED + _SMALL + _NARROW,
        }
        self.sites = {}
        for job, extra in extras.items():
            (folder / job).mkdir()
            listed = feed(folder / job, 60 if job == TROUBLED else 3600)
            self.sites[job] = Site.make(
                kafka,
                folder / job,
                lambda name, job=job: unique(f"{job}-{name}"),
                f'{extra}{listed}[sources."SOURCE"]',
            )
        self._with_faulty = plugin(folder / "packages", "faulty", FAULTY)

    def environment(self, job: str) -> dict[str, str]:
        """Return what a worker needs beside its configuration."""
        lists = {"PENJAGA_FEEDS_DIR": str(self._folder / job / "lists")}
        return lists if job == HEALTHY else lists | self._with_faulty

    def sync(self, job: str) -> None:
        """Fetch the lists of a worker once."""
        subprocess.run(
            [sys.executable, "-m", "pipeline", "feeds", "sync", "--config", self.sites[job].config],
            env=clean_environment() | self.environment(job),
            stdout=subprocess.DEVNULL,
            check=True,
        )

    def start(self, job: str) -> subprocess.Popen[bytes]:
        """Start a worker."""
        return self.sites[job].start(self.environment(job))

    def answers(self, job: str, path: str = "/health/ready") -> bool:
        """Say whether a worker reads, or with another path whether it says yes to that."""
        try:
            with urllib.request.urlopen(
                f"http://127.0.0.1:{self.sites[job].port}{path}", timeout=2
            ):
                return True
        except (OSError, urllib.error.HTTPError):
            return False

    def kill(self, job: str) -> None:
        """Take a worker's power away."""
        worker = self.sites[job].processes[-1]
        worker.kill()
        worker.wait()

    def remember(self, job: str, subjects: int) -> None:
        """Let a worker that does not run have so much to read back when it starts."""
        site = self.sites[job]
        shutil.rmtree(site.folder / "memory", ignore_errors=True)
        for number in range(subjects):
            self._producer.produce(site.memory, b"{}", b"conversation/test/%d" % number)
            if number % 10_000 == 0:
                self._producer.flush(60)
        self._producer.flush(60)

    def is_recovering(self, job: str) -> bool:
        """Say whether a worker reads its memory back at this moment."""
        try:
            return metrics_at(self.sites[job].port)["penjaga_table_recovering"] == 1
        except (OSError, KeyError):
            return False

    def expire(self, job: str) -> None:
        """Delete all that a worker's source holds, as retention would."""
        asyncio.run(expire(self._servers, self.sites[job].source, -1))

    def send(self, job: str, *values: bytes) -> None:
        """Send records to a worker's source."""
        for number, value in enumerate(values):
            self._producer.produce(self.sites[job].source, value, b"%d" % number)
        self._producer.flush(30)

    def keep_sending(self) -> None:
        """Send the demo's traffic to the healthy worker, and to the troubled one what troubles it."""
        source = traffic(5, start=datetime.now(UTC))
        while not self._stopping.is_set():
            now = datetime.now(UTC)
            events = [next(source).event for _ in range(40)]
            records = [to_bytes(msgspec.structs.replace(e, occurred_at=now)) for e in events]
            canary = event(0, CANARY).replace(b"2026-01-01T00:00:00Z", now.isoformat().encode())
            self.send(HEALTHY, *records, *itertools.repeat(canary, self.canaries))
            if self.is_faulty:
                self.send(
                    TROUBLED, *[event(n, "hello") for n in range(20)], event(0, BROKEN), b"not json"
                )
            time.sleep(0.2)

    def stop_sending(self) -> None:
        """End the traffic."""
        self._stopping.set()

    def begin(self, watch: Watch, job: str, *names: str) -> None:
        """Note that what has to fire these alerts begins now, and see that none is there before."""
        begun = {(name, job) for name in names}
        until(lambda: not begun & watch.alerts(), 30)
        self.began |= dict.fromkeys(begun, time.monotonic())

    def see(self, watch: Watch) -> None:
        """Wait until every alert has arrived whose fault has begun."""
        deadline = time.monotonic() + 60
        while missing := self.began.keys() - self.seconds.keys():
            for alert in missing & watch.alerts():
                self.seconds[alert] = time.monotonic() - self.began[alert]
            assert time.monotonic() < deadline, f"not at Alertmanager within 60 s: {missing}"
            time.sleep(0.1)


@pytest.fixture(scope="module")
def cluster(
    needs_kafka: None,  # noqa: ARG001  # they decide whether there is one
    needs_prometheus: None,  # noqa: ARG001
) -> Iterator[KafkaCluster]:
    """Apache Kafka for these tests alone: it will hang."""
    with KafkaCluster() as running:
        yield running


@pytest.fixture(scope="module")
def scene(cluster: KafkaCluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    """Three workers that are well, with traffic for one of them."""
    kafka = Broker("kafka", cluster.bootstrap_servers)
    made = Scene(kafka, tmp_path_factory.mktemp("watching"), lambda name: f"{name}-{os.getpid()}")
    with ExitStack() as running:
        for job, site in made.sites.items():
            running.enter_context(site)
            made.start(job)
        for job in (HEALTHY, TROUBLED, SLOWED):
            made.sync(job)
        until(lambda: all(map(made.answers, made.sites)), 60)
        made.send(TROUBLED, event(0, CANARY))
        sending = threading.Thread(target=made.keep_sending)
        sending.start()
        running.callback(sending.join)
        running.callback(made.stop_sending)
        yield made


@pytest.fixture(scope="module")
def watch(scene: Scene, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Watch]:
    """Prometheus and Alertmanager, watching all three."""
    jobs = {job: site.port for job, site in scene.sites.items()}
    usual = f'label:penjaga_escalations:ratio_rate30m{{job="{HEALTHY}",label="canary.seen"}}'
    with Watch(tmp_path_factory.mktemp("prometheus"), jobs, {usual: 1 / 41}) as watching:
        yield watching


def test_each_fault_of_a_worker_fires_its_alert(scene: Scene, watch: Watch) -> None:
    """Thirteen faults, each found at Alertmanager by the alert that is meant for it."""
    canary = f'penjaga_canary_last_seen_timestamp_seconds{{job="{TROUBLED}"}} > 0'
    until(lambda: watch.ask(canary) != [], 30)
    # What a counter had when it was first seen is no increase.
    until(lambda: len(watch.ask("up == 1")) == len(scene.sites), 30)
    scene.begin(watch, SLOWED, "PenjagaDetectorStopped", "PenjagaEscalationsHeldBack")
    scene.send(SLOWED, *itertools.repeat(event(0, FLOOD), 1200))
    scene.see(watch)
    scene.begin(
        watch, TROUBLED, "PenjagaDeadLetters", "PenjagaDetectorFailing", "PenjagaDetectorLeftAlone"
    )
    scene.begin(watch, TROUBLED, "PenjagaCanarySilent", "PenjagaFeedStale")
    scene.begin(watch, TROUBLED, "PenjagaConservationBroken")
    scene.send(TROUBLED, event(0, MISCOUNTED))
    scene.begin(watch, SLOWED, "PenjagaFallingBehind")
    scene.is_faulty = True
    scene.send(SLOWED, *itertools.repeat(event(0, SLOW), 4000))
    scene.see(watch)
    scene.begin(watch, SLOWED, "PenjagaWorkerDown", "PenjagaNoWorkerAssigned")
    scene.kill(SLOWED)
    scene.see(watch)
    scene.begin(watch, SLOWED, "PenjagaWorkerRestarting")
    for _ in range(3):
        scene.kill(SLOWED)
        scene.start(SLOWED)
        until(lambda: scene.answers(SLOWED, "/metrics"), 30)
        time.sleep(1.5)
    scene.kill(SLOWED)
    scene.begin(watch, SLOWED, "PenjagaRecordsExpired")
    scene.send(SLOWED, *[event(n, "hello") for n in range(40)])
    scene.expire(SLOWED)
    scene.start(SLOWED)
    until(lambda: scene.answers(SLOWED), 30)
    scene.send(SLOWED, *[event(n, "hello") for n in range(40)])
    scene.begin(watch, TROUBLED, "PenjagaDeadLetterStorm")
    scene.is_faulty = False
    scene.send(TROUBLED, *itertools.repeat(b"not json", 700))
    scene.see(watch)


def test_a_healthy_worker_fires_nothing(scene: Scene, watch: Watch) -> None:
    """With the demo's traffic all the while; so what fired beside it was not the machine."""
    assert scene.seconds
    assert set() == {name for name, job in watch.alerts() if job == HEALTHY}


@pytest.mark.parametrize("dashboard", dashboards(), ids=lambda dashboard: dashboard["uid"])
def test_each_panel_shows_data(scene: Scene, watch: Watch, dashboard: dict) -> None:
    """Every query, as Grafana would send it, about a healthy worker under the demo's traffic."""
    assert scene.answers(HEALTHY)
    told = {"$job": HEALTHY, "$__rate_interval": "10s", "$__range": "1m"}
    asked = {
        title: regex.sub("|".join(map(regex.escape, told)), lambda m: told[m[0]], query)
        for title, query in queries(dashboard).items()
    }
    empty = [
        title
        for title, query in asked.items()
        if not any(not math.isnan(value) for value in watch.ask(query))
    ]

    assert len(asked) >= 10
    assert [] == empty


def test_a_broker_that_hangs_fires_its_alerts(
    cluster: KafkaCluster, scene: Scene, watch: Watch
) -> None:
    """A batch in hand waits for its confirmation; others read nothing, or not what they remember."""
    scene.send(SLOWED, *itertools.repeat(event(0, SLOW), 1000))
    backlog = f'source:penjaga_consumer_lag_records:sum{{job="{SLOWED}"}} > 200'
    until(lambda: watch.ask(backlog) != [], 30)
    scene.begin(watch, SLOWED, "PenjagaDeliveryFailing")
    scene.begin(watch, HEALTHY, "PenjagaNothingRead")
    scene.begin(watch, TROUBLED, "PenjagaRecoverySlow")
    scene.kill(TROUBLED)
    scene.remember(TROUBLED, 300_000)
    scene.start(TROUBLED)
    until(lambda: scene.is_recovering(TROUBLED), 30)
    cluster.pause(1)
    try:
        scene.see(watch)
    finally:
        cluster.resume(1)


def test_more_escalations_than_in_a_week_fire_an_alert(scene: Scene, watch: Watch) -> None:
    """Four times as many of a label, on a worker that is well."""
    until(lambda: scene.answers(HEALTHY), 60)
    scene.begin(watch, HEALTHY, "PenjagaEscalationsUnusual")
    scene.canaries = 5
    scene.see(watch)


def test_no_alert_was_left_out(scene: Scene) -> None:
    """Each was fired above; the table is printed with `-s`."""
    lines = [
        f"{name:26} {job:18} {seconds:5.1f} s  {first_step(name)}"
        for (name, job), seconds in sorted(scene.seconds.items(), key=lambda item: item[1])
    ]
    print("", f"alert, worker, seconds ({HASTE} times as fast), first step", *lines, sep="\n")  # noqa: T201

    assert alerts().keys() == {name for name, _ in scene.seconds}


def first_step(name: str) -> str:
    """Return the runbook's first line for an alert."""
    return regex.search(r"^1\. (.+)$", sections()[name], regex.M)[1]
