"""The job that brings another embedder into service: a thin shell over :mod:`mmplatform.pipeline.embedder_swap.swap`.

Each bucket that is equal is an observation of the asset ``index``, at once, with its figures. No materialization: to
copy what is there already makes nothing fresher. What failed half-way is run again, and goes on where it was.
"""
# No deferred annotations here: Dagster looks at those of an op's arguments as they are.

import time
from collections.abc import Callable, Iterator
from typing import Final

import dagster as dg
from pydantic import Field

from assets.index import INDEX
from resources.failures import failing
from resources.swapping import SwappingResource

POOL: Final = "swap_embedder"
"""With a limit of 1 (``mmplatform up`` sets it) two runs do not pay for the same vectors."""

_TELL_S: Final = 5.0


class Wanted(dg.Config):
    """Which embedder is to serve."""

    embedder: str = Field(description="Name of a pulled text embedder (`mmplatform models list`), or a directory.")
    swap: bool = Field(default=True, description="Let it serve when all buckets are equal; else it is only kept ready.")


@dg.op(
    pool=POOL,
    description="Fills a collection for each bucket beside the one that serves, and exchanges them when all are equal.",
)
def build_beside(
    context: dg.OpExecutionContext, config: Wanted, swapping: SwappingResource
) -> Iterator[dg.AssetObservation | dg.Output[None]]:
    """Build, and swap; fails with what is wrong, and then the one that served serves on."""
    with failing(), swapping.open() as parts:
        wanted = swapping.space(config.embedder)
        for bucket, copied in parts.build_steps(wanted, swap=config.swap, progress=_telling(context)):
            figures = {name: getattr(copied, name) for name in ("passages", "written", "embedded", "removed")}
            context.log.info("%s: equal now: %s", bucket, figures)
            words = f"built for {wanted.name}"
            yield dg.AssetObservation(INDEX, partition=bucket, description=words, metadata=figures)
        context.log.info("%s serves", parts.ensure_serving().serving.name)
    yield dg.Output(None)


@dg.job(
    description=(
        "Brings another embedder into service without downtime: its index is built beside the one that serves, bucket "
        "by bucket, and swapped when complete. Run it again after a failure: it goes on where it was."
    )
)
def swap_embedder() -> None:
    """One embedder."""
    build_beside()


def _telling(context: dg.OpExecutionContext) -> Callable[[str, int, int], None]:
    """Progress within a bucket into the run's log, now and again: each line is a row of Dagster's database."""
    last = [time.monotonic()]

    def tell(bucket: str, done: int, of: int) -> None:
        if time.monotonic() - last[0] >= _TELL_S:
            last[0] = time.monotonic()
            context.log.info("%s: %d of %d passages compared", bucket, done, of)

    return tell
