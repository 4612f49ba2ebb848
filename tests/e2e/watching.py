"""Prometheus and its Alertmanager on loopback, over rules whose minutes are seconds."""

import contextlib
import json
import shutil
import subprocess
import time
import urllib.parse
import urllib.request
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

import regex

from tests.deploy.monitoring import PROMETHEUS
from tests.e2e.workers import free_port

HASTE: Final = 60
"""How many times faster than in production a rule sees time pass."""

_SECONDS: Final = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}
_DURATION: Final = regex.compile(r"(?P<before>\[|for: |offset )(?P<count>\d+)(?P<unit>[smhdw])\b")
# Seconds that rules compare with, which no pattern tells from other numbers. A start takes as long as it
# takes, so three of them need more than their share.
_THRESHOLDS: Final = {
    "source:penjaga_catch_up_seconds:ratio > 60": "source:penjaga_catch_up_seconds:ratio > 1",
    "max_over_time(penjaga_batch_unconfirmed_seconds[3m])) > 30": (
        "max_over_time(penjaga_batch_unconfirmed_seconds[3m])) > 3"
    ),
    "> 3 * max by (job, feed)": "> 3 / 60 * max by (job, feed)",
    "            > 900": "            > 15",
    'changes(process_start_time_seconds{job=~"penjaga.*"}[15m])': (
        'changes(process_start_time_seconds{job=~"penjaga.*"}[60m])'
    ),
}


def hurried(rules: str) -> str:
    """Return rules in which time passes `HASTE` times as fast."""
    for slow, fast in _THRESHOLDS.items():
        rules = rules.replace(slow, fast)
    return _DURATION.sub(
        lambda m: f"{m['before']}{int(m['count']) * _SECONDS[m['unit']] * 1000 // HASTE}ms", rules
    )


class Watch:
    """Both, until the context ends. Jobs are told by their name and the port of their worker."""

    def __init__(
        self, folder: Path, jobs: Mapping[str, int], history: Mapping[str, float] | None = None
    ) -> None:
        """Take series, too, which had their value all the last week: a hurried one."""
        self._folder = folder
        self._jobs = jobs
        self._history = history or {}
        self._ports = (free_port(), free_port())
        self._processes: list[subprocess.Popen[bytes]] = []

    def __enter__(self) -> Self:
        """Start both; raises `TimeoutError` when they do not answer."""
        prometheus, alertmanager = self._ports
        assert all(slow in (PROMETHEUS / "alerts.yml").read_text() for slow in _THRESHOLDS)
        for name in ("recording.yml", "alerts.yml"):
            (self._folder / name).write_text(hurried((PROMETHEUS / name).read_text()))
        (self._folder / "prometheus.yml").write_text(json.dumps(self._configuration()))
        (self._folder / "alertmanager.yml").write_text(
            json.dumps({"route": {"receiver": "nobody"}, "receivers": [{"name": "nobody"}]})
        )
        self._start(
            "prometheus-alertmanager",
            "--config.file=alertmanager.yml",
            "--storage.path=alertmanager",
            f"--web.listen-address=127.0.0.1:{alertmanager}",
            "--cluster.listen-address=",
        )
        if self._history:
            self._remember()
        self._start(
            "prometheus",
            "--config.file=prometheus.yml",
            "--storage.tsdb.path=prometheus",
            f"--web.listen-address=127.0.0.1:{prometheus}",
        )
        until(lambda: all(map(self._is_ready, self._ports)), 30)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Stop both."""
        for process in self._processes:
            process.kill()
            process.wait()
        if error is not None:
            log = (self._folder / "watch.log").read_text(errors="replace")
            error.add_note("Prometheus and Alertmanager said last:\n" + log[-3000:])

    @property
    def address(self) -> str:
        """Prometheus' own page."""
        return f"http://127.0.0.1:{self._ports[0]}"

    def alerts(self) -> set[tuple[str, str]]:
        """Return name and job of each alert that has arrived and is not over."""
        arrived = self._get(self._ports[1], "/api/v2/alerts")
        return {(a["labels"]["alertname"], a["labels"].get("job", "")) for a in arrived}

    def ask(self, query: str) -> list[float]:
        """Return the values that a query gives now."""
        answer = self._get(
            self._ports[0], "/api/v1/query?" + urllib.parse.urlencode({"query": query})
        )
        result = answer["data"]["result"]
        return [float(row["value"][1]) for row in result]

    def _configuration(self) -> dict[str, Any]:
        return {
            "global": {
                "scrape_interval": "1s",
                "scrape_timeout": "1s",
                "evaluation_interval": "1s",
            },
            "rule_files": ["recording.yml", "alerts.yml"],
            "alerting": {
                "alertmanagers": [
                    {"static_configs": [{"targets": [f"127.0.0.1:{self._ports[1]}"]}]}
                ]
            },
            "scrape_configs": [
                {"job_name": job, "static_configs": [{"targets": [f"127.0.0.1:{port}"]}]}
                for job, port in self._jobs.items()
            ],
        }

    def _remember(self) -> None:
        end = int(time.time()) - 30
        lines = [
            f"{series} {value} {at}"
            for series, value in self._history.items()
            for at in range(end - _SECONDS["w"] // HASTE, end, 10)
        ]
        (self._folder / "history").write_text("\n".join([*lines, "# EOF\n"]))
        subprocess.run(
            ["promtool", "tsdb", "create-blocks-from", "openmetrics", "history", "prometheus"],
            cwd=self._folder,
            check=True,
            capture_output=True,
        )

    def _start(self, program: str, *arguments: str) -> None:
        # They end with the tests, even with killed ones, where the system offers it.
        tied = ["setpriv", "--pdeathsig", "KILL"] if shutil.which("setpriv") else []
        with (self._folder / "watch.log").open("ab") as log:
            process = subprocess.Popen(
                [*tied, program, "--log.level=warn", *arguments],
                cwd=self._folder,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        self._processes.append(process)

    def _is_ready(self, port: int) -> bool:
        with (
            contextlib.suppress(OSError),
            urllib.request.urlopen(f"http://127.0.0.1:{port}/-/ready", timeout=5) as response,
        ):
            return response.status == 200
        return False

    @staticmethod
    def _get(port: int, path: str) -> Any:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=10) as response:
            return json.load(response)


def until(fact: Callable[[], bool], seconds: float) -> None:
    """Wait until something holds.

    Raises:
        TimeoutError: if it does not within `seconds`.
    """
    deadline = time.monotonic() + seconds
    while not fact():
        if time.monotonic() > deadline:
            raise TimeoutError
        time.sleep(0.1)
