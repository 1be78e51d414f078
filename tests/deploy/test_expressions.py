"""What dashboards, rules and alerts ask for is what an exporter shows."""

import re

import pytest

from callboard.observability.metrics import INSTRUMENTS, Kind
from deploy.boards.alerts import ALERTS
from deploy.boards.made import BOARDS
from deploy.boards.rules import BUDGET, LONG_BUDGET, QUEUES

RULES = (*QUEUES, *BUDGET, *LONG_BUDGET)

EXPRESSIONS = [
    *(
        pytest.param(query.expr, id=f"{board.file}: {panel.title}")
        for board in BOARDS
        for row in board.rows
        for panel in row.panels
        for query in panel.queries
    ),
    *(pytest.param(rule.expr, id=rule.record) for rule in RULES),
    *(pytest.param(alert.expr, id=alert.name) for alert in ALERTS),
]


NAMED = re.compile(r"\b(callboard_\w+)(?:\{([^}]*)\})?")
LABELS = re.compile(r"(\w+)\s*(?:=~|!~|!=|=)")
SUFFIXES = ("_bucket", "_sum", "_count")
OF_PROMETHEUS = {"instance", "job", "le"}


def instruments() -> dict[str, set[str]]:
    """Every series that an exporter shows, with its labels."""
    known: dict[str, set[str]] = {}
    for instrument in INSTRUMENTS:
        suffixes = SUFFIXES if instrument.kind is Kind.HISTOGRAM else ("",)
        for suffix in suffixes:
            known[f"callboard_{instrument.name}{suffix}"] = set(instrument.labels)
    return known


@pytest.mark.parametrize("expr", EXPRESSIONS)
def test_an_expression_asks_for_series_and_labels_that_there_are(expr: str) -> None:
    known = instruments()
    found = NAMED.findall(expr)
    told = set().union(*(known[name] for name, _ in found)) | OF_PROMETHEUS | {"queue", "state"}
    assert found or "callboard:" in expr or expr.startswith("vector(")
    for name, matching in found:
        assert set(LABELS.findall(matching)) <= known[name] | OF_PROMETHEUS
    for by in re.findall(r"\b(?:by|on) \(([^)]*)\)", expr):
        assert set(re.findall(r"\w+", by)) <= told
    assert set(re.findall(r"\bcallboard:\w+(?::\w+)?", expr)) <= {rule.record for rule in RULES}


def test_every_metric_is_seen_somewhere() -> None:
    text = " ".join(str(param.values[0]) for param in EXPRESSIONS)
    unseen = {
        instrument.name
        for instrument in INSTRUMENTS
        if not re.search(rf"\bcallboard_{instrument.name}(?:_bucket|_sum|_count)?\b", text)
    }
    assert unseen == set()
