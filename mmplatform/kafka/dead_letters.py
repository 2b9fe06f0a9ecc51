"""Dead letters: list them with their reasons, and redrive records that can be read by now.

A letter names the position of a record and never holds its bytes. A redrive reads the record at that position, compares
it with the letter's hash, and writes it to the same topic under the same key. Ids stay the same, so what had landed
lands once.

A header of the new record says that it was redriven: the write and its note are one act. So a letter is redriven once,
also when the program ends half-way and is started again. Two programs at once could both write it: the caller holds a
lock.

Events, quarantine rows and artifacts are redriven; an artifact only when the log has no later record of it with a
higher version, which would win anyway. Any client may write a letter, about any topic, with any time.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Final

from pydantic import TypeAdapter

from mmplatform.artifacts import Artifact, decode_artifact
from mmplatform.errors import PlatformError, Rejected
from mmplatform.events import Position, utc_now
from mmplatform.kafka.producer import LogProducer, LogRecord
from mmplatform.kafka.reader import LogEntry, ReplayLog
from mmplatform.kafka.topics import topic_name
from mmplatform.modalities import ARTIFACTS_TOPIC, DEAD_LETTERS_TOPIC, MODALITIES, QUARANTINE_TOPIC
from mmplatform.parsing import parse
from mmplatform.refusals import DeadLetter
from mmplatform.settings import Settings
from mmplatform.versions import Version

REDRIVEN_FROM_HEADER: Final = "redriven-from"
"""Header of a redriven record: the position of the record that could not be read."""

_MAX_CLOCK_SKEW: Final = timedelta(hours=1)
"""Between the clock that stamped the letter and the one that stamped the redrive."""

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_TOPICS: Final = frozenset({*(spec.topic for spec in MODALITIES.values()), ARTIFACTS_TOPIC, QUARANTINE_TOPIC})
_LETTER: TypeAdapter[DeadLetter] = TypeAdapter(DeadLetter)


def format_position(position: Position) -> str:
    """A position on the log as it is shown and typed: ``topic/topic partition/offset``."""
    return f"{position.topic}/{position.topic_partition}/{position.offset}"


class RedriveStatus(StrEnum):
    """Redrive status of a letter, in the words of ``mmplatform dead-letters list``."""

    YES = "yes"
    NO = "no"
    UNKNOWN = "?"
    NEVER = "cannot be"


_SKIP_REASONS: Final = {
    RedriveStatus.YES: "it was redriven before",
    RedriveStatus.UNKNOWN: "its topic cannot be read, so an earlier redrive cannot be excluded",
    RedriveStatus.NEVER: "only events, artifacts and quarantined rows are redriven",
}


@dataclass(frozen=True, slots=True)
class RedriveResult:
    """Outcome for the letter about ``position``: the new position of its record, or the reason it was skipped."""

    position: str
    redriven_to: Position | None = None
    skip_reason: str = ""


class DeadLetters:
    """The dead letters of one platform. Every method raises what :class:`ReplayLog` raises."""

    def __init__(self, settings: Settings, log: ReplayLog) -> None:
        self._settings = settings
        self._log = log

    def read_all(self) -> list[DeadLetter]:
        """Every letter once, by its position, in the order of writing; unreadable letters are left out."""
        found: dict[str, DeadLetter] = {}
        for entry in self._log.read(topic_name(self._settings, DEAD_LETTERS_TOPIC)):
            try:
                letter = parse(_LETTER, entry.value, "a dead letter")
            except Rejected:
                continue
            found.setdefault(format_position(letter.position), letter)
        return list(found.values())

    def statuses(self, letters: Iterable[DeadLetter]) -> dict[str, RedriveStatus]:
        """Redrive status of each letter, by its position. A topic that cannot be read affects only its own letters."""
        by_topic: dict[str, list[DeadLetter]] = defaultdict(list)
        for letter in letters:
            by_topic[letter.position.topic].append(letter)
        found: dict[str, RedriveStatus] = {}
        for topic, same_topic in by_topic.items():
            positions = [format_position(letter.position) for letter in same_topic]
            if topic not in _TOPICS:
                found |= dict.fromkeys(positions, RedriveStatus.NEVER)
                continue
            try:
                redriven = self._redriven_positions(topic, min(_earliest_redrive(letter) for letter in same_topic))
            except PlatformError:
                found |= dict.fromkeys(positions, RedriveStatus.UNKNOWN)
            else:
                found |= {p: RedriveStatus.YES if p in redriven else RedriveStatus.NO for p in positions}
        return found

    def redrive(self, letters: Sequence[DeadLetter], producer: LogProducer) -> list[RedriveResult]:
        """Write their records to their topics again, each once."""
        chosen = {format_position(letter.position): letter for letter in letters}
        statuses = self.statuses(chosen.values())
        skipped = {p: _SKIP_REASONS[status] for p, status in statuses.items() if status in _SKIP_REASONS}
        records: dict[str, LogEntry] = {}
        for position, letter in chosen.items():
            if position in skipped:
                continue
            entry = self._read_record(letter.position)
            if entry is None:
                skipped[position] = "its record is gone from the log"
            elif hashlib.sha256(entry.value).hexdigest() != letter.value_sha256:
                skipped[position] = "another record is at this position: the letter was written for another log"
            else:
                records[position] = entry
        artifacts = {p: entry for p, entry in records.items() if chosen[p].position.topic == ARTIFACTS_TOPIC}
        skipped |= self._superseded(artifacts)
        return [
            RedriveResult(p, skip_reason=skipped[p])
            if p in skipped
            else RedriveResult(p, redriven_to=self._write(p, letter.position.topic, records[p], producer))
            for p, letter in chosen.items()
        ]

    def _write(self, position: str, topic: str, entry: LogEntry, producer: LogProducer) -> Position:
        headers = {**entry.headers, REDRIVEN_FROM_HEADER: position.encode()}
        name = topic_name(self._settings, topic)
        (written,) = producer.send_all([LogRecord(name, entry.raw_key, entry.value, headers=headers)])
        return written.model_copy(update={"topic": topic})

    def _redriven_positions(self, topic: str, since: datetime) -> set[str]:
        entries = self._log.read(topic_name(self._settings, topic), since)
        return {
            entry.headers[REDRIVEN_FROM_HEADER].decode(errors="replace")
            for entry in entries
            if REDRIVEN_FROM_HEADER in entry.headers
        }

    def _superseded(self, records: Mapping[str, LogEntry]) -> dict[str, str]:
        """Skip reasons of artifacts that need not be redriven, by position.

        A conversation's artifacts are in one topic partition, so a later record has a higher offset there.
        """
        skipped: dict[str, str] = {}
        candidates: dict[tuple[int, str], dict[str, tuple[int, Version]]] = defaultdict(dict)
        since: dict[int, int] = {}
        for position, entry in records.items():
            number, offset = entry.position.topic_partition, entry.position.offset
            if artifact := _artifact(entry):
                candidates[number, artifact.artifact_id][position] = (offset, artifact.version)
                since[number] = min(since.get(number, offset + 1), offset + 1)
            else:
                skipped[position] = "it still cannot be read"
        if not since:
            return skipped
        for later in self._log.read(topic_name(self._settings, ARTIFACTS_TOPIC), since):
            artifact = _artifact(later)
            if artifact is None:
                continue
            same = candidates.get((later.position.topic_partition, artifact.artifact_id), {})
            for position, (offset, version) in same.items():
                if offset < later.position.offset and version <= artifact.version:
                    skipped[position] = "a later record of the same artifact is on the log"
        return skipped

    def _read_record(self, position: Position) -> LogEntry | None:
        topic = topic_name(self._settings, position.topic)
        number = position.topic_partition
        watermarks = self._log.watermarks([topic])[topic].get(number)
        if watermarks is None or not watermarks.low <= position.offset < watermarks.high:
            return None
        return next(self._log.read(topic, {number: position.offset}, {number: position.offset + 1}), None)


def _earliest_redrive(letter: DeadLetter) -> datetime:
    """Earliest time at which the record may have been redriven; a letter's time in the future counts as unknown."""
    if letter.dead_at > utc_now() + _MAX_CLOCK_SKEW:
        return _EPOCH
    return max(letter.dead_at, _EPOCH + _MAX_CLOCK_SKEW) - _MAX_CLOCK_SKEW


def _artifact(entry: LogEntry) -> Artifact | None:
    try:
        return decode_artifact(entry.value, entry.headers)
    except Rejected:
        return None
