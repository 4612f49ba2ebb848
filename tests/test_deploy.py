"""Alerts and the runbook: they fire when they must, say what to do, and name only what exists."""

import shutil
import subprocess
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Final, NoReturn

import click
import pytest
import regex
from prometheus_client import CollectorRegistry

from pipeline import cli
from pipeline.metrics import Metrics, Usage, process_starts

ROOT: Final = Path(__file__).resolve().parent.parent
PROMETHEUS: Final = ROOT / "deploy" / "prometheus"
ALERTS: Final = (PROMETHEUS / "alerts.yml").read_text(encoding="utf-8")
TESTS: Final = (PROMETHEUS / "alerts_test.yml").read_text(encoding="utf-8")
RUNBOOK: Final = (ROOT / "deploy" / "runbook.md").read_text(encoding="utf-8")
NAMES: Final = regex.findall(r"- alert: (\w+)", ALERTS)
SECTIONS: Final = dict(regex.findall(r"^## (\w+)\n(.*?)(?=^## |\Z)", RUNBOOK, regex.M | regex.S))


Unavailable = Callable[[str, str], NoReturn]


def promtool(unavailable: Unavailable, *arguments: str) -> str:
    """Run promtool beside the rules; return what it says."""
    found = shutil.which("promtool")
    if found is None:
        unavailable("promtool", "alerts are tested by promtool: apt-get install prometheus")
    done = subprocess.run(
        [str(found), *arguments], cwd=PROMETHEUS, capture_output=True, text=True, check=False
    )
    assert 0 == done.returncode, done.stdout + done.stderr
    return done.stdout


def test_the_rules_are_what_prometheus_reads(unavailable: Unavailable) -> None:
    """All of them, and the configuration that loads them."""
    said = promtool(unavailable, "check", "rules", "alerts.yml")

    assert f"{len(NAMES)} rules found" in said
    assert "valid" in promtool(unavailable, "check", "config", "--syntax-only", "prometheus.yml")


def test_each_alert_fires_when_it_must_and_is_silent_when_not(unavailable: Unavailable) -> None:
    """Played over series of an hour and of a day; in the quiet hour not one fires."""
    assert "SUCCESS" in promtool(unavailable, "test", "rules", "alerts_test.yml")
    assert set(NAMES) == set(regex.findall(r"'ALERTS\{alertname=\"(\w+)\"", TESTS))
    assert "expr: ALERTS\n" in TESTS


def test_alerts_and_sections_of_the_runbook_are_one_to_one() -> None:
    """In the same order, each alert linking to its own."""
    links = regex.findall(r"runbook: deploy/runbook\.md#(\w+)", ALERTS)

    assert NAMES == list(SECTIONS)
    assert [name.lower() for name in NAMES] == links
    assert len(NAMES) > 10


@pytest.mark.parametrize("name", NAMES)
def test_a_section_says_what_it_means_and_what_to_do(name: str) -> None:
    """Four parts, and something to do first."""
    parts = regex.findall(r"^\*\*(\w+)\*\*", SECTIONS[name], regex.M)

    assert ["Means", "Look", "Do", "Wake"] == parts
    assert regex.search(r"\*\*Do\*\*\n- \S", SECTIONS[name])


def test_every_metric_that_is_named_exists() -> None:
    """In the alerts, their tests and the runbook; a name that is gone would never fire."""
    registry = CollectorRegistry()
    Metrics(registry)
    process_starts(registry)
    registry.register(Usage(lambda: {1: 1}))
    known: set[str] = {"process_start_time_seconds"}
    for family in registry.collect():
        known |= {family.name, f"{family.name}_total", f"{family.name}_bucket"}
    named = set(regex.findall(r"\b(?:penjaga_[a-z_]+|process_[a-z_]+)\b", ALERTS + TESTS + RUNBOOK))

    assert len(named) > 12
    assert set() == named - known


def test_every_command_of_the_runbook_exists() -> None:
    """With the options it is given."""
    commands = regex.findall(r"`penjaga ([a-z][^`]*)`", RUNBOOK)
    for line in commands:
        found: click.Command = cli.cli
        for word in line.split():
            if isinstance(found, click.Group):
                found = found.commands[word]
            elif word.startswith("--"):
                assert any(word in parameter.opts for parameter in found.params), line

    assert len(commands) > 8


def test_every_setting_of_the_runbook_exists() -> None:
    """`table.key` as in the shipped configuration."""
    shipped = tomllib.loads((ROOT / "deploy" / "penjaga.toml").read_text(encoding="utf-8"))
    named = regex.findall(r"`(kafka|screening|detectors|escalations|topics)\.(\w+)`", RUNBOOK)

    assert len(named) > 5
    assert [] == [(table, key) for table, key in named if key not in shipped[table]]
