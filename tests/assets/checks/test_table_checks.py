"""Watermark, lineage, offset gaps and lag, as Dagster runs the checks over real tables and a real log."""

from __future__ import annotations

import os
from datetime import timedelta

import dagster as dg
import pytest

from assets.checks.hours import PARTITION_TAG, RANGE_TAGS, HourConfig, check_hours
from mmplatform.events import encode, utc_now
from mmplatform.kafka.producer import LogProducer
from mmplatform.land.blobs.open import open_blobs
from mmplatform.land.lakehouse.row_codec import record_to_row
from quality.checks.offset_gaps import DEAD_LETTER_REASON, DUPLICATE_REASON
from quality.checks.result import CheckResult
from resources import stack
from resources.lakehouse import LakehouseResource
from resources.readers.hours import open_hour_reader
from tests.assets.checks.check_runs import HOUR, check, metadata
from tests.assets.utterances import utterance
from tests.builders import NOW, chunk
from tests.land.records import NOON, chat, message, passage, position

pytestmark = pytest.mark.broker


def test_a_watermark_that_is_behind_without_a_backlog_passes(stores):
    stores.land(chat(1), chat(2, at=NOON + timedelta(minutes=5)), message(1))
    found = check("messages", "watermark")
    assert found.passed
    assert metadata(found)["behind_s"] == 300.0
    assert metadata(found)["hour"] == HOUR
    stores.land(message(2, at=NOON + timedelta(minutes=5)))
    assert check("messages", "watermark").description == "up to its source"


def test_a_watermark_with_a_stalled_backlog_fails(stores, monkeypatch):
    stores.land(chat(1))
    producer = LogProducer(stores.settings)
    topic = f"{stores.settings.topic_prefix}interactions.chat"
    producer.send(topic, "c", b"{}").result(20)
    producer.close()
    monkeypatch.setattr(stack, "utc_now", lambda: utc_now() + timedelta(seconds=100))
    found = check("messages", "watermark")
    assert not found.passed
    assert "1 wait" in found.description


def test_an_up_to_date_watermark_needs_no_log(stores, monkeypatch):
    stores.land(chat(1), message(1))
    monkeypatch.setenv("MMPLATFORM_KAFKA_BOOTSTRAP_SERVERS", "127.0.0.1:1")
    assert check("messages", "watermark").passed
    stores.land(chat(2, at=NOON + timedelta(minutes=5)))
    found = check("messages", "watermark")
    assert not found.passed
    assert "cannot be checked: Unavailable" in found.description


def test_an_event_of_the_future_is_named(stores):
    stores.land(chat(1, at=utc_now() + timedelta(hours=2)))
    found = check("raw_chats", "watermark")
    assert not found.passed
    assert "in the future" in found.description


def test_rows_are_traced_to_their_events_also_across_the_hour(stores):
    stores.land(message(1), message(2), chat(1), chat(2, at=NOON - timedelta(hours=5)))
    assert check("messages", "lineage_complete").passed
    stores.land(message(3))
    found = check("messages", "lineage_complete")
    assert not found.passed
    assert metadata(found)["ids_absent"] == ["event-3"]
    assert metadata(found)["untraceable"] == 1


def test_passages_are_traced_to_their_artifacts(stores):
    stores.land(passage(1), message(1))
    assert check("passages", "lineage_complete").passed
    stores.land(passage(2))
    found = check("passages", "lineage_complete")
    assert metadata(found)["ids"] == [passage(2).artifact_id]


def test_the_blobs_of_passages_are_checked(stores):
    blobs = open_blobs(stores.settings)
    stored, missing = (chunk(n, blob=blobs.put(bytes([n] * 9), media_type="audio/wav")) for n in (0, 1))
    utterances = [utterance(0), utterance(1)]
    passages = [
        passage(number).model_copy(
            update={
                "artifact_id": f"{number:064x}",
                "source_artifact_id": each.artifact_id,
                "source_kind": "utterance",
                "modality": "call",
                "stamps": each.stamps,
                "provenance": each.provenance,
            }
        )
        for number, each in enumerate(utterances)
    ]
    stores.land(stored, missing, *utterances, *passages)
    hour = f"{NOW:%Y-%m-%d-%H}:00"
    found = check("passages", "lineage_complete", hour=hour)
    assert found.passed, found.description
    assert metadata(found)["blobs_looked_at"] == 2
    blobs.delete(missing.blob)
    found = check("passages", "lineage_complete", hour=hour)
    assert not found.passed
    assert metadata(found)["ids_without_bytes"] == [missing.event_id]


def test_checking_blobs_deletes_nothing(stores):
    call = chunk(0, blob=open_blobs(stores.settings).put(b"wav", media_type="audio/wav"))
    partial = stores.settings.blobs_dir / ".incoming" / "half-written"
    partial.write_bytes(b"wa")
    os.utime(partial, (0, 0))
    speech = utterance(0)
    points = {"source_artifact_id": speech.artifact_id, "source_kind": "utterance", "modality": "call"}
    derived = passage(1).model_copy(update={**points, "stamps": speech.stamps, "provenance": speech.provenance})
    stores.land(call, speech, derived)
    found = check("passages", "lineage_complete", hour=f"{NOW:%Y-%m-%d-%H}:00")
    assert metadata(found)["blobs_looked_at"] == 1
    assert partial.exists(), "its writer may still be at work; only the stream's workers sweep"


