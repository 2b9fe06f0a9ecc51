"""Ports of the pipeline to models and stores. Adapters implement them, and one test suite per port runs over all.

Callers receive implementations as arguments; there are no globals.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final, Protocol

import numpy as np
import numpy.typing as npt

from mmplatform.artifacts import RedactionCoverage, Vector
from mmplatform.events import BlobRef
from mmplatform.locators import Box

Audio = npt.NDArray[np.float32]
"""Mono samples in [-1, 1] at 16 kHz, shape ``(samples,)``."""

RgbImage = npt.NDArray[np.uint8]
"""RGB, shape ``(height, width, 3)``."""


class Blobs(Protocol):
    """Immutable bytes, named by their content. ``put`` is atomic and idempotent; a partial write is never readable."""

    def put(self, data: bytes, *, media_type: str) -> BlobRef:
        """Store and return the pointer; the bytes are durable on return. Raises ``Unavailable``."""

    def get(self, ref: BlobRef) -> bytes:
        """The bytes, checked against ``sha256``. Raises ``Rejected`` when missing or damaged, ``Unavailable``."""

    def exists(self, ref: BlobRef) -> bool:
        """True when the bytes are stored. Raises ``Unavailable``."""

    def delete(self, ref: BlobRef) -> None:
        """Delete the bytes; does nothing when they are missing. Raises ``Unavailable``."""

    def delete_older(self, tenant: str, before: datetime) -> int:
        """Delete a tenant's blobs that were put before a time; returns their number. Raises ``Unavailable``."""


class Memo(Protocol):
    """Cached model results, by (deriver name and version with its model, content hash)."""

    def get_many(self, deriver: str, keys: Sequence[str]) -> Mapping[str, bytes]:
        """The cached entries among ``keys``."""

    def put_many(self, deriver: str, entries: Mapping[str, bytes]) -> None:
        """Store; an existing entry stays."""


class Embedder(Protocol):
    """Maps texts to vectors of one space."""

    name: str
    version: str
    dimensions: int

    def embed(self, texts: Sequence[str]) -> Vector:
        """L2-normalised vectors, shape ``(len(texts), dimensions)``, float32; an empty input gives shape (0, d)."""


@dataclass(frozen=True, slots=True)
class DetectedLanguage:
    """Code of a text's language, and its probability; empty and 0 where the text does not show its language."""

    code: str = ""
    confidence: float = 0.0


NO_LANGUAGE: Final = DetectedLanguage()


class LanguageDetector(Protocol):
    """Detects the language of a written text."""

    name: str
    version: str

    def detect(self, text: str) -> DetectedLanguage:
        """Detect the language; a text that is too short or of mixed languages has none."""


@dataclass(frozen=True, slots=True)
class Redacted:
    """A text without its personal data, and the kind of each redacted span.

    ``spans`` are ``(start, end)`` in characters of the *original* text, sorted and disjoint, one for each entity.
    ``language`` is that of a written text, without its personal data; ``coverage`` is how much of the redaction knows
    it. Of a spoken text the speech recogniser knows the language, so both are empty.
    """

    text: str
    entities: tuple[str, ...]
    spans: tuple[tuple[int, int], ...]
    language: DetectedLanguage = NO_LANGUAGE
    coverage: RedactionCoverage = ""

    @property
    def entity_spans(self) -> list[tuple[int, int, str]]:
        """Each span with its entity: start, end, entity."""
        return [(start, end, entity) for (start, end), entity in zip(self.spans, self.entities, strict=True)]


class Redactor(Protocol):
    """Redacts personal data in texts."""

    name: str
    version: str

    def redact(self, texts: Sequence[str], *, spoken: bool = False) -> list[Redacted]:
        """One result for each text. ``spoken``: the text came from ASR (number words, digits lost, no punctuation)."""


@dataclass(frozen=True, slots=True)
class SpokenWord:
    """A recognised word, seconds from the start of the audio that was given."""

    start_s: float
    end_s: float
    text: str
    probability: float


@dataclass(frozen=True, slots=True)
class Segment:
    """A span of recognised speech, with the decoder's confidence figures.

    Without words it is speech that the model could not put into credible words.
    """

    start_s: float
    end_s: float
    text: str
    words: tuple[SpokenWord, ...]
    no_speech: float
    mean_log_probability: float
    compression_ratio: float
    language: str
    language_probability: float = 1.0


class Transcriber(Protocol):
    """Maps speech to text."""

    name: str
    version: str

    def transcribe(self, audio: Audio, *, language: str | None = None) -> list[Segment]:
        """Segments in time order; an empty list for what is not speech."""


@dataclass(frozen=True, slots=True)
class RecognisedLine:
    """One line that OCR read."""

    text: str
    box: Box
    confidence: float


class OcrEngine(Protocol):
    """Maps an image to lines of text."""

    name: str
    version: str

    def read(self, image: RgbImage) -> list[RecognisedLine]:
        """Lines in reading order, boxes in pixels of ``image``."""


class Captioner(Protocol):
    """Maps an image to a sentence or two."""

    name: str
    version: str

    def caption(self, image: RgbImage, lines: Sequence[RecognisedLine]) -> str:
        """A description of the image; ``lines`` are its OCR lines, already redacted."""
