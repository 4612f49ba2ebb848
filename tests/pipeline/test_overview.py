"""The overview: what each state of the metrics is said to be, in words."""

import math

import pytest
from prometheus_client import CollectorRegistry, Counter

from pipeline.metrics import Metrics
from pipeline.overview import COUNTED, Overview, Sample, overview
from pipeline.processes import Vitals
from pipeline.settings import Detectors, Settings

READ = "penjaga_events_received_total"
LAG = "penjaga_consumer_lag_records"
FINE = {1: Vitals(partitions=3, pid=7)}
Values = dict[str, list[tuple[dict[str, str], float]]]


def sample(at: float, received: float = 0.0, **values: object) -> Sample:
    """Return a sample with so many records read, and what else it says."""
    named: Values = {READ: [({"source": "events"}, received)]}
    return Sample(at, named | values)


def seen(
    now: Sample, before: Sample | None = None, processes: dict[int, Vitals] | None = None
) -> Overview:
    """Look at one sample, five minutes after an empty one unless told otherwise."""
    earlier = before or sample(now.at - 300)
    return overview([earlier], now, FINE if processes is None else processes, Settings())


def detector(name: str = "scams", **more: object) -> Values:
    """Return what the metrics say where one detector is installed."""
    info = {"penjaga_detector_info": [({"detector": name, "version": "1"}, 1.0)]}
    return info | more


def test_it_asks_for_metrics_that_exist() -> None:
    """A metric that is renamed would silently read as nought."""
    registry = CollectorRegistry()
    Metrics(registry)
    names = {
        f"{metric.name}{suffix}"
        for metric in registry.collect()
        for suffix in ("", "_total", "_bucket")
    }

    assert set() == COUNTED - names


def test_samples_keep_what_is_counted() -> None:
    """Every series of it, and nothing else."""
    registry = CollectorRegistry()
    counter = Counter("penjaga_events_received", "-", ["source"], registry=registry)
    counter.labels("a").inc(2)
    counter.labels("b").inc(3)
    Counter("other", "-", registry=registry).inc()

    kept = Sample.of(1.0, registry.collect())

    assert {READ} == set(kept.values)
    assert 5.0 == kept.total(READ)
    assert {"a": 2.0, "b": 3.0} == kept.by(READ, "source")


def test_a_worker_that_keeps_up_says_how_much() -> None:
    """Messages a second of the last ten, and what is in hand."""
    samples = [sample(100.0, 0), sample(390.0, 1000)]
    now = sample(400.0, 13_000, **{LAG: [({"source": "events"}, 12.0)]})

    told = overview(samples, now, FINE, Settings())

    assert ("ok", "Keeping up: 1,200 messages a second, 12 in hand") == (told.state, told.headline)
    assert (1200.0, 12, 300.0) == (told.per_second, told.waiting, told.watched_seconds)
    assert () == told.reasons


def test_a_worker_without_work_is_well() -> None:
    """A quiet topic is no fault."""
    told = seen(sample(400.0))

    assert ("ok", "Nothing to do: all read, 3 partitions watched") == (told.state, told.headline)


@pytest.mark.parametrize(
    ("waiting", "received", "state", "begins"),
    [
        (900, 30_000, "ok", "Keeping up: 100"),
        (2_000, 30_000, "warn", "Catching up: 2,000 messages waiting, 20 s of work"),
        (30_000, 30_000, "bad", "Falling behind: 30,000 messages waiting, 5 minutes of work"),
        (5, 0, "bad", "Standing still: 5 messages waiting, none confirmed"),
    ],
)
def test_what_waits_is_judged_by_the_work_it_is(
    waiting: int, received: int, state: str, begins: str
) -> None:
    """Ten seconds of work is in hand, a minute is behind."""
    told = seen(sample(400.0, received, **{LAG: [({"source": "events"}, float(waiting))]}))

    assert state == told.state
    assert told.headline.startswith(begins)


def test_nothing_is_wrong_while_memory_is_read_back() -> None:
    """However long it takes; there is an alert for too long."""
    now = sample(400.0, penjaga_table_recovering=[({}, 1.0)])
    told = seen(now, sample(0.0), {1: Vitals(pid=7)})

    assert ("warn", "Reading memory back: partitions changed hands") == (told.state, told.headline)


@pytest.mark.parametrize(
    ("processes", "up_seconds", "state", "begins"),
    [
        ({1: Vitals(pid=7)}, 5.0, "warn", "Starting"),
        ({1: Vitals(pid=7)}, 90.0, "bad", "Nothing to read"),
        ({1: Vitals(partitions=1, pid=7), 2: Vitals()}, 5.0, "warn", "Process 2 does not answer"),
        ({1: Vitals(partitions=1, pid=7), 2: Vitals()}, 90.0, "bad", "Process 2 does not answer"),
        (
            {1: Vitals(partitions=1, pid=7, silent_seconds=31)},
            5.0,
            "bad",
            "Process 1 does not answer",
        ),
    ],
)
def test_processes_are_given_time_to_start(
    processes: dict[int, Vitals], up_seconds: float, state: str, begins: str
) -> None:
    """But one that falls silent is not."""
    told = seen(sample(400.0), sample(400.0 - up_seconds), processes)

    assert state == told.state
    assert told.headline.startswith(begins)


