"""Run the benchmark: `python -m tests.bench --help`."""

import logging
import sys
import tempfile
from argparse import ArgumentParser, ArgumentTypeError, Namespace
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, Final

from tests.bench import report
from tests.bench.compute import PATTERNS, QUICK_PATTERNS, compute
from tests.bench.corpus import corpus
from tests.bench.drains import CONTENDERS, drains
from tests.bench.isolation import isolation
from tests.bench.latency import RATES, latency
from tests.bench.machine import machine
from tests.bench.memory import memory
from tests.bench.plot import plot
from tests.bench.restart import restarted
from tests.bench.results import Results, merged, ratios, read, regressions, write
from tests.bench.sizing import sizing
from tests.bench.startup import startups
from tests.bench.subjects import remembering
from tests.bench.worker import Site
from tests.e2e.brokers import KafkaCluster, kafka_missing

log: Final = logging.getLogger(__name__)

HERE: Final = Path(__file__).parent
OUT: Final = HERE.parent.parent / "build" / "bench"
BASELINE: Final = HERE / "baseline.json"
SIZING: Final = HERE.parent.parent / "deploy" / "sizing.md"

STAGES: Final = (
    "compute",
    "drains",
    "latency",
    "startup",
    "memory",
    "subjects",
    "isolation",
    "restart",
)

# Enough that a round takes longer than the clock's jitter, few enough that the rounds are many.
_COMPUTE_MESSAGES: Final = 20_000
_QUICK_MESSAGES: Final = 5_000


def main(arguments: list[str]) -> int:
    """Run the stages that are asked for.

    Returns 1 if a ratio got worse than the baseline allows, and 2 if a stage failed: then the others are
    kept, but not as a baseline.
    """
    asked = _parser().parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    stages = ["compute"] if asked.quick else asked.only
    if stages != ["compute"] and (remedy := kafka_missing()):
        log.error("%s", remedy)
        return 2
    results = _run(asked, stages)
    OUT.mkdir(parents=True, exist_ok=True)
    _keep(results, OUT / "results.json", OUT / "results.md", OUT / "results.png")
    print(report.markdown(results))  # noqa: T201  # that is what it is for
    if failed := [stage for stage in stages if getattr(results, stage) is None]:
        log.error("failed: %s", ", ".join(failed))
        return 2
    baseline = read(BASELINE)
    if asked.write_baseline:
        complete = merged(results, baseline)
        _keep(complete, BASELINE, HERE / "results.md", HERE / "results.png")
        if complete.drains is not None:
            SIZING.write_text(sizing(complete), encoding="utf-8")
        return 0
    if baseline is None:
        log.info("there is no baseline yet: --write-baseline keeps this run as one")
        return 0
    found = regressions(results, baseline)
    compared = len(ratios(results).keys() & ratios(baseline).keys())
    print(report.compared(found, compared))  # noqa: T201
    return 1 if found else 0


def _run(asked: Namespace, stages: list[str]) -> Results:
    computed = corpus(_QUICK_MESSAGES if asked.quick else _COMPUTE_MESSAGES)
    content = computed if stages == ["compute"] else corpus(asked.messages)
    counts = QUICK_PATTERNS if asked.quick else PATTERNS
    found = {}
    if "compute" in stages:
        found["compute"] = _stage("compute", lambda: compute(computed, asked.runs, counts))
    on_kafka = _on_kafka(asked, content.records)
    if set(stages) & set(on_kafka):
        with _site() as site:
            for name, measure in on_kafka.items():
                if name in stages:
                    found[name] = _stage(name, partial(measure, site))
    return Results(machine(), content.shares, **found)


def _on_kafka(asked: Namespace, records: Sequence[bytes]) -> dict[str, Callable[[Site], Any]]:
    names = asked.contenders
    chosen = [one for one in CONTENDERS if names is None or one.name in names]
    return {
        "drains": lambda site: drains(site, records, asked.runs, chosen),
        "latency": lambda site: tuple(
            latency(site, records, rate, asked.seconds) for rate in RATES
        ),
        "startup": lambda site: startups(site, asked.runs),
        "memory": lambda site: memory(site, records, asked.memory_messages),
        "subjects": lambda site: remembering(site, asked.subjects),
        "isolation": lambda site: isolation(site, records),
        "restart": lambda site: restarted(site, records),
    }


def _stage(name: str, measure: Callable[[], Any]) -> Any:
    """Measure; return None when that fails, so that the other stages of a long run are not lost."""
    log.info("%s", name)
    try:
        return measure()
    except Exception:
        log.exception("%s failed", name)
        return None


@contextmanager
def _site() -> Iterator[Site]:
    with KafkaCluster() as cluster, tempfile.TemporaryDirectory(prefix="penjaga-bench-") as folder:
        site = Site(cluster.bootstrap_servers, Path(folder))
        site.cache.mkdir()
        yield site


def _keep(results: Results, data: Path, text: Path, picture: Path) -> None:
    write(data, results)
    text.write_text(report.markdown(results), encoding="utf-8")
    try:
        plot(results, picture)
    except ImportError:
        log.warning("no plot without matplotlib, which the extra `bench` installs")


def _parser() -> ArgumentParser:
    parser = ArgumentParser(prog="python -m tests.bench", description="Measure Penjaga.")
    parser.add_argument(
        "--only",
        type=_of(STAGES),
        default=list(STAGES),
        metavar="STAGE,...",
        help=f"of {', '.join(STAGES)}; default all",
    )
    parser.add_argument("--quick", action="store_true", help="the pure-compute part, made short")
    parser.add_argument(
        "--messages", type=int, default=300_000, help="in the backlog; the slow drain a fifth of it"
    )
    parser.add_argument("--runs", type=int, default=5, help="that medians are taken of")
    parser.add_argument(
        "--contenders",
        type=_of([contender.name for contender in CONTENDERS]),
        metavar="NAME,...",
        help=f"of {', '.join(c.name for c in CONTENDERS)}; default all",
    )
    parser.add_argument("--seconds", type=float, default=40.0, help="for each rate of `latency`")
    parser.add_argument("--memory-messages", type=int, default=2_000_000, help="for `memory`")
    parser.add_argument("--subjects", type=int, default=1_000_000, help="for `subjects`")
    parser.add_argument(
        "--write-baseline", action="store_true", help="keep what is measured as the new baseline"
    )
    return parser


def _of(known: Sequence[str]) -> Callable[[str], list[str]]:
    """Return what reads a list of names, separated by commas, of which each must be known."""

    def read_names(text: str) -> list[str]:
        names = text.split(",")
        if unknown := sorted(set(names) - set(known)):
            raise ArgumentTypeError(f"no {', '.join(unknown)}; expected of {', '.join(known)}")
        return names

    return read_names


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
