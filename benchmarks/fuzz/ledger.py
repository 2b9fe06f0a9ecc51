"""Where every input ended, by what lies on the log and in the stores once nobody is behind; the sums must be exact."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import Any, Final

from pydantic import ValidationError

from benchmarks.fuzz.inputs import Input
from benchmarks.fuzz.sending import Sent, route_of
from mmplatform.artifacts import Artifact, Caption, DeadLetter, Message, Passage, Quarantined, decode_artifact
from mmplatform.buckets import bucket_name
from mmplatform.errors import Rejected
from mmplatform.events import Position, decode_event
from mmplatform.kafka.reader import LogEntry, ReplayLog
from mmplatform.kafka.topics import topic_name
from mmplatform.land.index.store import ChromaIndex
from mmplatform.land.lakehouse.store import Lakehouse
from mmplatform.modalities import (
    ARCHIVE_GROUP,
    ARTIFACTS_TOPIC,
    CALL,
    DEAD_LETTERS_TOPIC,
    INDEX_GROUP,
    MODALITIES,
    QUARANTINE_TOPIC,
)
from mmplatform.settings import Settings

ENDS: Final = ("accepted", "refused", "duplicate", "quarantined", "dead-lettered")
WRONG: Final = ("lost", "twice", "odd")
"""Ended nowhere; in two places; an answer that no source should ever get."""

_PAGE: Final = 500


@dataclass(frozen=True, slots=True)
class Ledger:
    """How many inputs of each route ended where; :attr:`wrong` is empty when the sums are exact."""

    sent: Mapping[str, int]
    ended: Mapping[tuple[str, str], int]

    @property
    def wrong(self) -> list[str]:
        """Sentences on what does not add up."""
        found = []
        for route, count in self.sent.items():
            counted = sum(self.ended.get((route, end), 0) for end in ENDS)
            if counted != count:
                found.append(f"{route}: {count} sent, {counted} accounted for")
            found += [f"{route}: {self.ended[route, end]} {end}" for end in WRONG if self.ended.get((route, end))]
        return found

    def table(self) -> str:
        """For people."""
        columns = ("sent", *ENDS, *WRONG)
        lines = [f"{'route':<28}" + "".join(f"{name:>15}" for name in columns)]
        for route in (*sorted(self.sent), "all"):
            routes = list(self.sent) if route == "all" else [route]
            cells = [sum(self.sent[each] for each in routes)]
            cells += [sum(self.ended.get((each, end), 0) for each in routes) for end in columns[1:]]
            lines.append(f"{route:<28}" + "".join(f"{cell:>15,}" for cell in cells))
        return "\n".join(lines)


def settle(settings: Settings, within_s: float, *, most: int = 0) -> None:
    """Wait until no group is behind by more than ``most`` records, three times in a row where that is none.

    Ends the program when that does not come.
    """
    log, quiet, deadline = ReplayLog(settings), 0, time.monotonic() + within_s
    reads = {spec.group: [spec.topic] for spec in MODALITIES.values()} | {INDEX_GROUP: [ARTIFACTS_TOPIC]}
    reads[ARCHIVE_GROUP] = [*(spec.topic for spec in MODALITIES.values()), ARTIFACTS_TOPIC, QUARANTINE_TOPIC]
    while quiet < (1 if most else 3):
        behind = {}
        for group, topics in reads.items():
            lags = log.lag(f"{settings.topic_prefix}{group}", [topic_name(settings, topic) for topic in topics])
            behind[group] = sum(sum(by_number.values()) for by_number in lags.values())
        quiet = 0 if max(behind.values()) > most else quiet + 1
        if time.monotonic() > deadline:
            raise SystemExit(f"not settled within {within_s:.0f} s; records behind: {behind}")
        time.sleep(0.5)


def account(settings: Settings, sent: Sent, serving: str) -> Ledger:
    """Look every input up where it must have ended."""
    ended: Counter[tuple[str, str]] = Counter()
    for (route, _), count in sent.refused.items():
        ended[route, "refused"] += count
    for (route, _), count in sent.odd.items():
        ended[route, "odd"] += count
    for route, count in sent.duplicates.items():
        ended[route, "duplicate"] += count
    log = ReplayLog(settings)
    dead = {_position(DeadLetter, entry.value) for entry in log.read(topic_name(settings, DEAD_LETTERS_TOPIC))}
    aside = _set_aside(settings, log, sent.places)
    there, told = _accepted(settings, log, sent.places, serving)
    again = _told_again(settings, log, set(sent.places) - dead - aside - there, told)
    kinds = (("dead-lettered", dead), ("quarantined", aside), ("duplicate", again))
    for place, one in sent.places.items():
        ends = [name for name, places in kinds if place in places]
        if not ends:
            ends = ["accepted" if place in there else "lost"]
        ended[route_of(one), ends[0] if len(ends) == 1 else "twice"] += 1
    return Ledger(dict(sent.sent), ended)


def _position(kind: type[DeadLetter | Quarantined], value: bytes) -> Position | None:
    try:
        return kind.model_validate_json(value).position
    except ValidationError:  # a foreign client's, of another run too
        return None


def _set_aside(settings: Settings, log: ReplayLog, places: Mapping[Position, Input]) -> set[Position | None]:
    """Places of events that have a quarantine row; those that we forged speak of nothing."""
    entries = log.read(topic_name(settings, QUARANTINE_TOPIC))
    return {_position(Quarantined, entry.value) for entry in entries if entry.position not in places}


Told = tuple[str, str]
"""The topic and the id of an event of which something was derived."""


def is_told_again(entry: LogEntry, told: AbstractSet[Told]) -> bool:
    """Whether a record is an event that another one was already: damage gives several the same odd id.

    Of two in one micro-batch one message is made, which has the place of the later one.
    """
    try:
        return (entry.position.topic, decode_event(entry.value).event_id) in told
    except Rejected:
        return False


def _told_again(settings: Settings, log: ReplayLog, places: set[Position], told: AbstractSet[Told]) -> set[Position]:
    found = set()
    for topic in {place.topic for place in places}:
        entries = (entry for entry in log.read(topic_name(settings, topic)) if entry.position in places)
        found |= {entry.position for entry in entries if is_told_again(entry, told)}
    return found


def _accepted(
    settings: Settings, log: ReplayLog, places: Mapping[Position, Input], serving: str
) -> tuple[set[Position | None], set[Told]]:
    """Places of inputs of which there is what there must be, and the events that something was derived of."""
    found: set[Position | None] = set()
    told: set[Told] = set()
    for entry in log.read(topic_name(settings, ARTIFACTS_TOPIC)):
        made = None if entry.position in places else _artifact(entry.value)
        if isinstance(made, Message | Caption):
            found.add(made.provenance.position)
            told |= {(made.provenance.position.topic, event) for event in made.provenance.event_ids}
    # What a call's events come to is in its state: that they were taken in is that nobody is behind.
    found |= {place for place in places if place.topic == CALL.topic}
    found |= _indexed(
        settings, {place: one for place, one in places.items() if place.topic == ARTIFACTS_TOPIC}, serving
    )
    found |= _kept(settings, {place: one for place, one in places.items() if place.topic == QUARANTINE_TOPIC})
    return found, told


def _artifact(value: bytes) -> Artifact | None:
    try:
        return decode_artifact(value)
    except Rejected:
        return None


def _indexed(settings: Settings, places: Mapping[Position, Input], serving: str) -> set[Position]:
    """Forged passages that a search finds, and other artifacts that read: those are for the lakehouse alone."""
    found: set[Position] = set()
    asked: dict[str, dict[str, list[Position]]] = {}
    for place, one in places.items():
        made = _artifact(one.body)
        if isinstance(made, Passage):
            asked.setdefault(bucket_name(made.subject_id), {}).setdefault(made.artifact_id, []).append(place)
        elif made is not None:
            found.add(place)
    index = ChromaIndex.open(settings)
    for bucket, by_id in asked.items():
        ids = list(by_id)
        for start in range(0, len(ids), _PAGE):
            for each in index.get(serving, bucket, ids[start : start + _PAGE]):
                found.update(by_id[each])
    index.close()
    return found


def _kept(settings: Settings, places: Mapping[Position, Input]) -> set[Position]:
    """Forged quarantine rows that are in the lakehouse."""
    scanned = Lakehouse.open(settings).table("quarantine").scan(selected_fields=("quarantine_id",)).to_arrow()
    there: set[Any] = set(scanned.column("quarantine_id").to_pylist())
    found = set()
    for place, one in places.items():
        try:
            row = Quarantined.model_validate_json(one.body)
        except ValidationError:
            continue
        if row.quarantine_id in there:
            found.add(place)
    return found
