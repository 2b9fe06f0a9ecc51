"""Embedder registry: a durable record, in Chroma itself, of the embedder that serves searches.

Each change is a revision: an empty collection ``embedders-000007`` whose metadata is the record. Chroma refuses an
existing name, so of two writers that change the same revision one wins and the other gets ``Conflict``. A request for
the next revision costs 0.7 ms where there is none, so a writer can afford it after every batch. The revisions are no
passage collections: no search reads them.

Why there are three roles and which writer keeps them in step: docs/adr/0007-embedders-are-swapped.md.
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
_REVISION_NAME: Final = re.compile(rf"{_PREFIX}(\d{{6,}})")
RETAINED_REVISIONS: Final = 16
"""Revisions that stay readable: a process that missed more lists all collections again."""

RELIST_INTERVAL_S: Final = 60.0


class Space(Record):
    """Vector space of one embedder: its vectors are compared with each other only."""

    model: str = Field(min_length=1, description="pulled model or directory, as the setting names it")
    name: str = Field(pattern=r"^.+@.+$", description="`name@version`, as passages and collections carry it")


class EmbedderRevision(Record):
    """Roles of the embedders; a change is a new revision."""

    schema_version: Literal[1] = 1
    revision: int = Field(ge=1)
    serving: Space = Field(description="the one that searches query")
    candidate: Space | None = Field(default=None, description="is built, to serve next")
    previous: Space | None = Field(default=None, description="served before, kept in step for a rollback")
    lacking: bool = Field(default=False, description="an indexer could not keep the secondary in step")
    copying: bool = Field(default=False, description="the lacking passages are being copied: not all are there yet")
    retiring: tuple[str, ...] = Field(default=(), description="names of spaces whose collections are being deleted")
    changed_at: AwareDatetime
    nonce: str = Field(description="tells our own revision from another's of the same number")

    @property
    def secondary(self) -> Space | None:
        """The space that is not serving: a candidate or a previous one, never both."""
        return self.candidate or self.previous

    @property
    def active(self) -> tuple[Space, ...]:
        """Spaces that hold every passage or will: the serving one first."""
        return (self.serving, *([self.secondary] if self.secondary else []))

    @property
    def complete(self) -> tuple[str, ...]:
        """Names of the spaces that hold every passage: not the candidate."""
        return tuple(space.name for space in (self.serving, self.previous) if space)


class EmbedderRegistry:
    """The revisions on one Chroma server. Thread-safe. Every method raises ``Unavailable`` and ``Misconfigured``."""

    def __init__(self, index: ChromaIndex, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._index = index
        self._clock = clock
        self._lock = threading.Lock()
        self._last: EmbedderRevision | None = None
        self._listed_at: float | None = None

    def latest(self) -> EmbedderRevision | None:
        """The newest revision; ``None`` where none is recorded."""
        with self._lock:
            now = self._clock()
            if self._listed_at is None or now - self._listed_at > RELIST_INTERVAL_S:
                # Guards against a server whose data were replaced: no later revision would ever come there.
                found = self._revision_numbers()
                self._last = self._read_revision(max(found)) if found else None
                self._listed_at = now
            while newer := self._read_revision((self._last.revision if self._last else 0) + 1):
                self._last = newer
            return self._last

    def ensure_serving(self, space: Space) -> EmbedderRevision:
        """The newest revision; where none is recorded, the first one, in which this space serves.

        Raises:
            Misconfigured: none is recorded, and the index holds passages of other embedders only: with this one serving
                no search would find any of them.
        """
        found = self.latest()
        if found is not None:
            return found
        indexed = self._index.embedders()
        if indexed and space.name not in indexed:
            raise Misconfigured(
                f"no serving embedder is recorded, and the index has passages of {', '.join(sorted(indexed))} only, "
                f"none of {space.name}: start once with MMPLATFORM_EMBEDDING_MODEL naming one of these, then "
                "`mmplatform embedder build` the other"
            )
        try:
            return self._publish(
                EmbedderRevision(revision=1, serving=space, changed_at=utc_now(), nonce=uuid.uuid4().hex)
            )
        except Conflict:
            return self.latest() or self.ensure_serving(space)

    def change_spaces(
        self,
        base: EmbedderRevision,
        *,
        serving: Space,
        candidate: Space | None = None,
        previous: Space | None = None,
        retiring: tuple[str, ...] | None = None,
    ) -> EmbedderRevision:
        """Publish the revision after ``base``, with other spaces: it is neither lacking nor copying.

        Args:
            base: the revision on which the caller's decision is based.
            serving: the one that searches query.
            candidate: the one that is built to serve next, if any.
            previous: the one that is kept for a rollback, if any.
            retiring: spaces whose collections are being deleted; ``None``: unchanged.

        Raises:
            Conflict: another process has changed it since.
        """
        spaces = {"serving": serving, "candidate": candidate, "previous": previous}
        names = base.retiring if retiring is None else retiring
        return self._publish(_next_revision(base, {**spaces, "lacking": False, "copying": False, "retiring": names}))

    def change_flags(
        self,
        base: EmbedderRevision,
        *,
        lacking: bool | None = None,
        copying: bool | None = None,
        retiring: tuple[str, ...] | None = None,
    ) -> EmbedderRevision:
        """Publish the revision after ``base`` with the same spaces; a flag that is ``None`` is unchanged.

        Raises:
            Conflict: another process has changed it since.
        """
        flags = {"lacking": lacking, "copying": copying, "retiring": retiring}
        return self._publish(_next_revision(base, {name: value for name, value in flags.items() if value is not None}))

    def flag_lacking(self, base: EmbedderRevision) -> None:
        """Record that the secondary space misses a passage; does nothing where that is recorded already."""
        if base.lacking or base.secondary is None:
            return
        with suppress(Conflict):  # the caller reads the newer revision next, and writes by it
            self.change_flags(base, lacking=True)

    def _publish(self, revision: EmbedderRevision) -> EmbedderRevision:
        try:
            with chroma_errors("change which embedder serves"):
                self._index.client().create_collection(
                    f"{_PREFIX}{revision.revision:06d}",
                    metadata={"spaces": _to_json(revision)},
                    embedding_function=None,
                )
        except PlatformError:
            found = self._read_revision(revision.revision)
            if found is None:
                raise
            if found.nonce != revision.nonce:  # the same nonce: this revision was created, only the answer was lost
                raise Conflict(
                    "another process has changed which embedder serves meanwhile: see `mmplatform embedder status`"
                ) from None
        self._delete_revision(revision.revision - RETAINED_REVISIONS)
        return revision

    def _delete_revision(self, revision: int) -> None:
        from chromadb.errors import NotFoundError

        if revision < 1:
            return
        try:
            with chroma_errors("forget an old revision"):
                self._index.client().delete_collection(f"{_PREFIX}{revision:06d}")
        except (NotFoundError, Unavailable):
            return  # one empty collection more

    def _revision_numbers(self) -> list[int]:
        names = (collection.name for collection in self._index.list_collections())
        return [int(found[1]) for name in names if (found := _REVISION_NAME.fullmatch(name))]

    def _read_revision(self, revision: int) -> EmbedderRevision | None:
        from chromadb.errors import NotFoundError

        name = f"{_PREFIX}{revision:06d}"
        try:
            with chroma_errors("read which embedder serves"):
                found = self._index.client().get_collection(name, embedding_function=None)
        except NotFoundError:
            return None
        return _from_collection(found)


def _next_revision(base: EmbedderRevision, changes: Mapping[str, object]) -> EmbedderRevision:
    """The next revision: ``base`` with the changes."""
    new = {"revision": base.revision + 1, "changed_at": utc_now(), "nonce": uuid.uuid4().hex}
    return base.model_copy(update={**new, **changes})


def _to_json(revision: EmbedderRevision) -> str:
    """The record; fields of a later release are left out when empty: an older process refuses unknown fields."""
    later = {name for name in ("copying", "retiring") if not getattr(revision, name)}
    return revision.model_dump_json(exclude=later)


def _from_collection(collection: Collection) -> EmbedderRevision:
    try:
        return EmbedderRevision.model_validate_json((collection.metadata or {}).get("spaces", ""))
    except ValidationError:
        raise Unavailable(
            f"index: {collection.name} is not a readable embedder revision: did a newer release write it?"
        ) from None
