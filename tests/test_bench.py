"""The benchmark's own arithmetic, and that its stages run, at tiny sizes."""

import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Final

import msgspec
import orjson
import pytest

from detectors.canary import CANARY
from tests.bench import report
from tests.bench.__main__ import BASELINE, SIZING, main
from tests.bench.compute import BASE, PHASES, Compute, Cost, PatternCost, compute
from tests.bench.corpus import Corpus, batches, corpus
from tests.bench.drains import Drain, Drains
from tests.bench.isolation import Isolation
from tests.bench.latency import percentile
from tests.bench.machine import cpu_seconds, machine, peak_resident_bytes, resident_bytes
from tests.bench.memory import Memory
from tests.bench.plot import plot
from tests.bench.results import Results, merged, ratios, read, regressions, write
from tests.bench.sizing import PLANNED_SHARE, RATES, USERS, busiest, size, sizing
from tests.bench.targets import targets
from tests.bench.terms import terms
from tests.bench.topics import PARTITIONS, ended

COST: Final = Cost(5.0, 2.0)
COMPUTE: Final = Compute(
    messages=500,
    runs=1,
    batch_records=500,
    shipped_patterns=500,
    unit=Cost(2.5, 1.0),
    screen=COST,
    phases=dict.fromkeys(PHASES, COST),
    flagged=0.03,
    patterns=(PatternCost(BASE, COST, 1.0, 0.1, 0.02), PatternCost(100_000, COST, 1.4, 9.0, 0.02)),
)


def drain(contender: str, rate_ratio: float, cpu_ratio: float) -> Drain:
    """Return a drain that is so much of the unit's rate and CPU."""
    return Drain(
        contender=contender,
        title=contender,
        messages=1000,
        messages_per_second=200_000 * rate_ratio,
        fastest=220_000 * rate_ratio,
        cpu_per_thousand=0.004 * cpu_ratio,
        peak_bytes=50_000_000,
        rate_ratio=rate_ratio,
        cpu_ratio=cpu_ratio,
    )


DRAINS: Final = Drains(
    5,
    4,
    (
        drain("aiokafka", 1, 1),
        drain("faust", 0.05, 25),
        drain("quix", 0.4, 3),
        drain("penjaga", 0.5, 4),
    ),
    190_000,
)


@pytest.fixture(scope="module")
def small() -> Corpus:
    """Return 1,000 messages."""
    return corpus(1_000)


@pytest.fixture(scope="module")
def results(small: Corpus) -> Results:
    """Return what a run of two stages would have measured."""
    return Results(machine(), small.shares, compute=COMPUTE, drains=DRAINS)


def test_the_corpus_consists_of_what_the_benchmark_says_it_does() -> None:
    """Of many messages 3 % are harmful, 12 % not ASCII, 8 % carry a link, in five languages."""
    shares = corpus(20_000).shares

    assert 0.03 == pytest.approx(shares.harmful, abs=0.005)
    assert 0.12 == pytest.approx(shares.non_ascii, abs=0.01)
    assert 0.08 == pytest.approx(shares.with_link, abs=0.012)
    assert {"ms", "id", "en", "zh", "ta"} == set(shares.languages)
    assert 1.0 == pytest.approx(sum(shares.languages.values()), abs=0.002)


def test_a_shorter_corpus_is_the_beginning_of_a_longer_one(small: Corpus) -> None:
    """So a slow contender's part is the same messages, and a run can be repeated."""
    assert small.records[:300] == corpus(300).records


def test_batches_leave_nothing_out(small: Corpus) -> None:
    """The last batch may be short."""
    found = batches(small.records, 300)

    assert [300, 300, 300, 100] == [len(batch) for batch in found]
    assert list(small.records) == [record for batch in found for record in batch]


def test_each_partition_ends_in_a_canary(small: Corpus) -> None:
    """What is escalated last says that everything before it is done; nothing else is changed."""
    records = ended(small.records)
    texts = [orjson.loads(record)["text"] for record in records]

    assert list(small.records[:-PARTITIONS]) == records[:-PARTITIONS]
    assert [CANARY] * PARTITIONS == texts[-PARTITIONS:]


def test_terms_are_as_many_as_asked_for_and_the_same_again() -> None:
    """Each is its own, and the ten that the corpus has are always among them."""
    found = terms(1_000)

    assert 1_000 == len(set(found))
    assert found == terms(1_000)
    assert terms(10) == found[:10]


