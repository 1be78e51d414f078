"""What `make boards` makes: the name of each file, and its text."""

import json
from collections.abc import Iterator
from pathlib import Path

from grafana_foundation_sdk.cog.encoder import JSONEncoder

from .classic import classic
from .event_and_actor import EVENT_AND_ACTOR
from .grafana import resourced
from .overview import OVERVIEW
from .prometheus import resource_text, rules_text
from .workers_and_mailbox import WORKERS_AND_MAILBOX

DEPLOY = Path(__file__).parents[1]

BOARDS = (OVERVIEW, EVENT_AND_ACTOR, WORKERS_AND_MAILBOX)
"""Every dashboard."""

GRAFANA = DEPLOY / "grafana"
RULES = DEPLOY / "prometheus" / "callboard.rules.yml"
RESOURCE = DEPLOY / "kubernetes/components/prometheus-operator/prometheusrule.yaml"


def made() -> Iterator[tuple[Path, str]]:
    """Every file, with the text that belongs into it."""
    for board in BOARDS:
        yield GRAFANA / f"{board.file}.json", _json(resourced(board))
        yield GRAFANA / "classic" / f"{board.file}.json", _json(classic(board))
    yield RULES, rules_text()
    yield RESOURCE, resource_text()


def _json(value: object) -> str:
    return json.dumps(value, cls=JSONEncoder, indent=2, sort_keys=True) + "\n"
