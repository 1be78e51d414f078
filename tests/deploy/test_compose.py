"""The compose file: what the schema knows and no more, hardened, and in keeping with the files it mounts."""

import importlib.resources
import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonschema import Draft202012Validator

from callboard.messages.timing import duration_ms
from deploy.boards.made import BOARDS
from tests.deploy.facts import DEPLOY, DRAIN, METRICS_PORT, command_faults, settings_faults
from tests.deploy.planted import changed_at
from tests.documents import blocks_of, read
from tests.programs import needed

COMPOSE = DEPLOY / "compose"
File = dict[str, Any]

PROMETHEUS = "/etc/prometheus"


def composed() -> File:
    """The file, with what its anchors stand for written out, and what is only for them left out."""
    made: File = json.loads(json.dumps(yaml.safe_load((COMPOSE / "compose.yaml").read_text())))
    return {name: value for name, value in made.items() if not name.startswith("x-")}


def strictly(file: File) -> list[str]:
    """What the schema of the compose specification has against a file; it knows all its keys."""
    vendored = importlib.resources.files("check_jsonschema") / "builtin_schemas/vendor/compose-spec.json"
    validator = Draft202012Validator(json.loads(vendored.read_text("utf-8")))
    return [error.message for error in validator.iter_errors(file)]


def test_the_compose_file_is_what_its_schema_asks_for() -> None:
    assert strictly(composed()) == []


def changed(path: str, value: Any) -> File:
    """The file with one place changed; a value of None takes it away."""
    return changed_at(composed(), path, value)


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("service", {}),
        ("services/workers/stop_grace_periode", "130s"),
        ("services/workers/healthcheck/intervall", "1s"),
        ("services/workers/depends_on/valkey/condition", "service_well"),
        ("services/workers/deploy/replica", 2),
        ("services/valkey/readonly", True),
        ("services/valkey/cap_drop", "ALL"),
        ("services/valkey/secrets/0/traget", "x"),
        ("secrets/worker/fil", "x"),
    ],
)
def test_a_mistake_in_the_compose_file_is_seen(path: str, value: Any) -> None:
    assert strictly(changed(path, value)) != []


def faults_of(file: File) -> list[str]:
    """What is wrong with a file that is what its schema asks for."""
    services = file["services"]
    faults = [fault for name, each in services.items() for fault in _service_faults(name, each, file)]
    for name in ("workers", "publisher"):
        faults += command_faults(services[name]["command"]) + settings_faults(services[name]["environment"])
    if duration_ms(services["workers"]["stop_grace_period"]) / 1000 < DRAIN:
        faults.append("workers are killed before they have drained")
    if f":{METRICS_PORT}/livez" not in services["workers"]["healthcheck"]["test"][-1]:
        faults.append("health is asked for elsewhere")
    if services["workers"]["command"][1] != "shop:app":
        faults.append("the workers run another app than the one that is mounted")
    return faults


def _service_faults(name: str, service: File, file: File) -> list[str]:
    hardened = (service.get("read_only"), service.get("cap_drop"), service.get("security_opt"))
    faults = [] if hardened == (True, ["ALL"], ["no-new-privileges:true"]) else [f"{name} may do too much"]
    if "healthcheck" not in service:
        faults.append(f"nobody asks whether {name} is well")
    sources = [each if isinstance(each, str) else each["source"] for each in service.get("secrets", [])]
    faults += [f"{name}: no secret {each}" for each in sources if each not in file["secrets"]]
    mounted = {f"/run/secrets/{each}" for each in sources}
    environment = service.get("environment", {})
    named = {str(value) for value in environment.values() if str(value).startswith("/run/secrets/")}
    faults += [f"{name}: {each} is not mounted" for each in sorted(named - mounted)]
    faults += [f"{name}: {each} has a password in it" for each in environment.values() if "://" in str(each)]
    sides = [volume.split(":")[0] for volume in service.get("volumes", [])]
    faults += [
        f"{name}: no {side}" for side in sides if side.startswith(".") and not (COMPOSE / side).exists()
    ]
    faults += [
        f"{name}: no volume {side}" for side in sides if side[0] != "." and side not in file["volumes"]
    ]
    for port in service.get("ports", []):
        if not port.startswith("127.0.0.1:"):
            faults.append(f"{name} is open to everybody")
    for other, how in service.get("depends_on", {}).items():
        if how != {"condition": "service_healthy"} or other not in file["services"]:
            faults.append(f"{name} does not wait until {other} is well")
    return faults


