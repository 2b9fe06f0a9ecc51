"""The job ``swap_embedder``: a thin shell over :mod:`mmplatform.pipeline.embedder_swap.swap`.

Each copied bucket is at once an observation of the asset ``index``, with its figures. It is no materialization: copying
existing passages makes nothing fresher. A failed run is started again, and continues where it stopped.
"""
# No deferred annotations here: Dagster reads those of an op's arguments as they are.

import time
from collections.abc import Callable, Iterator
from typing import Final

import dagster as dg
from pydantic import Field

from assets.index import INDEX
from resources.embedder_swap import EmbedderSwapResource
from resources.failures import as_dagster_failure

POOL: Final = "swap_embedder"
"""With a limit of 1 (``mmplatform up`` sets it) two runs do not pay for the same vectors."""

_PROGRESS_INTERVAL_S: Final = 5.0


class SwapEmbedderConfig(dg.Config):
    """The embedder that is to serve."""

    embedder: str = Field(description="Name of a pulled text embedder (`mmplatform models list`), or a directory.")
    swap: bool = Field(
        default=True, description="Let it serve when all buckets are equal; else it remains a built candidate."
    )


@dg.op(
    pool=POOL,
    description="Fills a candidate collection for each bucket, and swaps them in when all equal the serving ones.",
)
def build_embedder_index(
    context: dg.OpExecutionContext, config: SwapEmbedderConfig, swapping: EmbedderSwapResource
) -> Iterator[dg.AssetObservation | dg.Output[None]]:
    """Build, and swap; on a failure the serving embedder continues to serve."""
    with as_dagster_failure(), swapping.open() as parts:
        wanted = swapping.space(config.embedder)
        for bucket, copied in parts.build_steps(wanted, swap=config.swap, progress=_progress_logger(context)):
            metadata = {name: getattr(copied, name) for name in ("passages", "written", "embedded", "removed")}
            context.log.info("%s: equal now: %s", bucket, metadata)
            description = f"built for {wanted.name}"
            yield dg.AssetObservation(INDEX, partition=bucket, description=description, metadata=metadata)
        context.log.info("%s serves", parts.ensure_serving().serving.name)
    yield dg.Output(None)


@dg.job(
    description=(
        "Brings another embedder into service without downtime: its index is built as a candidate, bucket by bucket, "
        "and swapped in when complete. Run it again after a failure: it continues where it stopped."
    )
)
def swap_embedder() -> None:
    """One embedder."""
    build_embedder_index()


def _progress_logger(context: dg.OpExecutionContext) -> Callable[[str, int, int], None]:
    """Logs progress within a bucket at intervals: each line is a row of Dagster's database."""
    last = [time.monotonic()]

    def log(bucket: str, count: int, total: int) -> None:
        if time.monotonic() - last[0] >= _PROGRESS_INTERVAL_S:
            last[0] = time.monotonic()
            context.log.info("%s: %d of %d passages compared", bucket, count, total)

    return log
