"""The manifests say what the platform is: its settings, its commands, its ports; and what Kubernetes takes."""

from __future__ import annotations

import importlib.util
import re
import shutil
import subprocess
import tomllib
from urllib.parse import urlsplit

import pytest
import yaml
from pydantic import SecretStr

from mmplatform.local.services.dagster_home import aws_environment
from mmplatform.settings import Settings, load
from mmplatform.worker import WORKERS
from tests.deploy.manifests import DEPLOY, OVERLAYS, ROOT, cluster, secret_files, selects
from tests.setting_names import SETTING_NAMES

FOREIGN = {
    "HOME", "PYTHONUNBUFFERED", "NO_COLOR", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "POLARS_MAX_THREADS",
    "MALLOC_ARENA_MAX", "ANONYMIZED_TELEMETRY", "DAGSTER_HOME", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY",
    "AWS_DEFAULT_REGION", "AWS_REQUEST_CHECKSUM_CALCULATION", "AWS_RESPONSE_CHECKSUM_VALIDATION",
}  # fmt: skip
"""Variables of other programs."""

VERSIONS = ("1.31", "1.34", "1.37")
"""Kubernetes: the minimum of docs/how-to/deploy.md, the newest whose schemas the package has, one between."""

GIVEN = {
    "log": {"MMPLATFORM_KAFKA_SASL_USERNAME": "user", "MMPLATFORM_KAFKA_SASL_PASSWORD": "word"},
    "stores": {"MMPLATFORM_S3_ACCESS_KEY": "key", "MMPLATFORM_S3_SECRET_KEY": "word"},
    "lakehouse": {"MMPLATFORM_ICEBERG_CATALOG": "postgresql+psycopg2://user:word@db:5432/catalog"},
    "dagster": {"MMPLATFORM_DAGSTER_POSTGRES_URL": "postgresql+psycopg2://user:word@db:5432/dagster"},
}

each_overlay = pytest.mark.parametrize("overlay", OVERLAYS)


@pytest.fixture
def found(overlay):
    return cluster(overlay)


@each_overlay
def test_the_rendered_files_equal_kustomizes_output(overlay):
    kubectl = shutil.which("kubectl")
    if kubectl is None:
        pytest.skip("kubectl is missing: the files are taken as they are")
    command = [kubectl, "kustomize", DEPLOY / "overlays" / overlay]
    made = subprocess.run(command, capture_output=True, text=True, check=False)
    assert made.returncode == 0, made.stderr
    assert (DEPLOY / "rendered" / f"{overlay}.yaml").read_text() == made.stdout, "run: make manifests"


@pytest.mark.parametrize("version", VERSIONS)
@each_overlay
def test_kubernetes_accepts_every_document(found, version):
    import kubernetes_validate

    for document in found.documents:
        kubernetes_validate.validate(document, version, strict=True)


def test_the_schemas_refuse_what_kubernetes_would_refuse():
    import kubernetes_validate

    broken = {**cluster("small").of_kind("StatefulSet")[0], "spec": {"replicas": "one"}}
    for version in VERSIONS:
        with pytest.raises(kubernetes_validate.ValidationError):
            kubernetes_validate.validate(broken, version, strict=True)


@each_overlay
def test_every_process_of_the_platform_is_deployed(found):
    started = {tuple(container["args"][:4]) for _, _, container in found.containers()}
    assert {args[3] for args in started if args[:3] == ("python", "-m", "mmplatform.worker")} == set(WORKERS)
    assert ("python", "-m", "mmplatform.local.services.chroma_server", "--path") in started
    assert {args[0] for args in started} == {"python", "dagster", "dagster-webserver", "dagster-daemon"}


@each_overlay
def test_every_variable_is_a_setting_or_another_programs(found):
    settings = {f"MMPLATFORM_{name.upper()}" for name in SETTING_NAMES}
    for name, _, container in found.containers():
        assert set(found.environment(container, secret_files())) <= settings | FOREIGN, name


@each_overlay
def test_every_process_keeps_few_arenas(found):
    arenas = {
        name: found.environment(container, GIVEN).get("MALLOC_ARENA_MAX") for name, _, container in found.containers()
    }
    assert set(arenas.values()) == {"2"}, arenas


