"""The compose file and the image: by the schema of the Compose Specification, and by what the manifests start."""

from __future__ import annotations

import re
import tomllib

import jsonschema
import pytest
import yaml

from mmplatform.settings import load
from tests.deploy.manifests import DEPLOY, ROOT, cluster
from tests.deploy.test_manifests import FOREIGN, parse_arguments
from tests.setting_names import SETTING_NAMES

VERSION = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
COMPOSE = yaml.safe_load((DEPLOY / "compose.yaml").read_text())
OURS = {name: each for name, each in COMPOSE["services"].items() if each["image"].startswith("mmplatform:")}
DOCKERFILE = (DEPLOY / "Dockerfile").read_text()


def test_compose_accepts_the_file():
    from check_jsonschema.builtin_schemas import get_builtin_schema

    schema = get_builtin_schema("vendor.compose-spec")
    validator = jsonschema.validators.validator_for(schema)(schema)
    assert [error.message for error in validator.iter_errors(COMPOSE)] == []
    assert not validator.is_valid({"services": {"gateway": {"imagee": "mmplatform"}}})


def test_it_starts_what_a_cluster_starts():
    """But for the search by itself, which the gateway answers too."""
    started = {tuple(container["args"]) for _, _, container in cluster("small").containers()}
    assert {tuple(each["command"]) for each in OURS.values()} == started


@pytest.mark.parametrize("name", [name for name in OURS if name != "chroma"])
def test_every_process_has_settings_that_it_accepts(name, monkeypatch):
    given = OURS[name]["environment"]
    assert set(given) <= {f"MMPLATFORM_{each.upper()}" for each in SETTING_NAMES} | FOREIGN
    for variable, value in given.items():
        assert isinstance(value, str)
        monkeypatch.setenv(variable, value)
    settings = load()
    assert settings.kafka_bootstrap_servers == "kafka:9092"
    hosts = re.findall(r"(?:@|//|^)([a-z0-9-]+):\d+", "\n".join(given.values()), re.MULTILINE)
    assert set(hosts) <= set(COMPOSE["services"])
    assert {"chroma", "index", "kafka", "postgres", "s3"} <= set(hosts)


def test_published_ports_are_for_this_machine_only():
    published = [port for each in COMPOSE["services"].values() for port in each.get("ports", ())]
    assert published == ["127.0.0.1:8080:8080", "127.0.0.1:3000:3000"]


def test_dependencies_and_volumes_exist():
    for each in COMPOSE["services"].values():
        assert set(each.get("depends_on", ())) <= set(COMPOSE["services"])
        for volume in each.get("volumes", ()):
            assert volume.partition(":")[0] in COMPOSE["volumes"]
        assert {config["source"] for config in each.get("configs", ())} <= set(COMPOSE["configs"])
    for each in OURS.values():
        assert each["read_only"] is True
        assert any("/data" in mount for mount in (*each.get("volumes", ()), *each["tmpfs"]))
    assert (DEPLOY / COMPOSE["configs"]["workspace"]["file"]).is_file()


def test_dagsters_programs_take_their_arguments(tmp_path):
    workspace = tmp_path / "workspace.yaml"
    workspace.write_text("load_from: []")
    for each in OURS.values():
        program, *args = each["command"]
        if program != "python":
            parse_arguments(program, [str(workspace) if arg.startswith("/etc/") else arg for arg in args])


def test_images_name_no_registry():
    images = {each["image"] for each in COMPOSE["services"].values()}
    assert all("." not in image.partition("/")[0] or "/" not in image for image in images)
    assert {image for image in images if image.startswith("mmplatform")} == {f"mmplatform:{VERSION}"}


def test_the_image_has_every_package_of_the_wheel_and_runs_as_the_manifests_say():
    wheel = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["hatch"]["build"]["targets"]["wheel"]
    ignored = (ROOT / ".dockerignore").read_text()
    for part in (*wheel["only-include"], "constraints.txt", "pyproject.toml", "README.md", "LICENSE"):
        assert f"!{part}\n" in ignored
        assert (ROOT / part).exists()
        assert re.search(rf"^COPY .*\b{re.escape(part)}\b", DOCKERFILE, re.MULTILINE), part
    user = next(pod for pod in cluster("small").pods().values())["spec"]["securityContext"]["runAsUser"]
    assert re.search(rf"^USER {user}:", DOCKERFILE, re.MULTILINE)
    assert 'ENTRYPOINT ["tini", "--"]' in DOCKERFILE
    # A `command` in a manifest would take tini away, and with it whoever listens to SIGTERM in its first seconds.
    assert all("command" not in container for _, _, container in cluster("small").containers())
    settings = next(e["data"] for e in cluster("small").of_kind("ConfigMap") if "MMPLATFORM_MODELS_DIR" in e["data"])
    for name in ("MMPLATFORM_MODELS_DIR", "MMPLATFORM_DATA_DIR"):
        assert f"{name}={settings[name]}" in DOCKERFILE