def test_the_compose_file_fits_what_it_mounts_and_the_code() -> None:
    assert faults_of(composed()) == []


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("services/workers/stop_grace_period", "90s"),
        ("services/workers/read_only", None),
        ("services/valkey/cap_drop", None),
        ("services/workers/command/1", "shop:ap"),
        ("services/workers/command/2", "--proceses"),
        ("services/publisher/command/0", "sent"),
        ("services/workers/environment/CALLBOARD_WORKSPAC", "x"),
        ("services/workers/environment/CALLBOARD_URL_FILE", "/run/secrets/publisher"),
        ("services/publisher/environment/CALLBOARD_URL", "redis://publisher:password@valkey"),
        ("services/workers/healthcheck/test/3", "http://127.0.0.1:9911/livez"),
        ("services/workers/volumes/0", "./apps:/app:ro"),
        ("services/workers/depends_on/valkey/condition", "service_started"),
        ("services/grafana/ports/0", "3000:3000"),
        ("services/grafana/healthcheck", None),
    ],
)
def test_a_compose_file_that_does_not_fit_is_seen(path: str, value: Any) -> None:
    assert len(faults_of(changed(path, value))) == 1


def test_the_app_that_is_mounted_is_the_first_page_of_the_readme() -> None:
    assert (COMPOSE / "app/shop.py").read_text() == blocks_of(read("README.md"), "python")[0].text


def test_the_server_has_the_committed_configuration_and_users_where_it_looks_for_them() -> None:
    file = composed()
    server = file["services"]["valkey"]
    assert (COMPOSE / file["configs"]["valkey"]["file"]).resolve() == DEPLOY / "redis/valkey.conf"
    assert server["configs"][0]["target"] == server["command"][1]
    said = (DEPLOY / "redis/valkey.conf").read_text().splitlines()
    assert f"aclfile {server['secrets'][0]['target']}" in said
    assert {"appendonly yes", "maxmemory-policy noeviction"} <= set(said)


def laid_out(directory: Path, text: str, rules: str) -> Path:
    """The files of Prometheus as they lie in its container."""
    volumes = composed()["services"]["prometheus"]["volumes"]
    inside = {side.split(":")[1] for side in volumes}
    assert {f"{PROMETHEUS}/prometheus.yml", f"{PROMETHEUS}/callboard.rules.yml"} < inside
    (directory / "prometheus.yml").write_text(text)
    (directory / "callboard.rules.yml").write_text(rules)
    return directory / "prometheus.yml"


def accepted(path: Path) -> bool:
    """Whether promtool accepts a configuration, with the rules that it names."""
    program = needed("promtool", "prometheus")
    return (
        subprocess.run([program, "check", "config", str(path)], capture_output=True, check=False).returncode
        == 0
    )


CONFIG = (COMPOSE / "prometheus.yml").read_text()
RULES = (DEPLOY / "prometheus/callboard.rules.yml").read_text()


def test_prometheus_is_configured_with_the_rules_and_asks_the_workers(tmp_path: Path) -> None:
    assert accepted(laid_out(tmp_path, CONFIG, RULES))
    (job,) = yaml.safe_load(CONFIG)["scrape_configs"]
    (names,) = job["dns_sd_configs"]
    assert (names["names"], names["port"]) == (["workers"], METRICS_PORT)
    assert set(names["names"]) <= set(composed()["services"])


@pytest.mark.parametrize(
    ("right", "wrong"),
    [
        ("dns_sd_configs", "dns_sd_config"),
        ("scrape_interval: 15s", "scrape_interval: 15"),
        ("callboard.rules.yml", "callboard.rule.yml"),
        ("type: A", "type: B"),
        ("alertmanagers: []", "alertmanager: []"),
    ],
)
def test_a_mistake_in_the_configuration_of_prometheus_is_seen(tmp_path: Path, right: str, wrong: str) -> None:
    assert right in CONFIG
    assert not accepted(laid_out(tmp_path, CONFIG.replace(right, wrong), RULES))


def test_a_mistake_in_the_rules_is_seen(tmp_path: Path) -> None:
    assert not accepted(laid_out(tmp_path, CONFIG, RULES.replace("expr:", "exp:", 1)))


def test_grafana_finds_the_dashboards_and_prometheus() -> None:
    file = composed()
    (provider,) = yaml.safe_load((COMPOSE / "grafana/dashboards.yaml").read_text())["providers"]
    (source,) = yaml.safe_load((COMPOSE / "grafana/datasources.yaml").read_text())["datasources"]
    sides = {
        inside: COMPOSE / outside
        for outside, inside, _ in (
            volume.split(":") for volume in file["services"]["grafana"]["volumes"] if volume.startswith(".")
        )
    }
    dashboards = sides[provider["options"]["path"]]
    assert {path.name for path in dashboards.glob("*.json")} == {f"{board.file}.json" for board in BOARDS}
    assert source["url"] == "http://prometheus:9090"
    assert "prometheus" in file["services"]
    assert all(inside.startswith("/etc/") for inside in sides)
