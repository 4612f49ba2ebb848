"""What is deployed for those who watch: rules, alerts, the runbook's sections, and the metrics that exist."""

import json
from pathlib import Path
from typing import Any, Final

import regex
import yaml
from prometheus_client import CollectorRegistry, ProcessCollector

from pipeline.metrics import Metrics, process_starts

DEPLOY: Final = Path(__file__).parents[2] / "deploy"
PROMETHEUS: Final = DEPLOY / "prometheus"
RUNBOOK: Final = DEPLOY / "runbook.md"

# What Prometheus itself says of each target.
_OF_PROMETHEUS: Final = frozenset({"up"})
_SUFFIXES: Final = ("_total", "_bucket", "_count", "_sum")
_METRIC: Final = regex.compile(r"(?<![\w:])((?:penjaga|process)_\w+|up(?=\{))")
_RECORDED: Final = regex.compile(r"\b[a-z]+:\w+:\w+")


def rules(file: str) -> list[dict[str, Any]]:
    """Return the rules of a file in deploy/prometheus."""
    content = yaml.safe_load((PROMETHEUS / file).read_text())
    return [rule for group in content["groups"] for rule in group["rules"]]


def alerts() -> dict[str, dict[str, Any]]:
    """Return every alert by its name."""
    return {rule["alert"]: rule for rule in rules("alerts.yml")}


def recorded() -> dict[str, str]:
    """Return every recording rule's expression by the name it records."""
    return {rule["record"]: rule["expr"] for rule in rules("recording.yml")}


def sections() -> dict[str, str]:
    """Return the runbook's sections about alerts by their headings."""
    found = regex.split(r"^## (Penjaga\w+)\n", RUNBOOK.read_text(), flags=regex.M)
    return {name: regex.split(r"^## ", text, flags=regex.M)[0] for name, text in batches(found[1:])}


def batches(parts: list[str]) -> list[tuple[str, str]]:
    """Return headings with what follows each."""
    return list(zip(parts[::2], parts[1::2], strict=True))


def dashboards() -> list[dict[str, Any]]:
    """Return every dashboard."""
    return [
        json.loads(path.read_text())
        for path in sorted((DEPLOY / "grafana" / "dashboards").glob("*.json"))
    ]


def queries(dashboard: dict[str, Any]) -> dict[str, str]:
    """Return the queries of a dashboard, by their panel's title and their letter."""
    return {
        f"{panel['title']}/{target['refId']}": target["expr"]
        for panel in dashboard["panels"]
        for target in panel.get("targets", ())
    }


def exported() -> set[str]:
    """Return the names that a page of a worker may hold, in any form a query may name them."""
    registry = CollectorRegistry()
    ProcessCollector(registry=registry)
    process_starts(registry)
    Metrics(registry)
    names = {family.name for family in registry.collect()}
    return names | {name + suffix for name in names for suffix in _SUFFIXES}


def unknown(text: str) -> set[str]:
    """Return the metrics that a query or a page of prose names and nobody exports or records."""
    missing = set(_METRIC.findall(text)) - exported() - _OF_PROMETHEUS
    return missing | (set(_RECORDED.findall(text)) - recorded().keys())
