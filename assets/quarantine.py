"""The quarantine: events that parsed but broke a contract. Rows refer to their events and never repeat a text."""

from __future__ import annotations

import dagster as dg

from assets.partitions import HOURLY
from assets.specs import same_hour_dep, stream_asset_spec
from mmplatform.modalities import MODALITIES, QUARANTINE_TABLE
from mmplatform.refusals import Quarantined


def quarantine_spec() -> dg.AssetSpec:
    """``quarantine``."""
    return stream_asset_spec(
        QUARANTINE_TABLE,
        stage="derived",
        description=(
            "Events that a contract or their deriver has quarantined: one row for each, with the reasons. An empty "
            "table is good news."
        ),
        table=QUARANTINE_TABLE,
        records=[Quarantined],
        partitions=HOURLY,
        kinds={"iceberg", "pandera"},
        deps=[same_hour_dep(spec.raw_table) for spec in MODALITIES.values()],
        tags={"modality": "all", "personal_data": "none"},
    )
