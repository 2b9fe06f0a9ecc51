"""The check on the raw tables whose rows point to bytes: are the bytes there. Started from the UI, like the others."""
# No deferred annotations here: Dagster looks at those of a check's arguments as they are.

from datetime import datetime
from typing import Final

import dagster as dg

from assets.checks import told
from assets.looked_at import Hour
from mmplatform.events import BlobRef
from mmplatform.land.schemas import SPECS
from mmplatform.modalities import MODALITIES
from quality.stored import stored
from quality.verdicts import Verdict
from resources.blobs import BlobsResource
from resources.hours import open_hours
from resources.lakehouse import LakehouseResource

STORED: Final = "bytes_stored"
_POINTER: Final = ("blob_key", "blob_sha256", "blob_size", "blob_media_type")


def blob_checks() -> list[dg.AssetChecksDefinition]:
    """``bytes_stored`` of each raw table with pointers."""
    raw = [spec.raw_table for spec in MODALITIES.values()]
    return [_stored(table) for table in raw if set(_POINTER) <= {name for name, _ in SPECS[table].columns}]


def _stored(table: str) -> dg.AssetChecksDefinition:
    @dg.asset_check(
        asset=table,
        name=STORED,
        description=(
            "The bytes of every event of the hour are in the blob store, as many as its pointer says: what is lost "
            "there can be neither heard, seen nor derived again."
        ),
    )
    def check(
        context: dg.AssetCheckExecutionContext, config: Hour, lakehouse: LakehouseResource, blobs: BlobsResource
    ) -> dg.AssetCheckResult:
        def look() -> Verdict:
            hours = open_hours(lakehouse)

            def at(hour: datetime) -> Verdict:
                rows = [row for row in hours.rows(table, hour, ("event_id", *_POINTER)) if row["blob_sha256"]]
                return stored(rows, blobs.sizes(_pointer(row) for row in rows))

            nothing = Verdict(holds=True, words="the table is empty", figures={"events": 0})
            return config.over(hours, table, context.run, at, nothing)

        return told(look)

    return check


def _pointer(row: dict[str, object]) -> BlobRef:
    return BlobRef.model_validate({name.removeprefix("blob_"): row[name] for name in _POINTER})
