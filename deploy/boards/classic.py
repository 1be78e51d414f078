"""Writes a dashboard in the classic form, for Grafana before 13."""

from grafana_foundation_sdk.builders import bargauge, dashboard, prometheus, stat, timeseries
from grafana_foundation_sdk.cog.builder import Builder
from grafana_foundation_sdk.models import common as shared
from grafana_foundation_sdk.models import dashboard as model

from .looks import HEIGHT, REF_IDS, UID, colors, style
from .panels import Board, Kind, Panel, Query, Variable

SOURCE = shared.DataSourceRef(type_val="prometheus", uid="${datasource}")
"""The Prometheus that is chosen at the top of a dashboard."""

Picture = timeseries.Panel | stat.Panel | bargauge.Panel

PICTURES: dict[Kind, type[timeseries.Panel] | type[stat.Panel] | type[bargauge.Panel]] = {
    Kind.LINES: timeseries.Panel,
    Kind.STACKED: timeseries.Panel,
    Kind.NUMBER: stat.Panel,
    Kind.BARS: bargauge.Panel,
}


def classic(board: Board) -> model.Dashboard:
    """The dashboard; the same for the same board."""
    made = (
        dashboard.Dashboard(board.title)
        .uid(UID.format(board.file))
        .description(board.says)
        .tags(["callboard"])
        .readonly()
        .time("now-3h", "now")
        .timezone("browser")
        .refresh("30s")
        .tooltip(model.DashboardCursorSync.CROSSHAIR)
        .link(_to_the_others())
        .variables([_source(), *map(_variable, board.variables)])
    )
    number = 0
    for row in board.rows:
        number += 1
        made.with_row(dashboard.Row(row.title).id(number))
        for panel in row.panels:
            number += 1
            made.with_panel(_panel(panel, number))
    return made.build()


def _to_the_others() -> dashboard.DashboardLink:
    link = dashboard.DashboardLink("Callboard").type(model.DashboardLinkType.DASHBOARDS)
    return link.tags(["callboard"]).include_vars(True).keep_time(True)


def _source() -> Builder[model.VariableModel]:
    return dashboard.DatasourceVariable("datasource").label("Prometheus").type("prometheus")


def _variable(variable: Variable) -> Builder[model.VariableModel]:
    return (
        dashboard.QueryVariable(variable.name)
        .label(variable.label)
        .datasource(SOURCE)
        .query({"query": variable.query, "refId": variable.name})
        .definition(variable.query)
        .refresh(model.VariableRefresh.ON_TIME_RANGE_CHANGED)
        .sort(model.VariableSort.ALPHABETICAL_ASC)
        .multi(True)
        .include_all(True)
        .all_value(".*")
        .current(model.VariableOption(True, ["All"], ["$__all"]))
    )


def _panel(panel: Panel, number: int) -> Picture:
    made = PICTURES[panel.kind]()
    made.id(number).title(panel.title).description(panel.says).datasource(SOURCE)
    made.span(panel.width).height(HEIGHT)
    for ref, query in zip(REF_IDS, panel.queries, strict=False):
        made.with_target(_target(query, ref, at_once=panel.kind is Kind.BARS))
    steps = [model.Threshold(bound, color) for bound, color in colors(panel)]
    made.thresholds(dashboard.ThresholdsConfig().mode(model.ThresholdsMode.ABSOLUTE).steps(steps))
    style(made, panel)
    return made


def _target(query: Query, ref: str, *, at_once: bool) -> prometheus.Dataquery:
    made = prometheus.Dataquery().ref_id(ref).expr(query.expr).legend_format(query.legend or "__auto")
    return made.instant() if at_once else made.range()
