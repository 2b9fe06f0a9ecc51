"""Order of events behind records of the log: which records follow all others, so that nothing newer can be stored.

A deriver publishes in the order of its events. A record out of that order may be out of date: a deriver that was paused
publishes an old text behind a newer one, and a run derives old events again.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from mmplatform.artifacts import Passage, Retraction
from mmplatform.progress import EventSource


class SourceProgress(NamedTuple):
    """Newest event of a source that was seen in a record.

    Attributes:
        event: generation of the log, offset, derivation.
        ids: the ids of its records.
        is_first: no event of the source was seen before it.
    """

    event: tuple[int, int, int]
    ids: set[str]
    is_first: bool


class EventOrder:
    """Order of the events of each source. Not thread-safe."""

    def __init__(self) -> None:
        self._ends: dict[EventSource, int] | None = None
        self._progress: dict[EventSource, SourceProgress] = {}

    def begin(self, ends: Mapping[EventSource, int]) -> None:
        """Set where the topics end now, as next offsets: records of earlier events may have come before."""
        self._ends = dict(ends)

    def advance(self, artifact: Passage | Retraction) -> bool:
        """Note a record; true when it follows all others of its source, so that no stored version can be as high.

        Not in order: a run's record, an edit, one behind a newer one, a repetition, and one of an event that was on the
        log at the beginning. No source fills in the revision yet: with edits, an event may come behind its own edit.
        """
        origin = artifact.provenance
        source = EventSource(origin.position.topic, origin.position.topic_partition)
        event = (origin.position.generation, origin.position.offset, origin.derivation)
        progress = self._progress.get(source)
        if progress is None or event > progress.event:
            progress = SourceProgress(event, set(), is_first=progress is None)
            self._progress[source] = progress
        follows = event == progress.event and not progress.is_first and artifact.artifact_id not in progress.ids
        progress.ids.add(artifact.artifact_id)
        is_new = self._ends is not None and origin.position.offset >= self._ends.get(source, 0)
        return follows and is_new and origin.derivation == 0 and origin.revision == 0
