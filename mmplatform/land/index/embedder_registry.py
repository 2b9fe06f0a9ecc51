"""Which embedder's collections serve searches, durably, beside those collections: one small record in Chroma itself.

Each change is a revision: an empty collection ``embedders-000007`` whose metadata is the record. Chroma refuses a name
that exists, so of two who change the same revision one wins and the other is told. Asking for the next revision costs
0.7 ms where there is none, so that a writer can afford it behind every batch. A search finds no passage in them: they
are no passage collections.

Why there are three places and who keeps which in step: docs/adr/0007-embedders-are-swapped.md.
"""

from __future__ import annotations

import re
import threading
import time
import uuid
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Final, Literal

from pydantic import AwareDatetime, Field, ValidationError

from mmplatform.errors import Conflict, Misconfigured, PlatformError, Unavailable
from mmplatform.events import Record, utc_now
from mmplatform.land.index.chroma_client import chroma_errors
from mmplatform.land.index.store import ChromaIndex

if TYPE_CHECKING:
    from chromadb.api.models.Collection import Collection

_PREFIX: Final = "embedders-"
_NAME: Final = re.compile(rf"{_PREFIX}(\d{{6,}})")
_KEPT: Final = 16
"""Revisions that stay readable: a process that slept through so many looks at the whole list again."""

_LIST_S: Final = 60.0


class Space(Record):
    """One embedder: the vectors of a space are compared with each other only."""

    model: str = Field(min_length=1, description="pulled model or directory, as the setting names it")
    name: str = Field(pattern=r"^.+@.+$", description="`name@version`, as passages and collections carry it")


class Spaces(Record):
    """Who serves; a change is a new revision."""

    schema_version: Literal[1] = 1
    revision: int = Field(ge=1)
    serving: Space = Field(description="the one that searches ask")
    candidate: Space | None = Field(default=None, description="built beside it, to serve next")
    previous: Space | None = Field(default=None, description="served before, kept in step for a rollback")
    lacking: bool = Field(default=False, description="an indexer could not keep the one beside it in step")
    copying: bool = Field(default=False, description="what was lacking is being copied: not all of it is there yet")
    retiring: tuple[str, ...] = Field(default=(), description="names of spaces whose collections are being deleted")
    changed_at: AwareDatetime
    nonce: str = Field(description="tells our own revision from another's of the same number")

    @property
    def beside(self) -> Space | None:
        """The other space: there is a candidate or a previous one, never both."""
        return self.candidate or self.previous

    @property
    def active(self) -> tuple[Space, ...]:
        """Those that hold every passage or are to: the serving one first."""
        return (self.serving, *([self.beside] if self.beside else []))

    @property
    def complete(self) -> tuple[str, ...]:
        """Names of those that hold every passage: a candidate does not yet."""
        return tuple(space.name for space in (self.serving, self.previous) if space)


