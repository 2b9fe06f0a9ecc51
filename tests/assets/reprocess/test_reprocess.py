"""Partitions reprocessed by a real Dagster run, in this process, over real stores and models."""

from __future__ import annotations

from datetime import timedelta

import dagster as dg
import pytest

from assets import all_assets
from assets.checks.hours import RANGE_TAGS
from definitions import defs
from mmplatform.derive.chat import ChatDeriver
from mmplatform.events import utc_now
from mmplatform.land.lakehouse.row_codec import record_to_row
from mmplatform.memo import MemoryMemo
from mmplatform.pipeline.factories import open_replacements
from mmplatform.settings import load
from resources.reprocessing import ReprocessingResource
from tests.builders import NOW, chat, message, position, screenshot
from tests.pipeline.stream import Stream, apply_changes

pytestmark = pytest.mark.models
HOUR = "2026-08-01-10:00"
REPROCESSED = [
    each for each in all_assets() if isinstance(each, dg.AssetsDefinition) and each.op.name.startswith("reprocess_")
]


@pytest.fixture
def run(settings, monkeypatch, lakehouse, index):
    monkeypatch.setenv("MMPLATFORM_CHROMA_URL", settings.chroma_url)
    apply_changes(monkeypatch, Stream(lakehouse, index))
    with dg.DagsterInstance.ephemeral() as instance:

        def launch(*names, hour=HOUR, until=None, **models):
            span = {"dagster/asset_partition_range_start": hour, "dagster/asset_partition_range_end": until or hour}
            config = {"ops": {f"reprocess_{name}": {"config": models} for name in names}} if models else {}
            return dg.materialize(
                REPROCESSED,
                selection=list(names),
                partition_key=None if until else hour,
                tags=span if until else {},
                resources={"reprocessing": ReprocessingResource(data_dir=str(settings.data_dir))},
                run_config=config,
                instance=instance,
                raise_on_error=False,
            )

        yield launch


@pytest.fixture
def streamed(lakehouse, index, embedder, redactor):
    Stream(lakehouse, index).send(
        [chat(0), chat(1, text=" ")], ChatDeriver(embedder, redactor, MemoryMemo(), open_replacements(load(), "chat"))
    )
    return lakehouse


def materialized(result, name):
    events = [each for each in result.get_asset_materialization_events() if each.asset_key == dg.AssetKey(name)]
    [event] = events
    assert event.partition == HOUR
    return {key: value.value for key, value in event.materialization.metadata.items()}


def failure(result):
    [event] = result.get_step_failure_events()
    return event.step_failure_data.user_failure_data.description


def test_an_hour_of_messages_is_reprocessed_with_its_passages(run, streamed, index):
    [passage_id] = index.ids()
    streamed.table("messages").delete("artifact_id is not null")
    index.delete([passage_id])
    result = run("messages")
    assert result.success
    figures = materialized(result, "messages")
    assert (figures["rows"], figures["added"], figures["read"], figures["quarantined"]) == (1, 1, 2, 1)
    assert figures["index_upserted"] == 1
    assert materialized(result, "passages")["unchanged"] == 1
    assert list(index.ids()) == [passage_id]
    again = materialized(run("messages"), "messages")
    assert (again["unchanged"], again["replaced"], again["vanished"], again["index_upserted"]) == (1, 0, 0, 0)


def test_an_empty_hour_succeeds_with_no_rows(run):
    result = run("messages")
    assert result.success
    assert materialized(result, "messages")["rows"] == 0


def test_an_unknown_model_fails_with_its_name_and_touches_nothing(run, streamed):
    before = streamed.table("messages").metadata.current_snapshot_id
    result = run("messages", ner_model="nobody")
    assert not result.success
    assert "no model 'nobody'" in failure(result)
    result = run("messages", asr_model="whisper-tiny")
    assert "made without asr_model" in failure(result)
    assert streamed.table("messages").metadata.current_snapshot_id == before


def test_a_missing_image_fails_the_partition_by_name(run, settings, lakehouse, index):
    from mmplatform.land.blobs.open import open_blobs
    from mmplatform.pipeline.factories import screenshot_deriver

    shots = screenshot_deriver(settings, MemoryMemo(), open_blobs(settings))
    Stream(lakehouse, index).send([screenshot(3)], shots)
    result = run("captions")
    assert not result.success
    assert "shot-3" in failure(result)


@pytest.mark.usefixtures("streamed")
def test_a_run_on_passages_makes_those_of_every_modality(run, index):
    index.delete(list(index.ids()))
    result = run("passages")
    assert result.success
    figures = materialized(result, "passages")
    assert (figures["rows"], figures["read"], figures["index_upserted"]) == (1, 2, 1)


