"""A new embedder in the place of the old one, without an hour in which a search finds less: built beside it, swapped.

``mmplatform embedder`` and Dagster's job ``swap_embedder`` come here. Each change of who serves is one revision of
:class:`~mmplatform.land.index.embedder_registry.SpaceLog`; all that is before it can stop anywhere and be run again.

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
from mmplatform.land.index.embedder_registry import Space, SpaceLog, Spaces
from mmplatform.land.index.store import ChromaIndex
from mmplatform.pipeline.embedder_swap.copy import Copied, Copier
from mmplatform.ports import Embedder, Memo

_log = structlog.get_logger(__name__)
_ROUNDS: Final = 3
_SWAPPED: Final = "somebody else has swapped meanwhile: see `mmplatform embedder status`"
GRACE_S: Final = 5.0
"""Between the revision that retires a space and the end of its collections: a search may be under way in them."""

Progress = Callable[[str, int, int], None]
"""Called with a bucket, its passages that are compared, and all of them."""

Steps = Generator[tuple[str, Copied], None, Spaces]
"""Each bucket that is equal, and at the end the revision from which on it is kept so."""

Built = Callable[[str, Copied], None]
"""Called when a bucket is equal, with what that took."""


def _quiet(bucket: str, done: int, of: int) -> None:
    """Tell nobody."""


def _unseen(bucket: str, copied: Copied) -> None:
    """Tell nobody."""


@dataclass(frozen=True, slots=True)
class Swapping:
    """What a swap works with.

    Attributes:
        default: serves where nothing was ever written down: the settings' embedder.
        open_space: loads a model; Misconfigured where it is not there, or is another version.
    """

    index: ChromaIndex
    log: SpaceLog
    default: Space
    open_space: Callable[[Space], Embedder]
    memo: Memo

    def known(self) -> Spaces | None:
        """Who serves; ``None`` where nobody has written it down. Raises Unavailable."""
        return self.log.read()

    def state(self) -> Spaces:
        """Who serves; where nobody has written it down, that is the default from now on.

        Raises:
            Misconfigured: nobody has, and the index holds passages of others only.
            Unavailable: the index does not answer.
        """
        return self.log.adopt(self.default)

    def building(self, wanted: Space, *, swap: bool = True, progress: Progress = _quiet) -> Steps:
        """Fill the collections of a candidate beside the serving ones, and let it serve when all are equal.

        Yields each bucket that is equal, with what that took. Run again, it goes on where it was. Without ``swap`` the
        candidate is kept in step until :meth:`swap`.

        Raises:
            Rejected: it serves already, or is being deleted, or another one is beside the serving one. Nothing was
                touched.
            Misconfigured: its model is not there. Nothing was touched.
            Unavailable: a store does not answer, or an indexer cannot embed for it; the serving one is as it was.
        """
        state = self.state()
        _may_be_built(state, wanted)
        embedder = self.open_space(wanted)
        if state.candidate is None:
            state = self.log.change(state, serving=state.serving, candidate=wanted)
            _log.info("embedder is built beside", serving=state.serving.name, candidate=wanted.name)
        state = yield from self._in_step(state, embedder, progress)
        if swap:
            self._let_serve(state, embedder)
        return state

    def build(self, wanted: Space, *, swap: bool = True, progress: Progress = _quiet, built: Built = _unseen) -> Copied:
        """All of :meth:`building` at once."""
        done = Copied()
        for bucket, copied in self.building(wanted, swap=swap, progress=progress):
            built(bucket, copied)
            done += copied
        return done

    def swap(self, *, progress: Progress = _quiet) -> Spaces:
        """Let the candidate serve, once all of its buckets are equal to the serving ones.

        Raises:
            Rejected: there is no candidate.
            Misconfigured: its model is not there.
            Unavailable: as :meth:`building`.
        """
        state = self.known()
        if state is None or state.candidate is None:
            raise Rejected("no candidate is there: `mmplatform embedder build NAME` makes one")
        embedder = self.open_space(state.candidate)
        return self._let_serve(self._now_in_step(state, embedder, progress), embedder)

    def roll_back(self, *, progress: Progress = _quiet) -> Spaces:
        """Let the previous one serve again, at once; only when an indexer could not keep it in step, copy that first.

        A copy that was interrupted is made anew by the next one.

        Raises:
            Rejected: there is no previous one.
            Misconfigured: its model is not there any more.
            Unavailable: as :meth:`build`.
        """
        state = self.known()
        if state is None or state.previous is None:
            raise Rejected("no embedder served before this one: there is nothing to roll back to")
        embedder = self.open_space(state.previous)
        if state.lacking or state.copying:
            state = self._now_in_step(state, embedder, progress)
        return self._let_serve(state, embedder)

    def retire(self, *, candidate: bool = False, grace_s: float = GRACE_S) -> list[str]:
        """Give up the previous one, or the candidate, and delete the collections of all that are not in use.

        None of them can be built before all of this is done. One that died half-way is finished by the next.

        Returns:
            Whose collections were deleted.

        Raises:
            Rejected: there is none, nor anything left behind.
            Conflict: somebody else changes who serves.
            Unavailable: the index does not answer; run it again.
        """
        state, kind = self.known(), "candidate" if candidate else "previous embedder"
        if state is None:
            raise Rejected(f"there is no {kind} to retire")
        which = state.candidate if candidate else state.previous
        left = self.left_behind(state)
        if which is None and not left:
            raise Rejected(f"there is no {kind} to retire")
        if which is None:
            state = self.log.mark(state, retiring=tuple(left))
        else:
            state = self.log.change(state, serving=state.serving, retiring=tuple(sorted({*left, which.name})))
        time.sleep(grace_s)
        dropped = [name for name in state.retiring if self._dropped(name)]
        self._retired(state.retiring)
        return dropped

    def _dropped(self, name: str) -> bool:
        """Delete the collections of a space that nobody uses, by what is written now."""
        state = self.known()
        if state is None or name not in state.retiring or name in {space.name for space in state.active}:
            return False  # another retire was quicker, and it may have been built anew since
        self.index.drop(name)
        _log.info("embedder retired", space=name)
        return True

    def _retired(self, names: tuple[str, ...]) -> None:
        """Let them be built again."""
        for _ in range(_ROUNDS):
            if (state := self.known()) is None:
                return
            try:
                self.log.mark(state, retiring=tuple(name for name in state.retiring if name not in names))
            except Conflict:
                continue
            return
        raise Unavailable("others change all the while which embedder serves: run it again")

    def left_behind(self, state: Spaces) -> list[str]:
        """Spaces that are not in use and have collections, or whose end has begun."""
        return sorted({*self.index.embedders(), *state.retiring} - {space.name for space in state.active})

    def _in_step(self, state: Spaces, embedder: Embedder, progress: Progress) -> Steps:
        """Make the space beside equal to the serving one; returns the revision from which on it is kept so."""
        if state.lacking:  # from here on: an indexer that cannot keep up says so again
            state = self.log.mark(state, lacking=False, copying=True)
        copier = Copier(self.index, state.serving.name, embedder, self.memo)
        for bucket in BUCKET_NAMES:
            copied = copier.bucket(bucket, partial(progress, bucket))
            if (now := self.known()) is None or now.active != state.active:
                raise Rejected("the build was called off, or somebody else swapped: see `mmplatform embedder status`")
            yield bucket, copied
        return state

    def _now_in_step(self, state: Spaces, embedder: Embedder, progress: Progress) -> Spaces:
        steps = self._in_step(state, embedder, progress)
        while True:
            try:
                next(steps)
            except StopIteration as end:
                found: Spaces = end.value
                return found

    def _again_in_step(self, embedder: Embedder) -> Spaces:
        state = self.known()
        if state is None:
            raise Rejected(_SWAPPED)
        _expected(state, embedder)
        return self._now_in_step(state, embedder, _quiet)

    def _let_serve(self, state: Spaces, embedder: Embedder) -> Spaces:
        """Exchange the serving one and the one beside, in the very revision in which they are in step."""
        for attempt in range(_ROUNDS):
            try:
                if attempt:
                    # An indexer could not keep up, or somebody has swapped, built or retired at the same time. None of
                    # that is told apart: after another revision only what is compared anew is known to be equal.
                    state = self._again_in_step(embedder)
                beside = _expected(state, embedder)
                after = self.log.change(state, serving=beside, previous=state.serving)
            except Conflict:
                continue
            _log.info("embedder serves", serving=after.serving.name, previous=state.serving.name)
            return after
        raise Unavailable(
            f"{embedder.name} is not kept in step: an indexer cannot embed for it, and its log says why; "
            f"{state.serving.name} serves on"
        )


def _expected(state: Spaces, embedder: Embedder) -> Space:
    """The space beside, when it is still this embedder's."""
    if state.beside is None or state.beside.name != space_name(embedder):
        raise Rejected(_SWAPPED)
    return state.beside


def _may_be_built(state: Spaces, wanted: Space) -> None:
    if wanted.name == state.serving.name:
        raise Rejected(f"{wanted.name} serves already")
    if wanted.name in state.retiring:
        raise Rejected(
            f"the index of {wanted.name} is being deleted: try again in a moment, and where nobody does that any more, "
            "`mmplatform embedder retire` ends it"
        )
    if state.previous is not None:
        mend = "`mmplatform embedder rollback`" if wanted.name == state.previous.name else "retire it first"
        raise Rejected(f"{state.previous.name} is kept for a rollback: {mend}")
    if state.candidate is not None and state.candidate.name != wanted.name:
        raise Rejected(f"{state.candidate.name} is being built: finish it, or `mmplatform embedder retire --candidate`")
