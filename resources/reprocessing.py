"""Stores and derivers of a reprocessing run as a Dagster resource, from the same settings as the stream."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING

from pydantic import Field

from resources.base import ConfiguredResource
from resources.models import ModelsResource

if TYPE_CHECKING:
    from mmplatform.pipeline.reprocess.inputs import ReprocessInputs


class ReprocessingResource(ConfiguredResource):
    """Opens models and stores for one modality; nothing is loaded before."""

    models: ModelsResource = Field(
        default_factory=ModelsResource, description="Models of every run; those in a run's own config take precedence."
    )

    @contextmanager
    def open(self, table: str, models: Mapping[str, str]) -> Iterator[ReprocessInputs]:
        """Everything that a run on ``table`` needs.

        Raises:
            Misconfigured: a model is unknown, or the table is made without it.
            Unavailable: a store does not answer, or no index is running.
        """
        from mmplatform.local.run_file import with_chroma_address, with_kafka_address
        from mmplatform.pipeline.reprocess.inputs import open_inputs, override_models
        from mmplatform.pipeline.reprocess.reprocess import modality_for_table

        spec = modality_for_table(table)
        chosen = override_models(self.models.apply_to(self.settings()), spec, models)
        with open_inputs(with_kafka_address(with_chroma_address(chosen)), spec) as parts:
            yield parts
