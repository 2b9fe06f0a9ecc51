"""Check ``completeness``: offsets of the log in raw tables, events in derived tables, passages in the index."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final

import dagster as dg

from assets.checks.factory import CheckResources, hourly_check, recent_check
from assets.checks.hours import settled_before
from assets.index import INDEX
from assets.partitions import hour_key
from mmplatform.buckets import bucket_name
from mmplatform.derive.chat_changes import DELETION_REASONS
from mmplatform.events import utc_now
from mmplatform.land.index.embedder_registry import EmbedderRegistry
from mmplatform.land.lakehouse.hour_partition import HOUR
from mmplatform.modalities import (
    CHAT,
    MODALITIES,
    PASSAGES_TABLE,
    QUARANTINE_TABLE,
    RETRACTIONS_TABLE,
    ModalitySpec,
)
from quality.checks.completeness import (
    IndexedPassage,
    check_events_accounted,
    check_index_matches_table,
    with_deletions,
)
from quality.checks.offset_gaps import check_offset_gaps, find_offset_gaps
from quality.checks.result import CheckResult
from resources.readers.hours import HourReader, open_hour_reader
from resources.readers.offset_gaps import explain_offset_gaps
from resources.readers.subscriptions import INDEXER
from resources.stack import Subscription

COMPLETENESS: Final = "completeness"
NO_EVENTS: Final = CheckResult(passed=True, description="no events", metadata={"events": 0})


def completeness_checks() -> list[dg.AssetChecksDefinition]:
    """One for each table of a modality, ``passages`` and ``index``."""
    specs = MODALITIES.values()
    return [
        *(_offsets_check(spec) for spec in specs),
        *(_events_check(spec) for spec in specs),
        _index_check(PASSAGES_TABLE),
        _index_check(INDEX),
    ]


def _offsets_check(spec: ModalitySpec) -> dg.AssetChecksDefinition:
    def check(since: datetime, resources: CheckResources) -> CheckResult:
        reader = open_hour_reader(resources.lakehouse)
        # The archiver's offsets come first: what it lands meanwhile is then in the rows that are read.
        archived = reader.archived_offsets(spec.raw_table)
        ends = {number: offset for (topic, number), offset in archived.items() if topic == spec.topic}
        rows = reader.rows_since(spec.raw_table, "ingested_at", since, ("topic_partition", "log_offset"))
        gaps = find_offset_gaps([(row["topic_partition"], row["log_offset"]) for row in rows], ends)
        if not gaps:
            return check_offset_gaps(len(rows), {})
        explained = explain_offset_gaps(gaps, spec, resources.stack, reader)
        hours = [key for key in map(hour_key, explained.lost_event_times) if key is not None]
        return check_offset_gaps(len(rows), explained.reasons, explained.unchecked, hours)

    return recent_check(
        spec.raw_table,
        COMPLETENESS,
        check,
        requires=("lakehouse", "stack"),
        description=(
            f"Of the rows ingested in the last minutes no offset of `{spec.topic}` is missing between those that "
            "landed, but for dead letters and duplicate events: the log itself is read."
        ),
    )


def _events_check(spec: ModalitySpec) -> dg.AssetChecksDefinition:
    columns = (
        "event_id",
        "event_uid",
        "kind",
        "ingested_at",
        "topic",
        "topic_partition",
        "log_offset",
        "log_generation",
    )

    def check(reader: HourReader, hour: datetime, resources: CheckResources) -> CheckResult:
        settled = settled_before()
        # The deriver's offsets come first: what it derives meanwhile is then in the tables that are read.
        consumed_offsets = resources.stack.committed_offsets(Subscription(spec.group, spec.topic))
        events = reader.rows(spec.raw_table, hour, columns)
        derived = [row["event_uids"] for row in reader.rows_around(spec.derived_table, hour, ["event_uids"])]
        if spec is CHAT:
            retracted = reader.rows_around(RETRACTIONS_TABLE, hour, ["event_uids", "reason"])
            derived += [row["event_uids"] for row in retracted if row["reason"] in DELETION_REASONS]
        result = check_events_accounted(
            events,
            derived_uids=derived,
            quarantined_uids=reader.quarantined_uids(hour),
            consumed_offsets=consumed_offsets,
            log_generation=resources.stack.log_generation(),
            settled_before=settled,
        )
        here = reader.deleted_and_here(hour, settled) if spec is CHAT else {}
        return with_deletions(result, {row_id: hour_key(moment) for row_id, moment in here.items()})

    return hourly_check(
        spec.derived_table,
        COMPLETENESS,
        check,
        requires=("stack",),
        hours_of=spec.raw_table,
        empty=NO_EVENTS,
        description=(
            f"Every event of the hour in {spec.raw_table} has a row here, a row in {QUARANTINE_TABLE}, or a stated "
            "reason to have none."
        ),
    )


def _index_check(asset: str) -> dg.AssetChecksDefinition:
    def check(reader: HourReader, hour: datetime, resources: CheckResources) -> CheckResult:
        settled = settled_before()
        with resources.stack.index() as index:
            backlog = resources.stack.backlog([INDEXER])[INDEXER]  # before the passages
            # The indexer always collects a little: only what settled rows wait for holds up a rebuild.
            is_lagging = backlog.lag > 0 and utc_now() - timedelta(seconds=backlog.waiting_s) <= settled
            spaces = EmbedderRegistry(index).latest()
            indexed = [
                IndexedPassage(passage.passage_id, passage.embedder, passage.derived_at)
                for passage in index.passage_stamps(hour, hour + HOUR)
            ]
        rows = reader.rows(PASSAGES_TABLE, hour, ["artifact_id", "embedder", "derived_at", "subject_key"])
        if asset == INDEX:
            rows = [{**row, "bucket": bucket_name(row["subject_key"])} for row in rows]
        complete = spaces.complete if spaces else ()
        return check_index_matches_table(
            rows, indexed, settled_before=settled, embedders=complete, is_lagging=is_lagging
        )

    return hourly_check(
        asset,
        COMPLETENESS,
        check,
        requires=("stack",),
        hours_of=PASSAGES_TABLE,
        empty=None,  # by now the passages of the current hour should be in the table
        description=(
            f"The index has exactly the passages that {PASSAGES_TABLE} has of the hour: ids are compared both ways, "
            "for the serving embedder and for the previous one, which is kept for a rollback."
        ),
    )
