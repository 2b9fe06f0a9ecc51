"""The lineage check as Dagster runs it, over real tables and real blobs."""

from __future__ import annotations

import os
from datetime import timedelta

import pytest

from mmplatform.land.blobs.open import open_blobs
from tests.assets.checks.check_runs import check, metadata
from tests.assets.utterances import utterance
from tests.builders import NOW, chunk
from tests.land.records import NOON, chat, message, passage

pytestmark = pytest.mark.broker


def test_rows_are_traced_to_their_events_also_across_the_hour(stores):
    stores.land(message(1), message(2), chat(1), chat(2, at=NOON - timedelta(hours=5)))
    assert check("messages", "lineage_complete").passed
    stores.land(message(3))
    found = check("messages", "lineage_complete")
    assert not found.passed
    assert metadata(found)["ids_absent"] == [chat(3).uid]
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
                "source": each.source,
                "conversation_id": each.conversation_id,
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
    assert metadata(found)["ids_without_bytes"] == [missing.uid]


def test_checking_blobs_deletes_nothing(stores):
    call = chunk(0, blob=open_blobs(stores.settings).put(b"wav", media_type="audio/wav"))
    partial = stores.settings.blobs_dir / ".incoming" / "half-written"
    partial.write_bytes(b"wa")
    os.utime(partial, (0, 0))
    speech = utterance(0)
    points = {"source_artifact_id": speech.artifact_id, "source_kind": "utterance", "modality": "call"}
    points |= {"source": speech.source, "conversation_id": speech.conversation_id}
    derived = passage(1).model_copy(update={**points, "stamps": speech.stamps, "provenance": speech.provenance})
    stores.land(call, speech, derived)
    found = check("passages", "lineage_complete", hour=f"{NOW:%Y-%m-%d-%H}:00")
    assert metadata(found)["blobs_looked_at"] == 1
    assert partial.exists(), "its writer may still be at work; only the stream's workers sweep"
