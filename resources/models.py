"""Which models hours are derived again with, where they are to be others than the stream's."""

from __future__ import annotations

import dagster as dg
from pydantic import Field

from mmplatform.settings import Settings


class ModelsResource(dg.ConfigurableResource):  # type: ignore[type-arg]
    """Models by name, directory or hub name, as the settings take them; what is empty is the stream's.

    Not the embedder: its vectors would lie in collections of their own, which no search asks.
    """

    asr_model: str = Field(default="", description="Speech recognition; empty: as MMPLATFORM_ASR_MODEL says.")
    ner_model: str = Field(default="", description="Names in texts; empty: as MMPLATFORM_NER_MODEL says.")
    caption_model: str = Field(default="", description="Captions; empty: as MMPLATFORM_CAPTION_MODEL says.")

    def over(self, settings: Settings) -> Settings:
        """The settings with these models in the place of theirs."""
        named = {"asr_model": self.asr_model, "ner_model": self.ner_model, "caption_model": self.caption_model}
        return settings.model_copy(update={setting: model for setting, model in named.items() if model})
