"""The manifests for Kubernetes: put together, held strictly against schemas, and against the code."""

import json
import re
import subprocess
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml
from jsonschema import Draft202012Validator

from callboard.observability.metrics import INSTRUMENTS
from tests.deploy.facts import DEPLOY, DRAIN, METRICS_PORT, command_faults, settings_faults
from tests.deploy.planted import changed_at
from tests.programs import needed

KUBERNETES = DEPLOY / "kubernetes"
EXAMPLE = KUBERNETES / "overlays/example"
VERSIONS = ("1.30", "1.37")
"""Of Kubernetes: the oldest that is meant, and the newest whose schemas are to be had."""

CUSTOM = json.loads((Path(__file__).parent / "custom.schema.json").read_text())
"""By kind, the fields that we use of those that KEDA and the Prometheus operator document, and no others."""

Manifest = dict[str, Any]


def put_together(directory: Path) -> list[Manifest]:
    """All manifests of a kustomization."""
    done = subprocess.run(
        [needed("kubectl", "kubernetes-client (1.21 or later)"), "kustomize", str(directory)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    return list(yaml.safe_load_all(done.stdout))


@pytest.fixture(scope="module")
def example() -> list[Manifest]:
    return put_together(EXAMPLE)


def strictly(manifest: Manifest) -> list[str]:
    """What the schema of its kind has against a manifest; a key that it does not know is a fault."""
    if manifest["kind"] in CUSTOM:
        return [
            error.message for error in Draft202012Validator(CUSTOM[manifest["kind"]]).iter_errors(manifest)
        ]
    faults = []
    for version in VERSIONS:
        try:
            kubernetes_validate.validate(manifest, version, strict=True)
        except kubernetes_validate.ValidationError as error:
            faults.append(f"{version}: {error.message}")
    return faults


def test_every_manifest_is_what_its_schema_asks_for(example: list[Manifest]) -> None:
    assert {each["kind"] for each in example} == {
        "Deployment",
        "NetworkPolicy",
        "PodDisruptionBudget",
        "PodMonitor",
        "ScaledObject",
        "Service",
        "ServiceAccount",
    }
    assert [fault for each in example for fault in strictly(each)] == []


def of_kind(manifests: list[Manifest], kind: str) -> Manifest:
    return next(each for each in manifests if each["kind"] == kind)


def changed(manifests: list[Manifest], kind: str, path: str, value: Any) -> list[Manifest]:
    """The manifests with one place of one of them changed, named as a JSON pointer; None takes it away."""
    meant = of_kind(manifests, kind)
    return [changed_at(each, path, value) if each is meant else each for each in manifests]


POD = "spec/template/spec"
WORKERS = f"{POD}/containers/0"


@pytest.mark.parametrize(
    ("kind", "path", "value"),
    [
        ("Deployment", f"{POD}/terminationGracePeriodSecond", 130),
        ("Deployment", f"{WORKERS}/livenesProbe", {}),
        ("Deployment", f"{WORKERS}/readinessProbe/httpGet/paht", "/readyz"),
        ("Deployment", f"{WORKERS}/securityContext/readOnlyRootFileSystem", True),
        ("Deployment", f"{WORKERS}/resources/limit", {}),
        ("Deployment", f"{POD}/terminationGracePeriodSeconds", "130s"),
        ("Deployment", "spec/selector", None),
        ("PodDisruptionBudget", "spec/maxUnavailabel", 1),
        ("NetworkPolicy", "spec/policyType", ["Ingress"]),
        ("Service", "spec/clusterIp", "None"),
        ("ServiceAccount", "automountServiceAccountTokens", False),
        ("PodMonitor", "spec/podMetricsEndpoint", []),
        ("PodMonitor", "spec/podMetricsEndpoints/0/intervall", "15s"),
        ("ScaledObject", "spec/minReplicasCount", 2),
        ("ScaledObject", "spec/triggers/0/metadata/treshold", "30"),
        ("ScaledObject", "spec/triggers/0/metadata/threshold", 30),
        ("ScaledObject", "spec/triggers/0/metricType", "value"),
    ],
)
def test_a_mistake_in_a_manifest_is_seen(example: list[Manifest], kind: str, path: str, value: Any) -> None:
    assert strictly(of_kind(changed(example, kind, path, value), kind)) != []


def faults_of(manifests: list[Manifest]) -> list[str]:
    """What is wrong with manifests that each are what their schema asks for."""
    deployment = of_kind(manifests, "Deployment")
    pod = deployment["spec"]["template"]["spec"]
    (workers,) = pod["containers"]
    return [
        *_pod_faults(pod, workers),
        *_port_faults(manifests, workers),
        *_selector_faults(manifests, deployment["spec"]["template"]["metadata"]["labels"]),
        *_scaling_faults(manifests, deployment),
    ]


def _pod_faults(pod: Manifest, workers: Manifest) -> list[str]:
    environment = {each["name"]: each.get("value", "") for each in workers["env"]}
    faults = settings_faults(environment) + command_faults(workers["args"])
    if pod["terminationGracePeriodSeconds"] < DRAIN:
        faults.append("it is killed before a pool has drained")
    if not pod["securityContext"]["runAsNonRoot"] or pod["securityContext"]["runAsUser"] == 0:
        faults.append("it runs as root")
    security = workers["securityContext"]
    if not security["readOnlyRootFilesystem"] or security["capabilities"] != {"drop": ["ALL"]}:
        faults.append("it may do more than it needs")
    if pod["enableServiceLinks"] or pod["automountServiceAccountToken"]:
        faults.append("it is told what it does not need")
    mounts = {each["mountPath"]: each["name"] for each in workers["volumeMounts"]}
    if set(mounts.values()) != {each["name"] for each in pod["volumes"]} or "/tmp" not in mounts:  # noqa: S108
        faults.append("what is mounted and what there is are not the same")
    if environment.get("CALLBOARD_URL_FILE", "").rpartition("/")[0] not in mounts:
        faults.append("the URL is not looked for where it is")
    return faults


def _port_faults(manifests: list[Manifest], workers: Manifest) -> list[str]:
    (port,) = workers["ports"]
    wanted = {"startupProbe": "/livez", "livenessProbe": "/livez", "readinessProbe": "/readyz"}
    faults = [
        f"{probe} does not ask {path} of the exporter"
        for probe, path in wanted.items()
        if workers[probe]["httpGet"] != {"path": path, "port": port["name"]}
    ]
    environment = {each["name"]: each.get("value", "") for each in workers["env"]}
    if (port["containerPort"], environment["CALLBOARD_METRICS"]) != (METRICS_PORT, f"0.0.0.0:{METRICS_PORT}"):
        faults.append("the exporter is not where the probes ask")
    service = of_kind(manifests, "Service")
    (listed,) = service["spec"]["ports"]
    scraped = service["metadata"]["annotations"]["prometheus.io/port"]
    if (listed["port"], listed["targetPort"], scraped) != (METRICS_PORT, port["name"], str(METRICS_PORT)):
        faults.append("the Service leads elsewhere")
    (endpoint,) = of_kind(manifests, "PodMonitor")["spec"]["podMetricsEndpoints"]
    if (endpoint["port"], endpoint["path"]) != (port["name"], "/metrics"):
        faults.append("the PodMonitor looks elsewhere")
    policy = next(each for each in manifests if each.get("spec", {}).get("policyTypes") == ["Ingress"])
    if policy["spec"]["ingress"][0]["ports"] != [{"protocol": "TCP", "port": port["name"]}]:
        faults.append("the NetworkPolicy lets others in, or nobody")
    return faults


def _selector_faults(manifests: list[Manifest], labels: dict[str, str]) -> list[str]:
    faults = []
    for each in manifests:
        spec = each.get("spec", {})
        selector = spec.get("selector", spec.get("podSelector"))
        if selector is not None and selector.get("matchLabels", selector) != labels:
            faults.append(f"{each['kind']} is not for the workers")
    return faults


def _scaling_faults(manifests: list[Manifest], deployment: Manifest) -> list[str]:
    spec = of_kind(manifests, "ScaledObject")["spec"]
    faults = []
    if spec["scaleTargetRef"]["name"] != deployment["metadata"]["name"]:
        faults.append("the ScaledObject scales something else")
    if "replicas" in deployment["spec"]:
        faults.append("each deploy undoes the scaling")
    if spec["minReplicaCount"] < 1:
        faults.append("where no worker is nobody tells what waits")
    known = {f"callboard_{each.name}" for each in INSTRUMENTS}
    queries = " ".join(each["metadata"]["query"] for each in spec["triggers"])
    named = set(re.findall(r"callboard_\w+", queries))
    return faults + [f"{name} is no metric" for name in sorted(named - known)]


def test_the_manifests_fit_each_other_and_the_code(example: list[Manifest]) -> None:
    assert faults_of(example) == []


TRIGGER = "spec/triggers/0/metadata"


@pytest.mark.parametrize(
    ("kind", "path", "value"),
    [
        ("Deployment", f"{POD}/terminationGracePeriodSeconds", 30),
        ("Deployment", f"{POD}/securityContext/runAsUser", 0),
        ("Deployment", f"{POD}/enableServiceLinks", True),
        ("Deployment", f"{POD}/volumes/1/name", "temp"),
        ("Deployment", f"{WORKERS}/securityContext/readOnlyRootFilesystem", False),
        ("Deployment", f"{WORKERS}/livenessProbe/httpGet/path", "/readyz"),
        ("Deployment", f"{WORKERS}/readinessProbe/httpGet/port", 8080),
        ("Deployment", f"{WORKERS}/ports/0/containerPort", 9911),
        ("Deployment", f"{WORKERS}/env/0/name", "CALLBOARD_WORKSPAC"),
        ("Deployment", f"{WORKERS}/env/2/value", "/run/secret/url"),
        ("Deployment", f"{WORKERS}/args/0", "rum"),
        ("Deployment", f"{WORKERS}/args/2", "--proceses"),
        ("Deployment", "spec/replicas", 2),
        ("Service", "spec/ports/0/targetPort", "http"),
        ("PodMonitor", "spec/podMetricsEndpoints/0/path", "/metric"),
        ("PodDisruptionBudget", "spec/selector/matchLabels/app.kubernetes.io~1name", "other"),
        ("ScaledObject", "spec/scaleTargetRef/name", "workers"),
        ("ScaledObject", "spec/minReplicaCount", 0),
        ("ScaledObject", f"{TRIGGER}/query", "max(callboard_oldest_ready_age_seconds)"),
    ],
)
def test_manifests_that_do_not_fit_are_seen(
    example: list[Manifest], kind: str, path: str, value: Any
) -> None:
    assert len(faults_of(changed(example, kind, path, value))) == 1


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


def listed_in(directory: Path) -> set[Path]:
    """The files that a kustomization names, as they stand."""
    said = yaml.safe_load((directory / "kustomization.yaml").read_text())
    patches = [each["path"] for each in said.get("patches", [])]
    names = [*said.get("resources", []), *said.get("components", []), *patches]
    return {(directory / name).resolve() for name in names}


@pytest.mark.parametrize(
    "directory",
    sorted(path.parent for path in KUBERNETES.rglob("kustomization.yaml")),
    ids=lambda path: path.name,
)
def test_every_file_of_a_kustomization_is_there_and_listed(directory: Path) -> None:
    listed = listed_in(directory)
    assert all(path.exists() for path in listed)
    assert {path for path in listed if path.parent == directory} == {
        path.resolve() for path in directory.glob("*.yaml") if path.name != "kustomization.yaml"
    }
