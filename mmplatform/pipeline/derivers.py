"""Which models a modality needs, opened and warm: the one place where settings become derivers and limits.

The stream's workers and a reprocessing run both come here, so that they cannot differ in a model or a parameter.
"""

from __future__ import annotations

from pathlib import Path

from mmplatform.derive.call import CallDeriver
from mmplatform.derive.chat import ChatDeriver
from mmplatform.derive.models import fingerprint, is_hub_name, locate
from mmplatform.derive.screenshot import ScreenshotDeriver
from mmplatform.errors import Misconfigured
from mmplatform.memo import SqliteMemo
from mmplatform.ports import Blobs, Captioner, Embedder, Memo, Redactor, ScreenReader, Transcriber
from mmplatform.settings import Settings


def open_memo(settings: Settings) -> SqliteMemo:
    """The memo that all workers of one data directory share."""
    return SqliteMemo(settings.data_dir / "memo" / "memo.sqlite")


def open_embedder(settings: Settings) -> Embedder:
    """The text embedder. Raises Misconfigured when the model is not there."""
    from mmplatform.derive.embed import OnnxEmbedder

    return OnnxEmbedder(locate(settings.embedder, settings.models_path), threads=settings.embed_threads)


def embedder_space(settings: Settings) -> str:
    """``name@version`` of the embedder, without loading it. Raises Misconfigured when the model is not there."""
    directory = locate(settings.embedder, settings.models_path)
    return f"{directory.name}@{fingerprint(directory / 'model.onnx')}"


def open_redactor(settings: Settings) -> Redactor:
    """The redactor with its names model. Raises Misconfigured when the model is not there."""
    from mmplatform.derive.redact import PresidioRedactor

    return PresidioRedactor(locate(settings.ner_model, settings.models_path))


def open_captioner(settings: Settings) -> Captioner:
    """The configured image-text-to-text model, or the reading of OCR and layout when none is configured."""
    if settings.caption_model:
        from mmplatform.derive.caption import TransformersCaptioner

        captioner = TransformersCaptioner(settings.caption_model)
        captioner.warm_up()  # a wrong model shows at the start, not at the first screenshot
        return captioner
    from mmplatform.derive.layout import LayoutCaptioner

    return LayoutCaptioner()


def open_reader(settings: Settings) -> ScreenReader:
    """The OCR."""
    from mmplatform.derive.ocr import RapidReader

    reader = RapidReader(settings.ocr_threads)
    reader.warm_up()
    return reader


def open_transcriber(settings: Settings) -> Transcriber:
    """The ASR. Raises Misconfigured when the model is not there."""
    from mmplatform.derive.asr import WhisperTranscriber

    return WhisperTranscriber(
        _speech_model(settings),
        beam=settings.asr_beam,
        threads=settings.asr_threads,
        language=settings.asr_language or None,
    )


def _speech_model(settings: Settings) -> Path:
    """Pulled, a directory, or for those who have a model hub a name there (``owner/name``), downloaded once."""
    name = settings.asr_model
    if not is_hub_name(name):
        return locate(name, settings.models_path)
    from faster_whisper import download_model

    try:
        return Path(download_model(name, cache_dir=str(settings.models_path / "hub")))
    except Exception as error:
        raise Misconfigured(
            f"MMPLATFORM_ASR_MODEL={name} cannot be had from the model hub ({type(error).__name__}); "
            "name a pulled model (`mmplatform models list`) or a directory"
        ) from error


def chat_deriver(settings: Settings, memo: Memo) -> ChatDeriver:
    """Text → message → passages."""
    return ChatDeriver(open_embedder(settings), open_redactor(settings), memo)


def screenshot_deriver(settings: Settings, memo: Memo, blobs: Blobs) -> ScreenshotDeriver:
    """Image → caption → passages."""
    return ScreenshotDeriver(
        open_reader(settings),
        open_captioner(settings),
        open_embedder(settings),
        open_redactor(settings),
        memo,
        blobs,
        max_pixels=settings.max_image_pixels,
    )


def call_deriver(settings: Settings, memo: Memo, blobs: Blobs) -> CallDeriver:
    """Audio → utterances → passages."""
    return CallDeriver(
        open_transcriber(settings),
        open_embedder(settings),
        open_redactor(settings),
        memo,
        blobs,
        gap_s=settings.call_gap_s,
    )
