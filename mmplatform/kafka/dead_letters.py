"""The dead letters: what lies where and why, and once it can be read, onto its topic again.

A letter holds the place of a record and never its bytes. To redrive one, the record is read where it lies, compared
with the letter's hash, and written to the same topic under the same key. Its ids come with it, so what had landed lands
once.

That it was redriven stands in a header of the new record: writing it and noting it is one act. So a letter is redriven
once, also when the program ends half-way and is started again. Two programs at once could both write it: who calls this
takes turns.

Only events are redriven, and artifacts of which nothing newer lies on the log: there, what is written last counts, and
an old version, or what was taken back, would come again. Anybody may write a letter, about any topic and with any time.
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

from mmplatform.artifacts import DeadLetter, decode_artifact
from mmplatform.errors import PlatformError, Rejected
from mmplatform.events import Position, parse, utc_now
from mmplatform.kafka.producer import LogProducer, LogRecord
from mmplatform.kafka.reader import Entry, ReplayLog
from mmplatform.kafka.topics import topic_name
from mmplatform.modalities import ARTIFACTS_TOPIC, DEAD_LETTERS_TOPIC, MODALITIES
from mmplatform.settings import Settings

FROM: Final = "redriven-from"
"""The header of a redriven record: the place of the one that could not be read."""

_CLOCKS: Final = timedelta(hours=1)
"""How far the clocks of those who name letters and those who redrive them may be apart."""

_EARLIEST: Final = datetime(1970, 1, 1, tzinfo=UTC)
_TOPICS: Final = frozenset({*(spec.topic for spec in MODALITIES.values()), ARTIFACTS_TOPIC})
_LETTER: TypeAdapter[DeadLetter] = TypeAdapter(DeadLetter)


def place_of(position: Position) -> str:
    """A place on the log as it is shown and typed: ``topic/topic partition/offset``."""
    return f"{position.topic}/{position.topic_partition}/{position.offset}"


class Standing(StrEnum):
    """Whether a letter was redriven, in the words of ``mmplatform dead-letters list``."""

    YES = "yes"
    NO = "no"
    UNKNOWN = "?"
    NEVER = "cannot be"


_WHY: Final = {
    Standing.YES: "it was redriven before",
    Standing.UNKNOWN: "whether it was redriven before cannot be told: its topic cannot be read",
    Standing.NEVER: "only events and artifacts are redriven",
}


@dataclass(frozen=True, slots=True)
class Redriven:
    """What became of one letter: where its record lies now, or why it does not."""

    place: str
    to: Position | None = None
    why_not: str = ""


class DeadLetters:
    """The letters of one platform. Every method raises what :class:`ReplayLog` raises."""

    def __init__(self, settings: Settings, log: ReplayLog) -> None:
        self._settings = settings
        self._log = log

    def all(self) -> list[DeadLetter]:
        """Every letter once, by its place, in the order in which they were written; what is none is left out."""
        found: dict[str, DeadLetter] = {}
        for entry in self._log.read(topic_name(self._settings, DEAD_LETTERS_TOPIC)):
            try:
                letter = parse(_LETTER, entry.value, "a dead letter")
            except Rejected:
                continue
            found.setdefault(place_of(letter.position), letter)
        return list(found.values())

    def standing(self, letters: Iterable[DeadLetter]) -> dict[str, Standing]:
        """Whether each was redriven, by its place; a topic that cannot be read leaves the others their answers."""
        by_topic: dict[str, list[DeadLetter]] = defaultdict(list)
        for letter in letters:
            by_topic[letter.position.topic].append(letter)
        found: dict[str, Standing] = {}
        for topic, some in by_topic.items():
            places = [place_of(letter.position) for letter in some]
            if topic not in _TOPICS:
                found |= dict.fromkeys(places, Standing.NEVER)
                continue
            try:
                done = self._redriven(topic, min(_since(letter) for letter in some))
            except PlatformError:
                found |= dict.fromkeys(places, Standing.UNKNOWN)
            else:
                found |= {place: Standing.YES if place in done else Standing.NO for place in places}
        return found

    def redrive(self, letters: Sequence[DeadLetter], producer: LogProducer) -> list[Redriven]:
        """Write their records to their topics again, each once."""
        chosen = {place_of(letter.position): letter for letter in letters}
        why_not = {place: _WHY[stands] for place, stands in self.standing(chosen.values()).items() if stands in _WHY}
        records: dict[str, Entry] = {}
        for place, letter in chosen.items():
            if place in why_not:
                continue
            entry = self._record(letter.position)
            if entry is None:
                why_not[place] = "its record is gone from the log"
            elif hashlib.sha256(entry.value).hexdigest() != letter.value_sha256:
                why_not[place] = "another record lies there: this is not the log that it was written for"
            else:
                records[place] = entry
        why_not |= self._overtaken(
            {place: entry for place, entry in records.items() if chosen[place].position.topic == ARTIFACTS_TOPIC}
        )
        return [
            Redriven(place, why_not=why_not[place])
            if place in why_not
            else Redriven(place, to=self._write(place, chosen[place].position.topic, records[place], producer))
            for place in chosen
        ]

    def _write(self, place: str, topic: str, entry: Entry, producer: LogProducer) -> Position:
        headers = {**entry.headers, FROM: place.encode()}
        name = topic_name(self._settings, topic)
        (to,) = producer.send_all([LogRecord(name, entry.raw_key, entry.value, headers=headers)])
        return to.model_copy(update={"topic": topic})

    def _redriven(self, topic: str, since: datetime) -> set[str]:
        entries = self._log.read(topic_name(self._settings, topic), since)
        return {entry.headers[FROM].decode(errors="replace") for entry in entries if FROM in entry.headers}

    def _overtaken(self, records: Mapping[str, Entry]) -> dict[str, str]:
        """Why some of these artifacts stay where they are, by their places.

        A conversation's artifacts lie in one topic partition, so what was said of one later lies behind it there.
        """
        why_not: dict[str, str] = {}
        waiting: dict[tuple[int, str], dict[str, int]] = defaultdict(dict)
        since: dict[int, int] = {}
        for place, entry in records.items():
            number, offset = entry.position.topic_partition, entry.position.offset
            if row_id := _artifact_id(entry):
                waiting[number, row_id][place] = offset
                since[number] = min(since.get(number, offset + 1), offset + 1)
            else:
                why_not[place] = "it still cannot be read"
        if not since:
            return why_not
        for later in self._log.read(topic_name(self._settings, ARTIFACTS_TOPIC), since):
            for place, offset in waiting.get((later.position.topic_partition, _artifact_id(later)), {}).items():
                if offset < later.position.offset:
                    why_not[place] = "a later record of the same artifact lies on the log"
        return why_not

    def _record(self, place: Position) -> Entry | None:
        topic = topic_name(self._settings, place.topic)
        number = place.topic_partition
        marks = self._log.watermarks([topic])[topic].get(number)
        if marks is None or not marks.low <= place.offset < marks.high:
            return None
        return next(self._log.read(topic, {number: place.offset}, {number: place.offset + 1}), None)


def _since(letter: DeadLetter) -> datetime:
    """From when on its record may have been redriven; a time that lies ahead of us says nothing."""
    if letter.dead_at > utc_now() + _CLOCKS:
        return _EARLIEST
    return max(letter.dead_at, _EARLIEST + _CLOCKS) - _CLOCKS


def _artifact_id(entry: Entry) -> str:
    try:
        return decode_artifact(entry.value).artifact_id
    except Rejected:
        return ""
