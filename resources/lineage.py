"""Where lineage goes, as Dagster sees it: the backend that the stream's settings name, and what datasets are called."""

from __future__ import annotations

from typing import TYPE_CHECKING

import dagster as dg
from pydantic import Field

from mmplatform.settings import Settings, load

if TYPE_CHECKING:
    from mmplatform.lineage.datasets import Datasets
    from mmplatform.lineage.emitter import Backend


class LineageResource(dg.ConfigurableResource):  # type: ignore[type-arg]
    """Opens the lineage backend from the same settings as the stream; its package is loaded only when there is one."""

    data_dir: str = Field(
        default="", description="Data directory of the stack; empty: as MMPLATFORM_DATA_DIR says, else `.mmplatform`."
    )

    def settings(self) -> Settings:
        """The platform's settings. Raises ``Misconfigured``."""
        return load(data_dir=self.data_dir) if self.data_dir else load()

    def wanted(self) -> bool:
        """Whether lineage goes anywhere. Raises ``Misconfigured``."""
        return bool(self.settings().lineage)

    def open(self) -> Backend:
        """The backend; close it when done. Raises ``Misconfigured``."""
        from mmplatform.ingest.kafka import client_config
        from mmplatform.lineage.backends import open_backend

        return open_backend(self.settings(), client_config)

    def datasets(self) -> Datasets:
        """What lineage calls the assets. Raises ``Misconfigured``."""
        from mmplatform.land.schemas import SPECS
        from mmplatform.lineage.datasets import Datasets

        return Datasets(self.settings(), {name: spec.columns for name, spec in SPECS.items()})
