"""What a reprocessing run works with, opened from the settings: the stores, and the same derivers as the stream's."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

from mmplatform.derive.call.deriver import CallDeriver
from mmplatform.errors import Misconfigured
from mmplatform.events import Modality
from mmplatform.land.blobs.open import open_blobs
from mmplatform.land.index.embedder_registry import SpaceLog
from mmplatform.land.index.store import ChromaIndex
from mmplatform.land.lakehouse.store import Lakehouse
from mmplatform.modalities import ModalitySpec
from mmplatform.pipeline import factories
from mmplatform.pipeline.embedder_swap.dual_write import InStep
from mmplatform.pipeline.process import BatchDeriver, limits_of
from mmplatform.pipeline.reprocess.hour_lock import turns_of
from mmplatform.ports import Blobs, Memo
from mmplatform.settings import Settings
from quality.contracts import Limits

MODELS: Final[dict[Modality, tuple[str, ...]]] = {
    "chat": ("ner_model",),
    "call": ("asr_model", "ner_model"),
    "screenshot": ("caption_model", "ner_model"),
}
"""The settings that a run may choose otherwise. Not the embedder: its vectors would lie in collections of their own,
which no search asks before all of the index is there (:mod:`mmplatform.pipeline.embedder_swap.swap`)."""

_TEXTS: Final = 512
"""Messages in one micro-batch of a run: nobody waits for the first, and the gate takes as long for one as for all."""

_PICTURES: Final = 8
"""Images in one micro-batch of a run: each is held decoded, up to 150 MB of it."""


@dataclass(frozen=True, slots=True)
class Parts:
    """What a run works with.

    Attributes:
        index: what is read of the index.
        in_step: how it is written to.
        batch: most events in one micro-batch.
        turns: where runs of other processes are seen and waited for; ``None``: there are none.
    """

    lakehouse: Lakehouse
    index: ChromaIndex
    in_step: InStep
    blobs: Blobs
    deriver: BatchDeriver | CallDeriver
    limits: Limits
    batch: int
    turns: Path | None = None


def choose(settings: Settings, spec: ModalitySpec, models: Mapping[str, str]) -> Settings:
    """The settings with other models, by the name of the setting; an empty name changes nothing.

    Raises:
        Misconfigured: the modality has no use for such a model.
    """
    chosen = {name: model for name, model in models.items() if model}
    unknown = sorted(set(chosen) - set(MODELS[spec.modality]))
    if unknown:
        known = ", ".join(MODELS[spec.modality])
        raise Misconfigured(f"{spec.derived_table} are made without {', '.join(unknown)}: choose {known}")
    return settings.model_copy(update=chosen)


@contextmanager
def open_parts(settings: Settings, spec: ModalitySpec) -> Iterator[Parts]:
    """Open all of it, models first, so that a wrong one is told before a store is asked; close it at the end.

    Raises:
        Misconfigured: a model is not there, or an address is wrong.
        Unavailable: a store does not answer.
    """
    memo, blobs = factories.open_memo(settings), open_blobs(settings)
    index = ChromaIndex.open(settings)
    with closing(memo), closing(index):
        deriver = _deriver(settings, spec, memo, blobs)
        lakehouse = Lakehouse.open(settings)
        lakehouse.ensure_tables()
        batch = _TEXTS if spec.cost_class == "text" else _PICTURES
        in_step = InStep(
            index,
            SpaceLog(index),
            partial(factories.open_space, settings),
            lambda: memo,
            partial(factories.length_of, settings),
        )
        yield Parts(lakehouse, index, in_step, blobs, deriver, limits_of(settings), batch, turns_of(settings))


def _deriver(settings: Settings, spec: ModalitySpec, memo: Memo, blobs: Blobs) -> BatchDeriver | CallDeriver:
    if spec.modality == "call":
        return factories.call_deriver(settings, memo, blobs)
    if spec.modality == "chat":
        return factories.chat_deriver(settings, memo)
    return factories.screenshot_deriver(settings, memo, blobs)
