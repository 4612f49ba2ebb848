"""Alerts: sound rules, each tested firing and silent, each leading to a page of the runbook."""

import subprocess
from pathlib import Path

import pytest
import yaml

from tests.deploy.monitoring import PROMETHEUS, alerts, exported, recorded, unknown

RULE_TESTS = sorted((PROMETHEUS / "tests").glob("*.yml"))


def checked(*command: str | Path) -> None:
    """Run promtool or amtool; what it says is the error."""
    done = subprocess.run([*map(str, command)], capture_output=True, text=True, check=False)
    assert 0 == done.returncode, done.stdout + done.stderr


@pytest.mark.usefixtures("needs_prometheus")
def test_the_configuration_and_its_rules_are_sound() -> None:
    """As Prometheus itself reads them, duplicates and lint included."""
    checked("promtool", "check", "config", PROMETHEUS / "prometheus.yml")
    checked("amtool", "check-config", PROMETHEUS / "alertmanager.yml")
    checked(
        "promtool",
        "check",
        "rules",
        "--lint-fatal",
        PROMETHEUS / "recording.yml",
        PROMETHEUS / "alerts.yml",
    )


@pytest.mark.usefixtures("needs_prometheus")
@pytest.mark.parametrize("path", RULE_TESTS, ids=lambda path: path.stem)
def test_alerts_fire_when_they_should_and_not_when_they_should_not(path: Path) -> None:
    """Over hours of made-up series, with the words they are sent with."""
    checked("promtool", "test", "rules", path)


def test_each_alert_is_tested_firing_and_silent() -> None:
    """No rule is taken on trust."""
    firing: set[str] = set()
    silent: set[str] = set()
    for path in RULE_TESTS:
        for test in yaml.safe_load(path.read_text())["tests"]:
            for case in test["alert_rule_test"]:
                (firing if case.get("exp_alerts") else silent).add(case["alertname"])

    assert alerts().keys() == firing
    assert alerts().keys() == silent


def test_each_alert_says_how_urgent_it_is_what_is_wrong_and_where_to_read_on() -> None:
    """A page wakes somebody, a ticket waits; the anchor is the heading's own."""
    found = alerts()

    assert len(found) >= 12
    for name, alert in found.items():
        assert {"severity"} == alert["labels"].keys()
        assert alert["labels"]["severity"] in {"page", "ticket"}
        assert alert["annotations"]["summary"].endswith(".")
        assert f"deploy/runbook.md#{name.lower()}" == alert["annotations"]["runbook_url"]


def test_each_metric_of_a_rule_exists() -> None:
    """A renamed metric must not leave a rule that never fires."""
    expressions = [*recorded().values(), *(alert["expr"] for alert in alerts().values())]

    assert {"penjaga_nothing"} == unknown(
        "rate(penjaga_nothing[5m]) > up{} + penjaga_events_passed_total"
    )
    assert {"source:penjaga_nothing:sum"} == unknown("source:penjaga_nothing:sum > 1")
    assert "penjaga_events_received_total" in exported()
    assert set() == set().union(*map(unknown, expressions))
