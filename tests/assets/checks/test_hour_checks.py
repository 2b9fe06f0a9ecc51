"""Contract, freshness and completeness checks as Dagster runs them, over real tables, a real log and a real index."""

from __future__ import annotations

from datetime import timedelta

import pytest

from mmplatform.artifacts import artifact_id
from mmplatform.derive.passages import quarantine
from mmplatform.events import utc_now
from mmplatform.land.index.embedder_registry import EmbedderRegistry, Space
from mmplatform.land.index.store import ChromaIndex
from quality.checks.completeness import CALL_END_REASON, NO_SPEECH_REASON
from tests.assets.checks.check_runs import HOUR, check, metadata
from tests.assets.utterances import utterance
from tests.builders import arrival, call_end, chunk
from tests.land.records import EMBEDDER, NOON, chat, message, passage

pytestmark = pytest.mark.broker


def test_an_hour_that_keeps_its_contract_passes_with_its_figures(stores):
    stores.land(message(1, text="hello"), message(2, text="hello"))
    found = check("messages", "contract")
    assert found.passed
    assert metadata(found)["hour"] == HOUR
    assert metadata(found)["rows"] == 2
    assert metadata(found)["duplicate_ratio"] == 0.5


def test_a_row_that_breaks_its_contract_fails_the_check_by_id_and_never_by_text(stores):
    bad = message(1, text="write to ann@example.com")
    stores.land(bad, message(2))
    found = check("messages", "contract")
    assert not found.passed
    assert metadata(found)["ids"] == [bad.artifact_id]
    assert "ann@example" not in repr(found)


def test_vectors_are_checked_too(stores):
    stores.land(passage(1), passage(2, vector=[0.5] * 8))
    found = check("passages", "contract")
    assert metadata(found)["rules"] == {"vector_norm: vector of unit length": 1.0}


def test_the_configured_hour_is_checked(stores):
    stores.land(message(1), message(2, at=NOON + timedelta(hours=3), text="write to ann@example.com"))
    assert not check("messages", "contract").passed
    assert check("messages", "contract", hour=HOUR).passed


def test_an_empty_table_passes(stores):
    assert check("messages", "contract").description == "the table is empty"
    del stores


@pytest.mark.parametrize("table", ["raw_calls", "raw_screenshots", "transcripts", "captions", "passages"])
def test_every_contract_reads_the_columns_of_its_table(stores, table):
    assert check(table, "contract", hour=HOUR).passed
    del stores


def test_a_missing_lakehouse_fails_the_check_and_is_not_created(tmp_path, monkeypatch):
    monkeypatch.setenv("MMPLATFORM_DATA_DIR", str(tmp_path / "absent"))
    for name in ("contract", "freshness_gap", "completeness"):
        found = check("messages", name)
        assert not found.passed
        assert "there is none in" in metadata(found)["unreachable"]
    assert list(tmp_path.iterdir()) == []


def test_fresh_rows_pass_and_stale_ones_do_not(stores):
    now = utc_now()
    stores.land(message(1, at=now - timedelta(seconds=2)))
    found = check("messages", "freshness_gap")
    assert found.passed
    assert metadata(found)["chat_p50_s"] == 1.0
    late = message(2, at=now - timedelta(hours=2))
    stores.land(late.model_copy(update={"stamps": late.stamps.model_copy(update={"derived_at": now})}))
    assert not check("messages", "freshness_gap").passed, "the event's hour is long past, its row is of now"


def test_a_quiet_hour_is_not_stale(stores):
    stores.land(message(1))
    found = check("messages", "freshness_gap")
    assert found.passed
    assert found.description == "quiet: nothing landed and nothing waits"


def test_a_backlog_is_reported_and_is_no_breach_at_once(stores):
    stores.send("interactions.chat", 3)
    stores.commit("derive-chat", "interactions.chat", 1)
    found = check("messages", "freshness_gap")
    assert found.passed
    assert metadata(found)["lag"] == 2
    assert 0 < metadata(found)["waiting_s"] < 60


def test_a_log_that_does_not_answer_fails_the_check_and_is_named(stores, monkeypatch):
    stores.land(message(1))
    monkeypatch.setenv("MMPLATFORM_KAFKA_BOOTSTRAP_SERVERS", "127.0.0.1:1")
    found = check("messages", "freshness_gap")
    assert not found.passed
    assert "Unavailable" in found.description


def test_without_a_running_stack_the_check_names_the_unreachable_store(stores, monkeypatch):
    stores.land(message(1))
    monkeypatch.delenv("MMPLATFORM_KAFKA_BOOTSTRAP_SERVERS")
    monkeypatch.delenv("MMPLATFORM_CHROMA_URL")
    assert "the replay log is unreachable" in check("messages", "freshness_gap").description
    assert "the index is unreachable" in check("passages", "completeness").description