@each_overlay
def test_every_process_starts_with_settings_that_it_accepts(found, monkeypatch):
    for name, _, container in found.containers():
        if name == "chroma":
            continue
        with monkeypatch.context() as patch:
            for variable, value in found.environment(container, GIVEN).items():
                patch.setenv(variable, value)
            settings = load()
        assert settings.kafka_bootstrap_servers
        assert settings.blob_store_url.startswith("s3://")
        assert settings.iceberg_warehouse.startswith("s3://")
        assert settings.log_format == "json"
        if name != "prepare" and not name.startswith("dagster"):
            assert settings.worker_instance_id == "pod-0"


@each_overlay
def test_secrets_come_from_secrets_and_nothing_secret_is_written_down(found):
    secret = {n for n, field in Settings.model_fields.items() if field.annotation is SecretStr} | {"iceberg_catalog"}
    secret |= {"dagster_postgres_url", "s3_access_key", "kafka_sasl_username"}
    names = [name for keys in secret_files().values() for name in keys]
    assert sorted(names) == sorted(f"MMPLATFORM_{name.upper()}" for name in secret)
    assert not any(value for keys in secret_files().values() for value in keys.values())
    for settings in found.of_kind("ConfigMap"):
        assert not set(settings["data"]) & set(names)
    assert found.of_kind("Secret") == []


@each_overlay
def test_every_secret_that_is_used_is_described(found):
    for name, _, container in found.containers():
        for source in container.get("envFrom", ()):
            if "secretRef" in source:
                assert source["secretRef"]["name"] in secret_files(), name


@each_overlay
def test_only_their_users_have_the_catalog_and_dagsters_database(found):
    holders = {
        secret: {name for name, _, container in found.containers() for source in container.get("envFrom", ())
                 if source.get("secretRef", {}).get("name") == secret}
        for secret in secret_files()
    }  # fmt: skip
    shown = {"dagster-webserver", "dagster-daemon"}
    assert holders["dagster"] == shown | {"dagster-code"}
    assert holders["lakehouse"] == {"dagster-code", "archive", "prepare"}
    assert not shown & (holders["log"] | holders["stores"]), "nobody signs in at the UI, and it reads none of them"


def test_dagster_finds_the_store_of_its_logs_as_in_the_local_stack(monkeypatch):
    found = cluster("small")
    [container] = found.pods()["dagster-code"]["spec"]["containers"]
    variables = {n: v for n, v in found.environment(container, GIVEN).items() if n.startswith("AWS_")}
    for name, value in found.environment(container, GIVEN).items():
        monkeypatch.setenv(name, value)
    assert variables == aws_environment(load())


@each_overlay
def test_every_command_can_be_started(found, tmp_path):
    (tmp_path / "workspace.yaml").write_text(next(iter(workspaces(found))))
    for _, _, container in found.containers():
        program, *args = [
            str(tmp_path / "workspace.yaml") if arg == "/etc/mmplatform/workspace.yaml" else arg
            for arg in container["args"]
        ]
        if program == "python":
            assert args[0] == "-m"
            assert importlib.util.find_spec(args[1]) is not None
            if args[1] == "mmplatform.worker":
                assert args[2:] in [[name] for name in WORKERS]
            continue
        parse_arguments(program, args)


def parse_arguments(program, args):
    """Parse the arguments with the program's own parser."""
    if program == "dagster":
        from dagster._cli.api import grpc_command

        assert args[:2] == ["api", "grpc"]
        return grpc_command.make_context(program, args[2:])
    if program == "dagster-webserver":
        from dagster_webserver.cli import dagster_webserver

        return dagster_webserver.make_context(program, args)
    from dagster._daemon.cli import run_command

    assert args[0] == "run"
    return run_command.make_context(program, args[1:])


def workspaces(found):
    return [
        document["data"]["workspace.yaml"]
        for document in found.of_kind("ConfigMap")
        if "workspace.yaml" in document["data"]
    ]


