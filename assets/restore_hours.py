"""The raw tables as runs: thin shells over :func:`mmplatform.consumers.restore_hours.restore_hours`.

The stream writes them; a run lands hours again from the log. One pass over the log serves all hours of a run, so a
backfill is cut into runs of :data:`MAX_HOURS_PER_RUN` hours.
"""
# No deferred annotations here: Dagster reads those of an asset's arguments as they are.

import time
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, Final

import dagster as dg

from mmplatform.events import utc_now
from mmplatform.modalities import ModalitySpec
from resources.failures import as_dagster_failure
from resources.lakehouse import LakehouseResource
from resources.stack import RUN_ANSWER_S, StackResource

if TYPE_CHECKING:
    from mmplatform.consumers.restore_hours import HourRestoreResult

POOL: Final = "restore_hours"
"""With a limit of 1 (``mmplatform up`` sets it) no two runs read the log for the same table at once."""

MAX_HOURS_PER_RUN: Final = 24
"""A pass over the log serves a day of hours as well as one."""

_PROGRESS_INTERVAL_S: Final = 5.0


def restore_asset(spec: ModalitySpec, asset_spec: dg.AssetSpec) -> dg.AssetsDefinition:
    """The asset of a modality's raw table."""

    @dg.multi_asset(
        name=f"restore_{spec.raw_table}",
        specs=[asset_spec],
        partitions_def=asset_spec.partitions_def,
        pool=POOL,
        backfill_policy=dg.BackfillPolicy.multi_run(max_partitions_per_run=MAX_HOURS_PER_RUN),
    )
    def asset(
        context: dg.AssetExecutionContext, lakehouse: LakehouseResource, stack: StackResource
    ) -> Iterator[dg.AssetMaterialization | dg.MaterializeResult]:  # type: ignore[type-arg]
        with as_dagster_failure():
            results = _restore(context, spec, lakehouse, stack)
        failure = _failure(spec, results)
        if failure is not None:
            yield from _materializations(spec, results)
            raise failure
        for key, result in results.items():
            context.add_asset_metadata(_metadata(result), asset_key=spec.raw_table, partition_key=key)
        yield dg.MaterializeResult(asset_key=spec.raw_table)

    return asset


def _restore(
    context: dg.AssetExecutionContext, spec: ModalitySpec, lakehouse: LakehouseResource, stack: StackResource
) -> dict[str, "HourRestoreResult"]:
    """Results by partition key. Raises PlatformError."""
    from mmplatform.consumers.restore_hours import restore_hours
    from mmplatform.pipeline.reprocess.reprocess import check_hour, parse_hour

    hours = {key: parse_hour(key) for key in context.partition_keys}
    for hour in hours.values():
        check_hour(hour, utc_now())
    with stack.log(timeout_s=RUN_ANSWER_S) as log:
        progress = _progress_logger(context, spec)
        results = restore_hours(stack.settings(), lakehouse.open(), log, spec, list(hours.values()), progress)
    by_key = {key: results[hour] for key, hour in hours.items()}
    for key, result in by_key.items():
        counts = f"{result.rows.added} added, {result.rows.replaced} replaced, {result.rows.unchanged} unchanged"
        context.log.info("%s %s: %d events on the log, %s", spec.raw_table, key, result.read, counts)
    return by_key


def _progress_logger(context: dg.AssetExecutionContext, spec: ModalitySpec) -> Callable[[int, int], None]:
    """Logs progress at intervals: each line is a row of Dagster's database."""
    last = [time.monotonic()]

    def log(count: int, total: int) -> None:
        if count == total or time.monotonic() - last[0] >= _PROGRESS_INTERVAL_S:
            last[0] = time.monotonic()
            context.log.info("%s: %d of %d records of %s read", spec.raw_table, count, total, spec.topic)

    return log


def _failure(spec: ModalitySpec, results: Mapping[str, "HourRestoreResult"]) -> dg.Failure | None:
    """Failure of the hours of which the log may have expired events."""
    from mmplatform.consumers.restore_hours import describe_expired

    expired = {key: describe_expired(spec, result.expired) for key, result in results.items() if result.expired}
    if not expired:
        return None
    named = "; ".join(f"{key}: {offsets}" for key, offsets in expired.items())
    return dg.Failure(
        f"the log no longer has these records, and no row has them ({named}): events of the hour may be among them, "
        "as may dead letters and repetitions. All other events of the hours are in the table",
        metadata={"expired": dg.MetadataValue.json(expired)},
        allow_retries=False,
    )


def _materializations(
    spec: ModalitySpec, results: Mapping[str, "HourRestoreResult"]
) -> Iterator[dg.AssetMaterialization]:
    """The hours of a failing run that are complete."""
    for key, result in results.items():
        if not result.expired:
            yield dg.AssetMaterialization(spec.raw_table, partition=key, metadata=_metadata(result))


def _metadata(result: "HourRestoreResult") -> dict[str, Any]:
    from mmplatform.consumers.restore_hours import hour_metadata

    counts = hour_metadata(result)
    rows = counts["added"] + counts["replaced"] + counts["unchanged"] + counts["unverified"]
    return {"dagster/partition_row_count": rows, **counts}
