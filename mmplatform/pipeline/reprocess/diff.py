"""What a store holds against what was derived again: which rows differ, which have vanished. Pure.

Two rows are equal when all but the circumstances of their making is: when they were taken up and derived, what that
cost, and from which copy of an event on the log.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from mmplatform.artifacts import Passage, Quarantined
from mmplatform.errors import Rejected
from mmplatform.land.index.row_codec import metadata_of
from mmplatform.land.lakehouse.row_codec import artifact_of
from mmplatform.pipeline.reprocess.rederive import Landing, Rederived

_STAMPS: Final = ("taken_at", "derived_at")
_COST: Final = ("seconds", "memo_hit", "position")
_INDEXED: Final = ("derived_at", "indexed_at")


@dataclass(frozen=True, slots=True)
class Held:
    """A row as a store holds it.

    Attributes:
        content: what is compared; ``None`` of a record that does not read any more.
        events: the events that it came from.
        conversation_id: theirs.
        row: the whole of it.
    """

    content: Any
    events: frozenset[str]
    conversation_id: str
    row: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Difference:
    """Ids, by what is to be done.

    Attributes:
        added: derived, and not held.
        replaced: held otherwise than derived.
        vanished: held, and not derived any more from the very same events.
        unchanged: equal.
        left: held and not derived, and nothing here can tell why not.
    """

    added: tuple[str, ...] = ()
    replaced: tuple[str, ...] = ()
    vanished: tuple[str, ...] = ()
    unchanged: tuple[str, ...] = ()
    left: tuple[str, ...] = ()


def compare(held: Mapping[str, Held], made: Mapping[str, Any], answerable: Callable[[Held], bool]) -> Difference:
    """Compare contents by id; a row that ``answerable`` does not take is never said to have vanished."""
    common = [each for each in made if each in held]
    only_held = [each for each in held if each not in made]
    return Difference(
        added=tuple(each for each in made if each not in held),
        replaced=tuple(each for each in common if held[each].content != made[each]),
        vanished=tuple(each for each in only_held if answerable(held[each])),
        unchanged=tuple(each for each in common if held[each].content == made[each]),
        left=tuple(each for each in only_held if not answerable(held[each])),
    )


@dataclass(frozen=True, slots=True)
class Witness:
    """Of what these events can tell. ``untouched``: conversations of which part of the audio is gone."""

    found: Rederived
    untouched: frozenset[str]

    def of_artifact(self, held: Held) -> bool:
        """All of its events were derived again, with all their bytes: were it still true, it would be there."""
        known = held.events <= self.found.events.keys() and not held.events & self.found.lost
        return known and held.conversation_id not in self.untouched

    def of_quarantine(self, held: Held) -> bool:
        """The record that was set aside is the one that was read, not another one under the same event id."""
        place = held.content["position"] if held.content else None
        [event_id] = held.events
        read = self.found.events.get(event_id)
        return read is not None and place == read.model_dump() and held.conversation_id not in self.untouched


def content_of(artifact: Landing) -> dict[str, Any]:
    """What is compared of an artifact."""
    content = artifact.model_dump()
    content["stamps"] = {name: value for name, value in content["stamps"].items() if name not in _STAMPS}
    content["provenance"] = {name: value for name, value in content["provenance"].items() if name not in _COST}
    return content


def aside_of(row: Quarantined) -> dict[str, Any]:
    """What is compared of a quarantine row."""
    return {name: value for name, value in row.model_dump().items() if name != "quarantined_at"}


def indexed_of(passage: Passage, embedder: str) -> dict[str, Any]:
    """What is compared of a passage in an embedder's collections; its vector follows from text and embedder."""
    metadata = metadata_of(passage, passage.stamps.derived_at) | {"embedder": embedder}
    return _findable(metadata, passage.text)


def held_artifact(row: Mapping[str, Any]) -> Held:
    """A row of a derived table; a damaged record must not end the hour, which is what mends it."""
    try:
        artifact = artifact_of(dict(row))
        content = None if artifact.kind == "retraction" else content_of(artifact)
    except (Rejected, ValueError):
        content = None
    return Held(content, frozenset(row["event_ids"] or ()), row["conversation_id"], row)


def held_aside(row: Mapping[str, Any]) -> Held:
    """A row of the quarantine; damage as in :func:`held_artifact`."""
    content: dict[str, Any] | None
    try:
        content = aside_of(Quarantined.model_validate_json(row["record"]))
    except ValueError:  # pydantic's too
        content = None
    return Held(content, frozenset((row["event_id"],)), row["conversation_id"], row)


def held_indexed(text: str, metadata: Mapping[str, Any]) -> Held:
    """A passage of the index."""
    events = frozenset(json.loads(metadata["event_ids"]))
    return Held(_findable(metadata, text), events, metadata["conversation_id"], metadata)


def _findable(metadata: Mapping[str, Any], text: str) -> dict[str, Any]:
    return {name: value for name, value in metadata.items() if name not in _INDEXED} | {"text": text}