def listens(found, name):
    """The ports on which the processes of a pod listen, from their settings and arguments."""
    [container] = found.pods()[name]["spec"]["containers"]
    args = container["args"]
    for flag in ("--port", "-p"):
        if flag in args:
            assert "0.0.0.0" in args
            return {int(args[args.index(flag) + 1])}
    settings = found.environment(container, GIVEN)
    if "mmplatform.worker" not in args or args[-1] == "prepare":
        return set()
    assert settings["MMPLATFORM_METRICS_HOST"] == settings["MMPLATFORM_GATEWAY_HOST"] == "0.0.0.0"
    own = {int(settings["MMPLATFORM_METRICS_PORT"])}
    return own | {int(settings["MMPLATFORM_GATEWAY_PORT"])} if args[-1] == "gateway" else own


@each_overlay
def test_ports_are_those_on_which_the_processes_listen(found):
    for name, pod in found.pods().items():
        [container] = pod["spec"]["containers"]
        assert {port["containerPort"] for port in container.get("ports", ())} == listens(found, name), name
        ports = {port["name"]: port["containerPort"] for port in container.get("ports", ())}
        for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
            how = container.get(probe, {})
            if "httpGet" in how:
                assert how["httpGet"]["port"] in ports
            if "grpc" in how:
                assert how["grpc"]["port"] in ports.values()
        scraped = pod["metadata"].get("annotations", {}).get("prometheus.io/port")
        assert scraped is None or int(scraped) in ports.values()


@each_overlay
def test_services_lead_to_pods(found):
    for service in found.of_kind("Service"):
        pods = [pod for pod in found.pods().values() if selects({"matchLabels": service["spec"]["selector"]},
                                                                pod["metadata"]["labels"])]  # fmt: skip
        assert pods, service["metadata"]["name"]
        for port in service["spec"]["ports"]:
            for pod in pods:
                [container] = pod["spec"]["containers"]
                inside = {each["name"]: each["containerPort"] for each in container["ports"]}
                assert inside[port["targetPort"]] == port["port"]


@each_overlay
def test_every_address_inside_the_cluster_is_a_service(found):
    services = {
        each["metadata"]["name"]: {p["port"] for p in each["spec"]["ports"]} for each in found.of_kind("Service")
    }
    settings = next(each["data"] for each in found.of_kind("ConfigMap") if "MMPLATFORM_CHROMA_URL" in each["data"])
    for name in ("MMPLATFORM_CHROMA_URL", "MMPLATFORM_INDEX_STATUS_URL"):
        address = urlsplit(settings[name])
        assert address.port in services[address.hostname]
    [workspace] = workspaces(found)
    for location in yaml.safe_load(workspace)["load_from"]:
        assert location["grpc_server"]["port"] in services[location["grpc_server"]["host"]]


@each_overlay
def test_selectors_select(found):
    pods = found.pods()
    for workload in found.of_kind("Deployment", "StatefulSet"):
        name, selector = workload["metadata"]["name"], workload["spec"]["selector"]
        assert [n for n, pod in pods.items() if selects(selector, pod["metadata"]["labels"])] == [name]
    for budget in found.of_kind("PodDisruptionBudget"):
        assert [n for n, pod in pods.items() if selects(budget["spec"]["selector"], pod["metadata"]["labels"])]
    headless = {e["metadata"]["name"] for e in found.of_kind("Service") if e["spec"].get("clusterIP") == "None"}
    assert {e["spec"]["serviceName"] for e in found.of_kind("StatefulSet")} <= headless | {"chroma"}


@each_overlay
def test_every_needed_connection_is_allowed(found):
    """The network policies allow every way that the platform goes, and nothing else inside."""
    ways = {
        ("gateway", "chroma", 8000), ("search", "chroma", 8000), ("index", "chroma", 8000), ("prepare", "chroma", 8000),
        ("dagster-code", "chroma", 8000), ("dagster-code", "index", 9100),
        ("canary", "gateway", 8080), ("canary", "search", 8080), ("canary", "chroma", 8000),
        ("dagster-webserver", "dagster-code", 4000), ("dagster-daemon", "dagster-code", 4000),
    }  # fmt: skip
    labels = {name: pod["metadata"]["labels"] for name, pod in found.pods().items()}
    allowed = {
        (source, target, port["port"])
        for policy in found.of_kind("NetworkPolicy")
        for rule in policy["spec"].get("ingress", ())
        for peer in rule["from"] if "podSelector" in peer
        for port in rule["ports"]
        for source in labels if selects(peer["podSelector"], labels[source])
        for target in labels if selects(policy["spec"]["podSelector"], labels[target])
    }  # fmt: skip
    workers = {name for name, own in labels.items() if own.get("mmplatform/worker")}
    assert ways <= allowed
    assert allowed - ways == {("dagster-code", worker, 9100) for worker in workers - {"index"}}
    closed = found.named("NetworkPolicy", "nobody")["spec"]
    assert closed == {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}


