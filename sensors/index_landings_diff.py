"""From the index worker's counts to landings: the buckets that changed since the last report. Pure.

A worker's counts start at zero, and its start time identifies it: a new worker's first counts are all new. Changes
by others (a reprocessing run, a delete by hand) show in the number of passages in the bucket.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from pydantic import AwareDatetime, Field

from mmplatform.local.status.worker_status import BucketPayload, QuantilesPayload, WorkerStatusPayload
from sensors.cursors import FrozenRecord, SensorCursor


class ReportedBucket(FrozenRecord):
    """The last reported counts of a bucket."""

    upserted: int = 0
    deleted: int = 0
    passages: int = 0


class IndexLandingsCursor(SensorCursor):
    """The last reported counts of all buckets.

    Attributes:
        since: start of the worker whose counts these are.
    """

    version: Literal[1] = 1
    since: AwareDatetime | None = None
    buckets: dict[str, ReportedBucket] = Field(default_factory=dict)


class BucketLanding(FrozenRecord):
    """Changes of a bucket since the last report.

    Attributes:
        passages: passages in the bucket of the serving embedder; of all embedders when none is recorded.
        gap: of the worker's rolling window; empty without passages in it.
        watermark: newest event time that the worker indexed; ``None`` without any.
    """

    bucket: str
    upserted: int
    deleted: int
    passages: int
    gap: QuantilesPayload
    watermark: AwareDatetime | None


def diff_index_landings(
    status: WorkerStatusPayload, passages: Mapping[str, int], cursor: IndexLandingsCursor
) -> tuple[list[BucketLanding], IndexLandingsCursor]:
    """The landings to report, by bucket, and the cursor after them.

    Args:
        status: the index worker's own figures.
        passages: the number of passages in each bucket.
        cursor: the last report.
    """
    same_worker = cursor.since is not None and cursor.since == status.measured_since
    landings, after = [], dict(cursor.buckets)
    for bucket, count in passages.items():
        reported, now = after.get(bucket, ReportedBucket()), status.buckets.get(bucket, BucketPayload())
        base = reported if same_worker else ReportedBucket(passages=reported.passages)
        upserted, deleted = now.upserted - base.upserted, now.deleted - base.deleted
        after[bucket] = ReportedBucket(upserted=now.upserted, deleted=now.deleted, passages=count)
        if upserted or deleted or count != reported.passages:
            landings.append(
                BucketLanding(
                    bucket=bucket,
                    upserted=upserted,
                    deleted=deleted,
                    passages=count,
                    gap=now.gap,
                    watermark=now.watermark,
                )
            )
    return landings, IndexLandingsCursor(since=status.measured_since, buckets=after)
