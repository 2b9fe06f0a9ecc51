"""Check ``bytes_stored`` of each raw table whose rows point to blobs."""

from __future__ import annotations

from datetime import datetime
from typing import Final

import dagster as dg

from assets.checks.factory import CheckResources, hourly_check
from mmplatform.land.lakehouse.schemas import SPECS
from mmplatform.modalities import MODALITIES
from quality.checks.bytes_stored import check_bytes_stored
from quality.checks.result import CheckResult
from resources.blobs import BLOB_COLUMNS, blob_ref_from_row
from resources.readers.hours import HourReader

BYTES_STORED: Final = "bytes_stored"
NO_EVENTS: Final = CheckResult(passed=True, description="the table is empty", metadata={"events": 0})


def bytes_stored_checks() -> list[dg.AssetChecksDefinition]:
    """One for each raw table with the columns of a blob."""
    tables = [spec.raw_table for spec in MODALITIES.values()]
    return [
        _bytes_stored_check(table)
        for table in tables
        if set(BLOB_COLUMNS) <= {name for name, _ in SPECS[table].columns}
    ]


def _bytes_stored_check(table: str) -> dg.AssetChecksDefinition:
    def check(reader: HourReader, hour: datetime, resources: CheckResources) -> CheckResult:
        rows = [row for row in reader.rows(table, hour, ("event_id", *BLOB_COLUMNS)) if row["blob_sha256"]]
        return check_bytes_stored(rows, resources.blobs.sizes(blob_ref_from_row(row) for row in rows))

    return hourly_check(
        table,
        BYTES_STORED,
        check,
        requires=("blobs",),
        empty=NO_EVENTS,
        description=(
            "The blob of every event of the hour is in the blob store, as many bytes as its pointer says: a lost blob "
            "can be neither heard, seen nor derived again."
        ),
    )