@pytest.mark.parametrize(
    ("values", "state", "begins"),
    [
        (
            {"penjaga_batch_unconfirmed_seconds": [({}, 31.0)]},
            "bad",
            "Delivery is stuck: the broker has confirmed nothing for 31 s",
        ),
        (
            {
                "penjaga_events_rejected_in_a_row": [({"source": "events"}, 500.0)],
                "penjaga_events_rejected_in_a_row_limit": [({}, 1000.0)],
            },
            "bad",
            "500 records in a row were rejected, 1,000 stop the worker",
        ),
        (
            {"penjaga_events_rejected_total": [({"reason": "not_json"}, 20.0)]},
            "warn",
            "2% of records were rejected",
        ),
        (
            detector(penjaga_detector_breaker_open=[({"detector": "scams"}, 1.0)]),
            "warn",
            "Detector scams keeps failing and is left alone",
        ),
        (
            detector(
                penjaga_findings_total=[({"detector": "scams", "label": "detector.failed"}, 1.0)]
            ),
            "warn",
            "Detector scams has failed of late",
        ),
        (
            detector(penjaga_detector_overruns_total=[({"detector": "scams"}, 1.0)]),
            "warn",
            "Detector scams has failed of late",
        ),
        (
            {"penjaga_feed_age_seconds": [({"feed": "bad"}, math.inf)]},
            "warn",
            "List bad is stale: last confirmed never",
        ),
        (
            {
                "penjaga_feed_age_seconds": [({"feed": "bad"}, 7300.0)],
                "penjaga_feed_interval_seconds": [({"feed": "bad"}, 60.0)],
            },
            "warn",
            "List bad is stale: last confirmed 2 hours ago",
        ),
    ],
)
def test_what_is_wrong_is_said(values: Values, state: str, begins: str) -> None:
    """Each with what to make of it, and the worst first."""
    told = seen(sample(400.0, 1000, **values))
    worse = seen(sample(400.0, 1000, **values), processes={1: Vitals()})

    assert state == told.state
    assert told.headline.startswith(begins)
    assert "bad" == worse.reasons[0].state
    assert told.headline in {reason.words for reason in worse.reasons}


def test_a_detector_that_failed_long_ago_is_fine() -> None:
    """What counts is what was added since the oldest sample; isolated ones are marked."""
    failed = {"penjaga_findings_total": [({"detector": "scams", "label": "detector.failed"}, 4.0)]}
    settings = Settings(detectors=Detectors(isolated=("scams",)))

    told = overview([sample(100.0, **failed)], sample(400.0, **detector(**failed)), FINE, settings)

    (row,) = told.detectors
    assert ("fine", True, 0, 4) == (row.state, row.is_isolated, row.findings, row.failures)


def test_labels_have_a_trend_the_busy_ones_first() -> None:
    """From each sample to the next; labels that were never seen are left out."""

    def verdicts(scams: float, bets: float) -> Values:
        name = "penjaga_verdicts_total"
        labels = (("fraud.scam", scams), ("gambling.promotion", bets), ("csea.grooming", 0.0))
        return {name: [({"label": label, "action": "review"}, n) for label, n in labels]}

    samples = [sample(90.0 + n, **verdicts(n, 50.0 + n * n)) for n in range(4)]

    told = overview(samples, sample(95.0, **verdicts(4.0, 70.0)), FINE, Settings())

    assert [("gambling.promotion", 20, 70, (1, 3, 5)), ("fraud.scam", 4, 4, (1, 1, 1))] == [
        (row.label, row.recent, row.total, row.series) for row in told.labels
    ]


def test_delays_are_those_since_the_oldest_sample() -> None:
    """The bound of the bucket where half, and 99 of 100, lie below; beyond the last, that one."""

    def buckets(*counts: float) -> Values:
        bounds = ("0.1", "1.0", "+Inf")
        name = "penjaga_escalation_delay_seconds_bucket"
        return {name: [({"le": le}, n) for le, n in zip(bounds, counts, strict=True)]}

    told = seen(sample(400.0, **buckets(160, 190, 200)), sample(100.0, **buckets(100, 100, 100)))
    slow = seen(sample(400.0, **buckets(0, 0, 5)))
    none = seen(sample(400.0, **buckets(9, 9, 9)), sample(100.0, **buckets(9, 9, 9)))

    assert (0.1, 1.0) == (told.delay_p50, told.delay_p99)
    assert 1.0 == slow.delay_p50
    assert (None, None) == (none.delay_p50, none.delay_p99)
