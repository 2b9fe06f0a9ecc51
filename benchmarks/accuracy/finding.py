"""Measures what OCR reads on screenshots, and whether screenshots and help pages are found by what people call them.

Through the product's derivers, the redactor among them; searched exactly, so that it is the passages which are measured
and not an index's approximation.
"""

from __future__ import annotations

import itertools
import json
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final, TypeVar

import numpy as np

from benchmarks.accuracy.corpora import Page, Screen
from benchmarks.accuracy.score import rank_of, word_recall
from mmplatform.artifacts import Passage
from mmplatform.derive.media.image import decode, probe
from mmplatform.events import Arrival, ChatMessage, Position, Screenshot, utc_now
from mmplatform.land.blobs.file_store import FileBlobs
from mmplatform.memo import MemoryMemo
from mmplatform.pipeline.factories import chat_deriver, open_screen_reader, screenshot_deriver
from mmplatform.ports import Embedder, OcrEngine
from mmplatform.settings import Settings

_Event = TypeVar("_Event", ChatMessage, Screenshot)
_BATCH: Final = 16
_TYPES: Final = {".png": "image/png", ".jpg": "image/jpeg"}
READ: Final = Path(__file__).with_name("screens_read.json")
"""Words on some of the screenshots, written down by eye; signs that are no letters or digits do not count."""


def ocr_recall(screens: Sequence[Screen], settings: Settings) -> dict[str, tuple[int, int]]:
    """For each screenshot that was read by eye: how many of its words OCR read, and how many there are."""
    reader = open_screen_reader(settings)
    return {
        name: recall_of(reader, path.read_bytes(), text, settings)
        for name, (path, text) in read_by_eye(screens).items()
    }


def read_by_eye(screens: Sequence[Screen]) -> dict[str, tuple[Path, str]]:
    """Read the file and the words of each screenshot that was read by eye."""
    expected: dict[str, str] = json.loads(READ.read_text("utf-8"))
    paths = {screen.name: screen.path for screen in screens}
    assert expected.keys() <= paths.keys(), f"not among the screenshots: {sorted(expected.keys() - paths.keys())}"
    return {name: (paths[name], text) for name, text in expected.items()}


def recall_of(reader: OcrEngine, data: bytes, text: str, settings: Settings) -> tuple[int, int]:
    """Count the words of ``text`` that OCR reads in an image file, and all of them."""
    lines = reader.read(decode(data, settings.max_image_pixels))
    return word_recall(text, " ".join(line.text for line in lines))


def screenshot_ranks(screens: Sequence[Screen], settings: Settings, embedder: Embedder) -> list[int | None]:
    """Each caption as a query: the rank of its screenshot among all of them."""
    with tempfile.TemporaryDirectory() as folder:
        blobs = FileBlobs(Path(folder))
        deriver = screenshot_deriver(settings, MemoryMemo(), blobs)
        passages: list[Passage] = []
        for batch in _batches([_shot(screen, blobs, settings) for screen in screens]):
            derived = deriver.derive(batch)
            passages += [artifact for artifact in derived.artifacts if isinstance(artifact, Passage)]
    return _ranks([(screen.caption, screen.name) for screen in screens], passages, embedder)


def page_ranks(pages: Sequence[Page], settings: Settings, embedder: Embedder) -> list[int | None]:
    """Each title as a query: the rank of its page, of which only the body was taken in, among all of them."""
    deriver = chat_deriver(settings, MemoryMemo())
    passages: list[Passage] = []
    for batch in _batches([_message(page, settings) for page in pages]):
        passages += [artifact for artifact in deriver.derive(batch).artifacts if isinstance(artifact, Passage)]
    return _ranks([(page.title, page.name) for page in pages], passages, embedder)


def _ranks(queries: Sequence[tuple[str, str]], passages: Sequence[Passage], embedder: Embedder) -> list[int | None]:
    """A question, and the conversation that answers it: passages by likeness, each conversation by its best."""
    vectors = np.stack([passage.vector for passage in passages])
    likeness = embedder.embed([text for text, _ in queries]) @ vectors.T
    names = [passage.conversation_id for passage in passages]
    ranked = ([names[n] for n in np.argsort(-row, kind="stable")] for row in likeness)
    return [rank_of(wanted, found) for (_, wanted), found in zip(queries, ranked, strict=True)]


def _shot(screen: Screen, blobs: FileBlobs, settings: Settings) -> Screenshot:
    data, media_type = screen.path.read_bytes(), _TYPES[screen.path.suffix]
    facts = probe(data, media_type, settings.max_image_pixels)
    return Screenshot(
        event_id=screen.name,
        conversation_id=screen.name,
        subject_id="bench",
        event_time=utc_now(),
        ingested_at=utc_now(),
        width=facts.width,
        height=facts.height,
        blob=blobs.put(data, media_type=media_type),
    )


def _message(page: Page, settings: Settings) -> ChatMessage:
    return ChatMessage(
        event_id=page.name,
        conversation_id=page.name,
        subject_id="bench",
        event_time=utc_now(),
        ingested_at=utc_now(),
        role="agent",
        text=page.body[: settings.max_chat_chars],
    )


def _batches(events: Sequence[_Event]) -> Iterator[list[Arrival[_Event]]]:
    positions = (Position(topic="bench", topic_partition=0, offset=n) for n in itertools.count())
    arrivals = [Arrival(event, position) for event, position in zip(events, positions, strict=False)]
    for first in range(0, len(arrivals), _BATCH):
        yield arrivals[first : first + _BATCH]
