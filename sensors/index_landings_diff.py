"""From the index worker's counts to landings of the index: which buckets changed since they were last told. Pure.

Counts begin anew with each worker, and a worker's start tells one from the next: what it counts then is all news. What
others did to a bucket (a reprocessing run, an erasure) shows in how many passages it has.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from pydantic import AwareDatetime, Field

from mmplatform.local.status.worker_status import BucketPayload, QuantilesPayload, WorkerStatusPayload
from sensors.cursors import Frozen, Remembered


class Told(Frozen):
    """What was last said of a bucket."""

    upserted: int = 0
    deleted: int = 0
    passages: int = 0


class Cursor(Remembered):
    """What the sensor remembers between ticks; it lies in Dagster's database.

    Attributes:
        since: when the worker whose counts these are began.
    """

    version: Literal[1] = 1
    since: AwareDatetime | None = None
    buckets: dict[str, Told] = Field(default_factory=dict)


class BucketLanding(Frozen):
    """What came into a bucket and went out of it since it was last told of.

    Attributes:
        passages: what it holds now for the embedder that serves; of every one where no embedder is written down.
        gap: of the worker's rolling window; empty when nothing came in it.
        watermark: newest event time that the worker put into it; ``None`` when it put nothing.
    """

    bucket: str
    upserted: int
    deleted: int
    passages: int
    gap: QuantilesPayload
    watermark: AwareDatetime | None


def bucket_landings(
    status: WorkerStatusPayload, passages: Mapping[str, int], cursor: Cursor
) -> tuple[list[BucketLanding], Cursor]:
    """What to report, by bucket, and the cursor after it.

    Args:
        status: the index worker's own figures.
        passages: how many each bucket holds.
        cursor: what was told.
    """
    same = cursor.since is not None and cursor.since == status.measured_since
    found, after = [], dict(cursor.buckets)
    for bucket, held in passages.items():
        known, now = after.get(bucket, Told()), status.buckets.get(bucket, BucketPayload())
        base = known if same else Told(passages=known.passages)
        upserted, deleted = now.upserted - base.upserted, now.deleted - base.deleted
        after[bucket] = Told(upserted=now.upserted, deleted=now.deleted, passages=held)
        if upserted or deleted or held != known.passages:
            found.append(
                BucketLanding(
                    bucket=bucket,
                    upserted=upserted,
                    deleted=deleted,
                    passages=held,
                    gap=now.gap,
                    watermark=now.watermark,
                )
            )
    return found, Cursor(since=status.measured_since, buckets=after)
