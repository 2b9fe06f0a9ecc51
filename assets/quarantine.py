"""What parsed but broke its contract. Rows point at their events, with the reasons, and never repeat a text."""

from __future__ import annotations

import dagster as dg

from assets.partitions import HOURLY
from assets.specs import external, same_hour
from mmplatform.artifacts import Quarantined
from mmplatform.modalities import MODALITIES, QUARANTINE_TABLE


def quarantine_spec() -> dg.AssetSpec:
    """``quarantine``."""
    return external(
        QUARANTINE_TABLE,
        stage="derived",
        description=(
            "Events that were set aside by a contract or by their deriver: one row for each, with the reasons. An "
            "empty table is good news."
        ),
        table=QUARANTINE_TABLE,
        records=[Quarantined],
        partitions=HOURLY,
        kinds={"iceberg", "pandera"},
        deps=[same_hour(spec.raw_table) for spec in MODALITIES.values()],
        tags={"modality": "all", "personal_data": "none"},
    )
