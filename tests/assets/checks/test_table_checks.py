"""Watermark, lineage, holes and lag, as Dagster runs the checks over real tables and a real log."""

from __future__ import annotations

import os
from datetime import timedelta

import dagster as dg
import pytest

from assets.checks.hour_checks import EMPTY
from assets.checks.hours import PARTITION, RANGE, Hour
from mmplatform.events import encode, utc_now
from mmplatform.kafka.producer import LogProducer
from mmplatform.land.blobs.open import open_blobs
from mmplatform.land.lakehouse.row_codec import record_to_row
from quality.checks.offset_gaps import DEAD, REPEATED
from quality.checks.verdict import Verdict
from resources.lakehouse import LakehouseResource
from resources.readers.hours import open_hours
from tests.assets.checks.test_hour_checks import HOUR, check, figures, utterance
from tests.builders import NOW, chunk
from tests.land.records import NOON, chat, message, passage, position

pytestmark = pytest.mark.broker


def test_a_watermark_that_is_behind_while_nothing_waits_is_well(stores):
    stores.land(chat(1), chat(2, at=NOON + timedelta(minutes=5)), message(1))
    found = check("messages", "watermark")
    assert found.passed
    assert figures(found)["behind_s"] == 300.0
    assert figures(found)["hour"] == HOUR
    stores.land(message(2, at=NOON + timedelta(minutes=5)))
    assert check("messages", "watermark").description == "up to its source"


def test_a_watermark_that_stands_while_events_wait_in_vain_fails(stores):
    stores.land(chat(1))
    producer = LogProducer(stores.settings)
    topic = f"{stores.settings.topic_prefix}interactions.chat"
    producer.send(topic, "c", b"{}", timestamp=utc_now() - timedelta(seconds=100)).result(20)
    producer.close()
    found = check("messages", "watermark")
    assert not found.passed
    assert "1 wait" in found.description


def test_a_watermark_that_is_up_to_date_asks_no_log(stores, monkeypatch):
    stores.land(chat(1), message(1))
    monkeypatch.setenv("MMPLATFORM_KAFKA_BOOTSTRAP_SERVERS", "127.0.0.1:1")
    assert check("messages", "watermark").passed
    stores.land(chat(2, at=NOON + timedelta(minutes=5)))
    found = check("messages", "watermark")
    assert not found.passed
    assert "cannot be told: Unavailable" in found.description


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
    assert figures(found)["ids_absent"] == ["event-3"]
    assert figures(found)["untraceable"] == 1


def test_passages_are_traced_to_their_artifacts(stores):
    stores.land(passage(1), message(1))
    assert check("passages", "lineage_complete").passed
    stores.land(passage(2))
    found = check("passages", "lineage_complete")
    assert figures(found)["ids"] == [passage(2).artifact_id]


def test_the_bytes_behind_passages_are_looked_for(stores):
    blobs = open_blobs(stores.settings)
    kept, gone = (chunk(n, blob=blobs.put(bytes([n] * 9), media_type="audio/wav")) for n in (0, 1))
    heard = [utterance(0), utterance(1)]
    made = [
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
        for number, each in enumerate(heard)
    ]
    stores.land(kept, gone, *heard, *made)
    hour = f"{NOW:%Y-%m-%d-%H}:00"
    found = check("passages", "lineage_complete", hour=hour)
    assert found.passed, found.description
    assert figures(found)["blobs_looked_at"] == 2
    blobs.delete(gone.blob)
    found = check("passages", "lineage_complete", hour=hour)
    assert not found.passed
    assert figures(found)["ids_without_bytes"] == [gone.event_id]


def test_looking_for_bytes_takes_nothing_away(stores):
    call = chunk(0, blob=open_blobs(stores.settings).put(b"wav", media_type="audio/wav"))
    torn = stores.settings.blobs_dir / ".incoming" / "half-written"
    torn.write_bytes(b"wa")
    os.utime(torn, (0, 0))
    heard = utterance(0)
    points = {"source_artifact_id": heard.artifact_id, "source_kind": "utterance", "modality": "call"}
    made = passage(1).model_copy(update={**points, "stamps": heard.stamps, "provenance": heard.provenance})
    stores.land(call, heard, made)
    found = check("passages", "lineage_complete", hour=f"{NOW:%Y-%m-%d-%H}:00")
    assert figures(found)["blobs_looked_at"] == 1
    assert torn.exists(), "whoever writes it may be about to be done; only the stream's workers sweep"


