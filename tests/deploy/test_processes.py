"""The processes of the manifests on this machine: their own arguments, settings and probes, with external services.

What a cluster would do is done here by hand: names become loopback ports, `/data` a folder of each pod, and all else
cannot be written to. Kafka is the embedded broker, S3 and Postgres are real. Nothing of Kubernetes itself is in it.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import uuid
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import httpx
import pytest

from mmplatform.events import utc_now
from mmplatform.land.lakehouse.store import Lakehouse
from mmplatform.settings import load
from resources.stack import StackResource
from tests.deploy.manifests import cluster
from tests.servers.broker import embedded_broker
from tests.servers.postgres import running_postgres
from tests.servers.process import free_ports
from tests.servers.s3 import running_s3
from tests.waiting import eventually

pytestmark = [pytest.mark.broker, pytest.mark.models, pytest.mark.s3, pytest.mark.slow, pytest.mark.timeout(1200)]

STARTED = ("chroma", "gateway", "search", "derive-chat", "index", "archive", "dagster-code", "dagster-webserver")
READ_ONLY = 'mount --bind "$0" "$0" && mount -o remount,ro,bind / && exec "$@"'
"""Prefix of a command that lets it write to the node's folder only."""

SLOW_S = 600.0
"""For the start of all of them at once on a busy machine; a failure ends it at once."""


@dataclass
class Node:
    """One machine that stands for a cluster."""

    folder: Path
    outside: dict[str, str]
    secrets: dict[str, dict[str, str]]
    ports: dict[tuple[str, int], int] = field(default_factory=dict)
    processes: dict[str, subprocess.Popen] = field(default_factory=dict)
    found = cluster("small")

    def port(self, name: str, inside: int) -> int:
        if (name, inside) not in self.ports:
            [self.ports[name, inside]] = free_ports(1)
        return self.ports[name, inside]

    def here(self, name: str, text: str) -> str:
        """A setting or an argument of a pod, as it is on this machine."""
        text = re.sub(r"(?<=http://)(chroma|index):(\d+)", lambda m: f"127.0.0.1:{self.port(m[1], int(m[2]))}", text)
        if re.fullmatch(r"8080|9100|8000|4000|3000", text):
            return str(self.port(name, int(text)))
        if text == "/etc/mmplatform/workspace.yaml":
            return str(self.folder / "workspace.yaml")
        return re.sub(r"^/(data|tmp)(?=/|$)", lambda m: str(self.folder / name / m[1]), text)

    def environment(self, name: str, container: dict) -> dict[str, str]:
        given = self.found.environment(container, self.secrets)
        given |= {variable: value for variable, value in self.outside.items() if variable in given}
        return {variable: self.here(name, value) for variable, value in given.items()}

    def command(self, name: str, container: dict) -> list[str]:
        program, *args = container["args"]
        sibling = Path(sys.executable).with_name(program)
        return [sys.executable if program == "python" else str(sibling), *(self.here(name, arg) for arg in args)]

    @cached_property
    def jail(self) -> list[str]:
        """A read-only root, as in a pod, where this machine allows it."""
        tried = ["unshare", "--mount", "sh", "-c", READ_ONLY, str(self.folder)]
        works = shutil.which("unshare") and subprocess.run([*tried, "true"], capture_output=True, check=False)
        return tried if works and works.returncode == 0 else []

    def start(self, name: str, container: dict) -> subprocess.Popen:
        for folder in ("data", "tmp"):
            (self.folder / name / folder).mkdir(parents=True, exist_ok=True)
        inherited = {
            variable: value for variable, value in os.environ.items() if not variable.startswith("MMPLATFORM_")
        }
        with (self.folder / f"{name}.log").open("ab") as log:
            return subprocess.Popen(
                [*self.jail, *self.command(name, container)],
                # A pod has a `/tmp` of its own.
                env=inherited | self.environment(name, container) | {"TMPDIR": str(self.folder / name / "tmp")},
                stdout=log,
                stderr=log,
                stdin=subprocess.DEVNULL,
                cwd=self.folder / name / "data",
            )

    def once(self, name: str, container: dict) -> None:
        """Run a container that ends by itself."""
        process = self.start(name, container)
        try:
            assert process.wait(SLOW_S) == 0, self.log(name)
        finally:
            process.kill()
            process.wait()

    def log(self, name: str) -> str:
        return (self.folder / f"{name}.log").read_text(errors="replace")[-3000:]

    def passes(self, name: str, probe: str) -> bool:
        """Result of the kubelet's probe."""
        [container] = self.found.pods()[name]["spec"]["containers"]
        assert self.processes[name].poll() is None, f"{name} ended:\n{self.log(name)}"
        how = container[probe]
        if "grpc" in how:
            return serves(self.port(name, how["grpc"]["port"]), how["grpc"]["service"])
        inside = next(p["containerPort"] for p in container["ports"] if p["name"] == how["httpGet"]["port"])
        try:
            answer = httpx.get(
                f"http://127.0.0.1:{self.port(name, inside)}{how['httpGet']['path']}", trust_env=False, timeout=10
            )
        except httpx.TransportError:
            return False
        return answer.status_code < 400

    def url(self, name: str, inside: int = 8080) -> str:
        return f"http://127.0.0.1:{self.port(name, inside)}"


