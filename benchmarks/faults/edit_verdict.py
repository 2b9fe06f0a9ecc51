"""Compares what edits and deletions must have left with what each location has: the newest texts, and no other."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, ClassVar, Final

from benchmarks.faults.edits import EDITORS, EditLedger, passage_texts
from benchmarks.faults.fault_sets import FaultSets
from benchmarks.faults.stack import Broken
from mmplatform.events import utc_now
from mmplatform.identity import DEFAULT_TENANT, event_uid
from mmplatform.land.index.store import ChromaIndex
from mmplatform.modalities import CHAT_CHANGE

COLUMNS: Final = {
    "raw_chats": ("source", "event_uid", "raw_id"),
    "messages": ("source", "event_uids", "text"),
    "passages": ("source", "event_uids", "text"),
    "quarantine": ("source", "quarantine_id", "contract", "kind"),
}
LOCATIONS: Final = ("messages", "passages", "index", "search")
"""Locations of texts: two tables, the rows of the index, and the public search."""

_PERIOD: Final = timedelta(days=1)
"""Around now: all events of a run are in it, also those of a gateway with a wrong time."""

Row = Mapping[str, Any]
Text = tuple[str, str]
"""Identity of a message, and the text of it or of one of its passages."""


@dataclass(slots=True)
class EditVerdict(FaultSets):
    """Fate of the edited messages; the sets from ``lost`` on should be empty.

    Attributes:
        messages: that were acknowledged.
        edits: that were acknowledged.
        outdated: edits with a revision below that of the present text.
        deletions: that were acknowledged, redactions too.
        named: edits with a quarantine row: of deleted messages, or of those that have not come.
        lost: events without a raw row, and newest texts that a location does not have.
        doubled: twice in a location.
        unasked: texts that were never sent, and quarantine rows of nothing that must be there.
        stale: texts of before an edit, and of deleted messages, that a location still has.
        unnamed: edits that should have a quarantine row.
    """

    FAULTS: ClassVar = ("lost", "doubled", "unasked", "stale", "unnamed")

    messages: int = 0
    edits: int = 0
    outdated: int = 0
    deletions: int = 0
    named: int = 0
    lost: set[str] = field(default_factory=set)
    doubled: set[str] = field(default_factory=set)
    unasked: set[str] = field(default_factory=set)
    stale: set[str] = field(default_factory=set)
    unnamed: set[str] = field(default_factory=set)


@dataclass(frozen=True, slots=True)
class Remains:
    """Stored rows of these sources: the texts by location, raw rows, and quarantine rows."""

    texts: Mapping[str, Sequence[Text]]
    raw: Sequence[Row]
    quarantine: Sequence[Row]


def compare(stack: Broken, sent: EditLedger, within_s: float = 240.0) -> EditVerdict:
    """Compare, once no worker is behind; what differs is checked again until ``within_s`` is over."""
    give_up = time.monotonic() + within_s
    while True:
        verdict = judge(collect(stack, sent), sent)
        if not verdict.faults or time.monotonic() > give_up:
            return verdict
        time.sleep(2.0)


def collect(stack: Broken, sent: EditLedger) -> Remains:
    """All that is there of these sources, once."""
    tables = {
        table: [row for row in stack.rows(table, *columns) if is_edited(row)] for table, columns in COLUMNS.items()
    }
    texts = {name: [(row["event_uids"][0], row["text"]) for row in tables[name]] for name in ("messages", "passages")}
    hits = (
        stack.passages(subject).values() for subject in sorted({message.subject for message in sent.messages.values()})
    )
    searched = [(_uid(hit["event_source"], hit, hit["event_ids"]), hit["text"]) for found in hits for hit in found]
    return Remains(
        texts | {"index": list(_indexed(stack)), "search": searched}, tables["raw_chats"], tables["quarantine"]
    )


def is_edited(row: Row) -> bool:
    """True for a row of these sources."""
    return row["source"] in EDITORS


def _indexed(stack: Broken) -> Iterator[Text]:
    now = utc_now()
    with closing(ChromaIndex.open(stack.addressed)) as index:
        for _, text, metadata in index.rows(modality="chat", since=now - _PERIOD, until=now + _PERIOD):
            if is_edited(metadata):
                yield _uid(metadata["source"], metadata, json.loads(metadata["event_ids"])), text


def _uid(source: str, row: Row, event_ids: Sequence[str]) -> str:
    return event_uid(DEFAULT_TENANT, source, row["conversation_id"], event_ids[0])


def judge(remains: Remains, sent: EditLedger) -> EditVerdict:
    """Compare what was acknowledged with what is stored."""
    verdict = EditVerdict(len(sent.messages), sent.edits, sent.outdated, sent.deletions)
    raw = [row["event_uid"] for row in remains.raw]
    verdict.lost |= {f"{uid} in raw_chats" for uid in sent.raw - set(raw)}
    verdict.doubled |= {f"{found} in raw_chats" for found in _repeated(row["raw_id"] for row in remains.raw)}
    present = [(uid, message.text) for uid, message in sent.messages.items() if message.text is not None]
    for location in LOCATIONS:
        _judge_texts(remains.texts[location], location, present, sent, verdict)
    # A released row stays in the table, as a tombstone.
    quarantined = [row for row in remains.quarantine if row["kind"] == "quarantined"]
    rows = {row["quarantine_id"] for row in quarantined if row["contract"] == CHAT_CHANGE}
    verdict.named = len(rows & set(sent.refused))
    verdict.unnamed |= {change for row, change in sent.refused.items() if row not in rows}
    verdict.unasked |= {row["quarantine_id"] for row in quarantined} - set(sent.refused)
    return verdict


def _judge_texts(
    found: Sequence[Text], location: str, present: Sequence[Text], sent: EditLedger, verdict: EditVerdict
) -> None:
    split = _one_text if location == "messages" else passage_texts
    wanted = {(uid, part) for uid, text in present for part in split(text)}
    verdict.lost |= {_name(text, location) for _, text in wanted - set(found)}
    verdict.doubled |= {_name(text, location) for _, text in _repeated(found)}
    for uid, text in set(found) - wanted:
        sent_texts = sent.messages[uid].texts if uid in sent.messages else []
        was_sent = any(text in split(sent_text) for sent_text in sent_texts)
        (verdict.stale if was_sent else verdict.unasked).add(_name(text, location))


def _one_text(text: str) -> list[str]:
    return [text]


def table(verdict: EditVerdict) -> str:
    """Header and one line."""
    counted = ("edited chats", "edits", "outdated", "deletions", "named")
    names = (*counted, "lost", "doubled", "never sent", "stale", "unnamed")
    numbers = (verdict.messages, verdict.edits, verdict.outdated, verdict.deletions, verdict.named)
    sets = (verdict.lost, verdict.doubled, verdict.unasked, verdict.stale, verdict.unnamed)
    head = "|" + "|".join(f" {name} " for name in names) + "|\n|" + "---:|" * len(names)
    return f"{head}\n| {' | '.join(str(number) for number in (*numbers, *map(len, sets)))} |"


def _name(text: str, location: str) -> str:
    return f"{text[:80]} in {location}"


def _repeated(found: Iterable[Any]) -> set[Any]:
    return {row for row, count in Counter(found).items() if count > 1}