def test_every_phase_takes_time(small: Corpus) -> None:
    """The stage runs, and screening costs more than the decoding that it contains."""
    measured = compute(small, runs=1, counts=(10, BASE))

    assert set(PHASES) == set(measured.phases)
    assert measured.screen.microseconds > measured.phases["decode"].microseconds > 0
    assert 1.0 == measured.unit.ratio
    assert 0.01 < measured.flagged < 0.1
    assert [10, BASE] == [cost.patterns for cost in measured.patterns]
    assert all(cost.hits > 0 for cost in measured.patterns)


@pytest.mark.parametrize(
    ("values", "share", "expected"),
    [(1000, 50, 500), (1000, 99.9, 999), (1000, 100, 1000), (1000, 0.01, 1), (7, 50, 4)],
)
def test_a_percentile_is_the_value_that_so_many_do_not_exceed(
    values: int, share: float, expected: int
) -> None:
    """It is one of the values, none in between; where the share falls between two, the higher."""
    assert expected == percentile(range(1, values + 1), share)


def test_what_is_as_it_was_is_no_regression(results: Results) -> None:
    """Every ratio of a run is compared with itself, and there are some."""
    assert [] == regressions(results, results)
    assert {
        "screen : orjson.loads",
        "CPU of penjaga : aiokafka",
        "messages/s of penjaga : quix",
    } < set(ratios(results))


def test_a_ratio_that_got_worse_is_told(results: Results) -> None:
    """A higher cost is worse, a lower rate is worse, and the peers' figures are not ours."""
    slower = msgspec.structs.replace(
        DRAINS,
        drains=(
            drain("aiokafka", 1, 1),
            drain("faust", 0.05, 50),
            drain("quix", 0.4, 6),
            drain("penjaga", 0.2, 8),
        ),
    )
    found = regressions(msgspec.structs.replace(results, drains=slower), results)

    assert [
        "CPU of penjaga : aiokafka",
        "messages/s of penjaga : faust",
        "messages/s of penjaga : quix",
    ] == [one.ratio.name for one in found]
    assert [1.0, 1.5, 1.5] == pytest.approx([one.ratio.worse_by(one.before) for one in found])


def test_what_got_better_or_was_not_measured_is_no_regression(results: Results) -> None:
    """Half the cost is no news, and a run without drains says nothing about them."""
    better = msgspec.structs.replace(COMPUTE, screen=Cost(2.5, 1.0))
    now = msgspec.structs.replace(results, compute=better, drains=None)

    assert [] == regressions(now, results)


def test_a_run_of_some_stages_renews_only_those(results: Results) -> None:
    """The others stay in the baseline as they were."""
    now = Results(results.machine, results.corpus, compute=COMPUTE)

    assert DRAINS == merged(now, results).drains
    assert now == merged(now, None)


def test_a_baseline_is_of_one_machine(results: Results) -> None:
    """Stages measured on different machines are not put side by side."""
    elsewhere = msgspec.structs.replace(results.machine, cores=results.machine.cores + 62)
    now = Results(elsewhere, results.corpus, compute=COMPUTE)

    with pytest.raises(ValueError, match="run every stage"):
        merged(now, results)


def test_results_are_read_as_they_were_written(results: Results, tmp_path: Path) -> None:
    """A baseline that is not there yet is none."""
    write(tmp_path / "results.json", results)

    assert results == read(tmp_path / "results.json")
    assert read(tmp_path / "nothing.json") is None


def test_targets_are_judged_by_the_figures(results: Results) -> None:
    """Each promise that was measured is there, and is met or not."""
    judged = {target.promise: target.is_met for target in targets(results)}

    assert judged["screen: at most 6 µs per message"]
    assert judged["at least 7 × the messages/s of a Faust agent that only decodes"]
    assert 6 == len(judged)
    worse = msgspec.structs.replace(COMPUTE, screen=Cost(6.5, 3.0))
    assert not targets(Results(results.machine, results.corpus, compute=worse))[0].is_met


def test_the_report_shows_every_figure_in_a_table(results: Results) -> None:
    """Each row of a table has as many cells as its head, and each contender has a row."""
    text = report.markdown(results)
    widths = [
        {line.count("|") for line in block.splitlines()}
        for block in text.split("\n\n")
        if block.startswith("|")
    ]

    assert 5 == len(widths)
    assert all(len(width) == 1 for width in widths)
    assert "| penjaga | 1,000 | 100,000 | 0.50 | 16.00 | 4.00 | 50 |" in text
    assert "fetch, produce, Faust and the rest" in text


