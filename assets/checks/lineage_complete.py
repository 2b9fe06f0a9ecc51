"""Check ``lineage_complete`` of derived tables and ``passages``: every row refers to events and blobs that exist."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Final

import dagster as dg

from assets.checks.factory import CheckResources, hourly_check
from assets.checks.hours import settled_before
from mmplatform.events import BlobRef
from mmplatform.modalities import MODALITIES, PASSAGES_TABLE, TABLE_BY_ARTIFACT_KIND, ModalitySpec
from quality.checks.lineage_complete import BlobSample, check_lineage_complete, sample_ids
from quality.checks.result import CheckResult
from quality.rows import Row
from resources.blobs import BLOB_COLUMNS, BlobsResource, blob_ref_from_row
from resources.readers.hours import HourReader

LINEAGE_COMPLETE: Final = "lineage_complete"


def lineage_complete_checks() -> list[dg.AssetChecksDefinition]:
    """One for each derived table and ``passages``."""
    return [*(_events_check(spec) for spec in MODALITIES.values()), _passages_check()]


def _events_check(spec: ModalitySpec) -> dg.AssetChecksDefinition:
    def check(reader: HourReader, hour: datetime, _: CheckResources) -> CheckResult:
        rows = _settled(reader.rows(spec.derived_table, hour, ["artifact_id", "event_uids", "derived_at"]))
        references = {row["artifact_id"]: row["event_uids"] for row in rows}
        return check_lineage_complete(references, _existing_ids(reader, spec.raw_table, "event_uid", hour, references))

    return hourly_check(
        spec.derived_table,
        LINEAGE_COMPLETE,
        check,
        description=f"Every row of the hour refers to events that are in {spec.raw_table}.",
    )


def _passages_check() -> dg.AssetChecksDefinition:
    columns = ("artifact_id", "source_artifact_id", "source_kind", "event_uids", "derived_at")

    def check(reader: HourReader, hour: datetime, resources: CheckResources) -> CheckResult:
        rows = _settled(reader.rows(PASSAGES_TABLE, hour, columns))
        existing: set[str] = set()
        for kind, table in TABLE_BY_ARTIFACT_KIND.items():
            references = {row["artifact_id"]: [row["source_artifact_id"]] for row in rows if row["source_kind"] == kind}
            existing |= _existing_ids(reader, table, "artifact_id", hour, references)
        references = {row["artifact_id"]: [row["source_artifact_id"]] for row in rows}
        return check_lineage_complete(references, existing, _sample_blobs(resources.blobs, reader, hour, rows))

    return hourly_check(
        PASSAGES_TABLE,
        LINEAGE_COMPLETE,
        check,
        requires=("blobs",),
        description=(
            "Every passage of the hour refers to an artifact that is in its table, and the blobs that it was derived "
            "from exist; of these a sample is checked."
        ),
    )


def _settled(rows: Sequence[Row]) -> list[Row]:
    """Without rows that are under way: tables are committed one after the other."""
    settled = settled_before()
    return [row for row in rows if row["derived_at"] <= settled]


def _existing_ids(
    reader: HourReader, table: str, column: str, hour: datetime, references: Mapping[str, Sequence[str]]
) -> set[str]:
    """Those of the ids that exist: searched around the hour first, the rest in the whole table."""
    wanted = {reference for ids in references.values() for reference in ids}
    if not wanted:
        return set()
    near = {str(row[column]) for row in reader.rows_around(table, hour, [column])} & wanted
    return near | reader.existing_ids(table, column, sorted(wanted - near))


def _sample_blobs(blobs: BlobsResource, reader: HourReader, hour: datetime, rows: Sequence[Row]) -> BlobSample:
    """Looks a sample of the hour's blobs up in the store."""
    events = {uid for row in rows for uid in row["event_uids"]}
    refs: dict[str, BlobRef] = {}
    for spec in MODALITIES.values():
        if spec.cost_class == "text":
            continue
        for row in reader.rows_around(spec.raw_table, hour, ("event_uid", *BLOB_COLUMNS)):
            if row["event_uid"] in events and row["blob_key"]:
                refs[row["event_uid"]] = blob_ref_from_row(row)
    if not refs:
        return BlobSample()
    sample = sample_ids(refs)
    sizes = blobs.sizes(refs[event_id] for event_id in sample)
    missing = [event_id for event_id in sample if refs[event_id].sha256 not in sizes]
    return BlobSample(len(refs), len(sample), missing)
