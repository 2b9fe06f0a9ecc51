"""The checks on each asset: does it keep its contract, is it fresh, is everything accounted for.

They look and change nothing. The stream lands what it lands; in a run that makes an hour again a broken contract blocks
what would be made from it. Start them from the UI. What is read
comes from :mod:`resources`, what it means is decided in :mod:`quality`. A read that failed fails the check, with what
was unreachable; it never passes for an empty hour.
"""
# No deferred annotations here: Dagster looks at those of a check's arguments as they are.

from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import Any, Final

import dagster as dg
from pydantic import Field

from assets.checks.hours import Hour, over
from assets.index import INDEX
from mmplatform.errors import PlatformError
from mmplatform.events import Modality, utc_now
from mmplatform.land.index.embedder_registry import EmbedderRegistry
from mmplatform.land.lakehouse.hour_partition import HOUR
from mmplatform.modalities import (
    ARTIFACTS_TOPIC,
    INDEX_GROUP,
    MODALITIES,
    PASSAGES_TABLE,
    QUARANTINE_TABLE,
    ModalitySpec,
)
from mmplatform.pipeline.process import contract_limits
from quality.checks.completeness import Listed, accounted, mirrored
from quality.checks.verdict import Backlog, Figure, Verdict, gap_s, kept, within
from quality.contracts import CONTRACTS
from quality.reports.profile import share_of_silence, statistics
from quality.slas import MODALITY_SLAS
from resources.failures import failing
from resources.lakehouse import LakehouseResource
from resources.readers.hours import Hours, as_judged, open_hours
from resources.readers.writers import WRITERS
from resources.stack import Reader, StackResource

CONTRACT: Final = "contract"
FRESHNESS: Final = "freshness_gap"
COMPLETENESS: Final = "completeness"

EMPTY: Final = Verdict(holds=True, words="the table is empty", figures={"rows": 0})
SETTLED_S: Final = 120.0
"""Younger rows may still be under way: the archiver commits every 15 s, and a call's last words wait for silence."""


class Lately(dg.Config):
    """How far back is looked."""

    minutes: float = Field(default=15.0, gt=0, le=1440, description="Rows that were stamped within so many minutes.")


def all_checks() -> list[dg.AssetChecksDefinition]:
    """Every check."""
    found = [_contract(table) for table in CONTRACTS]
    for modality, spec in MODALITIES.items():
        found.append(_freshness(spec.raw_table, "ingested_at", WRITERS[spec.raw_table], modality))
        found.append(_freshness(spec.derived_table, "derived_at", WRITERS[spec.derived_table], modality))
        found.append(_accounted(spec))
    found.append(_freshness(PASSAGES_TABLE, "derived_at", WRITERS[PASSAGES_TABLE]))
    return [*found, _mirrored(PASSAGES_TABLE), _mirrored(INDEX), _indexed()]


def told(look: Callable[[], Verdict]) -> dg.AssetCheckResult:
    """The verdict as Dagster shows it; a store that cannot be read is a failed check that names it."""
    with failing():
        try:
            verdict = look()
        except PlatformError as error:
            words = f"cannot be told: {type(error).__name__}: {error}"
            return dg.AssetCheckResult(passed=False, description=words, metadata={"unreachable": str(error)})
    return dg.AssetCheckResult(passed=verdict.holds, description=verdict.words, metadata=shown(verdict))


def judged(
    run: dg.DagsterRun,
    config: Hour,
    lakehouse: LakehouseResource,
    table: str,
    at: Callable[[Hours, datetime], Verdict],
    empty: Verdict = EMPTY,
) -> dg.AssetCheckResult:
    """What ``at`` says of each hour of the table that is asked for, as :func:`told` shows it; ``empty``: of none."""

    def look() -> Verdict:
        hours = open_hours(lakehouse)
        return config.over(hours, table, run, lambda hour: at(hours, hour), empty)

    return told(look)


def shown(verdict: Verdict) -> dict[str, dg.MetadataValue[Any]]:
    """The figures as Dagster's metadata."""
    return {name: _value(figure) for name, figure in verdict.figures.items()}


def together(backlogs: Mapping[Reader, Backlog]) -> Backlog:
    """What waits for several readers, as one."""
    each = backlogs.values()
    return Backlog(sum(one.lag for one in each), max((one.waiting_s for one in each), default=0.0))


def _contract(table: str) -> dg.AssetChecksDefinition:
    raw = {spec.raw_table for spec in MODALITIES.values()}

    @dg.asset_check(
        asset=table,
        name=CONTRACT,
        blocking=table in WRITERS and table not in raw,
        description=(
            "Every row of the hour keeps the table's contract; events that the gate set aside are counted, and are no "
            "breach. With the figures of the hour."
        ),
    )
    def check(
        context: dg.AssetCheckExecutionContext, config: Hour, lakehouse: LakehouseResource
    ) -> dg.AssetCheckResult:
        def at(hours: Hours, hour: datetime) -> Verdict:
            rows = hours.rows(table, hour)
            aside = hours.aside(hour) if table in raw else set[str]()
            found = kept(table, as_judged(table, rows), contract_limits(lakehouse.settings()), aside)
            more = {**statistics(table, rows), **_silence(table, rows, hours, hour)}
            return Verdict(found.holds, found.words, {**found.figures, **more})

        return judged(context.run, config, lakehouse, table, at)

    return check


def _silence(table: str, rows: list[dict[str, Any]], hours: Hours, hour: datetime) -> dict[str, Figure]:
    spec = MODALITIES["call"]
    if table != spec.derived_table:
        return {}
    share = share_of_silence(rows, hours.rows(spec.raw_table, hour, ["kind", "duration_s", "channels"]))
    return {} if share is None else {"share_of_silence": share}


