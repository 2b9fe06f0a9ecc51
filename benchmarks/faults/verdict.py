"""Compares what was acknowledged with what is stored: as sets, both ways, for each modality."""

from __future__ import annotations

import json
import time
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Final

from benchmarks.faults.collisions import SOURCES
from benchmarks.faults.edits import EDITORS
from benchmarks.faults.fault_sets import FaultSets
from benchmarks.faults.ledger import CASE, Ledger
from benchmarks.faults.stack import Broken
from mmplatform.events import Modality, Position, decode_event
from mmplatform.kafka.reader import ReplayLog
from mmplatform.kafka.topics import topic_name
from mmplatform.modalities import DEAD_LETTERS_TOPIC, MODALITIES
from mmplatform.refusals import DeadLetter

_OVERLAP_S: Final = 0.5
_SPOKEN: Final = json.loads((CASE / "ground_truth.json").read_text())["call"]["utterances"]
_DERIVED: Final[Mapping[Modality, str]] = {"chat": "messages", "screenshot": "captions", "call": "transcripts"}
_COLUMNS: Final = {
    **dict.fromkeys((spec.raw_table for spec in MODALITIES.values()), ("source", "event_id", "kind")),
    "messages": ("source", "artifact_id", "event_ids"),
    "captions": ("artifact_id", "event_ids"),
    "transcripts": (
        "artifact_id",
        "event_ids",
        "subject_id",
        "channel",
        "start_s",
        "end_s",
        "status",
        "text",
        "reason",
    ),
    "passages": ("artifact_id", "subject_id", "modality", "text"),
    "quarantine": ("source", "event_id"),
}
Row = Mapping[str, Any]
Hits = Mapping[str, Row]


@dataclass(slots=True)
class Verdict(FaultSets):
    """One modality; each set holds ids of events, but for ``doubled`` and ``stale``, which hold artifacts' too.

    Attributes:
        sent: how many events were acknowledged.
        named: in the quarantine or among the dead letters, with the reason.
        lost: acknowledged, not named, and missing in the raw table, in the derived one or in the search.
        doubled: twice in a table.
        unasked: there, and never acknowledged.
        stale: searched and kept differ.
        misplaced: on the log not in the order in which the conversation's events were acknowledged.
    """

    FAULTS: ClassVar = ("lost", "doubled", "unasked", "stale", "misplaced")

    sent: int
    named: set[str] = field(default_factory=set)
    lost: set[str] = field(default_factory=set)
    doubled: set[str] = field(default_factory=set)
    unasked: set[str] = field(default_factory=set)
    stale: set[str] = field(default_factory=set)
    misplaced: set[str] = field(default_factory=set)


@dataclass(frozen=True, slots=True)
class Found:
    """Everything that was found at one check.

    Attributes:
        log: topic → position → (conversation, event), in order within a topic partition.
        dead: positions of dead letters.
        tables: rows of each table as they lie there.
        hits: what the public search gave of everybody in the ledger, by passage.
    """

    log: Mapping[str, Mapping[Position, tuple[str, str]]]
    dead: Sequence[Position]
    tables: Mapping[str, Sequence[Row]]
    hits: Hits


def compare(stack: Broken, ledger: Ledger, *, exact: bool = True, within_s: float = 240.0) -> dict[Modality, Verdict]:
    """Wait until no worker is behind, then compare; what differs is checked again until ``within_s`` is over.

    A passage that a killed indexer had in hand comes once more, and a call whose end was never sent is over when
    nothing came for a while. ``exact`` is False where a post whose answer was lost may have landed.
    """
    stack.settle()
    give_up = time.monotonic() + within_s
    while True:
        verdicts = judge(collect(stack, ledger), ledger, exact=exact)
        if not any(verdict.faults for verdict in verdicts.values()) or time.monotonic() > give_up:
            return verdicts
        time.sleep(2.0)


def collect(stack: Broken, ledger: Ledger) -> Found:
    """All that is there, once."""
    hits: dict[str, Row] = {}
    for person in ledger.people:
        hits |= stack.passages(person)
    log = ReplayLog(stack.addressed)
    on_log = {}
    for spec in MODALITIES.values():
        read = (
            (entry.position, decode_event(entry.value)) for entry in log.read(topic_name(stack.settings, spec.topic))
        )
        on_log[spec.topic] = {position: (event.conversation_id, event.event_id) for position, event in read}
    letters = log.read(topic_name(stack.settings, DEAD_LETTERS_TOPIC))
    dead = [DeadLetter.model_validate_json(entry.value).position for entry in letters]
    rows = {table: stack.rows(table, *columns) for table, columns in _COLUMNS.items()}
    # Sources of colliding ids and of edits have comparisons of their own, by identity.
    apart = {*SOURCES, *EDITORS}
    own = {table: [row for row in found if row.get("source") not in apart] for table, found in rows.items()}
    return Found(on_log, dead, own, hits)


