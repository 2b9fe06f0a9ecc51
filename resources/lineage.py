"""The lineage backend of the settings as a Dagster resource, and the names of datasets in lineage."""

from __future__ import annotations

from typing import TYPE_CHECKING

from resources.base import ConfiguredResource

if TYPE_CHECKING:
    from mmplatform.lineage.datasets import Datasets
    from mmplatform.lineage.emitter import LineageBackend


class LineageResource(ConfiguredResource):
    """Opens the lineage backend from the same settings as the stream; its package is loaded when events are sent."""

    def is_configured(self) -> bool:
        """True unless the settings turn lineage off. Raises ``Misconfigured``."""
        return self.settings().sends_lineage

    def open(self) -> LineageBackend:
        """The backend; the caller closes it. Raises ``Misconfigured``."""
        from mmplatform.kafka.connection import client_config
        from mmplatform.lineage.backends import open_backend

        return open_backend(self.settings(), client_config)

    def datasets(self) -> Datasets:
        """The dataset names of the assets. Raises ``Misconfigured``."""
        from mmplatform.land.lakehouse.schemas import SPECS
        from mmplatform.lineage.datasets import Datasets

        return Datasets(self.settings(), {name: spec.columns for name, spec in SPECS.items()})
