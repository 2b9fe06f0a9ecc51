"""Calls and screenshots derived again: a call is folded whole, and what was made of bytes that are gone stays."""

from __future__ import annotations

import io
from datetime import timedelta

import pytest

from mmplatform.land.blobs.open import open_blobs
from mmplatform.land.index.embedder_registry import EmbedderRegistry
from mmplatform.memo import MemoryMemo
from mmplatform.pipeline.embedder_swap.dual_write import DualWriteIndex
from mmplatform.pipeline.factories import screenshot_deriver
from mmplatform.pipeline.reprocess.inputs import ReprocessInputs
from mmplatform.pipeline.reprocess.reprocess import reprocess
from quality.contracts import ContractLimits
from tests.builders import NOW, call_end, screenshot
from tests.derive.call.simulated_calls import (
    ScriptedTranscriber,
    SimulatedCall,
)
from tests.derive.screens import error_dialog, shop_page
from tests.pipeline.stream import Stream

HOUR = timedelta(hours=1)


class Louder(ScriptedTranscriber):
    version = "2"

    def transcribe(self, audio, *, language=None):
        found = super().transcribe(audio, language=language)
        for segment in found:
            for word in segment.words:
                object.__setattr__(word, "text", word.text.upper())
        return found


def shifted(event, **since):
    moved = timedelta(**since)
    times = {"event_time": event.event_time + moved, "ingested_at": event.ingested_at + moved}
    return event.model_copy(update=times)


@pytest.fixture
def call(lakehouse, dual_write_index):
    """A call over the turn of the hour, six seconds in each, without its fifth chunk."""
    world = SimulatedCall()
    events = [shifted(event, hours=1, seconds=-6) for event in [*world.events, call_end(event_time=NOW + HOUR / 300)]]
    late = events.pop(4)
    stream = Stream(lakehouse, dual_write_index)
    stream.send([*events[:-1], shifted(late, seconds=9), events[-1]], world.deriver())
    return world


def run(lakehouse, index, deriver, blobs, table="transcripts", hour=NOW + HOUR):
    dual_write_index = DualWriteIndex(index, EmbedderRegistry(index), None, None)
    return reprocess(
        table,
        hour,
        ReprocessInputs(lakehouse, index, Stream(lakehouse, dual_write_index), blobs, deriver, ContractLimits(), 8),
    )


def heard(lakehouse, hour):
    rows = lakehouse.scan("transcripts", hour=hour).to_pylist()
    return sorted((round(row["start_s"], 2), row["status"], row["text"]) for row in rows)


def test_a_call_over_the_turn_of_the_hour_is_folded_whole_and_only_its_hour_is_replaced(lakehouse, index, call):
    before = heard(lakehouse, NOW), heard(lakehouse, NOW + HOUR)
    assert all(before)
    paid = call.asr.calls
    for hour in (NOW, NOW + HOUR):
        summary = run(lakehouse, index, call.deriver(), call.blobs, hour=hour)
        assert (summary.changed, summary.read) == (False, 13)
        assert summary.tables["transcripts"].unchanged == len(heard(lakehouse, hour))
    assert call.asr.calls == paid, "the memo answers"
    call.asr = Louder()
    summary = run(lakehouse, index, call.deriver(), call.blobs)
    spoken = [row for row in before[1] if row[1] == "final"]
    assert summary.tables["transcripts"].replaced == summary.upserted == len(spoken) > 0
    assert heard(lakehouse, NOW) == before[0]
    assert {text for _, _, text in heard(lakehouse, NOW + HOUR)} == {text.upper() for _, _, text in before[1]}


def test_of_a_call_with_a_lost_chunk_nothing_is_replaced(lakehouse, index, call):
    gone = call.events[9]
    del call.blobs.data[gone.blob.sha256]
    before = heard(lakehouse, NOW), heard(lakehouse, NOW + HOUR)
    call.asr = Louder()
    summary = run(lakehouse, index, call.deriver(), call.blobs)
    assert summary.lost == (gone.event_id,)
    assert summary.tables["transcripts"].left == len(before[1])
    assert (heard(lakehouse, NOW), heard(lakehouse, NOW + HOUR)) == before
    rows = lakehouse.scan("quarantine", hour=NOW + HOUR).to_pylist()
    assert [(row["event_id"], row["contract"]) for row in rows] == [(gone.event_id, "blob")]


def test_a_call_that_was_never_derived_lands_with_a_gap_marker_for_a_lost_chunk(lakehouse, index, call):
    from mmplatform.land.lakehouse.arrow import hour_filter

    lakehouse.table("transcripts").delete(hour_filter(NOW + HOUR))
    del call.blobs.data[call.events[9].blob.sha256]
    summary = run(lakehouse, index, call.deriver(), call.blobs)
    assert summary.lost == (call.events[9].event_id,)
    assert "gap" in {status for _, status, _ in heard(lakehouse, NOW + HOUR)}
    assert summary.tables["transcripts"].added > 1


@pytest.mark.models
def test_screenshots_are_derived_equal_and_a_missing_image_is_named(settings, lakehouse, index, dual_write_index):
    blobs = open_blobs(settings)
    events = []
    for number, page in enumerate((shop_page(), error_dialog())):
        image = io.BytesIO()
        page.image.save(image, "PNG")
        ref = blobs.put(image.getvalue(), media_type="image/png")
        size = {"width": page.image.width, "height": page.image.height}
        events.append(screenshot(number, blob=ref, **size))
    deriver = screenshot_deriver(settings, MemoryMemo(), blobs)
    Stream(lakehouse, dual_write_index).send(events, deriver)
    kept = lakehouse.scan("captions", columns=["artifact_id", "text"]).to_pylist()
    assert run(lakehouse, index, deriver, blobs, "captions", NOW).changed is False
    blobs.delete(events[0].blob)
    found = lakehouse.table("captions").scan().to_arrow().num_rows
    summary = run(lakehouse, index, screenshot_deriver(settings, MemoryMemo(), blobs), blobs, "captions", NOW)
    assert summary.lost == ("shot-0",)
    assert (summary.tables["captions"].unchanged, summary.tables["captions"].left) == (1, 1)
    assert lakehouse.scan("captions", columns=["artifact_id", "text"]).to_pylist() == kept
    assert found == 2