def now_chat(number):
    return chat(number, at=utc_now() - timedelta(seconds=5))


def archive(stores, events, end):
    placed = []
    for offset, event in events.items():
        place = position(offset, topic="interactions.chat")
        placed.append((place, record_to_row(event, place)[1]))
    stores.lakehouse.append("raw_chats", placed, offsets={("interactions.chat", 0): end}, source="archive")


def send(stores, *values):
    producer = LogProducer(stores.settings)
    for value in values:
        producer.send(f"{stores.settings.topic_prefix}interactions.chat", "c", value).result(20)
    producer.close()


def test_an_offset_without_a_row_is_told_with_its_reason(stores):
    events = {offset: now_chat(offset) for offset in (0, 3)}
    send(stores, encode(events[0]), b"no event", encode(events[0]), encode(events[3]))
    archive(stores, events, 4)
    found = check("raw_chats", "completeness")
    assert found.passed, found.description
    assert figures(found)["reasons"] == {DEAD: 1.0, REPEATED: 1.0}


def test_a_record_of_the_log_that_is_in_no_row_is_lost(stores):
    events = {offset: now_chat(offset) for offset in (0, 1, 2)}
    send(stores, *(encode(event) for event in events.values()))
    archive(stores, {0: events[0], 2: events[2]}, 3)
    found = check("raw_chats", "completeness")
    assert not found.passed
    assert figures(found)["places"] == ["0/1"]
    assert "message number" not in repr(found)


def test_what_is_not_archived_yet_is_not_missing(stores):
    events = {offset: now_chat(offset) for offset in (0, 1, 2)}
    send(stores, *(encode(event) for event in events.values()))
    archive(stores, {0: events[0]}, 1)
    assert check("raw_chats", "completeness").passed


def test_holes_cannot_be_told_without_the_log(stores, monkeypatch):
    archive(stores, {0: now_chat(0), 2: now_chat(2)}, 3)
    monkeypatch.setenv("MMPLATFORM_KAFKA_BOOTSTRAP_SERVERS", "127.0.0.1:1")
    found = check("raw_chats", "completeness")
    assert not found.passed
    assert "cannot be told" in found.description


def test_the_lag_is_judged_by_the_gateways_marks(stores, monkeypatch):
    stores.send("interactions.chat", 3)
    assert check("raw_chats", "lag").passed
    monkeypatch.setenv("MMPLATFORM_CHAT_HIGH_WATER", "3")
    monkeypatch.setenv("MMPLATFORM_CHAT_LOW_WATER", "1")
    found = check("raw_chats", "lag")
    assert not found.passed
    assert figures(found)["lag"] == 3


def test_a_run_on_a_bucket_looks_at_the_newest_hour(stores):
    run = dg.DagsterRun("j", tags={PARTITION: "b03"})
    stores.land(chat(1))
    hours = open_hours(LakehouseResource())
    assert Hour().of(hours, "raw_chats", run) == [NOON]
    [hour] = Hour().of(hours, "raw_chats", dg.DagsterRun("j", tags={PARTITION: "2026-03-01-09:00"}))
    assert hour < NOON


@pytest.mark.parametrize(
    ("named", "words"),
    [
        ("b03", "'b03' is no hour"),
        ("2026-03-05-12:37", "does not begin an hour"),
        ("2999-03-05-12:00", "has not begun"),
    ],
)
def test_an_hour_that_is_named_and_none_is_refused_and_not_rounded(stores, named, words):
    stores.land(chat(1))
    with pytest.raises(dg.Failure, match=words):
        Hour(hour=named).of(open_hours(LakehouseResource()), "raw_chats", dg.DagsterRun("j"))


def test_a_run_on_several_hours_is_judged_by_each_of_them(stores):
    stores.land(chat(1), chat(2, at=NOON + timedelta(hours=2)))
    hours = open_hours(LakehouseResource())
    run = dg.DagsterRun("j", tags=dict(zip(RANGE, ("2026-03-05-11:00", "2026-03-05-14:00"), strict=True)))

    def look(hour):
        rows = len(hours.rows("raw_chats", hour))
        return Verdict(holds=hour.hour != 14, words=f"{rows} rows", figures={"rows": rows})

    found = Hour().over(hours, "raw_chats", run, look, EMPTY)
    assert not found.holds
    assert found.words == "2026-03-05-14:00: 1 rows"
    assert found.figures["hours"] == [f"2026-03-05-{hour}:00" for hour in (11, 12, 13, 14)]
    assert found.figures["hours_that_fail"] == 1
