"""The benchmark's stages on Apache Kafka, at tiny sizes: every contender does the same work."""

import importlib.util
import signal
import uuid
from threading import Timer

import msgspec
import pytest

from tests.bench import isolation, restart
from tests.bench.corpus import corpus
from tests.bench.drains import CONTENDERS, UNIT, WrongDrainError, drains
from tests.bench.latency import escalated, latency, paced
from tests.bench.memory import memory
from tests.bench.pacer import Schedule
from tests.bench.startup import startups
from tests.bench.subjects import remembering
from tests.bench.topics import PARTITIONS, ended
from tests.bench.worker import Outputs, Site, Worker
from tests.e2e.brokers import Broker, create_topic
from tests.pipeline.broken import Garbage, Sound


@pytest.fixture(scope="module")
def site(kafka: Broker, tmp_path_factory: pytest.TempPathFactory) -> Site:
    """Return a place to run in; its cache spares all but the first test the compiling."""
    site = Site(kafka.bootstrap_servers, tmp_path_factory.mktemp("bench"))
    site.cache.mkdir()
    return site


def test_every_contender_drains_the_same_backlog(site: Site) -> None:
    """Each reads every message once and comes to the texts or verdicts it should, or the stage fails."""
    has_quix = importlib.util.find_spec("quixstreams") is not None  # of the extra `bench`
    contenders = [c for c in CONTENDERS if has_quix or c.module != "quix_streams"]
    # Of fewer, the quickest worker uses less than the 10 ms that its processor time is told in.
    measured = drains(site, corpus(10_000).records, 1, contenders)

    assert [UNIT.name, *(contender.name for contender in contenders)] == [
        drain.contender for drain in measured.drains
    ]
    assert all(drain.messages_per_second > 0 for drain in measured.drains)
    assert all(drain.cpu_per_thousand > 0 for drain in measured.drains)
    assert all(drain.peak_bytes > 20_000_000 for drain in measured.drains)


def test_a_contender_that_does_less_is_found_out(site: Site) -> None:
    """Who only decodes where it ought to screen comes to no verdicts, so its time is no result."""
    idle = msgspec.structs.replace(CONTENDERS[0], work="screen")

    with pytest.raises(WrongDrainError, match="came to 0 verdicts"):
        drains(site, corpus(2_000).records, 1, [idle])


def test_latency_is_measured_on_every_escalation(site: Site) -> None:
    """What arrives is timed from when its message was due, and none of it before that."""
    measured = latency(site, corpus(2_000).records, rate=200, seconds=4)

    assert 1_400 == measured.messages
    assert 5 < measured.escalations < 100
    assert 0 < measured.median <= measured.percentile_99 <= measured.longest


def test_a_worker_that_falls_silent_is_waited_for(site: Site) -> None:
    """Stopped for seconds after the last message was sent, it still owes every escalation."""
    name = f"silent-{uuid.uuid4().hex[:8]}"
    create_topic(site.bootstrap_servers, name, partitions=PARTITIONS)
    worker = Worker(site, name, Outputs.create(site.bootstrap_servers, name), name)
    content = site.folder / f"{name}.jsonl"
    content.write_bytes(b"\n".join(ended(corpus(PARTITIONS).records)))
    schedule = Schedule(site.bootstrap_servers, name, str(content), rate=200, messages=200)
    with worker:
        worker.until_ready()
        worker.process.send_signal(signal.SIGSTOP)
        Timer(8.0, worker.process.send_signal, [signal.SIGCONT]).start()
        with paced(schedule) as pacer:
            numbers = [number for number, _, _ in escalated(worker, pacer)]

    assert list(range(200)) == sorted(numbers)


def test_a_cold_start_takes_longer_than_a_cached_one(site: Site) -> None:
    """A worker reads before it is ready, and finds its patterns compiled the second time."""
    measured = startups(site, 1)

    assert measured.cold.reading > measured.cached.reading > 0
    assert measured.cached.ready > measured.cached.reading


def test_memory_is_sampled_until_everything_is_drained(site: Site) -> None:
    """The last sample is of the end."""
    measured = memory(site, corpus(1_000).records, 3_000)

    assert 3_000 == measured.samples[-1][0]
    assert measured.peak_bytes >= max(held for _, held in measured.samples) > 50_000_000


def test_subjects_are_remembered_and_come_back(site: Site) -> None:
    """A rate, a disk that holds something, and a recovery after all of it was lost."""
    measured = remembering(site, 3_000)

    assert 3_000 == measured.subjects
    assert measured.signals_per_second > 0
    assert measured.cpu_per_thousand > 0
    assert measured.disk_bytes > 10_000
    assert measured.recovery_seconds > 0
    assert min(measured.peak_bytes, measured.recovery_peak_bytes) > 50_000_000


def test_a_detector_that_breaks_is_measured_beside_one_that_does_not(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The others' escalations are the same; one that loses some would be told."""
    monkeypatch.setattr(isolation, "BROKEN", (Sound, Garbage))
    monkeypatch.setattr(isolation, "FIRST_SECONDS", 2.0)
    monkeypatch.setattr(isolation, "ALONE_SECONDS", 5.0)
    sound, garbage = isolation.isolation(site, corpus(5_000).records)

    assert ("sound", 1.0) == (sound.detector, sound.alone_ratio)
    assert sound.same
    assert garbage.same
    assert sound.escalations == garbage.escalations > 100
    assert min(garbage.first_99th, garbage.alone_99th) > 0


def test_workers_are_replaced_and_nothing_is_missing(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At a rate that any machine takes."""
    monkeypatch.setattr(restart, "WORKERS", 2)
    monkeypatch.setattr(restart, "_BETWEEN_SECONDS", 1.0)
    measured = restart.restarted(site, corpus(2_000).records, rate=300, seconds=15.0)

    assert measured.expected == measured.found > 50
    assert (0, 0) == measured.statuses
    assert 0 < measured.median <= measured.longest
