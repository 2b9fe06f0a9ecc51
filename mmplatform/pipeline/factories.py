"""Factories: settings become open, warm models, derivers, and the stores that need one.

The stream's workers and reprocessing runs both use them, so they cannot differ in a model or a parameter.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final

from mmplatform.derive.adapters.model_files import (
    configured_width,
    embedder_version,
    is_ctranslate2_model,
    is_hub_name,
    locate_model,
)
from mmplatform.derive.call.deriver import CallDeriver
from mmplatform.derive.chat import ChatDeriver
from mmplatform.derive.pii.policy_file import load_policy
from mmplatform.derive.pii.replacement import Replacements, derive_tag_key
from mmplatform.derive.screenshot.deriver import ScreenshotDeriver
from mmplatform.errors import Misconfigured
from mmplatform.events import Modality
from mmplatform.kafka.headers import pseudonym_key
from mmplatform.land.index.embedder_registry import EmbedderRegistry, Space
from mmplatform.land.index.store import ChromaIndex
from mmplatform.memo import SqliteMemo
from mmplatform.pipeline.embedder_swap.dual_write import DualWriteIndex
from mmplatform.pipeline.embedder_swap.swap import EmbedderSwap
from mmplatform.pipeline.process import BatchDeriver
from mmplatform.ports import Blobs, Captioner, Embedder, LanguageDetector, Memo, OcrEngine, Transcriber
from mmplatform.settings import Settings

if TYPE_CHECKING:
    from mmplatform.derive.pii.redactor import PresidioRedactor


def open_memo(settings: Settings) -> SqliteMemo:
    """The memo that all workers of one data directory share."""
    return SqliteMemo(settings.data_dir / "memo" / "memo.sqlite")


def open_embedder(settings: Settings) -> Embedder:
    """The text embedder. Raises Misconfigured when the model is missing."""
    directory = locate_model(settings.embedding_model, settings.models_path)
    if is_ctranslate2_model(directory):
        from mmplatform.derive.adapters.ctranslate2_embedder import CTranslate2Embedder

        return CTranslate2Embedder(directory, threads=settings.embedding_threads)
    from mmplatform.derive.adapters.onnx_embedder import OnnxEmbedder

    return OnnxEmbedder(directory, threads=settings.embedding_threads)


def resolve_space(settings: Settings, embedder: str = "") -> Space:
    """The space of an embedder, by default that of the settings, without loading it.

    Raises:
        Misconfigured: the model is missing.
    """
    model = embedder or settings.embedding_model
    directory = locate_model(model, settings.models_path)
    pulled = directory == settings.models_path / model
    name = f"{directory.name}@{embedder_version(directory)}"
    return Space(model=model if pulled else str(directory.absolute()), name=name)


def open_space_embedder(settings: Settings, space: Space) -> Embedder:
    """The embedder of a space.

    Raises:
        Misconfigured: the model is missing, or has another fingerprint than that space.
    """
    local = resolve_space(settings, space.model)
    if local.name != space.name:
        raise Misconfigured(
            f"the index has vectors of {space.name}, and the embedder {space.model} is {local.name} on this machine: "
            "bring that version here, or build a new index with `mmplatform embedder build`"
        )
    return open_embedder(settings.model_copy(update={"embedding_model": space.model}))


def vector_length(settings: Settings, space: Space, observed: int) -> int | None:
    """The length of a space's vectors; ``None`` where its model is not on this machine.

    The width in the model's description is trusted where it equals ``observed``. Otherwise the model is loaded, since a
    projection behind the encoder may have changed the width.
    """
    try:
        if configured_width(locate_model(space.model, settings.models_path)) == observed:
            return observed
        return open_space_embedder(settings, space).dimensions
    except Misconfigured:
        return None


def open_dual_write_index(settings: Settings, index: ChromaIndex, registry: EmbedderRegistry) -> DualWriteIndex:
    """The index for writers; no model is loaded before a passage needs it."""
    return DualWriteIndex(
        index,
        registry,
        partial(open_space_embedder, settings),
        partial(open_memo, settings),
        partial(vector_length, settings),
    )


def open_redactor(settings: Settings, modality: Modality | None = None) -> PresidioRedactor:
    """The redactor of a modality with its models; without a modality it redacts what a policy may keep, too.

    Raises:
        Misconfigured: the model is missing, or the redaction policy has a mistake.
    """
    from mmplatform.derive.pii.redactor import PresidioRedactor

    policy = load_policy(settings.redaction_policy).for_modality(modality) if modality else None
    names = locate_model(settings.ner_model, settings.models_path)
    return PresidioRedactor(names, policy, open_language_detector(settings))


def open_language_detector(settings: Settings) -> LanguageDetector:
    """The detector of a text's language. Raises Misconfigured when the model is missing."""
    from mmplatform.derive.adapters.fasttext_language import FastTextLanguageDetector

    return FastTextLanguageDetector(locate_model(settings.language_model, settings.models_path))