def now_chat(number):
    return chat(number, at=utc_now() - timedelta(seconds=5))


def archive(stores, events, end):
    rows = []
    for offset, event in events.items():
        log_position = position(offset, topic="interactions.chat")
        rows.append((log_position, record_to_row(event, log_position)[1]))
    stores.lakehouse.append("raw_chats", rows, offsets={("interactions.chat", 0): end}, source="archive")


def send(stores, *values):
    producer = LogProducer(stores.settings)
    for value in values:
        producer.send(f"{stores.settings.topic_prefix}interactions.chat", "c", value).result(20)
    producer.close()


def test_an_offset_without_a_row_is_reported_with_its_reason(stores):
    events = {offset: now_chat(offset) for offset in (0, 3)}
    send(stores, encode(events[0]), b"no event", encode(events[0]), encode(events[3]))
    archive(stores, events, 4)
    found = check("raw_chats", "completeness")
    assert found.passed, found.description
    assert metadata(found)["reasons"] == {DEAD_LETTER_REASON: 1.0, DUPLICATE_REASON: 1.0}


def test_a_record_of_the_log_that_is_in_no_row_is_lost(stores):
    events = {offset: now_chat(offset) for offset in (0, 1, 2)}
    send(stores, *(encode(event) for event in events.values()))
    archive(stores, {0: events[0], 2: events[2]}, 3)
    found = check("raw_chats", "completeness")
    assert not found.passed
    assert metadata(found)["places"] == ["0/1"]
    assert "message number" not in repr(found)


def test_what_is_not_archived_yet_is_not_missing(stores):
    events = {offset: now_chat(offset) for offset in (0, 1, 2)}
    send(stores, *(encode(event) for event in events.values()))
    archive(stores, {0: events[0]}, 1)
    assert check("raw_chats", "completeness").passed


def test_offset_gaps_cannot_be_checked_without_the_log(stores, monkeypatch):
    archive(stores, {0: now_chat(0), 2: now_chat(2)}, 3)
    monkeypatch.setenv("MMPLATFORM_KAFKA_BOOTSTRAP_SERVERS", "127.0.0.1:1")
    found = check("raw_chats", "completeness")
    assert not found.passed
    assert "cannot be checked" in found.description


def test_the_lag_is_checked_against_the_gateways_water_marks(stores, monkeypatch):
    stores.send("interactions.chat", 3)
    assert check("raw_chats", "lag").passed
    monkeypatch.setenv("MMPLATFORM_CHAT_HIGH_WATER", "3")
    monkeypatch.setenv("MMPLATFORM_CHAT_LOW_WATER", "1")
    found = check("raw_chats", "lag")
    assert not found.passed
    assert metadata(found)["lag"] == 3


def test_a_run_on_a_bucket_checks_the_newest_hour(stores):
    run = dg.DagsterRun("j", tags={PARTITION_TAG: "b03"})
    stores.land(chat(1))
    hours = open_hour_reader(LakehouseResource())
    assert HourConfig().resolve(hours, "raw_chats", run) == [NOON]
    [hour] = HourConfig().resolve(hours, "raw_chats", dg.DagsterRun("j", tags={PARTITION_TAG: "2026-03-01-09:00"}))
    assert hour < NOON


@pytest.mark.parametrize(
    ("configured", "reason"),
    [
        ("b03", "'b03' is no hour"),
        ("2026-03-05-12:37", "does not begin an hour"),
        ("2999-03-05-12:00", "has not begun"),
    ],
)
def test_a_configured_hour_that_is_no_hour_is_refused_and_not_rounded(stores, configured, reason):
    stores.land(chat(1))
    with pytest.raises(dg.Failure, match=reason):
        HourConfig(hour=configured).resolve(open_hour_reader(LakehouseResource()), "raw_chats", dg.DagsterRun("j"))


def test_a_run_on_several_hours_checks_each_of_them(stores):
    stores.land(chat(1), chat(2, at=NOON + timedelta(hours=2)))
    hours = open_hour_reader(LakehouseResource())
    run = dg.DagsterRun("j", tags=dict(zip(RANGE_TAGS, ("2026-03-05-11:00", "2026-03-05-14:00"), strict=True)))

    def check_hour(hour):
        rows = len(hours.rows("raw_chats", hour))
        return CheckResult(passed=hour.hour != 14, description=f"{rows} rows", metadata={"rows": rows})

    found = check_hours(HourConfig().resolve(hours, "raw_chats", run), check_hour)
    assert not found.passed
    assert found.description == "2026-03-05-14:00: 1 rows"
    assert found.metadata["hours"] == [f"2026-03-05-{hour}:00" for hour in (11, 12, 13, 14)]
    assert found.metadata["hours_that_fail"] == 1
