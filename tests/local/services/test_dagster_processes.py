"""Dagster's processes as `mmplatform up` starts them: three, which load the location, and end together."""

from __future__ import annotations

import os
import signal
import sys
from contextlib import contextmanager
from pathlib import Path

import httpx
import psutil
import pytest

from mmplatform.local.services.dagster_home import prepare
from mmplatform.local.services.dagster_processes import CodeLocation, read_workspace
from mmplatform.settings import load
from tests.servers.process import answers, free_ports, running
from tests.waiting import eventually

ROOT = Path(__file__).parents[3]
QUERY = """{
  shouldShowNux
  workspaceOrError { ... on Workspace { locationEntries { name locationOrLoadError { __typename } } } }
}"""


def test_the_workspace_of_the_repository_is_one_file():
    [location] = read_workspace(ROOT / "workspace.yaml")
    assert location == CodeLocation("mmplatform", ("-f", str(ROOT / "definitions.py"), "-d", str(ROOT / ".")))


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("load_from: [{python_module: {module_name: my.defs, attribute: defs}}]", ["my.defs"]),
        ("load_from: [{python_file: {relative_path: a.py}}, {python_package: {package_name: b}}]", ["a.py", "b"]),
        ("load_from: [{grpc_server: {host: localhost, port: 4266}}]", None),
        ("load_from: [{python_file: {relative_path: a.py, executable_path: /usr/bin/python3}}]", None),
        ("load_from: [{python_file: a.py}]", None),
        ("load_from: []", None),
        ("load_from:", None),
        ("load_from: 5", None),
        ("- a list", None),
        ("{broken", None),
        ("", None),
    ],
)
def test_a_workspace_of_other_things_is_left_to_dagster_dev(tmp_path, text, names):
    file = tmp_path / "workspace.yaml"
    file.write_text(text)
    found = read_workspace(file)
    assert (found and [location.name for location in found]) == names


@contextmanager
def started(folder):
    """The processes on a home of their own: the first of them, and the address of the UI."""
    (port,) = free_ports(1)
    address = f"http://127.0.0.1:{port}"
    prepare(folder / "dagster", load(data_dir=folder))
    command = [sys.executable, "-m", "mmplatform.local.services.dagster_processes", "--host", "127.0.0.1"]
    environment = {"DAGSTER_HOME": str(folder / "dagster"), "MMPLATFORM_DATA_DIR": str(folder)}
    with running(
        [*command, "--port", str(port), "-w", str(ROOT / "workspace.yaml")],
        log=folder / "dagster.log",
        ready=answers(port, "/server_info"),
        within_s=600,
        env=os.environ | environment,
        cwd=folder,
    ) as process:
        yield process, address


def query(address):
    return httpx.post(f"{address}/graphql", json={"query": QUERY}, timeout=60).raise_for_status().json()["data"]


def loaded(address):
    """Names and types of the code locations; ``None`` of one that is being loaded."""
    entries = query(address)["workspaceOrError"]["locationEntries"]
    return [(entry["name"], (entry["locationOrLoadError"] or {}).get("__typename")) for entry in entries]


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_three_processes_load_the_location_and_end_together(tmp_path):
    with started(tmp_path) as (process, address):
        eventually(lambda: loaded(address) == [("mmplatform", "RepositoryLocation")], within_s=240)
        answer = query(address)
        assert answer["shouldShowNux"] is False, "no dialog that asks to join a community"
        programs = psutil.Process(process.pid).children()
        assert len(programs) == 3, [" ".join(program.cmdline())[:100] for program in programs]
        [daemon] = [program for program in programs if "dagster._daemon" in program.cmdline()]
        family = psutil.Process(process.pid).children(recursive=True)
        daemon.kill()
        assert process.wait(timeout=60) != 0, "the supervisor starts all again"
        psutil.wait_procs(family, timeout=30)
        assert not [member for member in family if member.is_running()]


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_a_signal_ends_all_with_success(tmp_path):
    with started(tmp_path) as (process, _):
        family = psutil.Process(process.pid).children(recursive=True)
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=60) == 0
        psutil.wait_procs(family, timeout=30)
        assert not [member for member in family if member.is_running()]
