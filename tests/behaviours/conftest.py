"""Servers that the behaviour suites share; each starts when a test first asks for it."""

from __future__ import annotations

import pytest

from tests.servers.chroma import running_chroma
from tests.servers.glue import running_glue
from tests.servers.postgres import running_postgres
from tests.servers.s3 import running_s3


@pytest.fixture(scope="package")
def s3_server(tmp_path_factory):
    with running_s3(tmp_path_factory.mktemp("s3") / "server") as server:
        yield server


@pytest.fixture(scope="package")
def chroma_server(tmp_path_factory):
    with running_chroma(tmp_path_factory.mktemp("chroma")) as address:
        yield address


@pytest.fixture(scope="package")
def postgres_server():
    with running_postgres() as address:
        yield address


@pytest.fixture
def glue_server(tmp_path, monkeypatch):
    """AWS's own variables say where Glue is: the platform has no setting for it, for there is only one."""
    with running_glue(tmp_path / "glue.log") as address:
        monkeypatch.setenv("AWS_ENDPOINT_URL_GLUE", address)
        yield address
