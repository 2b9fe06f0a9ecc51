"""More checks on the tables: the watermark of an hour, whether it can be traced back, holes against the log, the lag.

As those of :mod:`assets.checks.hour_checks`: they look and change nothing, and a read that failed fails the check.
"""
# No deferred annotations here: Dagster looks at those of a check's arguments as they are.

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Final

import dagster as dg

from assets.checks.hour_checks import COMPLETENESS, SETTLED_S, Lately, judged, together, told
from assets.checks.hours import Hour
from mmplatform.events import BlobRef, utc_now
from mmplatform.modalities import MODALITIES, PASSAGES_TABLE, TABLE_BY_ARTIFACT_KIND, ModalitySpec
from mmplatform.settings import Settings
from mmplatform.settings.backpressure import Thresholds
from quality.checks.lag import Marks, water
from quality.checks.lineage_complete import Bytes, sample, traced
from quality.checks.offset_gaps import gapless, holes
from quality.checks.verdict import Backlog, Verdict
from quality.checks.watermark import behind, moved
from resources.blobs import POINTER, BlobsResource, pointer
from resources.lakehouse import LakehouseResource
from resources.readers.hours import Hours, open_hours
from resources.readers.offset_gaps import MOST, named_holes
from resources.readers.writers import WRITERS
from resources.stack import Reader, StackResource

WATERMARK: Final = "watermark"
LINEAGE: Final = "lineage_complete"
LAG: Final = "lag"

_SOURCES: Final[dict[str, tuple[str, ...]]] = {
    **{spec.raw_table: () for spec in MODALITIES.values()},
    **{spec.derived_table: (spec.raw_table,) for spec in MODALITIES.values()},
    PASSAGES_TABLE: tuple(spec.derived_table for spec in MODALITIES.values()),
}


def table_checks() -> list[dg.AssetChecksDefinition]:
    """Every one of them."""
    found = [_watermark(table, sources) for table, sources in _SOURCES.items()]
    for modality, spec in MODALITIES.items():
        found += [_traced(spec), _gapless(spec), _low(modality, spec)]
    return [*found, _passages_traced()]


def marks_of(settings: Settings, modality: str) -> Marks:
    """The gateway's water marks of a modality."""
    thresholds: Thresholds = getattr(settings, modality)
    return Marks(high=thresholds.high_water, low=thresholds.low_water)


def _watermark(table: str, sources: tuple[str, ...]) -> dg.AssetChecksDefinition:
    @dg.asset_check(
        asset=table,
        name=WATERMARK,
        description=(
            "The newest event time of the hour is up to that of what the table is made from, or nothing waits in vain "
            "for those who write it; and it is not in the future."
        ),
    )
    def check(
        context: dg.AssetCheckExecutionContext, config: Hour, lakehouse: LakehouseResource, stack: StackResource
    ) -> dg.AssetCheckResult:
        def at(hours: Hours, hour: datetime) -> Verdict:
            marks = [mark for each in sources if (mark := hours.watermark(each, hour)) is not None]
            source, own = max(marks, default=None), hours.watermark(table, hour)
            waits = together(stack.backlog(WRITERS[table])) if behind(own, source) else Backlog(0)
            return moved(own, source, waits, utc_now())

        return judged(context.run, config, lakehouse, sources[0] if len(sources) == 1 else table, at)

    return check


def _traced(spec: ModalitySpec) -> dg.AssetChecksDefinition:
    @dg.asset_check(
        asset=spec.derived_table,
        name=LINEAGE,
        description=f"Every row of the hour points at events that are in {spec.raw_table}.",
    )
    def check(
        context: dg.AssetCheckExecutionContext, config: Hour, lakehouse: LakehouseResource
    ) -> dg.AssetCheckResult:
        def at(hours: Hours, hour: datetime) -> Verdict:
            rows = _settled(hours.rows(spec.derived_table, hour, ["artifact_id", "event_ids", "derived_at"]))
            points = {row["artifact_id"]: row["event_ids"] for row in rows}
            return traced(points, _there(hours, spec.raw_table, "event_id", hour, points))

        return judged(context.run, config, lakehouse, spec.derived_table, at)

    return check