def serves(port: int, service: str) -> bool:
    import grpc
    from grpc_health.v1 import health_pb2, health_pb2_grpc

    with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
        try:
            answer = health_pb2_grpc.HealthStub(channel).Check(
                health_pb2.HealthCheckRequest(service=service), timeout=10
            )
        except grpc.RpcError:
            return False
        return answer.status == health_pb2.HealthCheckResponse.SERVING


@contextmanager
def databases():
    """Two empty ones, as docs/how-to/deploy.md asks for."""
    import psycopg2

    with running_postgres() as address:
        names = [f"{each}_{uuid.uuid4().hex[:6]}" for each in ("catalog", "dagster")]
        connection = psycopg2.connect(address.replace("+psycopg2", ""))
        connection.autocommit = True
        with connection.cursor() as cursor:
            for name in names:
                cursor.execute(f"CREATE DATABASE {name}")
        connection.close()
        yield [f"{address.rpartition('/')[0]}/{name}" for name in names]


@pytest.fixture(scope="module")
def node(tmp_path_factory):
    folder = tmp_path_factory.mktemp("node")
    with ExitStack() as outside:
        kafka = outside.enter_context(embedded_broker(folder / "broker"))
        s3 = outside.enter_context(running_s3(folder / "s3"))
        catalog, dagster = outside.enter_context(databases())
        bucket = s3.new_bucket()
        made = Node(
            folder,
            outside={
                "MMPLATFORM_KAFKA_BOOTSTRAP_SERVERS": kafka,
                "MMPLATFORM_S3_ENDPOINT": s3.endpoint,
                "MMPLATFORM_BLOB_STORE_URL": f"s3://{bucket}/blobs",
                "MMPLATFORM_ICEBERG_WAREHOUSE": f"s3://{bucket}/warehouse",
                "MMPLATFORM_DAGSTER_COMPUTE_LOGS_URL": f"s3://{bucket}/dagster",
                "MMPLATFORM_MODELS_DIR": str(load(models_dir=None).models_path),
                "MMPLATFORM_ARCHIVE_COMMIT_INTERVAL_S": "1",
            },
            secrets={
                "log": {},
                "stores": {"MMPLATFORM_S3_ACCESS_KEY": s3.access_key, "MMPLATFORM_S3_SECRET_KEY": s3.secret_key},
                "lakehouse": {"MMPLATFORM_ICEBERG_CATALOG": catalog},
                "dagster": {"MMPLATFORM_DAGSTER_POSTGRES_URL": dagster},
            },
        )
        workspace = next(
            e["data"]["workspace.yaml"] for e in made.found.of_kind("ConfigMap") if "workspace.yaml" in e["data"]
        )
        port = made.port("dagster-code", 4000)
        (folder / "workspace.yaml").write_text(
            workspace.replace("dagster-code", "127.0.0.1").replace("4000", str(port))
        )
        try:
            yield started(made)
        finally:
            for process in made.processes.values():
                process.terminate()
            for process in made.processes.values():
                try:
                    process.wait(60)
                except subprocess.TimeoutExpired:
                    process.kill()
                    process.wait()


