"""Embedder swap: builds a candidate's collections while the serving ones are searched, then exchanges the two.

``mmplatform embedder`` and Dagster's job ``swap_embedder`` call this. Each change of the serving embedder is one
revision of :class:`~mmplatform.land.index.embedder_registry.EmbedderRegistry`; the work before it can stop anywhere and
run again.

Why a swap loses nothing, and neither does a rollback: docs/adr/0007-embedders-are-swapped.md.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Generator
from dataclasses import dataclass
from functools import partial
from typing import Final

import structlog

from mmplatform.buckets import BUCKET_NAMES
from mmplatform.derive.passages import space_name
from mmplatform.errors import Conflict, Rejected, Unavailable
from mmplatform.land.index.embedder_registry import EmbedderRegistry, EmbedderRevision, Space
from mmplatform.land.index.store import ChromaIndex
from mmplatform.pipeline.embedder_swap.copy import CopyResult, IndexCopier
from mmplatform.ports import Embedder, Memo

_log = structlog.get_logger(__name__)
_MAX_ATTEMPTS: Final = 3
_SWAPPED_MEANWHILE: Final = "another process has swapped meanwhile: see `mmplatform embedder status`"
RETIRE_GRACE_S: Final = 5.0
"""Between the revision that retires a space and the deletion of its collections: a search may be running in them."""

SwapProgressCallback = Callable[[str, int, int], None]
"""Called with a bucket, its compared passages, and their total."""

BuildSteps = Generator[tuple[str, CopyResult], None, EmbedderRevision]
"""Each bucket that is equal; returns the revision from which on it is kept equal."""

BucketCallback = Callable[[str, CopyResult], None]
"""Called when a bucket is equal, with the result of its copy."""


def _ignore_progress(bucket: str, done: int, total: int) -> None:
    """Report nothing."""


def _ignore_bucket(bucket: str, copied: CopyResult) -> None:
    """Report nothing."""


@dataclass(frozen=True, slots=True)
class EmbedderSwap:
    """Builds, swaps, rolls back and retires embedders.

    Attributes:
        default: serves where no revision is recorded: the settings' embedder.
        open_embedder: loads a model; Misconfigured where it is missing, or is another version.
    """

    index: ChromaIndex
    registry: EmbedderRegistry
    default: Space
    open_embedder: Callable[[Space], Embedder]
    memo: Memo

    def latest(self) -> EmbedderRevision | None:
        """The newest revision; ``None`` where none is recorded. Raises Unavailable."""
        return self.registry.latest()

    def ensure_serving(self) -> EmbedderRevision:
        """The newest revision; where none is recorded, one in which the default serves.

        Raises:
            Misconfigured: none is recorded, and the index holds passages of other embedders only.
            Unavailable: the index does not answer.
        """
        return self.registry.ensure_serving(self.default)

    def build_steps(
        self, wanted: Space, *, swap: bool = True, progress: SwapProgressCallback = _ignore_progress
    ) -> BuildSteps:
        """Fill the collections of a candidate, and let it serve when all are equal to the serving ones.

        Yields each bucket that is equal, with the result of its copy. A second run resumes. Without ``swap`` the
        candidate is kept in step until :meth:`swap`.

        Raises:
            Rejected: it serves already, or is being deleted, or there is another secondary. Nothing was changed.
            Misconfigured: its model is missing. Nothing was changed.
            Unavailable: a store does not answer, or an indexer cannot embed for it; the serving one is unchanged.
        """
        revision = self.ensure_serving()
        _check_buildable(revision, wanted)
        embedder = self.open_embedder(wanted)
        if revision.candidate is None:
            revision = self.registry.change_spaces(revision, serving=revision.serving, candidate=wanted)
            _log.info("embedder build started", serving=revision.serving.name, candidate=wanted.name)
        revision = yield from self._sync_steps(revision, embedder, progress)
        if swap:
            self._promote(revision, embedder)
        return revision

    def build(
        self,
        wanted: Space,
        *,
        swap: bool = True,
        progress: SwapProgressCallback = _ignore_progress,
        on_bucket: BucketCallback = _ignore_bucket,
    ) -> CopyResult:
        """Run :meth:`build_steps` to its end."""
        result = CopyResult()
        for bucket, copied in self.build_steps(wanted, swap=swap, progress=progress):
            on_bucket(bucket, copied)
            result += copied
        return result

    def swap(self, *, progress: SwapProgressCallback = _ignore_progress) -> EmbedderRevision:
        """Let the candidate serve, once all of its buckets are equal to the serving ones.

        Raises:
            Rejected: there is no candidate.
            Misconfigured: its model is missing.
            Unavailable: as :meth:`build_steps`.
        """
        revision = self.latest()
        if revision is None or revision.candidate is None:
            raise Rejected("there is no candidate: `mmplatform embedder build NAME` builds one")
        embedder = self.open_embedder(revision.candidate)
        return self._promote(self._sync(revision, embedder, progress), embedder)

    def roll_back(self, *, progress: SwapProgressCallback = _ignore_progress) -> EmbedderRevision:
        """Let the previous embedder serve again; where an indexer could not keep it in step, copy the difference first.

        After an interrupted copy the next rollback copies again.

        Raises:
            Rejected: there is no previous one.
            Misconfigured: its model is missing.
            Unavailable: as :meth:`build`.
        """
        revision = self.latest()
        if revision is None or revision.previous is None:
            raise Rejected("no embedder served before this one: there is nothing to roll back to")
        embedder = self.open_embedder(revision.previous)
        if revision.lacking or revision.copying:
            revision = self._sync(revision, embedder, progress)
        return self._promote(revision, embedder)

    def retire(self, *, candidate: bool = False, grace_s: float = RETIRE_GRACE_S) -> list[str]:
        """Give up the previous embedder, or the candidate, and delete the collections of all inactive spaces.

        None of them can be built before the deletion is complete. The next run finishes an interrupted one.

        Returns:
            The spaces whose collections were deleted.

        Raises:
            Rejected: there is none, nor an unused space.
            Conflict: another process changes the revision.
            Unavailable: the index does not answer; run it again.
        """
        revision, kind = self.latest(), "candidate" if candidate else "previous embedder"
        if revision is None:
            raise Rejected(f"there is no {kind} to retire")
        which = revision.candidate if candidate else revision.previous
        unused = self.unused_spaces(revision)
        if which is None and not unused:
            raise Rejected(f"there is no {kind} to retire")
        if which is None:
            revision = self.registry.change_flags(revision, retiring=tuple(unused))
        else:
            revision = self.registry.change_spaces(
                revision, serving=revision.serving, retiring=tuple(sorted({*unused, which.name}))
            )
        time.sleep(grace_s)
        dropped = [name for name in revision.retiring if self._drop(name)]
        self._clear_retiring(revision.retiring)
        return dropped

    def _drop(self, name: str) -> bool:
        """Delete the collections of a space that is not in use by the newest revision."""
        revision = self.latest()
        if revision is None or name not in revision.retiring or name in {space.name for space in revision.active}:
            return False  # another retire was faster, and the space may have been built again since
        self.index.drop_embedder(name)
        _log.info("embedder retired", space=name)
        return True

    def _clear_retiring(self, names: tuple[str, ...]) -> None:
        """Let them be built again."""
        for _ in range(_MAX_ATTEMPTS):
            if (revision := self.latest()) is None:
                return
            try:
                self.registry.change_flags(
                    revision, retiring=tuple(name for name in revision.retiring if name not in names)
                )
            except Conflict:
                continue
            return
        raise Unavailable("other processes keep changing which embedder serves: run it again")

    def unused_spaces(self, revision: EmbedderRevision) -> list[str]:
        """Spaces that are not in use and have collections, or are being retired."""
        return sorted({*self.index.embedders(), *revision.retiring} - {space.name for space in revision.active})

    def _sync_steps(self, revision: EmbedderRevision, embedder: Embedder, progress: SwapProgressCallback) -> BuildSteps:
        """Make the secondary space equal to the serving one; returns the revision from which on it is kept equal."""
        if revision.lacking:  # cleared: an indexer that cannot keep up flags it again
            revision = self.registry.change_flags(revision, lacking=False, copying=True)
        copier = IndexCopier(self.index, revision.serving.name, embedder, self.memo)
        for bucket in BUCKET_NAMES:
            copied = copier.copy_bucket(bucket, partial(progress, bucket))
            if (newest := self.latest()) is None or newest.active != revision.active:
                raise Rejected("the build was cancelled, or another process swapped: see `mmplatform embedder status`")
            yield bucket, copied
        return revision

    def _sync(self, revision: EmbedderRevision, embedder: Embedder, progress: SwapProgressCallback) -> EmbedderRevision:
        steps = self._sync_steps(revision, embedder, progress)
        while True:
            try:
                next(steps)
            except StopIteration as end:
                synced: EmbedderRevision = end.value
                return synced

    def _sync_again(self, embedder: Embedder) -> EmbedderRevision:
        revision = self.latest()
        if revision is None:
            raise Rejected(_SWAPPED_MEANWHILE)
        _checked_secondary(revision, embedder)
        return self._sync(revision, embedder, _ignore_progress)

    def _promote(self, revision: EmbedderRevision, embedder: Embedder) -> EmbedderRevision:
        """Exchange the serving space and the secondary, in the very revision in which they are in step."""
        for attempt in range(_MAX_ATTEMPTS):
            try:
                if attempt:
                    # An indexer could not keep up, or another process has swapped, built or retired at the same time.
                    # The cases are not distinguished: after another revision only a new comparison proves equality.
                    revision = self._sync_again(embedder)
                secondary = _checked_secondary(revision, embedder)
                after = self.registry.change_spaces(revision, serving=secondary, previous=revision.serving)
            except Conflict:
                continue
            _log.info("embedder serves", serving=after.serving.name, previous=revision.serving.name)
            return after
        raise Unavailable(
            f"{embedder.name} is not kept in step: an indexer cannot embed for it, and its log says why; "
            f"{revision.serving.name} still serves"
        )


def _checked_secondary(revision: EmbedderRevision, embedder: Embedder) -> Space:
    """The secondary space. Raises Rejected when it is no longer this embedder's."""
    if revision.secondary is None or revision.secondary.name != space_name(embedder):
        raise Rejected(_SWAPPED_MEANWHILE)
    return revision.secondary


def _check_buildable(revision: EmbedderRevision, wanted: Space) -> None:
    if wanted.name == revision.serving.name:
        raise Rejected(f"{wanted.name} serves already")
    if wanted.name in revision.retiring:
        raise Rejected(
            f"the index of {wanted.name} is being deleted: try again in a moment; after an interrupted deletion, "
            "`mmplatform embedder retire` ends it"
        )
    if revision.previous is not None:
        fix = "`mmplatform embedder rollback`" if wanted.name == revision.previous.name else "retire it first"
        raise Rejected(f"{revision.previous.name} is kept for a rollback: {fix}")
    if revision.candidate is not None and revision.candidate.name != wanted.name:
        raise Rejected(
            f"{revision.candidate.name} is being built: finish it, or `mmplatform embedder retire --candidate`"
        )