def test_passages_of_every_modality_are_measured_in_the_index(stores):
    now = utc_now()
    stores.index(passage(1, at=now - timedelta(seconds=1)), at=now)
    found = check("index", "freshness_gap")
    assert found.passed
    assert metadata(found)["chat_rows"] == 1
    stores.index(passage(2, at=now - timedelta(seconds=9)), at=now)
    assert not check("index", "freshness_gap").passed


def test_every_event_of_the_hour_is_accounted_for(stores):
    events = [chat(number) for number in (1, 2, 3)]
    for offset, event in enumerate(events):
        stores.land(event, topic="interactions.chat", offset=offset)
    stores.land(message(1), quarantine(arrival(events[1]), contract="raw_chats", reasons=("text: not blank",)))
    stores.send("interactions.chat", 3)
    stores.commit("derive-chat", "interactions.chat", 3)
    found = check("messages", "completeness")
    assert not found.passed
    assert metadata(found)["ids"] == ["event-3"]
    assert metadata(found)["became"] == {"an artifact": 1.0, "set aside": 1.0}
    stores.land(message(3))
    assert check("messages", "completeness").passed


def test_index_and_table_are_compared_both_ways(stores):
    stores.land(passage(1), passage(2))
    stores.index(passage(2), passage(3), at=NOON)
    for asset in ("passages", "index"):
        found = check(asset, "completeness")
        assert not found.passed
        assert metadata(found)["ids_not_indexed"] == [passage(1).artifact_id]
        assert metadata(found)["ids_not_in_the_table"] == [passage(3).artifact_id]
    stores.land(passage(3))
    stores.index(passage(1), at=NOON)
    assert check("passages", "completeness").passed


def test_where_embedders_are_swapped_the_serving_and_the_previous_one_must_hold_every_passage(stores, settings):
    def also(number):
        return passage(number, embedder="new@2")

    stores.land(passage(1), passage(2))
    stores.index(passage(1), passage(2), also(1), at=NOON)
    index = ChromaIndex.open(settings)
    log, old, new = EmbedderRegistry(index), Space(model="minilm", name=EMBEDDER), Space(model="new", name="new@2")
    built = log.change_spaces(log.ensure_serving(old), serving=old, candidate=new)
    assert check("index", "completeness").passed, "a candidate is still being built"
    log.change_spaces(built, serving=new, previous=old)
    assert metadata(check("index", "completeness"))["ids_not_indexed"] == [passage(2).artifact_id]
    stores.index(also(2), at=NOON)
    assert check("index", "completeness").passed
    index.close()


def test_an_index_that_does_not_answer_never_passes_for_an_empty_one(stores, monkeypatch):
    stores.land(passage(1))
    monkeypatch.setenv("MMPLATFORM_CHROMA_URL", "http://127.0.0.1:1")
    found = check("passages", "completeness")
    assert not found.passed
    assert "index: cannot" in metadata(found)["unreachable"]
    assert "ids_not_indexed" not in metadata(found)


def test_ids_are_those_of_the_artifacts(stores):
    stores.land(message(7, text="write to ann@example.com"))
    assert metadata(check("messages", "contract"))["ids"] == [artifact_id("message", "event-7", 0)]


def test_calls_pass_with_the_figures_of_their_speech_and_silence(stores):
    stores.land(chunk(0), chunk(1), call_end(), utterance(0), utterance(1, status="gap", text="", confidence=0.0))
    assert check("raw_calls", "contract").passed
    found = check("transcripts", "contract")
    assert found.passed
    assert metadata(found)["confidence_p50"] == 0.8
    assert metadata(found)["share_of_silence"] == 0.75
    assert metadata(found)["languages"] == {"en": 1.0}
    assert metadata(found)["gaps"] == 1


def test_a_piece_of_a_call_without_speech_is_accounted_for_once_the_deriver_has_read_it(stores):
    for offset, event in enumerate([chunk(0), chunk(1), call_end()]):
        stores.land(event, topic="interactions.call", offset=offset)
    stores.land(utterance(0))
    stores.send("interactions.call", 3)
    stores.commit("derive-call", "interactions.call", 1)
    found = check("transcripts", "completeness")
    assert not found.passed
    assert metadata(found)["ids"] == [chunk(1).event_id]
    stores.commit("derive-call", "interactions.call", 3)
    found = check("transcripts", "completeness")
    assert found.passed
    assert metadata(found)["became"] == {"an artifact": 1.0, CALL_END_REASON: 1.0, NO_SPEECH_REASON: 1.0}
