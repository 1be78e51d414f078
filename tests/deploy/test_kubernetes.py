"""The manifests for Kubernetes: put together, held strictly against schemas, and against the code."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from callboard.observability.metrics import INSTRUMENTS
from deploy.boards.made import RULES
from tests.deploy.dockerfile import DOCKERFILE, stages_of
from tests.deploy.facts import DRAIN, METRICS_PORT, command_faults, settings_faults
from tests.deploy.manifests import KUBERNETES, Manifest, changed, of_kind, strictly


def test_every_manifest_is_what_its_schema_asks_for(example: list[Manifest]) -> None:
    assert {each["kind"] for each in example} == {
        "Deployment",
        "NetworkPolicy",
        "PodDisruptionBudget",
        "PodMonitor",
        "PrometheusRule",
        "ScaledObject",
        "Service",
        "ServiceAccount",
    }
    assert [fault for each in example for fault in strictly(each)] == []


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
        ("PrometheusRule", "spec/group", []),
        ("PrometheusRule", "spec/groups/0/rules/0/expresion", "1"),
        ("PrometheusRule", "spec/groups/0/rules/0/alert", "Recorded"),
        ("PrometheusRule", "spec/groups/0/rules/0/for", "5 minutes"),
        ("PrometheusRule", "spec/groups/1/intervall", "1m"),
        ("ScaledObject", "spec/minReplicasCount", 2),
        ("ScaledObject", "spec/triggers/0/metadata/treshold", "30"),
        ("ScaledObject", "spec/triggers/0/metadata/threshold", 30),
        ("ScaledObject", "spec/triggers/0/metricType", "value"),
    ],
)
def test_a_mistake_in_a_manifest_is_seen(example: list[Manifest], kind: str, path: str, value: Any) -> None:
    assert strictly(of_kind(changed(example, kind, path, value), kind)) != []


USER, GROUP = map(int, stages_of(DOCKERFILE.read_text())[-1].last("USER").rest.split(":"))

SECURITY_OF_POD = {
    "runAsNonRoot": True,
    "runAsUser": USER,
    "runAsGroup": GROUP,
    "fsGroup": GROUP,
    "seccompProfile": {"type": "RuntimeDefault"},
}
SECURITY = {
    "allowPrivilegeEscalation": False,
    "readOnlyRootFilesystem": True,
    "capabilities": {"drop": ["ALL"]},
}
SPREAD = {"kubernetes.io/hostname", "topology.kubernetes.io/zone"}


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
    if pod["securityContext"] != SECURITY_OF_POD or workers["securityContext"] != SECURITY:
        faults.append("it may do more than it needs, or is another than the image's user")
    resources = workers["resources"]
    if {*resources.get("requests", {})} != {"cpu", "memory"} or "memory" not in resources.get("limits", {}):
        faults.append("nobody knows what it takes of a node")
    if {each["topologyKey"] for each in pod.get("topologySpreadConstraints", [])} != SPREAD:
        faults.append("all may be on one node")
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
        if each["kind"] == "PodDisruptionBudget" and spec["maxUnavailable"] != 1:
            faults.append("a node cannot be drained, or all workers go at once")
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
        ("Deployment", f"{POD}/securityContext/runAsUser", 10002),
        ("Deployment", f"{POD}/securityContext/runAsNonRoot", False),
        ("Deployment", f"{POD}/securityContext/seccompProfile/type", "Unconfined"),
        ("Deployment", f"{POD}/topologySpreadConstraints/0/topologyKey", "kubernetes.io/host"),
        ("Deployment", f"{POD}/topologySpreadConstraints", None),
        ("Deployment", f"{POD}/enableServiceLinks", True),
        ("Deployment", f"{POD}/volumes/1/name", "temp"),
        ("Deployment", f"{WORKERS}/securityContext/readOnlyRootFilesystem", False),
        ("Deployment", f"{WORKERS}/securityContext/allowPrivilegeEscalation", True),
        ("Deployment", f"{WORKERS}/securityContext/capabilities/drop", ["NET_RAW"]),
        ("Deployment", f"{WORKERS}/resources/requests", None),
        ("Deployment", f"{WORKERS}/resources/limits", None),
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
        ("PodDisruptionBudget", "spec/maxUnavailable", 0),
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


def test_the_rules_of_a_cluster_are_those_that_are_tried_on_prometheus(example: list[Manifest]) -> None:
    assert of_kind(example, "PrometheusRule")["spec"] == yaml.safe_load(RULES.read_text())


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
