"""Servers that the behaviour suites share; each starts when a test first asks for it."""

from __future__ import annotations

import pytest

from tests.servers.chroma import running_chroma
from tests.servers.postgres import running_postgres
from tests.servers.s3 import running_s3


@pytest.fixture(scope="session")
def s3_server(tmp_path_factory):
    with running_s3(tmp_path_factory.mktemp("s3") / "server") as server:
        yield server


@pytest.fixture(scope="session")
def chroma_server(tmp_path_factory):
    with running_chroma(tmp_path_factory.mktemp("chroma")) as address:
        yield address


@pytest.fixture(scope="session")
def postgres_server():
    with running_postgres() as address:
        yield address
