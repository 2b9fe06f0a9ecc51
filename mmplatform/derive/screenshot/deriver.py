"""Screenshot → caption → passages.

Called with micro-batches by the stream's worker and by reprocessing. Every event ends in a caption with its passages,
or in quarantine with the reason; the same bytes are read and captioned once, however often they come; no text leaves
unredacted.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Protocol, runtime_checkable

import orjson
import structlog

from mmplatform.artifacts import (
    Box,
    Caption,
    ImageLocator,
    OcrLine,
    Provenance,
    Quarantined,
    Stamps,
    artifact_id,
    summarise_pii,
)
from mmplatform.derive.layout.captioner import LayoutCaptioner
from mmplatform.derive.layout.reading_order import bounding_box, group_blocks
from mmplatform.derive.passages import DerivedBatch, PassageDraft, make_passages, quarantine
from mmplatform.derive.screenshot.ocr_cache import OcrCache, OcrResult, UnreadableImage
from mmplatform.derive.screenshot.redaction import RedactedLines, redact_screens
from mmplatform.errors import Rejected
from mmplatform.events import Arrival, Event, Screenshot, utc_now
from mmplatform.ports import Blobs, Captioner, Embedder, Memo, Pixels, ReadLine, Redactor, ScreenReader

_log = structlog.get_logger(__name__)
_FIRST_CAPTION_SPACE: Final = "screenshot/first-caption@1"
_MIN_LETTERS: Final = 3
"""Letters and digits below which a block is no passage: an icon's label or a speck; it stays in the caption's lines."""


@runtime_checkable
class BatchCaptioner(Protocol):
    """A captioner that gains from several images at once."""

    def caption_many(self, images: Sequence[Pixels], lines: Sequence[Sequence[ReadLine]]) -> list[str]:
        """One caption for each image; an empty one where it has nothing to say."""


@dataclass(frozen=True, slots=True)
class _CaptionText:
    text: str
    captioner: str
    version: str
    entities: tuple[str, ...] = ()
    seconds: float = 0.0
    memo_hit: bool = False


@dataclass(frozen=True, slots=True)
class _DerivedImage:
    """All that is known of one image; ``again``: an earlier event of the batch paid for it."""

    screen: OcrResult
    redacted: RedactedLines
    made: _CaptionText
    again: bool


class ScreenshotDeriver:
    """Reads, redacts, captions and embeds. Pure but for the models, the memo and the blobs that it is given."""

    name = "screenshot"
    version = "1"

    def __init__(
        self,
        reader: ScreenReader,
        captioner: Captioner,
        embedder: Embedder,
        redactor: Redactor,
        memo: Memo,
        blobs: Blobs,
        *,
        max_pixels: int,
    ) -> None:
        self._ocr_cache = OcrCache(reader, memo, blobs, max_pixels=max_pixels)
        self._reader = reader
        self._captioner = captioner
        self._fallback = LayoutCaptioner()
        self._fallback_logged = False
        self._embedder = embedder
        self._redactor = redactor
        self._memo = memo

    def derive(self, arrivals: Sequence[Arrival[Screenshot]]) -> DerivedBatch:
        """Captions and passages of a micro-batch, and the events that had to be set aside.

        Raises:
            Unavailable: the blob store or the memo does not answer.
            Permanent: a model cannot be loaded.
        """
        # 1. OCR, once for the same bytes.
        screens, refused = self._ocr_cache.read_many([arrival.event.blob for arrival in arrivals])
        # 2. All lines of all images redacted in one batch.
        redacted = dict(zip(screens, redact_screens([s.lines for s in screens.values()], self._redactor), strict=True))
        # 3. Captions, of redacted lines.
        captioned = self._captions_of_images(screens, redacted, refused)
        # 4. Each event ends in a caption or in quarantine.
        good = [arrival for arrival in arrivals if arrival.event.blob.sha256 not in refused]
        quarantined = tuple(
            _quarantine_unreadable(arrival, refused) for arrival in arrivals if arrival.event.blob.sha256 in refused
        )
        firsts = self._first_captions(good)
        paid: set[str] = set()
        captions: list[Caption] = []
        for arrival in good:
            sha256 = arrival.event.blob.sha256
            work = _DerivedImage(screens[sha256], redacted[sha256], captioned[sha256], again=sha256 in paid)
            captions.append(self._build_caption(arrival, work, first=firsts[sha256]))
            paid.add(sha256)
        # 5. All passages embedded in one batch.
        drafts = [draft for caption, arrival in zip(captions, good, strict=True) for draft in _drafts(caption, arrival)]
        passages = make_passages(drafts, self._embedder, self._memo)
        return DerivedBatch(artifacts=(*captions, *passages), quarantined=quarantined)

    def _captions_of_images(
        self,
        screens: Mapping[str, OcrResult],
        redacted: Mapping[str, RedactedLines],
        refused: dict[str, UnreadableImage],
    ) -> dict[str, _CaptionText]:
        """Captions by sha256. An image that vanished between OCR and caption is added to ``refused``."""
        made_of = (self._captioner, self._reader, self._redactor)
        space = "caption/" + "/".join(f"{part.name}@{part.version}" for part in made_of)
        found = {
            sha256: _decode_caption(encoded) for sha256, encoded in self._memo.get_many(space, list(screens)).items()
        }
        images: dict[str, Pixels] = {}
        for sha256, screen in screens.items():
            if sha256 not in found:
                try:
                    images[sha256] = self._ocr_cache.pixels(screen)
                except UnreadableImage as error:
                    refused[sha256] = error
        fresh = self._caption_images(images, {sha256: redacted[sha256].lines for sha256 in images})
        # A fallback is not remembered: the next worker may have the memory that this one lacked.
        own = {sha256: _encode(made) for sha256, made in fresh.items() if made.captioner == self._captioner.name}
        self._memo.put_many(space, own)
        return found | fresh

    def _caption_images(
        self, images: Mapping[str, Pixels], lines: Mapping[str, Sequence[ReadLine]]
    ) -> dict[str, _CaptionText]:
        """Caption by the configured captioner, and by the layout's where that one has nothing to say."""
        if not images:
            return {}
        started = time.perf_counter()
        if isinstance(self._captioner, BatchCaptioner):
            texts = self._captioner.caption_many(list(images.values()), [lines[sha256] for sha256 in images])
        else:
            texts = [self._caption_image(image, lines[sha256]) for sha256, image in images.items()]
        share = (time.perf_counter() - started) / len(images)
        # The layout's words are the redacted lines; a model's words come from the pixels, personal data and all.
        by_layout = isinstance(self._captioner, LayoutCaptioner)
        safe = [] if by_layout else self._redactor.redact(texts)
        made: dict[str, _CaptionText] = {}
        for k, (sha256, text) in enumerate(zip(images, texts, strict=True)):
            kept, entities = (text, ()) if by_layout else (safe[k].text, safe[k].entities)
            who: Captioner = self._captioner
            if not kept.strip():
                self._log_fallback()
                who, entities = self._fallback, ()
                kept = self._fallback.caption(images[sha256], lines[sha256])
            made[sha256] = _CaptionText(kept, who.name, who.version, entities, share)
        return made

    def _caption_image(self, image: Pixels, lines: Sequence[ReadLine]) -> str:
        try:
            return self._captioner.caption(image, lines)
        except Rejected:
            return ""

    def _log_fallback(self) -> None:
        if not self._fallback_logged:
            self._fallback_logged = True
            _log.warning(
                "caption model had nothing to say; captions of such images come from OCR and layout",
                captioner=self._captioner.name,
                fallback=self._fallback.name,
            )

    def _first_captions(self, arrivals: Sequence[Arrival[Screenshot]]) -> Mapping[str, str]:
        """The artifact_id of the first caption of each image, by sha256.

        The memo's entry stays, so that a replayed event finds itself as the first again.
        """
        mine: dict[str, bytes] = {}
        for arrival in arrivals:
            mine.setdefault(arrival.event.blob.sha256, _caption_id(arrival.event).encode())
        self._memo.put_many(_FIRST_CAPTION_SPACE, mine)
        known = self._memo.get_many(_FIRST_CAPTION_SPACE, list(mine))
        return {sha256: known.get(sha256, own).decode() for sha256, own in mine.items()}

    def _build_caption(self, arrival: Arrival[Screenshot], work: _DerivedImage, *, first: str) -> Caption:
        screen, redacted, made, again = work.screen, work.redacted, work.made, work.again
        event = arrival.event
        own_id = _caption_id(event)
        models = [(self._reader.name, self._reader.version), (made.captioner, made.version)]
        return Caption(
            artifact_id=own_id,
            modality="screenshot",
            conversation_id=event.conversation_id,
            subject_id=event.subject_id,
            stamps=Stamps(event_time=event.event_time, ingested_at=event.ingested_at, derived_at=utc_now()),
            provenance=Provenance(
                event_ids=(event.event_id,),
                position=arrival.position,
                blobs=(event.blob,),
                deriver=self.name,
                deriver_version=self.version,
                model="+".join(name for name, _ in models),
                model_version="+".join(version for _, version in models),
                seconds=0.0 if again else screen.seconds + made.seconds,
                memo_hit=again or (screen.memo_hit and made.memo_hit),
            ),
            text=made.text,
            captioner=made.captioner,
            lines=tuple(OcrLine(text=line.text, box=line.box, confidence=line.confidence) for line in redacted.lines),
            image_sha256=event.blob.sha256,
            width=screen.width,
            height=screen.height,
            duplicate_of=first if first != own_id else None,
            pii=summarise_pii([*redacted.entities, *made.entities]),
        )


