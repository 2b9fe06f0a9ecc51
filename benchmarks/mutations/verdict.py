"""The end of one file: the gateway's own intake and the deriver's own decoding and gaps, in one process.

No speech or text is recognised, since that needs seconds a file and decides nothing here.
"""

from __future__ import annotations

import asyncio
import re
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Final, cast

from benchmarks.mutations.mutate import Mutant
from mmplatform.artifacts import Utterance
from mmplatform.derive.call.audio_cache import CallAudioCache
from mmplatform.derive.call.dedup import ChunkDeduplicator
from mmplatform.derive.call.gap_markers import GapMarkers
from mmplatform.derive.call.reassembly import CallReassembly, ReassemblyDeps
from mmplatform.derive.call.segmenter import Segmenter
from mmplatform.derive.call.state import CallState, ChunkRef
from mmplatform.derive.media import audio, image
from mmplatform.derive.passages import DerivedBatch, quarantine
from mmplatform.derive.screenshot.ocr_cache import OcrCache
from mmplatform.errors import PlatformError
from mmplatform.events import Arrival, CallChunk, CallEnd, Event, Position, Screenshot, encode, utc_now
from mmplatform.ingest.dependencies import IngestDeps
from mmplatform.ingest.intake import pending_chunk, pending_screenshot
from mmplatform.ingest.schemas import ChunkFields, ScreenshotFields
from mmplatform.land.blobs.file_store import FileBlobs
from mmplatform.memo import MemoryMemo
from mmplatform.modalities import CALL, SCREENSHOT
from mmplatform.pipeline.consumed_record import ConsumedRecord
from mmplatform.pipeline.process import Outcome, contract_limits, process, process_call_record
from mmplatform.ports import RecognisedLine, RgbImage
from mmplatform.refusals import Quarantined
from mmplatform.settings import load
from mmplatform.web.bodies import Upload
from mmplatform.web.media_types import AUDIO_TYPES, IMAGE_TYPES, canonical_type

REFUSED: Final = "refused"
DERIVED: Final = "derived"
GAPS: Final = "derived with gaps"
NAMED: Final = "named"
LOST: Final = "acknowledged but lost"
ENDS: Final = (REFUSED, DERIVED, GAPS, NAMED, LOST)
_TOLERANCE_S: Final = 0.05
_CLASS_NAME: Final = re.compile(r"\b[A-Z]\w+(?:Error|Exception|Warning)\b|Errno|Traceback|0x[0-9a-f]{6}|\bav\.")
_POSITION: Final = Position(topic="bench", topic_partition=0, offset=0)


@dataclass(frozen=True, slots=True)
class Verdict:
    """The end of a file, with the words of its refusal or the reason of its loss."""

    end: str
    reason: str = ""


