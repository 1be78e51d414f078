"""What KEDA asks Prometheus comes to how many workers there should be."""

import subprocess
from pathlib import Path

import yaml

from tests.deploy.manifests import Manifest, of_kind
from tests.programs import needed


def asked_of(query: str, directory: Path, series: dict[str, float], wanted: float | None) -> bool:
    """Whether a query comes to a figure, by promtool, where these series are."""
    samples = [] if wanted is None else [{"labels": "{}", "value": wanted}]
    test = {
        "evaluation_interval": "1m",
        "tests": [
            {
                "interval": "1m",
                "input_series": [{"series": name, "values": f"{value}"} for name, value in series.items()],
                "promql_expr_test": [{"expr": query, "eval_time": "0m", "exp_samples": samples}],
            }
        ],
    }
    (directory / "test.yml").write_text(yaml.safe_dump(test))
    done = subprocess.run(
        [needed("promtool", "prometheus"), "test", "rules", str(directory / "test.yml")],
        capture_output=True,
        text=True,
        check=False,
    )
    return done.returncode == 0


AGE, PAUSED = "callboard_queue_oldest_ready_age_seconds", "callboard_queue_paused"


def test_workers_are_asked_for_by_the_oldest_that_may_be_handed_out(
    example: list[Manifest], tmp_path: Path
) -> None:
    query = of_kind(example, "ScaledObject")["spec"]["triggers"][0]["metadata"]["query"]
    told = {
        f'{AGE}{{queue="a",instance="1"}}': 40.0,
        f'{AGE}{{queue="a",instance="2"}}': 41.0,
        f'{PAUSED}{{queue="a",instance="1"}}': 0.0,
        f'{AGE}{{queue="b",instance="1"}}': 900.0,
        f'{PAUSED}{{queue="b",instance="1"}}': 1.0,
    }
    assert asked_of(query, tmp_path, told, 41.0)
    assert not asked_of(query, tmp_path, told, 900.0)
    of_the_paused = {name: value for name, value in told.items() if 'queue="b"' in name}
    assert asked_of(query, tmp_path, of_the_paused, 0.0)
    assert asked_of(query, tmp_path, {}, None)
