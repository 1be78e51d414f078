"""Writes recording rules and alerts as Prometheus reads them."""

from collections.abc import Iterable
from typing import Any

import yaml

from .alerts import PROMISE, SIGHT, WAITING, WORK, Alert
from .rules import BUDGET, LONG_BUDGET, QUEUES, Rule

HEAD = "# Made by `make boards` from deploy/boards: change it there.\n"


def rules_text() -> str:
    """The rules file: what is computed ahead, and the alerts on it."""
    return HEAD + _text_of({"groups": _groups()})


def resource_text() -> str:
    """The same rules as the Prometheus operator takes them."""
    resource = {
        "apiVersion": "monitoring.coreos.com/v1",
        "kind": "PrometheusRule",
        "metadata": {"name": "callboard", "labels": {"app.kubernetes.io/name": "callboard"}},
        "spec": {"groups": _groups()},
    }
    return HEAD + _text_of(resource)


def _groups() -> list[dict[str, Any]]:
    # The rules of one group are told in order, so alerts stand behind what they read.
    return [
        _group("callboard-queues", QUEUES, WAITING),
        _group("callboard-promise", BUDGET, PROMISE),
        {**_group("callboard-30-days", LONG_BUDGET, ()), "interval": "2m"},
        _group("callboard-work", (), WORK),
        _group("callboard-sight", (), SIGHT),
    ]


def _text_of(document: dict[str, Any]) -> str:
    return yaml.dump(document, Dumper=_Readable, sort_keys=False, width=110)


def _group(name: str, rules: Iterable[Rule], alerts: Iterable[Alert]) -> dict[str, Any]:
    return {"name": name, "rules": [*map(_recorded, rules), *map(_alerting, alerts)]}


def _recorded(rule: Rule) -> dict[str, Any]:
    return {"record": rule.record, "expr": rule.expr}


def _alerting(alert: Alert) -> dict[str, Any]:
    return {
        "alert": alert.name,
        "expr": alert.expr,
        **({} if alert.lasting == "0s" else {"for": alert.lasting}),
        "labels": {"severity": alert.severity.value},
        "annotations": {
            "summary": alert.summary,
            "description": alert.description,
            "runbook": alert.runbook,
        },
    }


class _Readable(yaml.SafeDumper):
    """Keeps an expression of several lines as it was written."""


def _text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style="|" if "\n" in text else None)


_Readable.add_representer(str, _text)
