"""The rendered manifests, parsed for the tests of the deployment."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
OVERLAYS = ("small", "production")
WITH_PODS = ("Deployment", "StatefulSet", "Job")


@dataclass(frozen=True)
class Cluster:
    """All documents of one overlay."""

    overlay: str
    documents: tuple[dict[str, Any], ...]

    def of_kind(self, *kinds: str) -> list[dict[str, Any]]:
        return [document for document in self.documents if document["kind"] in kinds]

    def named(self, kind: str, name: str) -> dict[str, Any]:
        [found] = [document for document in self.of_kind(kind) if document["metadata"]["name"] == name]
        return found

    def pods(self) -> dict[str, dict[str, Any]]:
        """The pod of each workload, by the workload's name."""
        return {workload["metadata"]["name"]: workload["spec"]["template"] for workload in self.of_kind(*WITH_PODS)}

    def containers(self) -> Iterator[tuple[str, dict[str, Any], dict[str, Any]]]:
        """(workload's name, its pod, container)"""
        for name, pod in self.pods().items():
            for container in (*pod["spec"].get("initContainers", ()), *pod["spec"]["containers"]):
                yield name, pod, container

    def environment(self, container: Mapping[str, Any], secrets: Mapping[str, Mapping[str, str]]) -> dict[str, str]:
        """Environment of a container, with these Secrets in the cluster and its pod called `pod-0`."""
        found: dict[str, str] = {}
        for source in container.get("envFrom", ()):
            if "configMapRef" in source:
                found |= self.named("ConfigMap", source["configMapRef"]["name"])["data"]
            else:
                found |= secrets[source["secretRef"]["name"]]
        for variable in container.get("env", ()):
            value = _value(self, variable, secrets)
            if value is not None:
                found[variable["name"]] = value
        return found


def _value(cluster: Cluster, variable: Mapping[str, Any], secrets: Mapping[str, Mapping[str, str]]) -> str | None:
    if "value" in variable:
        return str(variable["value"])
    source = variable["valueFrom"]
    if "fieldRef" in source:
        assert source["fieldRef"]["fieldPath"] == "metadata.name"
        return "pod-0"
    if "configMapKeyRef" in source:
        return str(
            cluster.named("ConfigMap", source["configMapKeyRef"]["name"])["data"][source["configMapKeyRef"]["key"]]
        )
    return secrets[source["secretKeyRef"]["name"]].get(source["secretKeyRef"]["key"])


@cache
def cluster(overlay: str) -> Cluster:
    text = (DEPLOY / "rendered" / f"{overlay}.yaml").read_text(encoding="utf-8")
    return Cluster(overlay, tuple(yaml.safe_load_all(text)))


def secret_files() -> dict[str, dict[str, str]]:
    """The Secrets that the manifests ask for, each with the names that belong into it; values are empty."""
    return {
        path.stem: dict(line.split("=", 1) for line in path.read_text(encoding="utf-8").splitlines() if line)
        for path in (DEPLOY / "secrets").glob("*.env")
    }


def selects(selector: Mapping[str, Any], labels: Mapping[str, str]) -> bool:
    """What Kubernetes makes of a label selector."""
    wanted = selector.get("matchLabels", {})
    each = selector.get("matchExpressions", ())
    assert all(expression["operator"] == "In" for expression in each)
    return all(labels.get(key) == value for key, value in wanted.items()) and all(
        labels.get(expression["key"]) in expression["values"] for expression in each
    )