def judge(found: Found, ledger: Ledger, *, exact: bool = True) -> dict[Modality, Verdict]:
    """The ledger against what was found; nothing is asked of anybody."""
    named = _named(found)
    verdicts: dict[Modality, Verdict] = {}
    for modality, events in ledger.sent.items():
        verdicts[modality] = verdict = Verdict(len(events), named=named & set(events))
        for present in _stores(found, modality, verdict):
            verdict.lost |= set(events) - present - verdict.named
            verdict.unasked |= present - set(events) if exact else set()
        on_log = found.log[MODALITIES[modality].topic].values()
        verdict.misplaced = misplaced(_conversations(ledger, modality), on_log)
    verdicts["call"].lost |= set(_unheard(found.tables["transcripts"], ledger))
    _check_tables_and_search(found, ledger.people, verdicts)
    return verdicts


def _stores(found: Found, modality: Modality, verdict: Verdict) -> Iterator[set[str]]:
    """The events in each place where they should be; doubled ones are told on the way."""
    raw = found.tables[MODALITIES[modality].raw_table]
    yield _once((row["event_id"] for row in raw if row["kind"] != "call_end"), verdict)
    derived = found.tables[_DERIVED[modality]]
    _once((row["artifact_id"] for row in derived), verdict)
    if modality == "call":  # several pieces make an utterance, and silence none: what was heard is compared instead
        return
    yield _once((event for row in derived for event in row["event_ids"]), verdict)
    yield {event for hit in found.hits.values() if hit["modality"] == modality for event in hit["event_ids"]}


def _once(ids: Iterable[str], verdict: Verdict) -> set[str]:
    counts = Counter(ids)
    verdict.doubled |= {event for event, count in counts.items() if count > 1}
    return set(counts)


def _named(found: Found) -> set[str]:
    """Events that were quarantined, each with its reason."""
    quarantined = {row["event_id"] for row in found.tables["quarantine"]}
    # One of an artifact has no event; whatever event it was made from is then missing in the search.
    log = found.log
    return quarantined | {
        log[position.topic][position][1] for position in found.dead if position in log.get(position.topic, {})
    }


def _conversations(ledger: Ledger, modality: Modality) -> dict[str, list[str]]:
    """The events of each conversation, in the order in which they were acknowledged."""
    whose = {**ledger.chats, **ledger.shots, **{event: call for event, (call, _) in ledger.chunks.items()}}
    ids_by_conversation = defaultdict(list)
    for event in ledger.sent[modality]:
        ids_by_conversation[whose[event]].append(event)
    return ids_by_conversation


def misplaced(sent: Mapping[str, list[str]], on_log: Iterable[tuple[str, str]]) -> set[str]:
    """Events that come, for the first time, before one that was acknowledged earlier in their conversation."""
    first: dict[str, dict[str, int]] = defaultdict(dict)
    for position, (conversation, event) in enumerate(on_log):
        first[conversation].setdefault(event, position)
    wrong: set[str] = set()
    for conversation, events in sent.items():
        latest = -1
        for event in events:
            position = first[conversation].get(event, latest)
            if position < latest:
                wrong.add(event)
            latest = max(latest, position)
    return wrong


def _unheard(rows: Sequence[Row], ledger: Ledger) -> Iterator[str]:
    """Words of the acknowledged part of a call that are in no transcript, and those marked as lost.

    A gap with a reason is of audio that is present, for example of a sound too short for words.
    """
    for call in {call for call, _ in ledger.chunks.values()}:
        mine = [row for row in rows if row["subject_id"] == call]
        yield from (row["artifact_id"] for row in mine if row["status"] != "final" and not row.get("reason"))
        complete = _until_a_hole(index for whose, index in ledger.chunks.values() if whose == call)
        for spoken in _SPOKEN:
            if spoken["end_s"] <= complete and not any(_overlap_s(row, spoken) > _OVERLAP_S for row in mine):
                yield f"{call}: {spoken['id']}"


def _until_a_hole(indices: Iterable[int]) -> int:
    present = set(indices)
    return next(index for index in range(len(present) + 1) if index not in present)


def _overlap_s(row: Row, spoken: Row) -> float:
    if row["channel"] != spoken["channel"]:
        return 0.0
    overlap: float = min(row["end_s"], spoken["end_s"]) - max(row["start_s"], spoken["start_s"])
    return overlap


def _check_tables_and_search(found: Found, people: Iterable[str], verdicts: Mapping[Modality, Verdict]) -> None:
    """Each passage that is kept is searched and says the same, and the reverse; each is kept once."""
    subjects = set(people)
    rows: dict[str, Row] = {}
    for row in found.tables["passages"]:
        if row["subject_id"] not in subjects:
            continue
        if row["artifact_id"] in rows:
            verdicts[row["modality"]].doubled.add(row["artifact_id"])
        rows[row["artifact_id"]] = row
    whose = {row: event["modality"] for row, event in [*rows.items(), *found.hits.items()]}
    for event, modality in whose.items():
        if event not in rows or event not in found.hits or rows[event]["text"] != found.hits[event]["text"]:
            verdicts[modality].stale.add(event)
    with_text = {row["artifact_id"] for row in found.tables["transcripts"] if row["text"]}
    cited = {hit["source_artifact_id"] for hit in found.hits.values() if hit["modality"] == "call"}
    verdicts["call"].stale |= with_text ^ cited
