"""How panels look, in either form that Grafana takes."""

from grafana_foundation_sdk.builders import bargauge, common, stat, timeseries
from grafana_foundation_sdk.models import common as model

from .panels import Kind, Panel

UID = "callboard-{}"
"""Of a dashboard, by the name of its file."""

HEIGHT = 8
"""Rows of the grid that a panel takes."""

REF_IDS = "ABCDEFGH"
"""Names of a panel's queries, in order."""

Lines = timeseries.Panel | timeseries.VisualizationV2
Number = stat.Panel | stat.VisualizationV2
Bars = bargauge.Panel | bargauge.VisualizationV2


def style(picture: Lines | Number | Bars, panel: Panel) -> None:
    """Let a picture look as pictures of its kind do."""
    picture.unit(panel.unit.value).min(0)
    if isinstance(picture, Lines):
        _style_lines(picture, stacked=panel.kind is Kind.STACKED)
    elif isinstance(picture, Number):
        picture.graph_mode(model.BigValueGraphMode.AREA).reduce_options(_last_value())
    else:
        picture.orientation(model.VizOrientation.HORIZONTAL).reduce_options(_last_value())


def colors(panel: Panel) -> list[tuple[float | None, str]]:
    """From where on a number has which colour; the first has no bound."""
    if panel.warn is None or panel.alarm is None:
        return [(None, "green")]
    if panel.alarm < panel.warn:
        return [(None, "red"), (panel.alarm, "orange"), (panel.warn, "green")]
    return [(None, "green"), (panel.warn, "orange"), (panel.alarm, "red")]


def _style_lines(picture: Lines, *, stacked: bool) -> None:
    picture.legend(
        common.VizLegendOptions()
        .display_mode(model.LegendDisplayMode.LIST)
        .placement(model.LegendPlacement.BOTTOM)
        .show_legend(True)
    )
    picture.tooltip(
        common.VizTooltipOptions().mode(model.TooltipDisplayMode.MULTI).sort(model.SortOrder.DESCENDING)
    )
    picture.show_points(model.VisibilityMode.NEVER).fill_opacity(40 if stacked else 10)
    if stacked:
        picture.stacking(common.StackingConfig().mode(model.StackingMode.NORMAL).group("A"))


def _last_value() -> common.ReduceDataOptions:
    return common.ReduceDataOptions().calcs(["lastNotNull"]).values(False).fields("")