@each_overlay
def test_no_pod_has_more_rights_than_it_needs(found):
    for name, pod, container in found.containers():
        spec = pod["spec"]
        assert spec["automountServiceAccountToken"] is False, name
        assert spec["securityContext"]["runAsNonRoot"] is True
        assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True, "capabilities": {"drop": ["ALL"]},
        }  # fmt: skip
    [namespace] = found.of_kind("Namespace")
    assert namespace["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] == "restricted"


@each_overlay
def test_a_service_called_as_we_are_sets_none_of_our_settings(found):
    """Kubernetes sets a variable per service in each pod: `mmplatform-gateway` would be MMPLATFORM_GATEWAY_PORT."""
    assert all(pod["spec"]["enableServiceLinks"] is False for pod in found.pods().values())


@each_overlay
def test_every_written_path_has_a_volume(found):
    for name, pod, container in found.containers():
        mounts = {mount["mountPath"]: mount["name"] for mount in container["volumeMounts"]}
        assert {"/tmp", "/data"} <= set(mounts), name  # noqa: S108 - where it lies in a pod
        workload = next(each for each in found.documents if each["metadata"]["name"] == name and "template" in
                        each.get("spec", {}))  # fmt: skip
        volumes = {each["name"] for each in pod["spec"]["volumes"]}
        volumes |= {each["metadata"]["name"] for each in workload["spec"].get("volumeClaimTemplates", ())}
        assert set(mounts.values()) <= volumes, name


@each_overlay
def test_images_are_of_this_release_and_from_no_registry(found):
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    assert {container["image"] for _, _, container in found.containers()} == {f"mmplatform:{version}"}


@each_overlay
def test_every_process_asks_for_room_and_stops_in_its_own_time(found):
    for name, pod, container in found.containers():
        if container["name"] == "home":
            continue
        assert {"cpu", "memory"} <= set(container["resources"]["requests"]), name
        assert "memory" in container["resources"]["limits"], name
        # A limit of processor would throttle a model in the middle of a batch, for nobody's good.
        assert "cpu" not in container["resources"]["limits"], name
        assert name == "prepare" or pod["spec"]["terminationGracePeriodSeconds"] >= 30
        assert name == "prepare" or "livenessProbe" in container


@each_overlay
def test_no_deriver_is_without_a_topic_partition(found):
    settings = next(
        each["data"] for each in found.of_kind("ConfigMap") if "MMPLATFORM_TOPIC_PARTITIONS" in each["data"]
    )
    for workload in found.of_kind("StatefulSet"):
        assert workload["spec"]["replicas"] <= int(settings["MMPLATFORM_TOPIC_PARTITIONS"])


def test_replicas_are_not_evicted_all_at_once():
    found = cluster("production")
    several = {each["metadata"]["name"] for each in found.of_kind("StatefulSet") if each["spec"]["replicas"] > 1}
    scaled = {each["spec"]["scaleTargetRef"]["name"]: each["spec"] for each in found.of_kind("HorizontalPodAutoscaler")}
    assert set(scaled) == {"gateway", "search"}
    assert all(spec["minReplicas"] >= 2 for spec in scaled.values())
    for name in scaled:
        assert "replicas" not in found.named("Deployment", name)["spec"]
    assert {each["metadata"]["name"] for each in found.of_kind("PodDisruptionBudget")} == several | set(scaled)


def test_no_real_registry_or_address_is_in_the_tree():
    for path in DEPLOY.rglob("*"):
        if path.is_file():
            hosts = re.findall(r"[a-z0-9.-]+\.(?:com|net|org|io|cloud)\b", path.read_text(encoding="utf-8"))
            assert {
                host for host in hosts if not host.endswith(("k8s.io", "kubernetes.io", "prometheus.io"))
            } == set(), path
