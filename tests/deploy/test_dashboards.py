"""Dashboards: written from code, about metrics that exist, on a grid without holes."""

import importlib.util
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.deploy.monitoring import DEPLOY, dashboards, queries, unknown

GRAFANA = DEPLOY / "grafana"


def test_the_dashboards_are_those_that_the_code_writes(tmp_path: Path) -> None:
    """To the byte: nobody's change by hand is lost by the next `make dashboards`."""
    if importlib.util.find_spec("grafana_foundation_sdk") is None:
        pytest.skip("writing dashboards needs the extra: pip install 'penjaga[dashboards]'")
    subprocess.run([sys.executable, GRAFANA, tmp_path], check=True)
    written = {path.name: path.read_text() for path in tmp_path.iterdir()}
    kept = {path.name: path.read_text() for path in (GRAFANA / "dashboards").iterdir()}

    assert 4 == len(written)
    assert written == kept


@pytest.mark.parametrize("dashboard", dashboards(), ids=lambda dashboard: dashboard["uid"])
def test_each_query_is_about_metrics_that_exist(dashboard: dict[str, Any]) -> None:
    """A renamed metric must not leave an empty panel."""
    asked = queries(dashboard)

    assert len(asked) >= 10
    assert set() == set().union(*map(unknown, asked.values()))


@pytest.mark.parametrize("dashboard", dashboards(), ids=lambda dashboard: dashboard["uid"])
def test_panels_have_titles_numbers_and_a_place_of_their_own(dashboard: dict[str, Any]) -> None:
    """No two share a number or a field of the grid; each row is full."""
    panels = dashboard["panels"]
    taken: dict[tuple[int, int], int] = {}
    for panel in panels:
        place = panel["gridPos"]
        for x in range(place["x"], place["x"] + place["w"]):
            for y in range(place["y"], place["y"] + place["h"]):
                assert (x, y) not in taken, panel["title"]
                taken[x, y] = panel["id"]
    height = 1 + max(y for _, y in taken)

    assert all(panel["title"] for panel in panels)
    assert len(panels) == len({panel["id"] for panel in panels})
    assert 24 * height == len(taken)


def test_provisioning_names_what_the_dashboards_ask_for() -> None:
    """A source of type prometheus, and a folder of files."""
    (source,) = yaml.safe_load((GRAFANA / "provisioning/datasources/penjaga.yaml").read_text())[
        "datasources"
    ]
    (provider,) = yaml.safe_load((GRAFANA / "provisioning/dashboards/penjaga.yaml").read_text())[
        "providers"
    ]
    types = {
        panel["datasource"]["type"]
        for dashboard in dashboards()
        for panel in dashboard["panels"]
        if panel["type"] != "row"
    }
    scrape = yaml.safe_load((DEPLOY / "prometheus" / "prometheus.yml").read_text())["global"]

    assert {source["type"]} == types
    assert "file" == provider["type"]
    assert scrape["scrape_interval"] == source["jsonData"]["timeInterval"]
