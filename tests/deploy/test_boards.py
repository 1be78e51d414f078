"""The dashboards are what their code says, in forms that Grafana knows, and ask for what there is."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.cog.plugins import register_default_plugins
from grafana_foundation_sdk.models import dashboard, dashboardv2

from deploy.boards.alerts import ALERTS
from deploy.boards.made import BOARDS, DEPLOY, GRAFANA, RESOURCE, made
from deploy.boards.panels import Board

MADE = dict(made())


@pytest.mark.parametrize("path", MADE, ids=lambda path: path.name)
def test_what_is_committed_is_what_the_code_makes(path: Path) -> None:
    assert path.read_text("utf-8") == MADE[path], "run `make boards`"


def test_nothing_else_lies_beside_it() -> None:
    lying = {
        path for kind in ("grafana", "prometheus") for path in (DEPLOY / kind).rglob("*") if path.is_file()
    }
    assert lying == set(MADE) - {RESOURCE}


def test_making_it_twice_makes_the_same() -> None:
    assert dict(made()) == MADE


class Encoder(JSONEncoder):
    """The SDK's own; what the SDK 0.0.21 reads as a set of one, the kind of a picture, is that one."""

    def default(self, obj: Any) -> Any:
        return next(iter(obj)) if isinstance(obj, set) else super().default(obj)


def plain(value: object) -> Any:
    """As it is once it was written and read."""
    return json.loads(json.dumps(value, cls=Encoder))


@pytest.mark.parametrize("board", BOARDS, ids=lambda board: board.file)
def test_grafanas_schema_has_every_field_of_a_dashboard(board: Board) -> None:
    register_default_plugins()
    told = json.loads((GRAFANA / f"{board.file}.json").read_text())
    assert (told["apiVersion"], told["kind"]) == ("dashboard.grafana.app/v2", "Dashboard")
    assert told["metadata"] == {"name": f"callboard-{board.file}"}
    spec = told["spec"]
    read = plain(dashboardv2.Dashboard.from_json(spec))
    for variable in (*spec["variables"], *read["variables"]):
        # The SDK has no words for how Prometheus' source asks for the values of a label.
        variable["spec"].get("query", {}).pop("spec", None)
    for element in read["elements"].values():
        # It adds this to pictures that have no settings of their own.
        defaults = element["spec"]["vizConfig"]["spec"]["fieldConfig"]["defaults"]
        if defaults["custom"] == {}:
            del defaults["custom"]
    assert read == spec


@pytest.mark.parametrize("board", BOARDS, ids=lambda board: board.file)
def test_grafanas_classic_schema_has_every_field_of_a_dashboard(board: Board) -> None:
    register_default_plugins()
    told = json.loads((GRAFANA / "classic" / f"{board.file}.json").read_text())
    assert plain(dashboard.Dashboard.from_json(told)) == told
    assert (told["uid"], told["schemaVersion"]) == (f"callboard-{board.file}", 42)


@pytest.mark.parametrize("board", BOARDS, ids=lambda board: board.file)
def test_panels_have_ids_queries_have_names_and_nothing_overlaps(board: Board) -> None:
    spec = json.loads((GRAFANA / f"{board.file}.json").read_text())["spec"]
    titles = [panel.title for row in board.rows for panel in row.panels]
    elements = {name: element["spec"] for name, element in spec["elements"].items()}
    assert sorted(panel["id"] for panel in elements.values()) == list(range(1, len(titles) + 1))
    for panel in elements.values():
        refs = [query["spec"]["refId"] for query in panel["data"]["spec"]["queries"]]
        assert refs == list("ABCDEFGH"[: len(refs)]) != []
        assert panel["description"]
    placed = []
    for row in spec["layout"]["spec"]["rows"]:
        taken: set[tuple[int, int]] = set()
        for item in (item["spec"] for item in row["spec"]["layout"]["spec"]["items"]):
            cells = {
                (item["x"] + right, item["y"] + down)
                for right in range(item["width"])
                for down in range(item["height"])
            }
            assert not taken & cells
            assert max(x for x, _ in cells) < 24
            taken |= cells
            placed.append(elements[item["element"]["name"]]["title"])
    assert placed == titles


def test_the_runbook_tells_of_every_alert_and_of_none_that_is_not() -> None:
    text = (DEPLOY.parent / "docs" / "runbook.md").read_text("utf-8")
    assert re.findall(r"^## (\w+)$", text, re.MULTILINE) == [alert.name for alert in ALERTS]
    for alert in ALERTS:
        (section,) = re.findall(rf"^## {alert.name}$(.*?)(?=^## |\Z)", text, re.MULTILINE | re.DOTALL)
        for part in ("**It means**", "**Look**", "**Mend**"):
            assert part in section, alert.name
        assert re.search(r"`callboard \w+", section), alert.name
