"""The dead letters: what lies where and why, and once it can be read, onto its topic again.

A letter holds the place of a record and never its bytes. To redrive one, the record is read where it lies, compared
with the letter's hash, and written to the same topic under the same key. Its ids come with it, so what had landed lands
once.

That it was redriven stands in a header of the new record: writing it and noting it is one act. So a letter is redriven
once, also when the program ends half-way and is started again.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from pydantic import TypeAdapter

from mmplatform.artifacts import DeadLetter
from mmplatform.errors import Rejected
from mmplatform.events import Position, parse
from mmplatform.ingest.producer import LogProducer, LogRecord
from mmplatform.ingest.replay_log import Entry, ReplayLog
from mmplatform.ingest.topics import topic_name
from mmplatform.modalities import DEAD_LETTERS_TOPIC
from mmplatform.settings import Settings

FROM: Final = "redriven-from"
"""The header of a redriven record: the place of the one that could not be read."""

_CLOCKS: Final = timedelta(hours=1)
"""How far the clocks of those who name letters and those who redrive them may be apart."""

_LETTER: TypeAdapter[DeadLetter] = TypeAdapter(DeadLetter)


def place_of(position: Position) -> str:
    """A place on the log as it is shown and typed: ``topic/topic partition/offset``."""
    return f"{position.topic}/{position.topic_partition}/{position.offset}"


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

    def redriven(self, letters: Iterable[DeadLetter]) -> set[str]:
        """The places of those that were redriven: their topics are read from the time of the letters on."""
        since: dict[str, DeadLetter] = {}
        for letter in letters:
            first = since.setdefault(letter.position.topic, letter)
            since[letter.position.topic] = min(first, letter, key=lambda each: each.dead_at)
        found = set()
        for topic, letter in since.items():
            for entry in self._log.read(topic_name(self._settings, topic), letter.dead_at - _CLOCKS):
                if FROM in entry.headers:
                    found.add(entry.headers[FROM].decode(errors="replace"))
        return found

    def redrive(self, letters: Sequence[DeadLetter], producer: LogProducer) -> list[Redriven]:
        """Write their records to their topics again, each once."""
        done = self.redriven(letters)
        return [self._one(letter, done, producer) for letter in letters]

    def _one(self, letter: DeadLetter, done: Collection[str], producer: LogProducer) -> Redriven:
        place = place_of(letter.position)
        if place in done:
            return Redriven(place, why_not="it was redriven before")
        entry = self._record(letter.position)
        if entry is None:
            return Redriven(place, why_not="its record is gone from the log")
        if hashlib.sha256(entry.value).hexdigest() != letter.value_sha256:
            return Redriven(place, why_not="another record lies there: this is not the log that it was written for")
        topic = topic_name(self._settings, letter.position.topic)
        headers = {**entry.headers, FROM: place.encode()}
        (to,) = producer.send_all([LogRecord(topic, entry.key, entry.value, headers=headers)])
        return Redriven(place, to=to.model_copy(update={"topic": letter.position.topic}))

    def _record(self, place: Position) -> Entry | None:
        topic = topic_name(self._settings, place.topic)
        number = place.topic_partition
        marks = self._log.watermarks([topic])[topic].get(number)
        if marks is None or not marks.low <= place.offset < marks.high:
            return None
        return next(self._log.read(topic, {number: place.offset}, {number: place.offset + 1}), None)
