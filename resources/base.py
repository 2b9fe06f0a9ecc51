"""Base of the resources over the platform's own parts: they read the stream's settings."""

from __future__ import annotations

import dagster as dg
from pydantic import Field

from mmplatform.settings import Settings, load


class ConfiguredResource(dg.ConfigurableResource):  # type: ignore[type-arg]
    """Reads the same settings as the stream, over another data directory where one is named."""

    data_dir: str = Field(
        default="", description="Data directory of the stack; empty: as MMPLATFORM_DATA_DIR says, else `.mmplatform`."
    )

    def settings(self) -> Settings:
        """The platform's settings. Raises ``Misconfigured``."""
        return load(data_dir=self.data_dir) if self.data_dir else load()
