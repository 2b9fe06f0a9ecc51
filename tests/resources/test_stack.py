"""The stack of another machine, without a run file here: its addresses come from the settings."""

import pytest

from mmplatform.errors import Unavailable
from mmplatform.telemetry.freshness import FreshnessTracker
from mmplatform.telemetry.status_server import WorkerStatus, serve_status
from resources.stack import StackResource


def test_the_index_worker_is_read_at_the_address_of_the_settings(tmp_path, monkeypatch):
    monkeypatch.setenv("MMPLATFORM_DATA_DIR", str(tmp_path))
    with pytest.raises(Unavailable, match="MMPLATFORM_INDEX_STATUS_URL"):
        StackResource().index_worker_status()
    worker = WorkerStatus("index", freshness=FreshnessTracker())
    worker.lag = 4711
    server = serve_status(worker, 0)
    monkeypatch.setenv("MMPLATFORM_INDEX_STATUS_URL", f"http://127.0.0.1:{server.server_address[1]}")
    try:
        assert StackResource().index_worker_status().lag == 4711
    finally:
        server.shutdown()
        server.server_close()
    with pytest.raises(Unavailable, match="does not answer"):
        StackResource().index_worker_status()
