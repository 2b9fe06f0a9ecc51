"""One hour of a modality, as it is held, as it was derived again, and the one put in the place of the other."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from mmplatform.artifacts import Passage, Quarantined
from mmplatform.events import Position
from mmplatform.land.lakehouse.hour_partition import HOUR
from mmplatform.land.lakehouse.replace import Replaced, Replacement
from mmplatform.land.lakehouse.row_codec import row_of
from mmplatform.land.lakehouse.store import Lakehouse
from mmplatform.modalities import CALL, PASSAGES_TABLE, QUARANTINE_TABLE
from mmplatform.pipeline.embedder_swap.dual_write import InStep
from mmplatform.pipeline.reprocess.diff import (
    Difference,
    Held,
    Witness,
    aside_of,
    compare,
    content_of,
    indexed_of,
)
from mmplatform.pipeline.reprocess.rederive import Landing, Rederived

NOT_ON_THE_LOG: Final = {"topic": None, "topic_partition": None, "log_offset": -1}
"""The place of a row that the stream never landed: whatever the log says of its id comes after it."""


@dataclass(frozen=True, slots=True)
class Changes:
    """What a run did to one table, in rows.

    Attributes:
        overtaken: rows that the stream wrote or took back meanwhile; they are as it left them.
        left: rows whose events are not in the raw table, or whose bytes are gone; untouched.
    """

    added: int = 0
    replaced: int = 0
    vanished: int = 0
    unchanged: int = 0
    overtaken: int = 0
    left: int = 0

    @property
    def rows(self) -> int:
        """How many rows the hour has now, as far as this run knows."""
        return self.added + self.replaced + self.unchanged + self.overtaken + self.left


@dataclass(frozen=True, slots=True)
class HeldHour:
    """What the stores hold of one modality's hour: by table and id, and by embedder and id in the index."""

    tables: Mapping[str, Mapping[str, Held]]
    index: Mapping[tuple[str, str], Held]

    def conversations(self, *tables: str) -> frozenset[str]:
        """Those that have rows in these tables."""
        return frozenset(each.conversation_id for table in tables for each in self.tables[table].values())


@dataclass(frozen=True, slots=True)
class MadeHour:
    """What was derived of the hour."""

    artifacts: Mapping[str, Landing]
    quarantined: Mapping[str, Quarantined]
    witness: Witness
    lost: tuple[str, ...]

    @classmethod
    def of(cls, found: Rederived, hour: datetime, held: frozenset[str]) -> MadeHour:
        """Of a call with audio that is gone nothing is replaced: each window around the hole would be another one."""
        lost = [row for row in found.quarantined.values() if row.event_id in found.lost]
        calls = {row.conversation_id for row in lost if row.modality == CALL.modality}
        untouched = frozenset(calls & held)
        return cls(
            artifacts={
                each: artifact
                for each, artifact in found.artifacts.items()
                if _within(hour, artifact.stamps.event_time) and artifact.conversation_id not in untouched
            },
            quarantined={each: row for each, row in found.quarantined.items() if _within(hour, row.event_time)},
            witness=Witness(found, untouched),
            lost=tuple(sorted(row.event_id for row in lost if _within(hour, row.event_time))),
        )

    def of_table(self, table: str) -> dict[str, Landing]:
        """The artifacts of ``passages``, or of the modality's own table."""
        passages = table == PASSAGES_TABLE
        return {each: made for each, made in self.artifacts.items() if isinstance(made, Passage) == passages}


def land(
    lakehouse: Lakehouse, hour: datetime, table: str, held: HeldHour, made: MadeHour
) -> tuple[Changes, frozenset[str]]:
    """Replace what differs in one table; returns what was changed, and the ids that the stream overtook."""
    before = held.tables[table]
    if table == QUARANTINE_TABLE:
        aside = {each: aside_of(row) for each, row in made.quarantined.items()}
        difference = compare(before, aside, made.witness.of_quarantine)
        done = _replace(lakehouse, table, hour, before, made.quarantined, difference)
    else:
        artifacts = made.of_table(table)
        contents = {each: content_of(artifact) for each, artifact in artifacts.items()}
        difference = compare(before, contents, made.witness.of_artifact)
        done = _replace(lakehouse, table, hour, before, artifacts, difference)
    return _changes(difference, done), done.overtaken


def _replace(
    lakehouse: Lakehouse,
    table: str,
    hour: datetime,
    held: Mapping[str, Held],
    made: Mapping[str, Landing] | Mapping[str, Quarantined],
    difference: Difference,
) -> Replaced:
    rows = [_row(made[each], held.get(each)) for each in (*difference.added, *difference.replaced)]
    read = {each: int(held[each].row["log_offset"]) for each in (*difference.replaced, *difference.vanished)}
    return lakehouse.replace(table, Replacement(hour, rows, difference.vanished, read))


def _row(record: Landing | Quarantined, before: Held | None) -> dict[str, Any]:
    """The row at the place of the one before it, so that a retraction or a replay behind it still counts."""
    _, row = row_of(record, Position(topic="", topic_partition=0, offset=0))
    return row | {name: before.row[name] if before else value for name, value in NOT_ON_THE_LOG.items()}


def _changes(difference: Difference, done: Replaced) -> Changes:
    return Changes(
        added=len(done.written.intersection(difference.added)),
        replaced=len(done.written.intersection(difference.replaced)),
        vanished=len(done.gone),
        unchanged=len(difference.unchanged),
        overtaken=len(done.overtaken),
        left=len(difference.left),
    )


def match_index(
    index: InStep,
    held: Mapping[tuple[str, str], Held],
    made: MadeHour,
    overtaken: frozenset[str],
    now: datetime,
) -> tuple[int, int]:
    """Upsert what differs, delete what vanished; of an id that the stream overtook its own indexer knows better.

    Every space that holds all passages is looked at; what differs in one is written to each that is in use.
    """
    spaces = index.spaces()
    passages = [each for each in made.artifacts.values() if isinstance(each, Passage)]
    changed = [
        each
        for each in passages
        if each.artifact_id not in overtaken
        and any(_differs(held, each, space) for space in (spaces.complete if spaces else (each.embedder,)))
    ]
    ids = {each.artifact_id for each in passages} | overtaken
    gone = sorted({each for (_, each), row in held.items() if each not in ids and made.witness.of_artifact(row)})
    if changed:
        index.upsert(changed, now)
    if gone:
        index.delete(gone)
    return len(changed), len(gone)


def _differs(held: Mapping[tuple[str, str], Held], passage: Passage, space: str) -> bool:
    row = held.get((space, passage.artifact_id))
    return row is None or row.content != indexed_of(passage, space)


def _within(hour: datetime, moment: datetime) -> bool:
    return hour <= moment < hour + HOUR
