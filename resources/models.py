"""The models of reprocessing runs, where they differ from the stream's."""

from __future__ import annotations

import dagster as dg
from pydantic import Field

from mmplatform.settings import Settings


class ModelsResource(dg.ConfigurableResource):  # type: ignore[type-arg]
    """Models by name, directory or hub name, as in the settings; an empty field is the stream's model.

    Not the embedder: its vectors would lie in collections of their own, which no search reads.
    """

    asr_model: str = Field(default="", description="Speech recognition; empty: as MMPLATFORM_ASR_MODEL says.")
    ner_model: str = Field(default="", description="Names in texts; empty: as MMPLATFORM_NER_MODEL says.")
    caption_model: str = Field(default="", description="Captions; empty: as MMPLATFORM_CAPTION_MODEL says.")

    def apply_to(self, settings: Settings) -> Settings:
        """The settings with these models in place of their own."""
        models = {"asr_model": self.asr_model, "ner_model": self.ner_model, "caption_model": self.caption_model}
        return settings.model_copy(update={setting: model for setting, model in models.items() if model})
