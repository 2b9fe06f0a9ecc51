"""Accounts for every input, by what lies on the log and in the stores once nobody is behind; the sums must be exact."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import Any, Final

from pydantic import ValidationError

from benchmarks.fuzz.inputs import Input
from benchmarks.fuzz.sending import Sent, route_of
from mmplatform.artifacts import Artifact, Caption, Message, Passage, decode_artifact
from mmplatform.buckets import bucket_name
from mmplatform.errors import Rejected
from mmplatform.events import Event, Position, decode_event
from mmplatform.kafka.reader import LogEntry, ReplayLog
from mmplatform.kafka.topics import topic_name
from mmplatform.land.index.store import ChromaIndex
from mmplatform.land.lakehouse.store import Lakehouse
from mmplatform.modalities import (
    ARCHIVE_GROUP,
    ARTIFACTS_TOPIC,
    CALL,
    DEAD_LETTERS_TOPIC,
    IDENTITY,
    INDEX_GROUP,
    MODALITIES,
    QUARANTINE_TOPIC,
)
from mmplatform.refusals import DeadLetter, Quarantined
from mmplatform.settings import Settings

ENDS: Final = ("accepted", "refused", "duplicate", "quarantined", "dead-lettered")
WRONG: Final = ("lost", "twice", "odd", "unnamed", "misnamed")
"""Ended nowhere; in two places; an answer that no source should ever get; a conflict without its quarantine row; such a
row of an event that is none."""

_PAGE: Final = 500
_KINDS: Final = {spec.topic: spec.event_kinds for spec in MODALITIES.values()}


@dataclass(frozen=True, slots=True)
class Ledger:
    """Number of inputs of each route by their end; :attr:`wrong` is empty when the sums are exact."""

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
            cells = [sum(self.sent[route] for route in routes)]
            cells += [sum(self.ended.get((route, end), 0) for route in routes) for end in columns[1:]]
            lines.append(f"{route:<28}" + "".join(f"{cell:>15,}" for cell in cells))
        return "\n".join(lines)


def settle(settings: Settings, within_s: float, *, max_lag: int = 0) -> None:
    """Wait until no group lags by more than ``max_lag`` records; for 0, three times in a row.

    Exits the program after the timeout.
    """
    log, quiet, deadline = ReplayLog(settings), 0, time.monotonic() + within_s
    reads = {spec.group: [spec.topic] for spec in MODALITIES.values()} | {INDEX_GROUP: [ARTIFACTS_TOPIC]}
    reads[ARCHIVE_GROUP] = [*(spec.topic for spec in MODALITIES.values()), ARTIFACTS_TOPIC, QUARANTINE_TOPIC]
    while quiet < (1 if max_lag else 3):
        lag_by_group = {}
        for group, topics in reads.items():
            lags = log.lag(f"{settings.topic_prefix}{group}", [topic_name(settings, topic) for topic in topics])
            lag_by_group[group] = sum(sum(by_number.values()) for by_number in lags.values())
        quiet = 0 if max(lag_by_group.values()) > max_lag else quiet + 1
        if time.monotonic() > deadline:
            raise SystemExit(f"not settled within {within_s:.0f} s; lag: {lag_by_group}")
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
    dead = {_position(entry.value) for entry in log.read(topic_name(settings, DEAD_LETTERS_TOPIC))}
    quarantined, named = _quarantined(settings, log, sent.inputs)
    conflicts = find_conflicts(
        entry for spec in MODALITIES.values() for entry in log.read(topic_name(settings, spec.topic))
    )
    accepted, reported = _accepted(settings, log, sent.inputs, serving)
    again = _repeated(settings, log, set(sent.inputs) - dead - quarantined - accepted, reported)
    kinds = (("dead-lettered", dead), ("quarantined", quarantined), ("duplicate", again))
    for position, item in sent.inputs.items():
        ends = [name for name, inputs in kinds if position in inputs]
        if (position in conflicts) != (position in named):
            ends = ["unnamed" if position in conflicts else "misnamed"]
        if not ends:
            ends = ["accepted" if position in accepted else "lost"]
        ended[route_of(item), ends[0] if len(ends) == 1 else "twice"] += 1
    return Ledger(dict(sent.sent), ended)


def _position(value: bytes) -> Position | None:
    try:
        return DeadLetter.model_validate_json(value).position
    except ValidationError:  # a foreign client's, of another run too
        return None


def _quarantined(
    settings: Settings, log: ReplayLog, inputs: Mapping[Position, Input]
) -> tuple[set[Position], set[Position]]:
    """Positions of events that have a quarantine row, and of those that are named as conflicts.

    A row that we forged is about nothing.
    """
    quarantined, named = set(), set()
    for entry in log.read(topic_name(settings, QUARANTINE_TOPIC)):
        if entry.position in inputs:
            continue
        try:
            row = Quarantined.model_validate_json(entry.value)
        except ValidationError:
            continue
        quarantined.add(row.position)
        if row.contract == IDENTITY:
            named.add(row.position)
    return quarantined, named


def _has_wrong_key(entry: LogEntry, event: Event) -> bool:
    """True for a call's record that is a dead letter, because its state would lie under another key."""
    return entry.position.topic == CALL.topic and entry.raw_key != event.conversation_key.encode()


