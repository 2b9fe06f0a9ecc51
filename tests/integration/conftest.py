"""The real stack as `mmplatform up` starts it, on a data directory of its own."""

from __future__ import annotations

import os
from contextlib import contextmanager
from pathlib import Path

import pytest

from benchmarks.faults.stack import QUICK
from mmplatform.local.launch import run_detached, stop_stack
from mmplatform.settings import load
from tests.integration.stack import Stack


@contextmanager
def running_stack(data_dir: Path, *, arguments=("--no-dagster",), **more: str):
    before = dict(os.environ)
    os.environ |= QUICK | more | {"MMPLATFORM_DATA_DIR": str(data_dir)}
    try:
        settings = load()
        run = run_detached(settings, list(arguments), lambda _: None)
    finally:
        os.environ.clear()
        os.environ |= before
    try:
        yield Stack(settings, run)
    finally:
        stop_stack(data_dir, force=False, timeout_s=90)


@pytest.fixture(scope="package")
def stack(tmp_path_factory):
    """Shared by the tests that do no harm to it."""
    with running_stack(tmp_path_factory.mktemp("stack")) as running:
        yield running
