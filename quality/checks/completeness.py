"""Check ``completeness``: events against their artifacts and quarantine rows, the index against its table. Pure.

Rows younger than ``settled_before`` are still under way (archiver and index commit apart): they are counted as under
way, never as missing. For raw tables against the log see :mod:`quality.checks.offset_gaps`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from quality.checks.result import INCOMPLETE_PARTITIONS, CheckResult, RawMetadataValue, first_ids
from quality.rows import Row

CALL_END_REASON: Final = "the end of a call: nothing to derive"
CHANGE_REASON: Final = "a change of a message: superseded, repeated, or part of it"
NO_SPEECH_REASON: Final = "heard: no speech in it, or the same audio again"

_CHANGES: Final = ("chat_edited", "chat_deleted", "chat_redacted")
"""Events whose artifact is the message's, which names the last of them only."""


@dataclass(frozen=True, slots=True)
class IndexedPassage:
    """A passage as the index lists it."""

    passage_id: str
    embedder: str
    derived_at: datetime


def check_events_accounted(
    events: Sequence[Row],
    *,
    derived_uids: Iterable[Sequence[str]],
    quarantined_uids: Collection[str],
    consumed_offsets: Mapping[tuple[str, int], int],
    log_generation: int = 0,
    settled_before: datetime,
) -> CheckResult:
    """Fails when an event has no artifact, no quarantine row and no reason to have neither.

    Args:
        events: raw rows, with their positions on the log.
        derived_uids: for each artifact and retraction, the identities of the events that it was derived from.
        quarantined_uids: identities of quarantined events.
        consumed_offsets: the deriver's next offset, by topic and topic partition.
        log_generation: of the log that the offsets are of; an event of an earlier log waits for no deriver any more.
        settled_before: events that were ingested later are still under way.
    """
    derived = {uid for uids in derived_uids for uid in uids}
    outcomes: Counter[str] = Counter()
    missing, waiting = [], []
    for event in events:
        event_id, uid = str(event["event_id"]), event["event_uid"]
        next_offset = consumed_offsets.get((event["topic"], event["topic_partition"]), 0)
        earlier_log = event["log_generation"] < log_generation
        consumed = earlier_log or event["log_offset"] < next_offset
        if uid in derived:
            outcomes["an artifact"] += 1
        elif uid in quarantined_uids:
            outcomes["set aside"] += 1
        elif event["kind"] == "call_end":
            outcomes[CALL_END_REASON] += 1
        elif consumed and event["kind"] in _CHANGES:
            outcomes[CHANGE_REASON] += 1
        elif event["ingested_at"] > settled_before:
            outcomes["under way"] += 1
        elif not consumed:
            waiting.append(event_id)
        elif event["kind"] == "call_chunk":
            # The committed offset proves that the deriver has published all artifacts of the chunk.
            outcomes[NO_SPEECH_REASON] += 1
        else:
            missing.append(event_id)
    metadata: dict[str, RawMetadataValue] = {
        "events": len(events),
        "missing": len(missing),
        "not_derived_yet": len(waiting),
        "became": {name: float(count) for name, count in sorted(outcomes.items())},
    }
    if not missing and not waiting:
        description = f"all {len(events)} events are accounted for" if events else "no events in this hour"
        return CheckResult(passed=True, description=description, metadata=metadata)
    metadata["ids"] = first_ids([*missing, *waiting])
    description = f"of {len(events)} events {len(missing)} became nothing and {len(waiting)} wait for their deriver"
    return CheckResult(passed=False, description=description, metadata=metadata)


def with_deletions(result: CheckResult, found: Mapping[str, str | None]) -> CheckResult:
    """Add to a result the messages that their source deleted in the hour, and that the table still has.

    The deriver did not know the message: it is older than its memory, or was shed. A run of the message's hour applies
    the deletion.

    Args:
        result: of :func:`check_events_accounted`.
        found: partition of each such message, by its artifact id; None: it has none.
    """
    if not found:
        return result
    partitions = sorted({partition for partition in found.values() if partition is not None})
    description = f"{len(found)} messages that were deleted at the source are still here: reprocess their hours"
    metadata = {
        **result.metadata,
        "deleted_and_here": len(found),
        "ids_deleted": first_ids(found),
        INCOMPLETE_PARTITIONS: partitions,
    }
    return CheckResult(passed=False, description=f"{description}; {result.description}", metadata=metadata)


def check_index_matches_table(
    rows: Sequence[Row],
    indexed: Sequence[IndexedPassage],
    *,
    settled_before: datetime,
    embedders: Sequence[str] = (),
    is_lagging: bool = False,
) -> CheckResult:
    """Compares the passages of index and table by id, both ways.

    Args:
        rows: the table's (``artifact_id``, ``embedder``, ``derived_at``; ``bucket`` to name it).
        indexed: passages of the same hour in the index. A passage with the vectors of two embedders is one passage.
        settled_before: passages that were derived later are still under way.
        embedders: each of them must have every passage, and others are ignored; without any, each passage must be in
            its own embedder's collections.
        is_lagging: the indexer had not written records of that time before the index was read. Then the buckets are
            not named as incomplete: it writes what is missing, and a rebuild would only take its time.
    """
    indexed = [passage for passage in indexed if not embedders or passage.embedder in embedders]
    indexed_keys = {(passage.passage_id, passage.embedder) for passage in indexed}
    in_table = {str(row["artifact_id"]) for row in rows}
    not_indexed = [
        row
        for row in rows
        if any((row["artifact_id"], embedder) not in indexed_keys for embedder in embedders or (row["embedder"],))
    ]
    not_in_table = [passage for passage in indexed if passage.passage_id not in in_table]
    missing = {str(row["artifact_id"]) for row in not_indexed if row["derived_at"] <= settled_before}
    surplus = {passage.passage_id for passage in not_in_table if passage.derived_at <= settled_before}
    under_way = len(not_indexed) + len(not_in_table) - len(missing) - len(surplus)
    metadata: dict[str, RawMetadataValue] = {
        "in_the_table": len(in_table),
        "in_the_index": len({passage.passage_id for passage in indexed}),
        "under_way": max(under_way, 0),
        "not_indexed": len(missing),
        "not_in_the_table": len(surplus),
    }
    if not missing and not surplus:
        description = f"the index has the {len(in_table)} passages of the table" if rows or indexed else "no passages"
        return CheckResult(passed=True, description=description, metadata=metadata)
    if missing:
        metadata["ids_not_indexed"] = first_ids(missing)
        buckets = {str(row["bucket"]) for row in not_indexed if row["artifact_id"] in missing and "bucket" in row}
        if buckets and not is_lagging:
            metadata[INCOMPLETE_PARTITIONS] = sorted(buckets)
    if surplus:
        metadata["ids_not_in_the_table"] = first_ids(surplus)
    description = f"{len(missing)} passages of the table are not indexed, {len(surplus)} indexed ones are in no table"
    return CheckResult(passed=False, description=description, metadata=metadata)
