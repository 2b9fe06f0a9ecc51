"""The check on the raw tables whose rows point to bytes: are the bytes there. Started from the UI, like the others."""
# No deferred annotations here: Dagster looks at those of a check's arguments as they are.

from datetime import datetime
from typing import Final

import dagster as dg

from assets.checks.hour_checks import judged
from assets.checks.hours import Hour
from mmplatform.land.lakehouse.schemas import SPECS
from mmplatform.modalities import MODALITIES
from quality.checks.bytes_stored import stored
from quality.checks.verdict import Verdict
from resources.blobs import POINTER, BlobsResource, pointer
from resources.lakehouse import LakehouseResource
from resources.readers.hours import Hours

STORED: Final = "bytes_stored"


def blob_checks() -> list[dg.AssetChecksDefinition]:
    """``bytes_stored`` of each raw table with pointers."""
    raw = [spec.raw_table for spec in MODALITIES.values()]
    return [_stored(table) for table in raw if set(POINTER) <= {name for name, _ in SPECS[table].columns}]


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
        def at(hours: Hours, hour: datetime) -> Verdict:
            rows = [row for row in hours.rows(table, hour, ("event_id", *POINTER)) if row["blob_sha256"]]
            return stored(rows, blobs.sizes(pointer(row) for row in rows))

        nothing = Verdict(holds=True, words="the table is empty", figures={"events": 0})
        return judged(context.run, config, lakehouse, table, at, nothing)

    return check