class Judge:
    """Sends files through the intake and derives them."""

    def __init__(self, folder: Path) -> None:
        self._settings = load()
        self._limits = contract_limits(self._settings)
        self._blobs = FileBlobs(folder)
        self._deps = cast(
            "IngestDeps",
            SimpleNamespace(
                settings=self._settings,
                blobs=self._blobs,
                probe_audio=audio.probe,
                probe_image=image.probe,
                clock=utc_now,
            ),
        )

    def judge(self, mutant: Mutant) -> Verdict:
        """Return the end of a file; an exception that is no refusal is a loss, at either door."""
        try:
            event = asyncio.run(self._accept(mutant))
        except PlatformError as error:
            return _check_words(str(error))
        except Exception as error:  # noqa: BLE001 - whatever the decoder raised, the gateway would answer 500
            return Verdict(LOST, f"the gateway raised {type(error).__name__}")
        record = ConsumedRecord(position=_POSITION, value=encode(event), taken_at=utc_now())
        try:
            return self._derive_chunk(event, record) if isinstance(event, CallChunk) else self._derive_screen(record)
        except Exception as error:  # noqa: BLE001 - likewise
            return Verdict(LOST, f"the deriver raised {type(error).__name__}")
        finally:
            if isinstance(event, CallChunk | Screenshot):
                self._blobs.delete(event.blob)

    async def _accept(self, mutant: Mutant) -> Event:
        accepted = AUDIO_TYPES if mutant.is_audio else IMAGE_TYPES
        media_type = canonical_type(mutant.media_type, accepted) or mutant.media_type
        upload = Upload(mutant.data, media_type, {})
        name = f"mutant-{mutant.number}"
        if mutant.is_audio:
            fields = ChunkFields(subject_id=name, index=0, start_s=0.0)
            pending = await pending_chunk(self._deps, name, fields, upload, name)
        else:
            shown = ScreenshotFields(subject_id=name, conversation_id=name)
            pending = await pending_screenshot(self._deps, shown, upload, name)
        return await pending.build()

    def _derive_chunk(self, event: CallChunk, record: ConsumedRecord) -> Verdict:
        cache = CallAudioCache(self._blobs)
        deps = ReassemblyDeps(Segmenter(cache), ChunkDeduplicator(self._blobs), 10.0)
        chunk = ChunkRef.from_event(event, _POSITION)
        spans: list[float] = []

        def fold(arrival: Arrival[Any]) -> DerivedBatch:
            reassembly = CallReassembly(deps, GapMarkers(arrival, ("call", "mutations")), CallState())
            reassembly.add_chunk(chunk)
            spans.append(reassembly.state.heard_s)
            reassembly.end_call(_end_of(event))
            return DerivedBatch(tuple(reassembly.gap_artifacts), tuple(reassembly.quarantined))

        outcome = process_call_record(record, fold, CALL, self._limits)
        if named := _named(outcome):
            return named
        content = cache.decode(chunk)
        found_s = content.samples.shape[1] / audio.SAMPLE_RATE
        if abs(found_s - event.duration_s) > _TOLERANCE_S or abs(spans[0] - event.duration_s) > _TOLERANCE_S:
            return Verdict(LOST, f"{event.duration_s:.2f} s acknowledged, {found_s:.2f} s derived")
        gaps = [row for row in outcome.artifacts if isinstance(row, Utterance) and row.status == "gap"]
        if len(gaps) != len(content.missing):
            return Verdict(LOST, f"{len(content.missing)} holes, {len(gaps)} rows of gaps")
        return Verdict(GAPS if gaps else DERIVED)

    def _derive_screen(self, record: ConsumedRecord) -> Verdict:
        deriver = _Decoding(self._blobs, self._settings.max_image_pixels)
        outcome = process([record], deriver, SCREENSHOT, self._limits)
        return _named(outcome) or Verdict(*((DERIVED,) if deriver.read else (LOST, "no image and no reason")))


class _Decoding:
    """Screenshot deriver up to its pixels: decodes as the real one, and reads no text."""

    name = "screenshot"
    version = "mutations"

    def __init__(self, blobs: FileBlobs, max_pixels: int) -> None:
        self._cache = OcrCache(_NoReader(), MemoryMemo(), blobs, max_pixels=max_pixels)
        self.read = False

    def derive(self, arrivals: Sequence[Arrival[Any]]) -> DerivedBatch:
        """Decode; what cannot be decoded is quarantined."""
        [arrival] = arrivals
        screens, refused = self._cache.read_many([arrival.event.blob])
        for screen in screens.values():
            same = (screen.width, screen.height) == (arrival.event.width, arrival.event.height)
            self.read = same and self._cache.pixels(screen).shape[:2] == (screen.height, screen.width)
        return DerivedBatch(
            quarantined=tuple(
                quarantine(arrival, contract=error.contract, reasons=[str(error)]) for error in refused.values()
            )
        )


class _NoReader:
    """OCR that reads nothing."""

    name, version = "none", "1"

    def read(self, pixels: RgbImage) -> list[RecognisedLine]:  # noqa: ARG002 - the port's
        """Read nothing."""
        return []


def _named(outcome: Outcome) -> Verdict | None:
    reasons = [reason for row in outcome.quarantined if isinstance(row, Quarantined) for reason in row.reasons]
    reasons += [letter.reason for letter in outcome.dead_letters]
    if not reasons:
        return None
    crashed = any(reason.startswith("deriver raised") for reason in reasons)
    return Verdict(LOST if crashed else NAMED, "; ".join(reasons))


def _check_words(reason: str) -> Verdict:
    if _CLASS_NAME.search(reason):
        return Verdict(LOST, f"the refusal names a class: {reason}")
    return Verdict(REFUSED, reason)


def _end_of(event: CallChunk) -> CallEnd:
    return CallEnd(
        event_id=event.event_id + "-end",
        conversation_id=event.conversation_id,
        subject_id=event.subject_id,
        event_time=event.event_time,
        ingested_at=event.ingested_at,
        chunks=1,
    )


@contextmanager
def open_judge() -> Iterator[Judge]:
    """Open a judge over a directory of its own, in memory: no decoder depends on a disk."""
    memory = Path("/dev/shm")  # noqa: S108 - of this process, and removed
    with tempfile.TemporaryDirectory(prefix="mutations-", dir=memory if memory.is_dir() else None) as folder:
        yield Judge(Path(folder))
