"""Writes a dashboard as the resource that Grafana 13 and later keep."""

from collections.abc import Iterable
from itertools import count

from grafana_foundation_sdk.builders import bargauge, prometheus, stat, timeseries
from grafana_foundation_sdk.builders import dashboardv2 as dashboard
from grafana_foundation_sdk.builders.resource import Manifest, named
from grafana_foundation_sdk.cog.builder import Builder
from grafana_foundation_sdk.models import dashboardv2 as model
from grafana_foundation_sdk.models import resource

from .looks import HEIGHT, REF_IDS, UID, colors, style
from .panels import Board, Kind, Panel, Query, Variable

API = "dashboard.grafana.app/v2"

QUERY_VERSION = "v0"
LABEL_VALUES = 1

WIDTH = 24
"""Columns of a row."""

Picture = timeseries.VisualizationV2 | stat.VisualizationV2 | bargauge.VisualizationV2

PICTURES: dict[
    Kind, type[timeseries.VisualizationV2] | type[stat.VisualizationV2] | type[bargauge.VisualizationV2]
] = {
    Kind.LINES: timeseries.VisualizationV2,
    Kind.STACKED: timeseries.VisualizationV2,
    Kind.NUMBER: stat.VisualizationV2,
    Kind.BARS: bargauge.VisualizationV2,
}


def resourced(board: Board) -> resource.Manifest:
    """The dashboard as a resource; the same for the same board."""
    name = named(UID.format(board.file))
    return Manifest().api_version(API).kind(resource.DashboardKind).metadata(name).spec(_spec(board)).build()


def _spec(board: Board) -> model.Dashboard:
    made = (
        dashboard.Dashboard(board.title)
        .description(board.says)
        .tags(["callboard"])
        .editable(False)
        .cursor_sync(model.DashboardCursorSync.CROSSHAIR)
        .time_settings(
            dashboard.TimeSettings().from_val("now-3h").to("now").timezone("browser").auto_refresh("30s")
        )
        .links([_to_the_others()])
        .variables([_source(), *map(_variable, board.variables)])
    )
    rows = dashboard.Rows()
    numbers = count(1)
    for row in board.rows:
        numbered = list(zip(row.panels, numbers, strict=False))
        for panel, number in numbered:
            made.element(_name(number), _panel(panel, number))
        rows.row(dashboard.Row().title(row.title).layout(_grid(numbered)))
    return made.layout(rows).build()


def _name(number: int) -> str:
    return f"panel-{number}"


def _to_the_others() -> dashboard.DashboardLink:
    link = dashboard.DashboardLink().title("Callboard").type(model.DashboardLinkType.DASHBOARDS)
    return link.tags(["callboard"]).include_vars(True).keep_time(True)


def _source() -> Builder[model.VariableKind]:
    return dashboard.DatasourceVariable("datasource").label("Prometheus").plugin_id("prometheus")


def _variable(variable: Variable) -> Builder[model.VariableKind]:
    return (
        dashboard.QueryVariable(variable.name)
        .label(variable.label)
        .query(_Choices(variable))
        .definition(variable.query)
        .refresh(model.VariableRefresh.ON_TIME_RANGE_CHANGED)
        .sort(model.VariableSort.ALPHABETICAL_ASC)
        .multi(True)
        .include_all(True)
        .all_value(".*")
        .current(model.VariableOption(True, ["All"], ["$__all"]))
    )


def _grid(numbered: Iterable[tuple[Panel, int]]) -> dashboard.Grid:
    """Panels from left to right, and on below where the row is full."""
    grid = dashboard.Grid()
    x = y = 0
    for panel, number in numbered:
        if x + panel.width > WIDTH:
            x, y = 0, y + HEIGHT
        grid.item(dashboard.GridItem().name(_name(number)).x(x).y(y).width(panel.width).height(HEIGHT))
        x += panel.width
    return grid


def _panel(panel: Panel, number: int) -> dashboard.Panel:
    picture: Picture = PICTURES[panel.kind]()
    steps = [model.Threshold(value=bound, color=color) for bound, color in colors(panel)]
    picture.thresholds(dashboard.ThresholdsConfig().mode(model.ThresholdsMode.ABSOLUTE).steps(steps))
    style(picture, panel)
    queries = dashboard.QueryGroup()
    for ref, query in zip(REF_IDS, panel.queries, strict=False):
        queries.target(_target(query, ref, at_once=panel.kind is Kind.BARS))
    made = dashboard.Panel().id(number).title(panel.title).description(panel.says)
    return made.data(queries).visualization(picture)


def _target(query: Query, ref: str, *, at_once: bool) -> dashboard.Target:
    asked = _of_the_source().expr(query.expr).legend_format(query.legend or "__auto")
    return dashboard.Target().ref_id(ref).query(asked.instant(at_once).range(not at_once))


def _of_the_source() -> prometheus.QueryV2:
    return prometheus.QueryV2().version(QUERY_VERSION).datasource(_Chosen())


class _Chosen(Builder[model.Dashboardv2DataQueryKindDatasource]):
    """The Prometheus that is chosen at the top of a dashboard."""

    def build(self) -> model.Dashboardv2DataQueryKindDatasource:
        return model.Dashboardv2DataQueryKindDatasource("${datasource}")


class _Choices(Builder[model.DataQueryKind]):
    """The query of a variable's values, in words of Prometheus' source that the SDK does not have."""

    def __init__(self, variable: Variable) -> None:
        self._spec = {"qryType": LABEL_VALUES, "query": variable.query, "refId": variable.name}

    def build(self) -> model.DataQueryKind:
        source = _Chosen().build()
        return model.DataQueryKind("prometheus", QUERY_VERSION, datasource=source, spec=self._spec)
