"""An asset that asks for the index or the log alone gets it, over the real servers."""

from __future__ import annotations

import dagster as dg

from resources.stack import IndexResource, ReplayLogResource


def test_the_index_alone_is_enough_for_an_asset(chroma_server, tmp_path, monkeypatch):
    monkeypatch.setenv("MMPLATFORM_CHROMA_URL", chroma_server)
    monkeypatch.setenv("MMPLATFORM_DATA_DIR", str(tmp_path))

    @dg.asset
    def collections(index: IndexResource):
        with index.index() as opened:
            return dg.MaterializeResult(metadata={"of_embedders": len(opened._collection_names())})

    assert dg.materialize([collections], resources={"index": IndexResource()}).success


def test_a_log_without_an_address_fails_the_asset_with_the_fix(tmp_path, monkeypatch):
    monkeypatch.setenv("MMPLATFORM_DATA_DIR", str(tmp_path))

    @dg.asset
    def lag(replay_log: ReplayLogResource):
        replay_log.backlog([])

    found = dg.materialize([lag], resources={"replay_log": ReplayLogResource()}, raise_on_error=False)
    [failed] = found.get_step_failure_events()
    assert "MMPLATFORM_KAFKA_BOOTSTRAP_SERVERS" in failed.step_failure_data.error.cause.message
