"""Write the dashboards of `pages` as Grafana reads them: `python deploy/grafana [FOLDER]`.

Needs the extra `dashboards`; Grafana 11.6 and newer read what it writes.
"""

import sys
from itertools import count
from pathlib import Path
from string import ascii_uppercase
from typing import Any

from grafana_foundation_sdk.builders import bargauge, common, stat, table, timeseries
from grafana_foundation_sdk.builders.dashboard import (
    Dashboard,
    DatasourceVariable,
    QueryVariable,
    Row,
    ThresholdsConfig,
)
from grafana_foundation_sdk.builders.prometheus import Dataquery
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models.dashboard import (
    DashboardCursorSync,
    DataSourceRef,
    Threshold,
    ThresholdsMode,
    VariableRefresh,
)
from grafana_foundation_sdk.models.prometheus import PromQueryFormat
from pages import PAGES, Page, Panel

_PROMETHEUS = DataSourceRef(type_val="prometheus", uid="$datasource")
_BUILDERS: dict[str, Any] = {
    "stat": stat.Panel,
    "lines": timeseries.Panel,
    "bars": bargauge.Panel,
    "table": table.Panel,
}


def dashboard(page: Page) -> Dashboard:
    """Return a page as a dashboard."""
    built = (
        Dashboard(f"Penjaga: {page.title}")
        .uid(page.uid)
        .description(page.says)
        .tags(["penjaga"])
        .refresh("30s")
        .time("now-3h", "now")
        .timezone("browser")
        .tooltip(DashboardCursorSync.CROSSHAIR)
        .with_variable(DatasourceVariable("datasource").label("Prometheus").type("prometheus"))
        .with_variable(
            QueryVariable("job")
            .label("Installation")
            .datasource(_PROMETHEUS)
            .query("label_values(penjaga_events_received_total, job)")
            .refresh(VariableRefresh.ON_DASHBOARD_LOAD)
            .multi(True)  # noqa: FBT003  # the library's own manner
            .include_all(True)  # noqa: FBT003
            .all_value(".+")
        )
    )
    number = count(1)
    for title, panels in page.rows.items():
        built.with_row(Row(title).id(next(number)))
        for each in panels:
            built.with_panel(panel(each).id(next(number)))
    return built


def panel(asked: Panel) -> Any:  # noqa: ANN401  # the library's builders share no class
    """Return a panel's builder."""
    built = (
        _BUILDERS[asked.kind]()
        .title(asked.title)
        .description(asked.says)
        .datasource(_PROMETHEUS)
        .unit(asked.unit)
        .span(asked.width)
        .height(asked.height)
    )
    for letter, (legend, expression) in zip(ascii_uppercase, asked.queries.items(), strict=False):
        query = Dataquery().ref_id(letter).expr(expression).legend_format(legend or "__auto")
        if asked.kind in {"table", "bars"}:
            query = query.instant()
        if asked.kind == "table":
            query = query.format(PromQueryFormat.TABLE)
        built.with_target(query)
    if asked.kind in {"stat", "bars"}:
        built.reduce_options(common.ReduceDataOptions().calcs(["lastNotNull"]))
    steps = [Threshold(color="green", value=None)]
    if asked.bad_from is not None:
        steps.append(Threshold(color="red", value=asked.bad_from))
    if asked.bad_from is not None or asked.kind != "lines":
        built.thresholds(ThresholdsConfig().mode(ThresholdsMode.ABSOLUTE).steps(steps))
    return built


def write(folder: Path) -> None:
    """Write every page into a folder."""
    for page in PAGES:
        text = JSONEncoder(sort_keys=True, indent=2).encode(dashboard(page).build())
        (folder / f"{page.uid}.json").write_text(f"{text}\n", encoding="utf-8")


if __name__ == "__main__":
    write(Path(sys.argv[1] if len(sys.argv) > 1 else Path(__file__).parent / "dashboards"))