def started(node: Node) -> Node:
    """Everything at once, in no order: who needs another waits for it."""
    for name in STARTED:
        pod = node.found.pods()[name]["spec"]
        for before in pod.get("initContainers", ()):
            node.once(name, before)
        node.processes[name] = node.start(name, pod["containers"][0])
    [prepare] = node.found.pods()["prepare"]["spec"]["containers"]
    node.once("prepare", prepare)
    for name in STARTED:
        for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
            eventually(lambda name=name, probe=probe: node.passes(name, probe), within_s=SLOW_S)
    return node


def test_an_event_of_the_gateway_is_found_by_the_search_and_stored_in_s3(node, monkeypatch, tmp_path):
    body = {
        "event_id": "e1", "conversation_id": "c1", "subject_id": "dana", "role": "customer",
        "event_time": utc_now().isoformat(), "text": "my payment failed with error PMT-402",
    }  # fmt: skip
    answer = httpx.post(f"{node.url('gateway')}/v1/events/chat", json=body, trust_env=False, timeout=30)
    assert answer.status_code == 202, answer.text

    def hits():
        query = {"query": "why did the payment fail", "subject_id": "dana"}
        found = httpx.post(f"{node.url('search')}/v1/search", json=query, trust_env=False, timeout=30)
        return found.is_success and found.json()["hits"]

    assert "PMT-402" in eventually(hits, within_s=120)[0]["text"]
    [container] = node.found.pods()["archive"]["spec"]["containers"]
    for variable, value in (node.environment("archive", container) | {"MMPLATFORM_DATA_DIR": str(tmp_path)}).items():
        monkeypatch.setenv(variable, value)
    eventually(lambda: Lakehouse.open(load()).scan("passages").num_rows == 1, within_s=120)
    assert Lakehouse.open(load()).table("passages").location().startswith("s3://")
    # As Dagster's sensors ask it, which have no run file there.
    assert StackResource().index_worker_status().freshness["chat"].gap.count == 1


def test_dagsters_webserver_has_the_code_location_and_its_records_are_in_postgres(node):
    query = "{workspaceOrError {... on Workspace {locationEntries {name loadStatus locationOrLoadError {__typename}}}}}"

    def loaded():
        answer = httpx.post(
            f"{node.url('dagster-webserver', 3000)}/graphql", json={"query": query}, trust_env=False, timeout=60
        )
        return answer.json()["data"]["workspaceOrError"]["locationEntries"]

    [entry] = eventually(loaded, within_s=120)
    assert entry == {
        "name": "mmplatform", "loadStatus": "LOADED", "locationOrLoadError": {"__typename": "RepositoryLocation"}
    }  # fmt: skip
    for name in ("dagster-code", "dagster-webserver"):
        home = node.folder / name / "data" / "dagster"
        assert "storage:\n  postgres:" in (home / "dagster.yaml").read_text()
        assert list(home.rglob("*.db")) == []


def test_sigterm_ends_a_worker_in_good_order_within_its_grace(node):
    for name in ("derive-chat", "archive", "index", "search"):
        node.processes[name].terminate()
    for name in ("derive-chat", "archive", "index", "search"):
        grace = node.found.pods()[name]["spec"]["terminationGracePeriodSeconds"]
        assert node.processes[name].wait(grace) == 0, node.log(name)