def _passages_traced() -> dg.AssetChecksDefinition:
    @dg.asset_check(
        asset=PASSAGES_TABLE,
        name=LINEAGE,
        description=(
            "Every passage of the hour points at an artifact that is in its table, and the bytes that it was made from "
            "are there; of these a sample is looked for."
        ),
    )
    def check(
        context: dg.AssetCheckExecutionContext, config: Hour, lakehouse: LakehouseResource, blobs: BlobsResource
    ) -> dg.AssetCheckResult:
        def at(hours: Hours, hour: datetime) -> Verdict:
            columns = ("artifact_id", "source_artifact_id", "source_kind", "event_ids", "derived_at")
            rows = _settled(hours.rows(PASSAGES_TABLE, hour, columns))
            there: set[str] = set()
            for kind, table in TABLE_BY_ARTIFACT_KIND.items():
                points = {r["artifact_id"]: [r["source_artifact_id"]] for r in rows if r["source_kind"] == kind}
                there |= _there(hours, table, "artifact_id", hour, points)
            points = {row["artifact_id"]: [row["source_artifact_id"]] for row in rows}
            return traced(points, there, _bytes(blobs, hours, hour, rows))

        return judged(context.run, config, lakehouse, PASSAGES_TABLE, at)

    return check


def _settled(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Without what is under way: tables are committed one after the other."""
    since = utc_now() - timedelta(seconds=SETTLED_S)
    return [row for row in rows if row["derived_at"] <= since]


def _there(hours: Hours, table: str, column: str, hour: datetime, points: Mapping[str, Sequence[str]]) -> set[str]:
    """Those of the ids that exist: looked for around the hour, and what is not there in the whole table."""
    wanted = {each for ids in points.values() for each in ids}
    if not wanted:
        return set()
    near = {str(row[column]) for row in hours.around(table, hour, [column])} & wanted
    return near | hours.known(table, sorted(wanted - near))


def _bytes(blobs: BlobsResource, hours: Hours, hour: datetime, rows: list[dict[str, Any]]) -> Bytes:
    """Whether the bytes behind a sample of the hour's events are there."""
    events = {event_id for row in rows for event_id in row["event_ids"]}
    refs: dict[str, BlobRef] = {}
    for spec in MODALITIES.values():
        if spec.cost_class == "text":
            continue
        for row in hours.around(spec.raw_table, hour, ("event_id", *POINTER)):
            if row["event_id"] in events and row["blob_key"]:
                refs[row["event_id"]] = pointer(row)
    if not refs:
        return Bytes()
    looked = sample(refs)
    stored = blobs.sizes(refs[each] for each in looked)
    return Bytes(len(refs), len(looked), [each for each in looked if refs[each].sha256 not in stored])


def _gapless(spec: ModalitySpec) -> dg.AssetChecksDefinition:
    @dg.asset_check(
        asset=spec.raw_table,
        name=COMPLETENESS,
        description=(
            f"Of what was ingested in the last minutes no offset of `{spec.topic}` is missing between those that "
            "landed, but for dead letters and events that came twice: the log itself is asked."
        ),
    )
    def check(config: Lately, lakehouse: LakehouseResource, stack: StackResource) -> dg.AssetCheckResult:
        def look() -> Verdict:
            hours = open_hours(lakehouse)
            # How far the archiver is, first: what it lands meanwhile is then in the rows that are read.
            archived = hours.archived(spec.raw_table)
            ends = {number: offset for (topic, number), offset in archived.items() if topic == spec.topic}
            since = utc_now() - timedelta(minutes=config.minutes)
            rows = hours.stamped(spec.raw_table, "ingested_at", since, ("topic_partition", "log_offset"))
            missing = holes([(row["topic_partition"], row["log_offset"]) for row in rows], ends)
            count = sum(len(offsets) for offsets in missing.values())
            if count > MOST:
                return gapless(len(rows), {}, count)
            return gapless(len(rows), named_holes(missing, spec, stack, hours) if missing else {})

        return told(look)

    return check


def _low(modality: str, spec: ModalitySpec) -> dg.AssetChecksDefinition:
    @dg.asset_check(
        asset=spec.raw_table,
        name=LAG,
        description=(
            f"The derivers of {modality}s are less behind than the high-water mark at which the gateway slows its "
            "sources. The sensor `lag` reports when that changes."
        ),
    )
    def check(stack: StackResource) -> dg.AssetCheckResult:
        def look() -> Verdict:
            reader = Reader(spec.group, spec.topic)
            return water(stack.lag([reader])[reader], marks_of(stack.settings(), modality))

        return told(look)

    return check