class SpaceLog:
    """The revisions on one Chroma server. Thread-safe. Every method raises ``Unavailable`` and ``Misconfigured``."""

    def __init__(self, index: ChromaIndex, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._index = index
        self._clock = clock
        self._lock = threading.Lock()
        self._last: Spaces | None = None
        self._listed_at: float | None = None

    def read(self) -> Spaces | None:
        """The newest revision; ``None`` where nobody has written one."""
        with self._lock:
            now = self._clock()
            if self._listed_at is None or now - self._listed_at > _LIST_S:
                # Also against a server whose data were replaced, where no later revision would ever come.
                found = self._revisions()
                self._last = self._record(max(found)) if found else None
                self._listed_at = now
            while newer := self._record((self._last.revision if self._last else 0) + 1):
                self._last = newer
            return self._last

    def adopt(self, space: Space) -> Spaces:
        """What is written, or the first revision with this space serving where nothing is.

        Raises:
            Misconfigured: nothing is, and the index holds passages of other embedders only: with this one serving no
                search would find any of them.
        """
        found = self.read()
        if found is not None:
            return found
        there = self._index.embedders()
        if there and space.name not in there:
            raise Misconfigured(
                f"nobody has written down which embedder serves, and the index has passages of "
                f"{', '.join(sorted(there))} only, none of {space.name}: start once with MMPLATFORM_EMBEDDING_MODEL "
                "naming one that is there, and then `mmplatform embedder build` the other"
            )
        try:
            return self._publish(Spaces(revision=1, serving=space, changed_at=utc_now(), nonce=uuid.uuid4().hex))
        except Conflict:
            return self.read() or self.adopt(space)

    def change(
        self,
        before: Spaces,
        *,
        serving: Space,
        candidate: Space | None = None,
        previous: Space | None = None,
        retiring: tuple[str, ...] | None = None,
    ) -> Spaces:
        """Publish the revision after ``before``, with other spaces: nothing is lacking in it, nor being copied.

        Args:
            before: the revision that the caller has decided by.
            serving: the one that searches ask.
            candidate: built beside it, if any.
            previous: kept for a rollback, if any.
            retiring: whose collections are being deleted; ``None`` as before.

        Raises:
            Conflict: somebody else has changed it since.
        """
        spaces = {"serving": serving, "candidate": candidate, "previous": previous}
        kept = before.retiring if retiring is None else retiring
        return self._publish(_after(before, {**spaces, "lacking": False, "copying": False, "retiring": kept}))

    def mark(
        self,
        before: Spaces,
        *,
        lacking: bool | None = None,
        copying: bool | None = None,
        retiring: tuple[str, ...] | None = None,
    ) -> Spaces:
        """Publish the revision after ``before`` with the same spaces; what is ``None`` stays.

        Raises:
            Conflict: somebody else has changed it since.
        """
        marks = {"lacking": lacking, "copying": copying, "retiring": retiring}
        return self._publish(_after(before, {name: value for name, value in marks.items() if value is not None}))

    def lack(self, before: Spaces) -> None:
        """Say that the space beside the serving one misses a passage; does nothing where that is known already."""
        if before.lacking or before.beside is None:
            return
        with suppress(Conflict):  # the caller reads the newer revision next, and writes by it
            self.mark(before, lacking=True)

    def _publish(self, spaces: Spaces) -> Spaces:
        try:
            with chroma_errors("change which embedder serves"):
                self._index.connected().create_collection(
                    f"{_PREFIX}{spaces.revision:06d}",
                    metadata={"spaces": _written(spaces)},
                    embedding_function=None,
                )
        except PlatformError:
            found = self._record(spaces.revision)
            if found is None:
                raise
            if found.nonce != spaces.nonce:  # else it was ours, and only the answer was lost
                raise Conflict(
                    "somebody else has changed which embedder serves meanwhile: see `mmplatform embedder status`"
                ) from None
        self._forget(spaces.revision - _KEPT)
        return spaces

    def _forget(self, revision: int) -> None:
        from chromadb.errors import NotFoundError

        if revision < 1:
            return
        try:
            with chroma_errors("forget an old revision"):
                self._index.connected().delete_collection(f"{_PREFIX}{revision:06d}")
        except (NotFoundError, Unavailable):
            return  # one empty collection more

    def _revisions(self) -> list[int]:
        names = (each.name for each in self._index.listed())
        return [int(found[1]) for name in names if (found := _NAME.fullmatch(name))]

    def _record(self, revision: int) -> Spaces | None:
        from chromadb.errors import NotFoundError

        name = f"{_PREFIX}{revision:06d}"
        try:
            with chroma_errors("read which embedder serves"):
                found = self._index.connected().get_collection(name, embedding_function=None)
        except NotFoundError:
            return None
        return _parsed(found)


def _after(before: Spaces, changes: Mapping[str, object]) -> Spaces:
    """The next revision: as before, but for the changes."""
    new = {"revision": before.revision + 1, "changed_at": utc_now(), "nonce": uuid.uuid4().hex}
    return before.model_copy(update={**new, **changes})


def _written(spaces: Spaces) -> str:
    """What a later release added is left out where it says nothing: who is not restarted yet refuses the unknown."""
    later = {name for name in ("copying", "retiring") if not getattr(spaces, name)}
    return spaces.model_dump_json(exclude=later)


def _parsed(collection: Collection) -> Spaces:
    try:
        return Spaces.model_validate_json((collection.metadata or {}).get("spaces", ""))
    except ValidationError:
        raise Unavailable(
            f"index: {collection.name} does not read as what says which embedder serves: did a newer release write it?"
        ) from None