def _quarantine_unreadable(arrival: Arrival[Screenshot], refused: Mapping[str, UnreadableImage]) -> Quarantined:
    error = refused[arrival.event.blob.sha256]
    whole: Arrival[Event] = Arrival(arrival.event, arrival.position)
    return quarantine(whole, contract=error.contract, reasons=[str(error)])


def _caption_id(event: Screenshot) -> str:
    return artifact_id("caption", event.event_id, 0)


def _drafts(caption: Caption, arrival: Arrival[Screenshot]) -> list[PassageDraft]:
    """The caption with the whole image as its locator, then each paragraph of the screen with the box around it."""
    event = arrival.event
    whole = Box(x0=0, y0=0, x1=caption.width, y1=caption.height)
    drafts = [PassageDraft(caption, 0, caption.text, ImageLocator(event_id=event.event_id, blob=event.blob, box=whole))]
    lines = [ReadLine(line.text, line.box, line.confidence) for line in caption.lines]
    for group in group_blocks(lines):
        text = " ".join(lines[i].text for i in group).strip()
        if sum(c.isalnum() for c in text) < _MIN_LETTERS:
            continue
        locator = ImageLocator(
            event_id=event.event_id, blob=event.blob, box=bounding_box([lines[i].box for i in group])
        )
        drafts.append(PassageDraft(caption, len(drafts), text, locator))
    return drafts


def _encode(made: _CaptionText) -> bytes:
    return orjson.dumps([made.text, made.captioner, made.version, list(made.entities)])


def _decode_caption(encoded: bytes) -> _CaptionText:
    text, captioner, version, entities = orjson.loads(encoded)
    return _CaptionText(text, captioner, version, tuple(entities), memo_hit=True)