def open_replacements(settings: Settings, modality: Modality) -> Replacements:
    """Open the replacements of a modality; the key of tags is only read where the policy has any.

    Raises:
        Misconfigured: the redaction policy has a mistake, or the key cannot be read.
    """
    policy = load_policy(settings.redaction_policy).for_modality(modality)
    return Replacements.from_policy(policy, derive_tag_key(pseudonym_key(settings)) if policy.has_tags else b"")


def open_captioner(settings: Settings) -> Captioner:
    """The configured image-text-to-text model, or the layout captioner when none is configured."""
    if settings.caption_model:
        from mmplatform.derive.adapters.transformers_captioner import TransformersCaptioner

        captioner = TransformersCaptioner(settings.caption_model)
        captioner.warm_up()  # a wrong model shows at the start, not at the first screenshot
        return captioner
    from mmplatform.derive.layout.captioner import LayoutCaptioner

    return LayoutCaptioner()


def open_screen_reader(settings: Settings) -> OcrEngine:
    """The OCR."""
    from mmplatform.derive.adapters.rapidocr import RapidReader

    reader = RapidReader(settings.ocr_threads)
    reader.warm_up()
    return reader


def open_transcriber(settings: Settings) -> Transcriber:
    """The ASR. Raises Misconfigured when the model is missing."""
    from mmplatform.derive.adapters.whisper import WhisperTranscriber

    return WhisperTranscriber(
        _speech_model(settings),
        beam_size=settings.asr_beam_size,
        threads=settings.asr_threads,
        language=settings.asr_language or None,
    )


def _speech_model(settings: Settings) -> Path:
    """A pulled model, a directory, or a name on a model hub (``owner/name``), downloaded once."""
    name = settings.asr_model
    if not is_hub_name(name):
        return locate_model(name, settings.models_path)
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
    return ChatDeriver(
        open_embedder(settings), open_redactor(settings, "chat"), memo, open_replacements(settings, "chat")
    )


def screenshot_deriver(settings: Settings, memo: Memo, blobs: Blobs) -> ScreenshotDeriver:
    """Image → caption → passages."""
    return ScreenshotDeriver(
        open_screen_reader(settings),
        open_captioner(settings),
        open_embedder(settings),
        open_redactor(settings, "screenshot"),
        memo,
        blobs,
        max_pixels=settings.max_image_pixels,
        replacements=open_replacements(settings, "screenshot"),
    )


def call_deriver(settings: Settings, memo: Memo, blobs: Blobs) -> CallDeriver:
    """Audio → utterances → passages."""
    return CallDeriver(
        open_transcriber(settings),
        open_embedder(settings),
        open_redactor(settings, "call"),
        memo,
        blobs,
        gap_timeout_s=settings.call_gap_timeout_s,
        replacements=open_replacements(settings, "call"),
    )


DERIVER_FACTORIES: Final[dict[Modality, Callable[[Settings, Memo, Blobs], BatchDeriver | CallDeriver]]] = {
    "chat": lambda settings, memo, _: chat_deriver(settings, memo),
    "call": call_deriver,
    "screenshot": screenshot_deriver,
}
"""The one dispatch by modality, of the stream's workers and of reprocessing runs."""


def open_deriver(settings: Settings, modality: Modality, memo: Memo, blobs: Blobs) -> BatchDeriver | CallDeriver:
    """The deriver of a modality with its models.

    Raises:
        Misconfigured: a model is missing.
        KeyError: the modality has no deriver.
    """
    return DERIVER_FACTORIES[modality](settings, memo, blobs)


@contextmanager
def open_embedder_swap(settings: Settings) -> Iterator[EmbedderSwap]:
    """An embedder swap with its index and memo; closed at the end.

    Raises:
        Misconfigured: the settings' embedder is missing, or the index has no address.
        Unavailable: the memo does not open.
    """
    index = ChromaIndex.open(settings)
    with closing(open_memo(settings)) as memo, closing(index):
        yield EmbedderSwap(
            index, EmbedderRegistry(index), resolve_space(settings), partial(open_space_embedder, settings), memo
        )
