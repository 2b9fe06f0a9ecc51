"""Rebuilds one bucket of the index from the lakehouse and the log, while it is searched and written.

1. Fill a candidate collection as :mod:`mmplatform.consumers.rebuild_index` fills a lost index, then read the log until
   little is new.
2. Refuse to lose a passage: one that the bucket has, and that no table, no log and no retraction accounts for.
3. Exchange the candidate for the bucket's collection.
4. Read the log again from before the exchange: the indexer wrote those records to the old collection.

The bucket serves until step 3, so a rebuild that failed or was killed before leaves it as it was. The next rebuild of
the bucket removes what is left of the candidate.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from typing import Final

import structlog

from mmplatform.buckets import BUCKET_NAMES
from mmplatform.consumers.rebuild_index import IndexRebuild, NextOffsets, PassageProgress
from mmplatform.errors import PlatformError, Rejected, Unavailable
from mmplatform.kafka.reader import ReplayLog
from mmplatform.land.file_lock import LockTimeout, file_lock
from mmplatform.land.index.candidate_bucket import CandidateIndex
from mmplatform.land.index.chroma_collections import PAGE_ROWS
from mmplatform.land.index.embedder_registry import EmbedderRegistry, EmbedderRevision
from mmplatform.land.index.store import ChromaIndex
from mmplatform.land.lakehouse.store import Lakehouse
from mmplatform.modalities import RETRACTIONS_TABLE
from mmplatform.settings import Settings
from mmplatform.versions import NO_VERSION

_log = structlog.get_logger(__name__)
_MAX_ROUNDS: Final = 20
_CAUGHT_UP: Final = 200
"""Records of a round of the log after which the exchange begins: they are read in well under a second."""

_MAX_WAIT_S: Final = 3600.0
_MAX_NAMED_IDS: Final = 10


@dataclass(frozen=True, slots=True)
class BucketRebuildResult:
    """Counts of a rebuilt bucket.

    Attributes:
        passages: passages of the bucket after the exchange, of the serving embedder.
        added: passages that the bucket had not.
        removed: passages that it had and that were retracted, or were dropped as unknown.
        from_log: records of the log that the archiver had not committed, or that arrived meanwhile.
        refused: passages that the index refused.
        embedded: texts that a model embedded.
        leftovers: collections of interrupted rebuilds that were removed.
    """

    passages: int
    added: int
    removed: int
    from_log: int
    refused: int
    embedded: int
    leftovers: int


class BucketRebuild:
    """Rebuilds buckets, one after the other.

    Args:
        settings: those of the stack.
        lakehouse: the tables.
        index: the index that is searched.
        log: the replay log.
        drop_unknown: remove passages that neither tables nor log account for, instead of refusing the exchange.
    """

    def __init__(
        self,
        settings: Settings,
        lakehouse: Lakehouse,
        index: ChromaIndex,
        log: ReplayLog,
        *,
        drop_unknown: bool = False,
    ) -> None:
        self._settings = settings
        self._lakehouse = lakehouse
        self._index = index
        self._log = log
        self._drop_unknown = drop_unknown
        self._registry = EmbedderRegistry(index)

    def run(self, bucket: str, progress: PassageProgress = lambda result, total: None) -> BucketRebuildResult:  # noqa: ARG005 - names of the arguments
        """Rebuild a bucket, ``b00`` to ``b15``; of two rebuilds of one bucket on a machine the second waits.

        Raises:
            Rejected: no such bucket, an embedder is being built, or a passage would be lost. The bucket is unchanged.
            Unavailable: a store or the log does not answer, or the log grows faster than it is read; run it again.
            Misconfigured: the serving embedder is not on this machine, or a topic is missing.
        """
        if bucket not in BUCKET_NAMES:
            raise Rejected(f"{bucket!r} is no bucket: name one of {BUCKET_NAMES[0]} to {BUCKET_NAMES[-1]}")
        with _lock_bucket(self._settings, bucket), closing(CandidateIndex(self._settings, bucket)) as candidate:
            leftovers = candidate.remove_leftovers()
            try:
                return self._run(candidate, leftovers, progress)
            except BaseException:
                with suppress(PlatformError):  # the next rebuild tries again
                    candidate.remove_leftovers()
                raise

    def _run(self, candidate: CandidateIndex, leftovers: int, progress: PassageProgress) -> BucketRebuildResult:
        bucket = candidate.bucket
        revision = self._checked_revision()
        # 1.
        rebuild = IndexRebuild(self._settings, self._lakehouse, candidate, self._log, bucket=bucket)
        since = self._catch_up(rebuild, rebuild.fill(progress))
        revision = self._checked_revision(revision)
        serving = revision.serving.name if revision else None
        embedders = self._embedders(candidate, revision)
        for embedder in embedders:  # also for a bucket without passages
            candidate.create_collections(embedder)
        # 2. What the bucket has now is on the log by now, so that the next reading makes it the candidate's.
        before = set(self._index.ids(bucket=bucket, embedder=serving))
        reread_from = since
        since = rebuild.follow(since)
        after = set(candidate.ids(bucket=bucket, embedder=serving))
        self._refuse_loss(candidate, before - after, embedders)
        # 3.
        for embedder in embedders:
            candidate.exchange(embedder)
        _log.info("bucket exchanged", bucket=bucket, passages=len(after))
        # 4.
        self._index.tombstones.forget()  # others have retracted since an earlier bucket was rebuilt
        rest = IndexRebuild(self._settings, self._lakehouse, self._index, self._log, bucket=bucket)
        rest.settle(rest.follow(reread_from))
        return BucketRebuildResult(
            passages=self._index.count(bucket=bucket, embedder=serving),
            added=len(after - before),
            removed=len(before - after),
            from_log=rebuild.result.from_log + rest.result.from_log,
            refused=rebuild.result.refused + rest.result.refused,
            embedded=rebuild.result.embedded + rest.result.embedded,
            leftovers=leftovers,
        )

    def _catch_up(self, rebuild: IndexRebuild, since: NextOffsets) -> NextOffsets:
        for _ in range(_MAX_ROUNDS):
            ends = rebuild.follow(since)
            if _records(since, ends) <= _CAUGHT_UP:
                return ends
            since = ends
        raise Unavailable(
            f"in each of {_MAX_ROUNDS} rounds more than {_CAUGHT_UP} records came onto the log: the bucket was not "
            "exchanged. Run it again when less comes in"
        )

    def _checked_revision(self, expected: EmbedderRevision | None = None) -> EmbedderRevision | None:
        """The embedders in use. Raises Rejected while one is being built, or when they changed meanwhile."""
        revision = self._registry.latest()
        if revision is not None and revision.candidate is not None:
            raise Rejected(
                f"the embedder {revision.candidate.name} is being built from these buckets: finish it, or cancel it by "
                "`mmplatform embedder retire --candidate`, then rebuild the bucket"
            )
        if expected is not None and (revision is None or revision.active != expected.active):
            raise Rejected("the embedders in use changed meanwhile: the bucket was not exchanged; run it again")
        return revision

    def _refuse_loss(self, candidate: CandidateIndex, missing: set[str], embedders: Sequence[str]) -> None:
        """Raise Rejected for passages that would be lost without a retraction."""
        if not missing or self._drop_unknown:
            return
        unknown = missing - self._retracted_ids(candidate, missing, embedders)
        if unknown:
            named = ", ".join(sorted(unknown)[:_MAX_NAMED_IDS])
            raise Rejected(
                f"bucket {candidate.bucket} has {len(unknown)} passages that neither the tables nor the log have "
                f"({named}): it was not exchanged. Rebuild the lakehouse first, `mmplatform lakehouse rebuild`; where "
                f"these passages are to go, `mmplatform index rebuild --bucket {candidate.bucket} --drop-unknown`"
            )

    def _retracted_ids(self, candidate: CandidateIndex, ids: set[str], embedders: Sequence[str]) -> set[str]:
        """The ids of which the index has no version above that of a retraction."""
        candidate.tombstones.forget()
        versions = dict(candidate.tombstones.versions())
        number, columns = BUCKET_NAMES.index(candidate.bucket), ("artifact_id", "version")
        for row in self._lakehouse.scan(RETRACTIONS_TABLE, bucket=number, columns=columns).to_pylist():
            versions[row["artifact_id"]] = max(versions.get(row["artifact_id"], NO_VERSION), row["version"])
        retracted = sorted(ids & versions.keys())
        outlived: set[str] = set()
        for embedder in embedders:
            for start in range(0, len(retracted), PAGE_ROWS):
                stored = self._index.versions(embedder, candidate.bucket, retracted[start : start + PAGE_ROWS])
                outlived |= {row_id for row_id, version in stored.items() if version > versions[row_id]}
        return set(retracted) - outlived

    def _embedders(self, candidate: CandidateIndex, revision: EmbedderRevision | None) -> list[str]:
        """Embedders whose collection is exchanged, the serving one first, as the indexer writes."""
        if revision is not None:
            return [space.name for space in revision.active]
        return sorted(candidate.candidate_embedders())


def _records(since: Mapping[int, int], ends: Mapping[int, int]) -> int:
    return sum(end - since.get(number, 0) for number, end in ends.items())


@contextmanager
def _lock_bucket(settings: Settings, bucket: str) -> Iterator[None]:
    """Lock the bucket against other rebuilds on this machine. Raises Unavailable."""
    path = settings.data_dir / "run" / "rebuild" / f"{bucket}.lock"

    def log_wait() -> None:
        _log.info("another rebuild has this bucket: waiting for it", bucket=bucket)

    try:
        with file_lock(path, on_wait=log_wait, timeout_s=_MAX_WAIT_S):
            yield
    except LockTimeout:
        raise Unavailable(
            f"another rebuild has had bucket {bucket} for over {_MAX_WAIT_S:.0f} s; `fuser {path}` names its process: "
            "end it, or let it end"
        ) from None
