"""Inputs of a reprocessing run, opened from the settings: the stores, and the same derivers as the stream's."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from mmplatform.derive.call.deriver import CallDeriver
from mmplatform.errors import Misconfigured
from mmplatform.events import Modality
from mmplatform.kafka.producer import LogProducer
from mmplatform.kafka.reader import ReplayLog
from mmplatform.land.blobs.open import open_blobs
from mmplatform.land.index.store import ChromaIndex
from mmplatform.land.lakehouse.store import Lakehouse
from mmplatform.modalities import ModalitySpec
from mmplatform.pipeline import factories
from mmplatform.pipeline.process import BatchDeriver, contract_limits
from mmplatform.pipeline.reprocess.change_log import ChangeLog, ReplayChangeLog
from mmplatform.pipeline.reprocess.hour_lock import hour_locks_dir
from mmplatform.ports import Blobs
from mmplatform.settings import Settings
from quality.contracts import ContractLimits

MODEL_SETTINGS: Final[dict[Modality, tuple[str, ...]]] = {
    "chat": ("ner_model",),
    "call": ("asr_model", "ner_model"),
    "screenshot": ("caption_model", "ner_model"),
}
"""The settings that a run may override. Not the embedder: its vectors would lie in collections of their own, which no
search reads before the whole index is built (:mod:`mmplatform.pipeline.embedder_swap.swap`)."""

_TEXT_BATCH: Final = 512
"""Messages in one micro-batch of a run: latency does not count, and the gate takes as long for one as for all."""

_IMAGE_BATCH: Final = 8
"""Images in one micro-batch of a run: each is held decoded, up to 150 MB of it."""


@dataclass(frozen=True, slots=True)
class ReprocessInputs:
    """Stores and deriver of a run.

    Attributes:
        index: for reads.
        change_log: takes the changes, for programs that read the log, and for the indexer.
        batch: the maximum of events in one micro-batch.
        locks_dir: the folder with the locks of the hours; ``None``: none is taken.
    """

    lakehouse: Lakehouse
    index: ChromaIndex
    change_log: ChangeLog
    blobs: Blobs
    deriver: BatchDeriver | CallDeriver
    limits: ContractLimits
    batch: int
    locks_dir: Path | None = None


def override_models(settings: Settings, spec: ModalitySpec, models: Mapping[str, str]) -> Settings:
    """The settings with other models, by the name of the setting; an empty name changes nothing.

    Raises:
        Misconfigured: the modality does not use such a model.
    """
    chosen = {name: model for name, model in models.items() if model}
    unknown = sorted(set(chosen) - set(MODEL_SETTINGS[spec.modality]))
    if unknown:
        allowed = ", ".join(MODEL_SETTINGS[spec.modality])
        raise Misconfigured(f"{spec.derived_table} are made without {', '.join(unknown)}: choose {allowed}")
    return settings.model_copy(update=chosen)


def open_change_log(settings: Settings, parts: ExitStack) -> ChangeLog:
    """The change log of a run; ``parts`` closes it. Raises Unavailable, Misconfigured."""
    producer = parts.enter_context(closing(LogProducer(settings)))
    log = parts.enter_context(ReplayLog(settings))
    log.check_reachable()  # or the run would derive for an hour and could not publish it
    return ReplayChangeLog(settings, producer, log)


@contextmanager
def open_inputs(settings: Settings, spec: ModalitySpec) -> Iterator[ReprocessInputs]:
    """Open the inputs, models first, so that a wrong one shows before a store is accessed; close them at the end.

    Raises:
        Misconfigured: a model is missing, or an address is wrong.
        Unavailable: a store does not answer.
    """
    memo, blobs = factories.open_memo(settings), open_blobs(settings)
    index = ChromaIndex.open(settings)
    with closing(memo), closing(index), ExitStack() as closing_parts:
        deriver = factories.open_deriver(settings, spec.modality, memo, blobs)
        lakehouse = Lakehouse.open(settings)
        lakehouse.ensure_tables()
        batch = _TEXT_BATCH if spec.cost_class == "text" else _IMAGE_BATCH
        change_log = open_change_log(settings, closing_parts)
        yield ReprocessInputs(
            lakehouse,
            index,
            change_log,
            blobs,
            deriver,
            contract_limits(settings),
            batch,
            hour_locks_dir(settings),
        )
