"""Screenshot deriver: screenshot → caption → passages.

The stream's worker and reprocessing call it with micro-batches. Every event ends in a caption with its passages, or in
quarantine with the reason. The same bytes are read and captioned once. No text leaves unredacted.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Protocol, runtime_checkable

import orjson
import structlog

from mmplatform.artifacts import Caption, OcrLine, Provenance, Stamps, artifact_id, count_pii_kinds
from mmplatform.derive.layout.captioner import LayoutCaptioner
from mmplatform.derive.layout.reading_order import bounding_box, group_blocks
from mmplatform.derive.memo_batch import memoised_batch
from mmplatform.derive.passages import DerivedBatch, PassageDraft, make_passages, quarantine
from mmplatform.derive.pii.replacement import Replacements, ReplaceValue, replace_spans
from mmplatform.derive.screenshot.ocr_cache import OcrCache, OcrResult, UnreadableImage
from mmplatform.derive.screenshot.redaction import RedactedLines, redact_screens
from mmplatform.errors import Rejected
from mmplatform.events import Arrival, Event, Screenshot, utc_now
from mmplatform.identity import stable_id
from mmplatform.locators import Box, ImageLocator
from mmplatform.ports import Blobs, Captioner, Embedder, Memo, OcrEngine, RecognisedLine, Redacted, Redactor, RgbImage
from mmplatform.refusals import Quarantined

_log = structlog.get_logger(__name__)
_MIN_LETTERS: Final = 3
"""Letters and digits of a passage: a shorter block is an icon's label or a speck; it stays in the caption's lines."""


@runtime_checkable
class BatchCaptioner(Protocol):
    """Captioner that is faster with several images at once."""

    def caption_many(self, images: Sequence[RgbImage], lines: Sequence[Sequence[RecognisedLine]]) -> list[str]:
        """Caption each image; an empty caption when the model returns no text."""


@dataclass(frozen=True, slots=True)
class _CaptionText:
    text: str
    captioner: str
    version: str
    entities: tuple[str, ...] = ()
    seconds: float = 0.0
    memo_hit: bool = False


@dataclass(frozen=True, slots=True)
class _View:
    """An image as its conversation may see it; without tags in the policy, the same for each conversation."""

    screen: OcrResult
    redacted: RedactedLines
    replace_value: ReplaceValue


@dataclass(frozen=True, slots=True)
class _DerivedImage:
    """Results of one image; ``repeated``: an earlier event of the batch has the same image."""

    view: _View
    caption: _CaptionText
    repeated: bool


class ScreenshotDeriver:
    """Reads, redacts, captions and embeds. Pure but for the models and the blobs."""

    name = "screenshot"
    version = "3"

    def __init__(
        self,
        reader: OcrEngine,
        captioner: Captioner,
        embedder: Embedder,
        redactor: Redactor,
        memo: Memo,
        blobs: Blobs,
        *,
        max_pixels: int,
        replacements: Replacements | None = None,
    ) -> None:
        self._ocr_cache = OcrCache(reader, memo, blobs, max_pixels=max_pixels)
        self._reader = reader
        self._captioner = captioner
        self._fallback = LayoutCaptioner()
        self._fallback_logged = False
        self._embedder = embedder
        self._redactor = redactor
        self._memo = memo
        self._replacements = replacements or Replacements()

    def derive(self, arrivals: Sequence[Arrival[Screenshot]]) -> DerivedBatch:
        """Derive captions and passages of a micro-batch; unreadable images are quarantined.

        Raises:
            Unavailable: the blob store or the memo does not answer.
            Permanent: a model cannot be loaded.
        """
        # 1. OCR, once for the same bytes.
        screens, refused = self._ocr_cache.read_many([arrival.event.blob for arrival in arrivals])
        # 2. All lines of all images redacted in one batch.
        views = self._redact_screens(arrivals, screens)
        # 3. Captions, of redacted lines.
        caption_texts = self._caption_views(views, refused)
        # 4. Each event ends in a caption or in quarantine.
        good = [arrival for arrival in arrivals if arrival.event.blob.sha256 not in refused]
        quarantined = tuple(
            _quarantine_unreadable(arrival, refused) for arrival in arrivals if arrival.event.blob.sha256 in refused
        )
        seen: set[str] = set()
        captions: list[Caption] = []
        for arrival in good:
            key = self._view_key(arrival.event)
            image = _DerivedImage(views[key], caption_texts[key], repeated=key in seen)
            captions.append(self._build_caption(arrival, image))
            seen.add(key)
        # 5. All passages embedded in one batch.
        drafts = [draft for caption, arrival in zip(captions, good, strict=True) for draft in _drafts(caption, arrival)]
        passages = make_passages(drafts, self._embedder, self._memo)
        return DerivedBatch(artifacts=(*captions, *passages), quarantined=quarantined)

    def _view_key(self, event: Screenshot) -> str:
        return f"{event.blob.sha256}/{event.conversation_key}" if self._replacements.has_tags else event.blob.sha256

    def _redact_screens(
        self, arrivals: Sequence[Arrival[Screenshot]], screens: Mapping[str, OcrResult]
    ) -> dict[str, _View]:
        """Redact the lines of each image that was read, once for each conversation whose tags differ."""
        events = {
            self._view_key(arrival.event): arrival.event for arrival in arrivals if arrival.event.blob.sha256 in screens
        }
        shown = [screens[event.blob.sha256] for event in events.values()]
        replacements = [self._replacements.for_conversation(event.conversation_key) for event in events.values()]
        redacted = redact_screens([screen.lines for screen in shown], self._redactor, replacements)
        return {
            key: _View(screen, lines, replace_value)
            for key, screen, lines, replace_value in zip(events, shown, redacted, replacements, strict=True)
        }

    def _caption_views(
        self, views: Mapping[str, _View], refused: dict[str, UnreadableImage]
    ) -> dict[str, _CaptionText]:
        """Caption images, by the key of their view. One that is missing since its OCR is added to ``refused``."""

        def compute(missing: dict[str, _View]) -> dict[str, _CaptionText]:
            images: dict[str, RgbImage] = {}
            for key, view in missing.items():
                try:
                    images[key] = self._ocr_cache.pixels(view.screen)
                except UnreadableImage as error:
                    refused[view.screen.ref.sha256] = error
            return self._caption_images(images, views)

        def pack(caption: _CaptionText) -> bytes | None:
            # A fallback is not stored: the next worker may have the memory that this one lacked.
            return _pack(caption) if caption.captioner == self._captioner.name else None

        models = (self._captioner, self._reader, self._redactor)
        space = "caption/" + "/".join(f"{model.name}@{model.version}" for model in models)
        return memoised_batch(self._memo, space, views, compute, pack=pack, unpack=_unpack).outputs

    def _caption_images(self, images: Mapping[str, RgbImage], views: Mapping[str, _View]) -> dict[str, _CaptionText]:
        """Caption by the configured captioner, and by layout where its model returns no text."""
        if not images:
            return {}
        lines = {key: views[key].redacted.lines for key in images}
        started = time.perf_counter()
        if isinstance(self._captioner, BatchCaptioner):
            texts = self._captioner.caption_many(list(images.values()), list(lines.values()))
        else:
            texts = [self._caption_image(image, lines[key]) for key, image in images.items()]
        share = (time.perf_counter() - started) / len(images)
        # The layout's words are the redacted lines; a model's words come from the pixels, personal data and all.
        by_layout = isinstance(self._captioner, LayoutCaptioner)
        safe = [] if by_layout else self._redactor.redact(texts)
        captions: dict[str, _CaptionText] = {}
        for k, (key, text) in enumerate(zip(images, texts, strict=True)):
            caption, entities = (text, ()) if by_layout else _hide(text, safe[k], views[key].replace_value)
            captioner: Captioner = self._captioner
            if not caption.strip():
                self._log_fallback()
                captioner, entities = self._fallback, ()
                caption = self._fallback.caption(images[key], lines[key])
            captions[key] = _CaptionText(caption, captioner.name, captioner.version, entities, share)
        return captions

    def _caption_image(self, image: RgbImage, lines: Sequence[RecognisedLine]) -> str:
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

    def _build_caption(self, arrival: Arrival[Screenshot], image: _DerivedImage) -> Caption:
        screen, redacted, text = image.view.screen, image.view.redacted, image.caption
        event = arrival.event
        models = [(self._reader.name, self._reader.version), (text.captioner, text.version)]
        return Caption(
            artifact_id=artifact_id("caption", event.uid, 0),
            modality="screenshot",
            tenant=event.tenant,
            source=event.source,
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
                seconds=0.0 if image.repeated else screen.seconds + text.seconds,
                memo_hit=image.repeated or (screen.memo_hit and text.memo_hit),
                redaction_policy=self._replacements.policy_version,
            ),
            text=text.text,
            captioner=text.captioner,
            lines=tuple(OcrLine(text=line.text, box=line.box, confidence=line.confidence) for line in redacted.lines),
            image_sha256=event.blob.sha256,
            width=screen.width,
            height=screen.height,
            content_id=content_id(event.subject_key, event.blob.sha256),
            pii=count_pii_kinds([*redacted.entities, *text.entities]),
            language=redacted.language.code,
            language_confidence=redacted.language.confidence,
            redaction_coverage=redacted.coverage,
        )


def _quarantine_unreadable(arrival: Arrival[Screenshot], refused: Mapping[str, UnreadableImage]) -> Quarantined:
    error = refused[arrival.event.blob.sha256]
    event: Arrival[Event] = Arrival(arrival.event, arrival.position)
    return quarantine(event, contract=error.contract, reasons=[str(error)])


def _hide(text: str, redacted: Redacted, replace_value: ReplaceValue) -> tuple[str, tuple[str, ...]]:
    return replace_spans(text, redacted.entity_spans, replace_value), redacted.entities


def content_id(subject: str, image_sha256: str) -> str:
    """Compute the id of an image's bytes within one subject; it says nothing about another subject's images."""
    return stable_id("content", subject, image_sha256)


def _drafts(caption: Caption, arrival: Arrival[Screenshot]) -> list[PassageDraft]:
    """Draft a passage of the caption, with the whole image as its box, then one of each paragraph with its box."""
    event = arrival.event
    image_box = Box(x0=0, y0=0, x1=caption.width, y1=caption.height)
    drafts = [
        PassageDraft(caption, 0, caption.text, ImageLocator(event_id=event.event_id, blob=event.blob, box=image_box))
    ]
    lines = [RecognisedLine(line.text, line.box, line.confidence) for line in caption.lines]
    for group in group_blocks(lines):
        text = " ".join(lines[i].text for i in group).strip()
        if sum(c.isalnum() for c in text) < _MIN_LETTERS:
            continue
        locator = ImageLocator(
            event_id=event.event_id, blob=event.blob, box=bounding_box([lines[i].box for i in group])
        )
        drafts.append(PassageDraft(caption, len(drafts), text, locator))
    return drafts


def _pack(caption: _CaptionText) -> bytes:
    return orjson.dumps([caption.text, caption.captioner, caption.version, list(caption.entities)])


def _unpack(_: str, packed: bytes) -> _CaptionText:
    text, captioner, version, entities = orjson.loads(packed)
    return _CaptionText(text, captioner, version, tuple(entities), memo_hit=True)
