"""Check ``freshness_gap`` of each table and of the index: gaps of recent rows, and the backlog of their writers."""

from __future__ import annotations

from datetime import datetime
from typing import Final

import dagster as dg

from assets.checks.factory import CheckResources, recent_check
from assets.index import INDEX
from mmplatform.events import Modality, utc_now
from mmplatform.land.lakehouse.hour_partition import HOUR
from mmplatform.modalities import MODALITIES, PASSAGES_TABLE
from quality.checks.backlog import combine_backlogs
from quality.checks.freshness_gap import check_freshness, gap_s
from quality.checks.result import CheckResult
from quality.slas import MODALITY_SLAS
from resources.readers.hours import open_hour_reader
from resources.readers.subscriptions import INDEXER, TABLE_SUBSCRIPTIONS

FRESHNESS_GAP: Final = "freshness_gap"

_NOT_AWAITED: Final = {"raw_calls": ("kind", "call_end"), "transcripts": ("status", "gap")}
"""Rows without speech that a user waits for, the end of a call and a gap marker: their column and its value."""


def freshness_gap_checks() -> list[dg.AssetChecksDefinition]:
    """One for each table of a modality, ``passages`` and ``index``."""
    checks = []
    for modality, spec in MODALITIES.items():
        checks.append(_table_check(spec.raw_table, "ingested_at", modality))
        checks.append(_table_check(spec.derived_table, "derived_at", modality))
    return [*checks, _table_check(PASSAGES_TABLE, "derived_at"), _index_check()]


def _table_check(table: str, stamp: str, modality: Modality | None = None) -> dg.AssetChecksDefinition:
    """``modality``: that of a table without such a column."""
    column, value = _NOT_AWAITED.get(table, ("", ""))
    columns = ("event_time", *([column] if column else []), *(() if modality else ("modality",)))

    def check(since: datetime, resources: CheckResources) -> CheckResult:
        gaps: dict[str, list[float]] = {}
        for row in open_hour_reader(resources.lakehouse).rows_since(table, stamp, since, columns):
            if not column or row[column] != value:
                gaps.setdefault(modality or row["modality"], []).append(gap_s(row, stamp))
        backlogs = resources.stack.backlog(TABLE_SUBSCRIPTIONS[table])
        return check_freshness(gaps, MODALITY_SLAS, combine_backlogs(backlogs.values()))

    return recent_check(
        table,
        FRESHNESS_GAP,
        check,
        requires=("lakehouse", "stack"),
        description=(
            f"The gap from event_time to {stamp} of the rows of the last minutes is within the budget of their "
            "modality, and no record has waited long on the log. A quiet time is not stale."
        ),
    )


def _index_check() -> dg.AssetChecksDefinition:
    def check(since: datetime, resources: CheckResources) -> CheckResult:
        gaps: dict[str, list[float]] = {}
        has_tail = resources.stack.settings().tail_is_followed
        with resources.stack.index() as index:
            # Chroma cannot compare indexed_at: passages that took over an hour show in the backlog instead.
            for passage in index.passage_stamps(since - HOUR, utc_now() + HOUR):
                if passage.indexed_at >= since:
                    found_at = min(passage.logged_at, passage.indexed_at) if has_tail else passage.indexed_at
                    gap = (found_at - passage.event_time).total_seconds()
                    gaps.setdefault(passage.modality, []).append(gap)
        return check_freshness(gaps, MODALITY_SLAS, resources.stack.backlog([INDEXER])[INDEXER])

    return recent_check(
        INDEX,
        FRESHNESS_GAP,
        check,
        requires=("stack",),
        description=(
            "The gap from event_time to retrievable of the passages of the last minutes is within the budget of their "
            "modality, and no record has waited long for the indexer. A passage is retrievable once it is on the log "
            "(logged_at), or in the index (indexed_at) where gateways follow no tail. A quiet time is not stale."
        ),
    )
