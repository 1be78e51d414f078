"""The manifests for Kubernetes, put together as kubectl does, and what their schemas have against them."""

import json
import subprocess
from pathlib import Path
from typing import Any

import kubernetes_validate
import yaml
from jsonschema import Draft202012Validator

from tests.deploy.facts import DEPLOY
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


def of_kind(manifests: list[Manifest], kind: str) -> Manifest:
    return next(each for each in manifests if each["kind"] == kind)


def changed(manifests: list[Manifest], kind: str, path: str, value: Any) -> list[Manifest]:
    """The manifests with one place of one of them changed, named as a JSON pointer; None takes it away."""
    meant = of_kind(manifests, kind)
    return [changed_at(each, path, value) if each is meant else each for each in manifests]
