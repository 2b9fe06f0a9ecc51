"""The derived assets as runs: thin shells over :func:`mmplatform.pipeline.reprocess.reprocess.reprocess`.

The stream writes them too; a run reprocesses one hour. A run on ``messages``, ``transcripts`` or ``captions`` also
makes the passages of that modality and reports them; a run on ``passages`` makes those of all three.

A backfill is cut into runs of :data:`MAX_HOURS_PER_RUN` hours. Hours land one after the other, each complete by itself:
ending a run leaves the hours before it untouched.
"""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

import dagster as dg
from pydantic import Field

from mmplatform.events import utc_now
from mmplatform.modalities import MODALITIES, PASSAGES_TABLE
from resources.failures import as_dagster_failure
from resources.reprocessing import ReprocessingResource

if TYPE_CHECKING:
    from mmplatform.pipeline.reprocess.reprocess import ReprocessSummary

POOL: Final = "reprocess"
"""With a limit of 1 (``mmplatform up`` sets it) no two runs derive at the same time, let alone the same hour."""

MAX_HOURS_PER_RUN: Final = 6
"""Starting a process and loading its models takes longer than an hour of chats; and a run of one hour that waits for
the pool should not wait for a day of calls."""

_PROGRESS_INTERVAL_S: Final = 5.0
_TABLES: Final = tuple(spec.derived_table for spec in MODALITIES.values())

SummariesByHour = dict[str, list["ReprocessSummary"]]
"""Results by partition key."""


class ReprocessConfig(dg.Config):
    """Other models than in the settings; empty: those of the stream."""

    asr_model: str = Field(default="", description="Speech model, for transcripts.")
    caption_model: str = Field(default="", description="Caption model, for captions.")
    ner_model: str = Field(default="", description="Names model of the redactor.")


def reprocess_asset(spec: dg.AssetSpec) -> dg.AssetsDefinition:
    """The asset of a modality's table, or of the passages."""
    table = spec.key.to_user_string()

    @dg.multi_asset(
        name=f"reprocess_{table}",
        specs=[spec],
        partitions_def=spec.partitions_def,
        pool=POOL,
        backfill_policy=dg.BackfillPolicy.multi_run(max_partitions_per_run=MAX_HOURS_PER_RUN),
    )
    def asset(
        context: dg.AssetExecutionContext, config: ReprocessConfig, reprocessing: ReprocessingResource
    ) -> Iterator[dg.AssetMaterialization | dg.MaterializeResult]:  # type: ignore[type-arg]
        tables = _tables_to_derive(table, context)
        hours: SummariesByHour = {key: [] for key in context.partition_keys}
        try:
            with as_dagster_failure():
                for derived_table in tables:
                    _derive(context, derived_table, config, reprocessing, hours)
        except dg.Failure:
            complete = {key: summaries for key, summaries in hours.items() if len(summaries) == len(tables)}
            yield from _materializations(table, complete)
            raise
        if lost := _lost_ids(hours):
            yield from _materializations(table, hours, incomplete=lost)
            raise _failure(table, hours, lost)
        if table != PASSAGES_TABLE:
            yield from _materializations(PASSAGES_TABLE, hours)
        for key, summaries in hours.items():
            context.add_asset_metadata(_metadata(summaries, table), asset_key=table, partition_key=key)
        yield dg.MaterializeResult(asset_key=table)

    return asset


def _tables_to_derive(table: str, context: dg.AssetExecutionContext) -> list[str]:
    """The table itself; for ``passages`` the derived tables that are not assets of the same run."""
    if table != PASSAGES_TABLE:
        return [table]
    selected = context.run.asset_selection or frozenset()
    return [derived_table for derived_table in _TABLES if dg.AssetKey(derived_table) not in selected]


def _derive(
    context: dg.AssetExecutionContext,
    table: str,
    config: ReprocessConfig,
    reprocessing: ReprocessingResource,
    hours: SummariesByHour,
) -> None:
    """Every hour of one modality, with stores and models opened once. Raises PlatformError."""
    from mmplatform.pipeline.reprocess.inputs import MODEL_SETTINGS
    from mmplatform.pipeline.reprocess.reprocess import check_hour, modality_for_table, parse_hour, reprocess

    starts = {key: parse_hour(key) for key in hours}
    for start in starts.values():
        check_hour(start, utc_now())
    models = config.model_dump()
    if context.assets_def.key.to_user_string() == PASSAGES_TABLE:  # each modality gets the models that it uses
        models = {name: models[name] for name in MODEL_SETTINGS[modality_for_table(table).modality]}
    with reprocessing.open(table, models) as parts:
        for number, (key, start) in enumerate(starts.items(), start=1):
            summary = reprocess(table, start, parts, progress=_progress_logger(context, f"{table} {key}"))
            hours[key].append(summary)
            if not summary.read:
                context.log.info("no raw rows for %s in the hour %s: nothing to derive", table, key)
            context.log.info("%s %s is complete: hour %d of %d", table, key, number, len(starts))


def _progress_logger(context: dg.AssetExecutionContext, subject: str) -> Callable[[int, int], None]:
    """Logs progress at intervals: each line is a row of Dagster's database."""
    last = [time.monotonic()]

    def log(count: int, total: int) -> None:
        if count == total or time.monotonic() - last[0] >= _PROGRESS_INTERVAL_S:
            last[0] = time.monotonic()
            context.log.info("%s: %d of %d events derived", subject, count, total)

    return log


def _lost_ids(hours: SummariesByHour) -> dict[str, list[str]]:
    """Events whose bytes are missing or damaged, by hour."""
    lost = {key: [event_id for summary in summaries for event_id in summary.lost] for key, summaries in hours.items()}
    return {key: ids for key, ids in lost.items() if ids}


def _materializations(
    table: str, hours: SummariesByHour, incomplete: Mapping[str, Sequence[str]] | None = None
) -> Iterator[dg.AssetMaterialization]:
    """The hours that a failing run has landed all the same; of the ``incomplete`` ones only the passages count."""
    for key, summaries in hours.items():
        if key not in (incomplete or {}):
            yield dg.AssetMaterialization(table, partition=key, metadata=_metadata(summaries, table))
        if table != PASSAGES_TABLE:
            metadata = _metadata(summaries, PASSAGES_TABLE)
            yield dg.AssetMaterialization(PASSAGES_TABLE, partition=key, metadata=metadata)


def _failure(table: str, hours: SummariesByHour, lost: Mapping[str, Sequence[str]]) -> dg.Failure:
    by_hour = "; ".join(f"{key}: {', '.join(ids)}" for key, ids in lost.items())
    event_ids = [event_id for ids in lost.values() for event_id in ids]
    summaries = [summary for hour_summaries in hours.values() for summary in hour_summaries]
    return dg.Failure(
        f"bytes are missing or damaged of {len(event_ids)} events ({by_hour}); the other rows landed",
        metadata={"lost": event_ids} | _metadata(summaries, table),
        allow_retries=False,
    )


def _metadata(summaries: "Sequence[ReprocessSummary]", table: str) -> dict[str, Any]:
    """Counts of one table's rows, by their outcome."""
    changes = [summary.tables[table] for summary in summaries if table in summary.tables]
    names = ("rows", "replaced", "added", "vanished", "unchanged", "overtaken", "left")
    counts = {name: sum(getattr(change, name) for change in changes) for name in names}
    totals = {name: sum(getattr(summary, name) for summary in summaries) for name in ("read", "quarantined")}
    index = {f"index_{name}": sum(getattr(summary, name) for summary in summaries) for name in ("upserted", "deleted")}
    return counts | totals | index
