"""The derived assets made by a run: thin shells over :func:`mmplatform.pipeline.reprocess.reprocess`.

The stream makes them too; a run makes one hour of them again. A run on ``messages``, ``transcripts`` or ``captions``
also makes the passages of that modality and reports them; a run on ``passages`` makes those of all three.
"""

import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, Final

import dagster as dg
from pydantic import Field

from mmplatform.errors import PlatformError, Unavailable
from mmplatform.modalities import MODALITIES, PASSAGES_TABLE
from resources.reprocessing import ReprocessingResource

if TYPE_CHECKING:
    from mmplatform.pipeline.reprocess import Summary

POOL: Final = "reprocess"
"""With a limit of 1 (``mmplatform up`` sets it) no two runs derive at the same time, let alone the same hour."""

_TELL_S: Final = 5.0
_TABLES: Final = tuple(spec.derived_table for spec in MODALITIES.values())


class Models(dg.Config):
    """Other models than the settings name; empty: those that the stream uses."""

    asr_model: str = Field(default="", description="Speech model, for transcripts.")
    caption_model: str = Field(default="", description="Caption model, for captions.")
    ner_model: str = Field(default="", description="Names model of the redactor.")


def reprocessed(spec: dg.AssetSpec) -> dg.AssetsDefinition:
    """The asset of a modality's table, or of the passages."""
    table = spec.key.to_user_string()

    @dg.multi_asset(name=f"reprocess_{table}", specs=[spec], partitions_def=spec.partitions_def, pool=POOL)
    def asset(
        context: dg.AssetExecutionContext, config: Models, reprocessing: ReprocessingResource
    ) -> Iterator[dg.AssetMaterialization | dg.MaterializeResult]:  # type: ignore[type-arg]
        done = []
        for each in _of(table, context):
            summary = _run(context, each, config, reprocessing)
            done.append(summary)
            if table != PASSAGES_TABLE:
                yield dg.AssetMaterialization(
                    PASSAGES_TABLE, partition=context.partition_key, metadata=_figures([summary], PASSAGES_TABLE)
                )
        if lost := [event_id for summary in done for event_id in summary.lost]:
            raise dg.Failure(
                f"bytes are missing or damaged of {len(lost)} events: {', '.join(lost)}; the other rows landed",
                metadata={"lost": lost} | _figures(done, table),
                allow_retries=False,
            )
        yield dg.MaterializeResult(asset_key=table, metadata=_figures(done, table))

    return asset


def _of(table: str, context: dg.AssetExecutionContext) -> list[str]:
    """The tables to derive; for ``passages`` those that this very run does not derive by themselves."""
    if table != PASSAGES_TABLE:
        return [table]
    selected = context.run.asset_selection or frozenset()
    return [each for each in _TABLES if dg.AssetKey(each) not in selected]


def _run(
    context: dg.AssetExecutionContext, table: str, config: Models, reprocessing: ReprocessingResource
) -> "Summary":
    from mmplatform.pipeline.parts import MODELS
    from mmplatform.pipeline.reprocess import parse_hour, reprocess, spec_of

    hour = parse_hour(context.partition_key)
    models = config.model_dump()
    if context.asset_key.to_user_string() == PASSAGES_TABLE:  # each modality takes what is for it
        models = {name: models[name] for name in MODELS[spec_of(table).modality]}
    try:
        with reprocessing.open(table, models) as parts:
            summary = reprocess(table, hour, parts, progress=_telling(context, table))
    except PlatformError as error:
        told = f"{type(error).__name__}: {error}"
        raise dg.Failure(told, allow_retries=isinstance(error, Unavailable)) from error
    if not summary.read:
        context.log.info("no raw rows for %s in that hour: nothing to derive", table)
    return summary


def _telling(context: dg.AssetExecutionContext, table: str) -> Callable[[int, int], None]:
    """Progress into the run's log, now and again: each line is a row of Dagster's database."""
    last = [time.monotonic()]

    def tell(done: int, of: int) -> None:
        if done == of or time.monotonic() - last[0] >= _TELL_S:
            last[0] = time.monotonic()
            context.log.info("%s: %d of %d events derived", table, done, of)

    return tell


def _figures(done: "list[Summary]", table: str) -> dict[str, Any]:
    """Rows of one table, and what became of them."""
    changes = [summary.tables[table] for summary in done if table in summary.tables]
    names = ("rows", "replaced", "added", "vanished", "unchanged", "overtaken", "left")
    figures = {name: sum(getattr(each, name) for each in changes) for name in names}
    whole = {name: sum(getattr(summary, name) for summary in done) for name in ("read", "quarantined")}
    index = {f"index_{name}": sum(getattr(summary, name) for summary in done) for name in ("upserted", "deleted")}
    return figures | whole | index
