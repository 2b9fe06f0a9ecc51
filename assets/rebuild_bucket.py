"""The asset ``index`` as a run: a thin shell over :mod:`mmplatform.consumers.rebuild_bucket`.

The indexer writes the index; a run rebuilds buckets as candidates and exchanges them, one after the other, each
complete by itself: ending a run leaves the buckets before it rebuilt and the others as they were.
"""
# No deferred annotations here: Dagster reads those of an asset's arguments as they are.

import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, Final

import dagster as dg
from pydantic import Field

from resources.failures import as_dagster_failure
from resources.lakehouse import LakehouseResource
from resources.stack import RUN_ANSWER_S, StackResource

if TYPE_CHECKING:
    from mmplatform.consumers.rebuild_bucket import BucketRebuildResult

POOL: Final = "rebuild_bucket"
"""With a limit of 1 (``mmplatform up`` sets it) one bucket at a time costs Chroma its second collection."""

MAX_BUCKETS_PER_RUN: Final = 4
"""A run of one bucket that waits for the pool should not wait for all sixteen."""

_PROGRESS_INTERVAL_S: Final = 5.0


class RebuildBucketConfig(dg.Config):
    """Treatment of passages that nothing accounts for."""

    drop_unknown: bool = Field(
        default=False,
        description="Drop passages that neither the tables nor the log have; otherwise such a bucket is not exchanged.",
    )


def rebuild_asset(spec: dg.AssetSpec) -> dg.AssetsDefinition:
    """The asset of the index."""
    name = spec.key.to_user_string()

    @dg.multi_asset(
        name=f"rebuild_{name}",
        specs=[spec],
        partitions_def=spec.partitions_def,
        pool=POOL,
        backfill_policy=dg.BackfillPolicy.multi_run(max_partitions_per_run=MAX_BUCKETS_PER_RUN),
    )
    def asset(
        context: dg.AssetExecutionContext,
        config: RebuildBucketConfig,
        lakehouse: LakehouseResource,
        stack: StackResource,
    ) -> Iterator[dg.AssetMaterialization | dg.MaterializeResult]:  # type: ignore[type-arg]
        results: dict[str, BucketRebuildResult] = {}
        try:
            with as_dagster_failure():
                _rebuild(context, config, (lakehouse, stack), results)
        except dg.Failure:
            for bucket, result in results.items():
                yield dg.AssetMaterialization(name, partition=bucket, metadata=_metadata(result))
            raise
        for bucket, result in results.items():
            context.add_asset_metadata(_metadata(result), asset_key=name, partition_key=bucket)
        yield dg.MaterializeResult(asset_key=name)

    return asset


def _rebuild(
    context: dg.AssetExecutionContext,
    config: RebuildBucketConfig,
    stores: tuple[LakehouseResource, StackResource],
    results: dict[str, "BucketRebuildResult"],
) -> None:
    """Rebuild the buckets of the run. Raises PlatformError, with the results of those before."""
    from mmplatform.consumers.rebuild_bucket import BucketRebuild
    from mmplatform.errors import Rejected

    lakehouse, stack = stores
    keys = context.partition_keys
    with stack.index() as index, stack.log(timeout_s=RUN_ANSWER_S) as log:
        rebuild = BucketRebuild(stack.settings(), lakehouse.open(), index, log, drop_unknown=config.drop_unknown)
        for number, bucket in enumerate(keys, start=1):
            result = rebuild.run(bucket, _progress_logger(context, bucket))
            if result.refused:
                raise Rejected(f"{bucket}: {result.refused} passages were refused: their vectors do not fit")
            results[bucket] = result
            context.log.info("%s serves, rebuilt: bucket %d of %d: %s", bucket, number, len(keys), _metadata(result))


def _progress_logger(context: dg.AssetExecutionContext, bucket: str) -> Callable[[int, int], None]:
    """Logs progress within a bucket at intervals: each line is a row of Dagster's database."""
    last = [time.monotonic()]

    def log(count: int, total: int) -> None:
        if count == total or time.monotonic() - last[0] >= _PROGRESS_INTERVAL_S:
            last[0] = time.monotonic()
            context.log.info("%s: %d of %d passages of the table written", bucket, count, total)

    return log


def _metadata(result: "BucketRebuildResult") -> dict[str, Any]:
    return {
        "dagster/partition_row_count": result.passages,
        "added": result.added,
        "removed": result.removed,
        "from_log": result.from_log,
        "embedded": result.embedded,
        "leftovers": result.leftovers,
    }
