"""The derived assets made by a run: thin shells over :func:`mmplatform.pipeline.reprocess.reprocess.reprocess`.

The stream makes them too; a run makes one hour of them again. A run on ``messages``, ``transcripts`` or ``captions``
also makes the passages of that modality and reports them; a run on ``passages`` makes those of all three.

A backfill is cut into runs of :data:`HOURS_A_RUN` hours. Hours land one after the other, and each is whole by itself:
whoever ends a run takes nothing from the hours before.
"""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

import dagster as dg
from pydantic import Field

from mmplatform.events import utc_now
from mmplatform.modalities import MODALITIES, PASSAGES_TABLE
from resources.failures import failing
from resources.reprocessing import ReprocessingResource

if TYPE_CHECKING:
    from mmplatform.pipeline.reprocess.reprocess import ReprocessSummary

POOL: Final = "reprocess"
"""With a limit of 1 (``mmplatform up`` sets it) no two runs derive at the same time, let alone the same hour."""

HOURS_A_RUN: Final = 6
"""To start a process and to load its models takes longer than an hour of chats; and whoever waits for the pool, for one
hour of his own, should not wait for a day of calls."""

_TELL_S: Final = 5.0
_TABLES: Final = tuple(spec.derived_table for spec in MODALITIES.values())

Hours = dict[str, list["ReprocessSummary"]]
"""What was done of each partition, by its key."""


class Models(dg.Config):
    """Other models than the settings name; empty: those that the stream uses."""

    asr_model: str = Field(default="", description="Speech model, for transcripts.")
    caption_model: str = Field(default="", description="Caption model, for captions.")
    ner_model: str = Field(default="", description="Names model of the redactor.")


def reprocessed(spec: dg.AssetSpec) -> dg.AssetsDefinition:
    """The asset of a modality's table, or of the passages."""
    table = spec.key.to_user_string()

    @dg.multi_asset(
        name=f"reprocess_{table}",
        specs=[spec],
        partitions_def=spec.partitions_def,
        pool=POOL,
        backfill_policy=dg.BackfillPolicy.multi_run(max_partitions_per_run=HOURS_A_RUN),
    )
    def asset(
        context: dg.AssetExecutionContext, config: Models, reprocessing: ReprocessingResource
    ) -> Iterator[dg.AssetMaterialization | dg.MaterializeResult]:  # type: ignore[type-arg]
        tables = _of(table, context)
        hours: Hours = {key: [] for key in context.partition_keys}
        try:
            with failing():
                for each in tables:
                    _derive(context, each, config, reprocessing, hours)
        except dg.Failure:
            yield from _landed(table, {key: done for key, done in hours.items() if len(done) == len(tables)})
            raise
        if lost := {key: ids for key, done in hours.items() if (ids := [each for made in done for each in made.lost])}:
            yield from _landed(table, hours, but=lost)
            raise _failure(table, hours, lost)
        if table != PASSAGES_TABLE:
            yield from _landed(PASSAGES_TABLE, hours)
        for key, done in hours.items():
            context.add_asset_metadata(_figures(done, table), asset_key=table, partition_key=key)
        yield dg.MaterializeResult(asset_key=table)

    return asset


def _of(table: str, context: dg.AssetExecutionContext) -> list[str]:
    """The tables to derive; for ``passages`` those that this very run does not derive by themselves."""
    if table != PASSAGES_TABLE:
        return [table]
    selected = context.run.asset_selection or frozenset()
    return [each for each in _TABLES if dg.AssetKey(each) not in selected]


def _derive(
    context: dg.AssetExecutionContext, table: str, config: Models, reprocessing: ReprocessingResource, hours: Hours
) -> None:
    """Every hour of one modality, with stores and models opened once. Raises PlatformError."""
    from mmplatform.pipeline.reprocess.inputs import MODEL_SETTINGS
    from mmplatform.pipeline.reprocess.reprocess import check_hour, modality_for_table, parse_hour, reprocess

    moments = {key: parse_hour(key) for key in hours}
    for moment in moments.values():
        check_hour(moment, utc_now())
    models = config.model_dump()
    if context.assets_def.key.to_user_string() == PASSAGES_TABLE:  # each modality takes what is for it
        models = {name: models[name] for name in MODEL_SETTINGS[modality_for_table(table).modality]}
    with reprocessing.open(table, models) as parts:
        for number, (key, moment) in enumerate(moments.items(), start=1):
            summary = reprocess(table, moment, parts, progress=_telling(context, f"{table} {key}"))
            hours[key].append(summary)
            if not summary.read:
                context.log.info("no raw rows for %s in the hour %s: nothing to derive", table, key)
            context.log.info("%s %s is done: hour %d of %d", table, key, number, len(moments))


def _telling(context: dg.AssetExecutionContext, what: str) -> Callable[[int, int], None]:
    """Progress into the run's log, now and again: each line is a row of Dagster's database."""
    last = [time.monotonic()]

    def tell(done: int, of: int) -> None:
        if done == of or time.monotonic() - last[0] >= _TELL_S:
            last[0] = time.monotonic()
            context.log.info("%s: %d of %d events derived", what, done, of)

    return tell


def _landed(
    table: str, hours: Hours, but: Mapping[str, Sequence[str]] | None = None
) -> Iterator[dg.AssetMaterialization]:
    """What a run that fails has done all the same; of the hours in ``but`` only the passages can be told."""
    for key, done in hours.items():
        if key not in (but or {}):
            yield dg.AssetMaterialization(table, partition=key, metadata=_figures(done, table))
        if table != PASSAGES_TABLE:
            yield dg.AssetMaterialization(PASSAGES_TABLE, partition=key, metadata=_figures(done, PASSAGES_TABLE))


def _failure(table: str, hours: Hours, lost: Mapping[str, Sequence[str]]) -> dg.Failure:
    each = "; ".join(f"{key}: {', '.join(ids)}" for key, ids in lost.items())
    ids = [one for some in lost.values() for one in some]
    return dg.Failure(
        f"bytes are missing or damaged of {len(ids)} events ({each}); the other rows landed",
        metadata={"lost": ids} | _figures([made for done in hours.values() for made in done], table),
        allow_retries=False,
    )


def _figures(done: "Sequence[ReprocessSummary]", table: str) -> dict[str, Any]:
    """Rows of one table, and what became of them."""
    changes = [summary.tables[table] for summary in done if table in summary.tables]
    names = ("rows", "replaced", "added", "vanished", "unchanged", "overtaken", "left")
    figures = {name: sum(getattr(each, name) for each in changes) for name in names}
    whole = {name: sum(getattr(summary, name) for summary in done) for name in ("read", "quarantined")}
    index = {f"index_{name}": sum(getattr(summary, name) for summary in done) for name in ("upserted", "deleted")}
    return figures | whole | index
