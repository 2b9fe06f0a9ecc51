"""Derivation depends on the event, the call's state, the blobs and the models: a memo changes no artifact.

A sequence of events is derived with a memo that persists, with one that is emptied before every event, and with one
that never answers. All artifacts are equal but for their cost.
"""

from __future__ import annotations

import hashlib
import io
from datetime import timedelta
from functools import partial

import numpy as np
import pytest

from mmplatform.artifacts import Box, Caption, Message, Utterance
from mmplatform.derive.call.dedup import PAGE_CHUNKS
from mmplatform.derive.call.state import CallState
from mmplatform.derive.chat import ChatDeriver
from mmplatform.derive.layout.captioner import LayoutCaptioner
from mmplatform.derive.screenshot.deriver import ScreenshotDeriver
from mmplatform.memo import MemoryMemo
from mmplatform.ports import RecognisedLine, Segment, SpokenWord
from tests.builders import NOW, arrival, call_end, chat, screenshot
from tests.derive.call.simulated_calls import (
    COST,
    LENGTH_S,
    DigitRedactor,
    MemoryBlobs,
    ScriptedTranscriber,
    SimulatedCall,
    utterances_in_order,
)
from tests.derive.screens import error_dialog, shop_page

BREATHS = ("my number is 415", "555", "0123", "thank you", "", "", "", "")


class EmptiedMemo(MemoryMemo):
    """Memo that somebody deletes before every event."""


class SilentMemo(MemoryMemo):
    """Memo that never answers."""

    def get_many(self, deriver, keys):  # noqa: ARG002
        return {}


class RepeatableTranscriber(ScriptedTranscriber):
    """Transcribes the first window as the first breath, and the same samples always the same."""

    def __init__(self) -> None:
        super().__init__()
        self.heard: dict[str, str] = {}

    def transcribe(self, audio, *, language=None):  # noqa: ARG002
        self.calls += 1
        breath = self.heard.setdefault(hashlib.sha256(audio.tobytes()).hexdigest(), BREATHS[len(self.heard)])
        words = tuple(SpokenWord(n * 0.2, n * 0.2 + 0.15, text, 0.9) for n, text in enumerate(breath.split()))
        return [Segment(0.0, audio.size / 16_000, breath, words, 0.0, -0.1, 1.0, "en")]


class TextRedactor(DigitRedactor):
    def redact(self, texts, *, spoken=False):  # noqa: ARG002
        return super().redact(texts, spoken=True)


class LetterEmbedder:
    name, version, dimensions = "letters", "1", 4

    def embed(self, texts):
        counts = np.array([[text.count(letter) + 1 for letter in "aeio"] for text in texts], np.float32)
        return counts.reshape(len(texts), 4)


class SizeReader:
    """Reads the size of each image."""

    name, version = "size", "1"

    def read(self, image):
        height, width = image.shape[:2]
        box = Box(x0=0.1, y0=0.2, x1=width / 3, y1=height / 7)
        return [RecognisedLine(f"call 415 555 0123 of {width} by {height}", box, 1 / 3)]


def chats(memo):
    deriver = ChatDeriver(LetterEmbedder(), TextRedactor(), memo)
    texts = ("hello", "call 415 555 0123", "hello", "call 415 555 0123")
    return [partial(deriver.derive, [arrival(chat(n, text=text), n)]) for n, text in enumerate(texts)]


def screenshots(memo):
    blobs = MemoryBlobs()
    deriver = ScreenshotDeriver(
        SizeReader(), LayoutCaptioner(), LetterEmbedder(), TextRedactor(), memo, blobs, max_pixels=10**7
    )
    images = [blobs.put(png(canvas), media_type="image/png") for canvas in (error_dialog(), shop_page())]
    shared = [(0, "dana"), (1, "dana"), (0, "dana"), (0, "mira"), (1, "mira")]
    events = [screenshot(n, blob=images[image], subject_id=subject) for n, (image, subject) in enumerate(shared)]
    return [partial(deriver.derive, [arrival(event, n)]) for n, event in enumerate(events)]


def png(canvas):
    buffer = io.BytesIO()
    canvas.image.save(buffer, "PNG")
    return buffer.getvalue()


def calls(memo):
    """A number dictated in three breaths, then silence of more than a page, then chunks that come again."""
    call = SimulatedCall(asr=RepeatableTranscriber(), redactor=DigitRedactor())
    call.memo = memo
    silence = [
        call.events[0].model_copy(
            update={
                "event_id": f"call-1:{n}",
                "chunk_index": n,
                "start_s": float(n),
                "blob": call.events[LENGTH_S - 1].blob,
                "ingested_at": NOW + timedelta(seconds=n + 1),
            }
        )
        for n in range(LENGTH_S, 2 * PAGE_CHUNKS + 5)
    ]
    other_audio = call.events[4].model_copy(update={"event_id": "again:0", "chunk_index": 0})
    deriver, state = call.deriver(), None

    def advance(arrived):
        nonlocal state
        restored = None if state is None else CallState.model_validate_json(state.model_dump_json())
        state, derived = deriver.advance(restored, arrived)
        return derived

    events = [*call.events, *silence, *call.events, other_audio, call_end()]
    return [partial(advance, arrival(event, n)) for n, event in enumerate(events)]


def derive(steps_of, memo):
    """All artifacts and quarantine rows in order, without their cost."""
    records = []
    for step in steps_of(memo):
        if isinstance(memo, EmptiedMemo):
            memo._answers.clear()
        derived = step()
        records += [*derived.artifacts, *derived.quarantined]
    return [without_cost(record.model_dump(mode="json")) for record in records], records


def without_cost(value):
    if not isinstance(value, dict):
        return value
    return {name: without_cost(field) for name, field in value.items() if name not in COST | {"quarantined_at"}}


@pytest.mark.parametrize("modality", [chats, calls, screenshots])
def test_a_memo_that_persists_that_is_emptied_or_that_never_answers_gives_the_same_artifacts(modality):
    persisting, records = derive(modality, MemoryMemo())
    assert records
    for memo in (EmptiedMemo(), SilentMemo()):
        found, _ = derive(modality, memo)
        assert found == persisting


def test_the_sequences_need_what_the_memo_had():
    """The call has a number that only its context shows, and other audio under an index of a spilled page."""
    _, records = derive(calls, MemoryMemo())
    texts = [a.text for a in utterances_in_order({a.artifact_id: a for a in records if isinstance(a, Utterance)})]
    assert texts == ["my number is [PHONE]", "[PHONE]", "[PHONE]", "thank you"]
    assert [row.reasons for row in records if row.kind == "quarantined"] == [("chunk 0 came before with other audio",)]
    _, records = derive(screenshots, MemoryMemo())
    ids = [a.content_id for a in records if isinstance(a, Caption)]
    assert [ids.index(content_id) for content_id in ids] == [0, 1, 0, 3, 4]
    _, records = derive(chats, MemoryMemo())
    assert [a.text for a in records if isinstance(a, Message)][1] == "call [PHONE]"


def test_without_a_memo_the_context_is_transcribed_again_from_the_same_samples():
    known, forgetful = RepeatableTranscriber(), RepeatableTranscriber()
    for asr, memo in ((known, MemoryMemo()), (forgetful, SilentMemo())):
        call = SimulatedCall(asr=asr, redactor=DigitRedactor())
        call.memo = memo
        call.fold([*call.events, call_end()], restart=True)
    assert forgetful.heard == known.heard, "other samples would have been heard as another breath"
    assert (known.calls, forgetful.calls) == (4, 4 + 1 + 2 + 3)