def _freshness(
    table: str, stamp: str, readers: tuple[Reader, ...], modality: Modality | None = None
) -> dg.AssetChecksDefinition:
    """``modality``: of a table that has no such column."""

    @dg.asset_check(
        asset=table,
        name=FRESHNESS,
        description=(
            f"The gap from event_time to {stamp} of the rows of the last minutes is within the budget of their "
            "modality, and nothing has waited long on the log. A quiet time is not stale."
        ),
    )
    def check(config: Lately, lakehouse: LakehouseResource, stack: StackResource) -> dg.AssetCheckResult:
        def look() -> Verdict:
            since = utc_now() - timedelta(minutes=config.minutes)
            # What tells how a row came about, where there is such a column: an end of a call and a mark of missing
            # audio are no speech that somebody waited for.
            extra = {"raw_calls": ("kind",), "transcripts": ("status",)}.get(table, ())
            columns = ("event_time", *extra, *(() if modality else ("modality",)))
            rows = open_hours(lakehouse).stamped(table, stamp, since, columns)
            gaps: dict[str, list[float]] = {}
            for row in rows:
                if row.get("kind") != "call_end" and row.get("status") != "gap":
                    gaps.setdefault(modality or row["modality"], []).append(gap_s(row, stamp))
            return within(gaps, MODALITY_SLAS, together(stack.backlog(readers)))

        return told(look)

    return check


def _indexed() -> dg.AssetChecksDefinition:
    @dg.asset_check(
        asset=INDEX,
        name=FRESHNESS,
        description=(
            "The gap from event_time to indexed_at of the passages of the last minutes is within the budget of their "
            "modality, and nothing has waited long for the indexer. A quiet time is not stale."
        ),
    )
    def check(config: Lately, stack: StackResource) -> dg.AssetCheckResult:
        def look() -> Verdict:
            now = utc_now()
            since = now - timedelta(minutes=config.minutes)
            gaps: dict[str, list[float]] = {}
            with stack.index() as index:
                # Chroma cannot compare indexed_at: passages that took over an hour are the backlog's to tell.
                for each in index.passage_stamps(since - HOUR, now + HOUR):
                    if each.indexed_at >= since:
                        gap = (each.indexed_at - each.event_time).total_seconds()
                        gaps.setdefault(each.modality, []).append(gap)
            return within(gaps, MODALITY_SLAS, together(stack.backlog([Reader(INDEX_GROUP, ARTIFACTS_TOPIC)])))

        return told(look)

    return check


def _accounted(spec: ModalitySpec) -> dg.AssetChecksDefinition:
    @dg.asset_check(
        asset=spec.derived_table,
        name=COMPLETENESS,
        description=(
            f"Every event of the hour in {spec.raw_table} has a row here, a row in {QUARANTINE_TABLE}, or a stated "
            "reason to have none."
        ),
    )
    def check(
        context: dg.AssetCheckExecutionContext, config: Hour, lakehouse: LakehouseResource, stack: StackResource
    ) -> dg.AssetCheckResult:
        settled = utc_now() - timedelta(seconds=SETTLED_S)
        columns = ("event_id", "kind", "ingested_at", "topic", "topic_partition", "log_offset")

        def at(hours: Hours, hour: datetime) -> Verdict:
            # How far the deriver is, first: what it does meanwhile is then still in the tables that are read.
            done = stack.done(Reader(spec.group, spec.topic))
            events = hours.rows(spec.raw_table, hour, columns)
            derived = [row["event_ids"] for row in hours.around(spec.derived_table, hour, ["event_ids"])]
            return accounted(events, derived=derived, aside=hours.aside(hour), done=done, settled=settled)

        nothing = Verdict(holds=True, words="no events", figures={"events": 0})
        return judged(context.run, config, lakehouse, spec.raw_table, at, nothing)

    return check


def _mirrored(asset: str) -> dg.AssetChecksDefinition:
    @dg.asset_check(
        asset=asset,
        name=COMPLETENESS,
        description=(
            f"The index holds exactly the passages that {PASSAGES_TABLE} has of the hour: ids compared both ways, in "
            "the embedder that serves and in the one before it that is kept for a rollback."
        ),
    )
    def check(
        context: dg.AssetCheckExecutionContext, config: Hour, lakehouse: LakehouseResource, stack: StackResource
    ) -> dg.AssetCheckResult:
        def look() -> Verdict:
            settled = utc_now() - timedelta(seconds=SETTLED_S)
            hours = open_hours(lakehouse)

            def at(hour: datetime) -> Verdict:
                with stack.index() as index:
                    spaces = EmbedderRegistry(index).latest()
                    found = [
                        Listed(e.passage_id, e.embedder, e.derived_at) for e in index.passage_stamps(hour, hour + HOUR)
                    ]
                rows = hours.rows(PASSAGES_TABLE, hour, ["artifact_id", "embedder", "derived_at"])
                return mirrored(rows, found, settled=settled, embedders=spaces.complete if spaces else ())

            # An empty table is compared too: what the index has of this hour should be in it by now.
            if not (asked := config.of(hours, PASSAGES_TABLE, context.run)):
                asked = [utc_now().replace(minute=0, second=0, microsecond=0)]
            return over(asked, at)

        return told(look)

    return check


def _value(figure: Figure) -> dg.MetadataValue[Any]:
    if isinstance(figure, int):
        return dg.MetadataValue.int(figure)
    if isinstance(figure, float):
        return dg.MetadataValue.float(figure)
    return dg.MetadataValue.text(figure) if isinstance(figure, str) else dg.MetadataValue.json(figure)
