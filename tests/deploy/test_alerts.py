"""Each alert calls somebody when it should, in words that can be read, and nobody when it should not."""

import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from deploy.boards.alerts import ALERTS
from deploy.boards.made import RULES
from tests.deploy.case import Case
from tests.deploy.cases import CASES
from tests.programs import needed

BY_NAME = {alert.name: alert for alert in ALERTS}


def asked(case: Case) -> dict[str, Any]:
    """The case in promtool's words."""
    severity = BY_NAME[case.alert].severity.value
    fires = {
        "exp_labels": {"severity": severity, **(case.labels or {})},
        "exp_annotations": {
            "summary": case.summary,
            "description": case.description,
            "runbook": f"docs/runbook.md#{case.alert.lower()}",
        },
    }
    looked_at = {
        "eval_time": case.at,
        "alertname": case.alert,
        "exp_alerts": [] if case.labels is None else [fires],
    }
    return {
        "interval": "1m",
        "input_series": [{"series": name, "values": values} for name, values in case.series.items()],
        "alert_rule_test": [looked_at],
    }


def told(tmp_path: Path, *cases: Case) -> "subprocess.CompletedProcess[str]":
    """What promtool says of some cases."""
    tests = [asked(case) for case in cases]
    (tmp_path / "cases.yml").write_text(
        yaml.safe_dump({"rule_files": [str(RULES)], "evaluation_interval": "1m", "tests": tests})
    )
    return promtool("test", "rules", "cases.yml", cwd=tmp_path)


def promtool(*arguments: str, cwd: Path) -> "subprocess.CompletedProcess[str]":
    """Run promtool to its end."""
    return subprocess.run(
        [needed("promtool", "prometheus"), *arguments],
        cwd=cwd,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.mark.parametrize("name", BY_NAME)
def test_an_alert_fires_when_it_should_and_stays_silent_when_not(name: str, tmp_path: Path) -> None:
    cases = [case for case in CASES if case.alert == name]
    done = told(tmp_path, *cases)
    if done.returncode != 0:
        stories = [case.story for case in cases if told(tmp_path, case).returncode != 0]
        pytest.fail(f"{stories}\n{done.stdout}{done.stderr}")


def test_every_alert_was_seen_to_fire_and_to_stay_silent() -> None:
    assert {case.alert for case in CASES if case.labels is not None} == set(BY_NAME)
    assert {case.alert for case in CASES if case.labels is None} == set(BY_NAME)


def test_promtool_finds_nothing_wrong_with_the_rules(tmp_path: Path) -> None:
    done = promtool("check", "rules", "--lint=all", "--lint-fatal", str(RULES), cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
