"""The demo as a newcomer runs it."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from mmplatform.local import run_file
from tests.integration.conftest import QUICK

pytestmark = [pytest.mark.stack, pytest.mark.models, pytest.mark.slow]


def test_the_demo_answers_its_questions_with_all_three_modalities_and_leaves_nothing_running(tmp_path):
    command = [sys.executable, "-m", "mmplatform", "demo", "--exit", "--no-dagster", "--speed", "10"]
    environment = os.environ | QUICK | {"MMPLATFORM_DATA_DIR": str(tmp_path / "data"), "COLUMNS": "200"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=280, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    for words in ("why did the payment fail?", "chat ", "call ", "screenshot ", "p50", "s ago · indexed"):
        assert words in done.stdout
    assert "into the call, which goes on" in done.stdout
    assert "4111 1111" not in done.stdout
    assert not run_file.is_locked(tmp_path / "data")