@pytest.fixture
def checked(settings, streamed, monkeypatch, lakehouse, index):
    """A run of messages and passages with their checks, as one from the UI has them."""
    apply_changes(monkeypatch, Stream(lakehouse, index))
    monkeypatch.setenv("MMPLATFORM_CHROMA_URL", settings.chroma_url)
    monkeypatch.setenv("MMPLATFORM_DATA_DIR", str(settings.data_dir))
    keys = {dg.AssetKey("messages"), dg.AssetKey("passages")}

    def launch(**tags):
        job = defs.resolve_implicit_global_asset_job_def().get_subset(asset_selection=keys)
        with dg.DagsterInstance.ephemeral() as instance:
            given = {"tags": tags} if tags else {"partition_key": HOUR}
            return job.execute_in_process(instance=instance, raise_on_error=False, **given)

    yield launch
    del streamed


def evaluations(result):
    return {
        (found.asset_key.to_user_string(), found.check_name): found for found in result.get_asset_check_evaluations()
    }


def test_a_broken_contract_ends_the_run_before_the_assets_downstream(checked, lakehouse):
    event = chat(7, text="write to ann@example.com")
    row = record_to_row(message(event, position(99)), position(99))[1]
    lakehouse.append("messages", [(position(99), row)], offsets={}, source="test")
    result = checked()
    assert not result.success
    contract = evaluations(result)["messages", "contract"]
    assert not contract.passed
    assert "ann@example" not in repr(contract)
    done = {event.step_key for event in result.all_events if event.is_step_success}
    assert "reprocess_messages" in done
    assert "reprocess_passages" not in done


def test_a_broken_contract_in_any_hour_of_a_run_ends_it(checked, lakehouse):
    row = record_to_row(message(chat(7, text="write to ann@example.com"), position(99)), position(99))[1]
    lakehouse.append("messages", [(position(99), row)], offsets={}, source="test")
    result = checked(**dict(zip(RANGE_TAGS, ("2026-08-01-09:00", "2026-08-01-11:00"), strict=True)))
    assert not result.success
    contract = evaluations(result)["messages", "contract"]
    assert contract.metadata["hours_that_fail"].value == 1
    assert contract.description.startswith(f"{HOUR}: ")


def test_other_checks_may_fail_and_the_run_goes_on_and_all_check_its_hour(checked):
    result = checked()
    assert result.success, "no log is running, so that freshness cannot be checked"
    found = evaluations(result)
    assert not found["messages", "freshness_gap"].passed
    assert found["messages", "contract"].passed
    assert found["passages", "contract"].passed
    checked_hours = {check.metadata["hour"].value for check in found.values() if "hour" in check.metadata}
    assert checked_hours == {HOUR}


def chat_at(number, hours):
    moved = {"event_time": NOW + timedelta(hours=hours), "ingested_at": NOW + timedelta(hours=hours)}
    return chat(number, conversation_id=f"conv-{number}", **moved)


def test_several_hours_in_one_run_have_figures_each(run, lakehouse, index, embedder, redactor):
    events = [chat_at(0, 0), chat_at(1, 2), chat_at(2, 2)]
    Stream(lakehouse, index).send(
        events, ChatDeriver(embedder, redactor, MemoryMemo(), open_replacements(load(), "chat"))
    )
    index.delete(list(index.ids()))
    result = run("messages", until="2026-08-01-12:00")
    assert result.success
    found = {
        (str(event.asset_key.path[-1]), event.partition): event.materialization.metadata["rows"].value
        for event in result.get_asset_materialization_events()
    }
    rows = {"2026-08-01-10:00": 1, "2026-08-01-11:00": 0, "2026-08-01-12:00": 2}
    assert found == {(table, hour): count for table in ("messages", "passages") for hour, count in rows.items()}
    assert len(list(index.ids())) == 3


def test_of_several_hours_the_one_that_lacks_bytes_fails_and_the_others_count(run, settings, lakehouse, index):
    from mmplatform.land.blobs.open import open_blobs
    from mmplatform.pipeline.factories import screenshot_deriver

    shots = screenshot_deriver(settings, MemoryMemo(), open_blobs(settings))
    Stream(lakehouse, index).send([screenshot(4)], shots)
    result = run("captions", hour="2026-08-01-09:00", until="2026-08-01-11:00")
    assert not result.success
    assert "(2026-08-01-10:00: shot-4)" in failure(result)
    made_of = {
        event.partition for event in result.get_asset_materialization_events() if event.asset_key.path == ["captions"]
    }
    assert made_of == {"2026-08-01-09:00", "2026-08-01-11:00"}


def test_an_hour_that_has_not_begun_is_refused_before_a_model_is_opened(run, monkeypatch, lakehouse):
    from mmplatform.pipeline import factories

    monkeypatch.setattr(factories, "open_memo", lambda _: pytest.fail("opened"))
    ahead = (utc_now() + timedelta(hours=1)).strftime("%Y-%m-%d-%H:00")
    with pytest.raises(dg.DagsterUnknownPartitionError, match=ahead):
        run("messages", hour=ahead)
    assert lakehouse.table("messages").current_snapshot() is None