def test_the_report_says_whether_the_others_were_harmed(results: Results) -> None:
    """By each detector that breaks."""
    rows = tuple(
        Isolation(name, "Sleep for an hour", same, 1_095, 1.25, 0.06, 1.05)
        for name, same in (("hangs", True), ("crashes", False))
    )
    text = report.markdown(msgspec.structs.replace(results, isolation=rows))

    assert "| `hangs`: sleep for an hour | 1,095 | yes | 1,250 | 60 | 1.05 |" in text
    assert "| `crashes`: sleep for an hour | 1,095 | **no** | 1,250 | 60 | 1.05 |" in text


def test_the_plot_is_a_picture(results: Results, tmp_path: Path) -> None:
    """It is drawn from whatever stages there are, and not at all from none."""
    pytest.importorskip("matplotlib", reason="the extra `bench` brings matplotlib")
    plot(results, tmp_path / "results.png")
    plot(Results(results.machine, results.corpus), tmp_path / "nothing.png")

    assert (tmp_path / "results.png").read_bytes().startswith(b"\x89PNG")
    assert not (tmp_path / "nothing.png").exists()


def test_memory_that_grows_is_seen() -> None:
    """Growth is from the second fifth on; what is loaded before is not held against a worker."""
    loading = [(n, 50) for n in range(4)]
    flat = Memory(20, (*loading, *((n, 100) for n in range(4, 20))), 100)
    growing = Memory(20, (*loading, *((n, 100 + n) for n in range(4, 20))), 120)

    assert 0 == flat.growth
    assert growing.growth == pytest.approx(117.5 / 105.5 - 1)


def test_what_a_child_uses_counts_for_its_parent() -> None:
    """CPU time and memory are those of a process and its descendants."""
    program = """
import time
held = bytearray(b"x") * 64_000_000
while time.process_time() < 0.3:
    pass
time.sleep(60)
"""
    cpu, held = cpu_seconds(os.getpid()), resident_bytes(os.getpid())
    with subprocess.Popen([sys.executable, "-c", program]) as child:
        give_up = time.monotonic() + 30
        while cpu_seconds(child.pid) < 0.2 and time.monotonic() < give_up:
            time.sleep(0.01)
        used = cpu_seconds(os.getpid()) - cpu
        grown = resident_bytes(os.getpid()) - held
        child.kill()

    assert used >= 0.19
    assert grown > 60_000_000
    assert peak_resident_bytes(os.getpid()) > 0


def test_a_stage_that_does_not_exist_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    """The message names what there is."""
    with pytest.raises(SystemExit):
        main(["--only", "nonsense"])

    assert "no nonsense; expected of compute, drains" in capsys.readouterr().err


@pytest.mark.parametrize("rate", RATES)
def test_a_size_has_room_and_a_partition_for_each_process(rate: int) -> None:
    """Planned is a part of what a process can, two at least, in partitions that are shared evenly."""
    one = size(rate, 14_000, 200, 400)

    assert one.processes * 14_000 * PLANNED_SHARE >= rate
    assert (one.processes - 1) * 14_000 * PLANNED_SHARE < rate or one.processes == 2
    assert 0 <= one.partitions - one.processes < 12
    assert 0 == one.partitions % 12
    assert (one.processes * 200, rate * 400) == (one.memory_bytes, one.read_bytes)


def test_users_send_at_their_busiest_time_what_the_page_assumes() -> None:
    """50 messages a day are 0.58 a thousand seconds and user, three times that at the peak, rounded up."""
    assert [14_000, 1_800_000] == [busiest(users) for users in USERS]


def test_the_sizing_that_is_kept_is_that_of_the_baseline() -> None:
    """Nobody wrote a figure into it by hand."""
    baseline = read(BASELINE)
    assert baseline

    assert sizing(baseline) == SIZING.read_text(encoding="utf-8")


def test_memory_is_sized_by_the_longest_run() -> None:
    """A worker that drained millions holds more than one that drained a backlog of the comparison."""
    baseline = read(BASELINE)
    assert baseline
    assert baseline.memory
    longer = msgspec.structs.replace(baseline.memory, peak_bytes=777_000_000)

    assert "777 MB of memory" in sizing(msgspec.structs.replace(baseline, memory=longer))
    assert "777 MB" not in sizing(msgspec.structs.replace(baseline, memory=None))
