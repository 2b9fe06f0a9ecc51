"""Sensors under a real daemon: they start by themselves, and their events and alerts come out."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import dagster as dg
import pytest

from mmplatform.settings import load
from tests.assets.conftest import Stores
from tests.land.records import message
from tests.lineage.collector import collecting
from tests.servers.process import program, running
from tests.waiting import eventually

ROOT = Path(__file__).parents[2]
CONFIG = json.dumps({"ops": {"diagnose": {"config": {"modality": "chat"}}}})


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_the_daemon_reports_landings_and_posts_an_alert_of_a_failed_run(tmp_path):
    home, data = tmp_path / "dagster", tmp_path / "data"
    home.mkdir()
    (home / "dagster.yaml").write_text("telemetry:\n  enabled: false\n")
    Stores(load(data_dir=data)).land(message(1))
    with collecting() as (collector, address):
        own = {
            "DAGSTER_HOME": str(home),
            "MMPLATFORM_DATA_DIR": str(data),
            "MMPLATFORM_ALERT_WEBHOOK_URL": f"{address}/hook",
            "PYTHONPATH": str(ROOT),
        }
        daemon = [sys.executable, program("dagster-daemon", fix="pip install -e ."), "run"]
        with (
            dg.DagsterInstance.from_config(str(home)) as instance,
            running(
                [*daemon, "-w", str(ROOT / "workspace.yaml")],
                log=home / "daemon.log",
                ready=lambda: ticked(instance, "run_failures"),
                within_s=240,
                env=own,
                cwd=ROOT,
            ),
        ):
            landed = eventually(
                lambda: instance.fetch_materializations(dg.AssetKey("messages"), limit=1).records, within_s=120
            )
            assert landed[0].partition_key == "2026-03-05-12:00"
            # The first tick of a run failure sensor only sets its start: an earlier failure is not reported.
            launch(own)
            alert = eventually(lambda: collector.events[:1], within_s=240)[0]
            assert (alert["job"], alert["error"]) == ("diagnose_freshness", "Unavailable")
            assert alert["link"].endswith(f"/runs/{alert['run_id']}")


def ticked(instance, sensor):
    """True when a sensor was evaluated."""
    states = {state.name: state for state in instance.all_instigator_state()}
    if sensor not in states:
        return False
    found = states[sensor]
    return bool(instance.get_ticks(found.instigator_origin_id, found.selector_id, limit=1))


def launch(env):
    """Launch a run that fails: it diagnoses a missing stack."""
    command = [sys.executable, program("dagster", fix="pip install -e ."), "job", "launch"]
    options = [
        "-w",
        str(ROOT / "workspace.yaml"),
        "-j",
        "diagnose_freshness",
        "--config-json",
        CONFIG,
    ]
    done = subprocess.run(
        [*command, *options], cwd=ROOT, env=os.environ | env, capture_output=True, text=True, check=False, timeout=200
    )
    assert done.returncode == 0, done.stderr[-2000:]
