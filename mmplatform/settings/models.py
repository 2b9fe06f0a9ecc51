"""Models: where they lie, and which of them derive."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Final

from pydantic import AfterValidator, BaseModel, Field

DETECT_LANGUAGE: Final = "auto"
"""Value of the variable that asks for detection of the language; in the settings it is empty."""


def _detected_when_auto(language: str) -> str:
    return "" if language.strip().lower() == DETECT_LANGUAGE else language


class ModelSettings(BaseModel):
    """Models."""

    models_dir: Path | None = Field(
        default=None, description="Where model directories lie; empty: `models` in the user's cache directory."
    )
    asr_model: str = Field(
        default="whisper-base", description="Name of a pulled model, a directory, or a hub name (faster-whisper)."
    )
    asr_beam_size: int = Field(default=1, ge=1, le=10, description="Beam size of ASR.")
    asr_threads: int = Field(default=1, ge=1, le=64, description="Threads of one ASR process.")
    asr_language: Annotated[str, AfterValidator(_detected_when_auto)] = Field(
        default="en",
        description=(
            "Language code to expect in calls: another is used where it is clearly heard; `auto`: detect always. "
            "The default redactor and embedder are English too."
        ),
    )
    embedding_model: str = Field(default="minilm", description="Name of a pulled text embedder, or a directory.")
    embedding_threads: int = Field(default=1, ge=1, le=64, description="Threads of one embedding session.")
    ner_model: str = Field(
        default="rampart",
        description="Name of a pulled model for names in texts (`rampart`, `en-sm`, `en-md`), or a directory.",
    )
    language_model: str = Field(
        default="lid-176",
        description="Name of the pulled model that detects the language of a written text, or a directory.",
    )
    ocr_threads: int = Field(default=2, ge=1, le=64, description="Threads of one OCR session.")
    caption_model: str = Field(
        default="",
        description=(
            "Directory or hub name of an image-text-to-text model (extra `caption`); empty: "
            "captions from OCR and layout."
        ),
    )