def find_conflicts(entries: Iterable[LogEntry]) -> set[Position]:
    """Positions of events whose identity came before on their topic partition with another content.

    ``entries``: those of a topic partition in their order.
    """
    firsts: dict[tuple[str, int, str], str] = {}
    conflicts = set()
    for entry in entries:
        position = entry.position
        try:
            event = decode_event(entry.value)
        except Rejected:
            continue
        if event.kind not in _KINDS[position.topic] or _has_wrong_key(entry, event):
            continue
        if firsts.setdefault((position.topic, position.topic_partition, event.uid), event.digest) != event.digest:
            conflicts.add(position)
    return conflicts


ReportKey = tuple[str, str]
"""The topic and the identity of an event of which something was derived."""


def is_repeat(entry: LogEntry, reported: AbstractSet[ReportKey]) -> bool:
    """Check whether a record is an event that another one was already: damage gives several the same odd id.

    Of two in one micro-batch one message is made, which has the place of the later one.
    """
    try:
        return (entry.position.topic, decode_event(entry.value).uid) in reported
    except Rejected:
        return False


def _repeated(
    settings: Settings, log: ReplayLog, inputs: set[Position], reported: AbstractSet[ReportKey]
) -> set[Position]:
    found = set()
    for topic in {position.topic for position in inputs}:
        entries = (entry for entry in log.read(topic_name(settings, topic)) if entry.position in inputs)
        found |= {entry.position for entry in entries if is_repeat(entry, reported)}
    return found


def _accepted(
    settings: Settings, log: ReplayLog, inputs: Mapping[Position, Input], serving: str
) -> tuple[set[Position | None], set[ReportKey]]:
    """Places of inputs of which there is what there must be, and the events that something was derived of."""
    found: set[Position | None] = set()
    reported: set[ReportKey] = set()
    for entry in log.read(topic_name(settings, ARTIFACTS_TOPIC)):
        artifact = None if entry.position in inputs else _artifact(entry.value, entry.headers)
        if isinstance(artifact, Message | Caption):
            found.add(artifact.provenance.position)
            reported |= {(artifact.provenance.position.topic, uid) for uid in artifact.event_uids}
    # What a call's events come to is in its state: that they were taken in is that nobody is behind.
    found |= {position for position in inputs if position.topic == CALL.topic}
    found |= _indexed(
        settings, {position: item for position, item in inputs.items() if position.topic == ARTIFACTS_TOPIC}, serving
    )
    found |= _in_tables(
        settings, {position: item for position, item in inputs.items() if position.topic == QUARANTINE_TOPIC}
    )
    return found, reported


def _artifact(value: bytes, headers: Mapping[str, bytes]) -> Artifact | None:
    try:
        return decode_artifact(value, headers)
    except Rejected:
        return None


def _indexed(settings: Settings, inputs: Mapping[Position, Input], serving: str) -> set[Position]:
    """Forged passages that a search finds, and other artifacts that read: those are for the lakehouse alone."""
    found: set[Position] = set()
    positions_by_bucket: dict[str, dict[str, list[Position]]] = {}
    for position, item in inputs.items():
        artifact = _artifact(item.body, item.headers)
        if isinstance(artifact, Passage):
            positions_by_bucket.setdefault(bucket_name(artifact.subject_key), {}).setdefault(
                artifact.artifact_id, []
            ).append(position)
        elif artifact is not None:
            found.add(position)
    index = ChromaIndex.open(settings)
    for bucket, by_id in positions_by_bucket.items():
        ids = list(by_id)
        for start in range(0, len(ids), _PAGE):
            for stored_id in index.get(serving, bucket, ids[start : start + _PAGE]):
                found.update(by_id[stored_id])
    index.close()
    return found


def _in_tables(settings: Settings, inputs: Mapping[Position, Input]) -> set[Position]:
    """Forged quarantine rows that are in the lakehouse."""
    scanned = Lakehouse.open(settings).table("quarantine").scan(selected_fields=("quarantine_id",)).to_arrow()
    stored_ids: set[Any] = set(scanned.column("quarantine_id").to_pylist())
    found = set()
    for position, item in inputs.items():
        try:
            row = Quarantined.model_validate_json(item.body)
        except ValidationError:
            continue
        if row.quarantine_id in stored_ids:
            found.add(position)
    return found
