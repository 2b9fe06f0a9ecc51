"""Whether everything that came is accounted for: events against what became of them, the index against its table.

Pure: rows and ids go in. What is younger than ``settled`` is still under way (archiver and index commit apart) and is
counted as that, never as missing.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from quality.checks.verdict import Figure, Verdict, named

Row = Mapping[str, Any]
Place = tuple[str, int]
"""A topic and a topic partition."""

CALL_END: Final = "the end of a call: nothing to derive"
NOT_HEARD: Final = "heard: no speech in it, or the same audio again"


@dataclass(frozen=True, slots=True)
class Listed:
    """A passage as the index lists it."""

    passage_id: str
    embedder: str
    derived_at: datetime


def accounted(
    events: Sequence[Row],
    *,
    derived: Iterable[Sequence[str]],
    aside: Collection[str],
    done: Mapping[Place, int],
    settled: datetime,
) -> Verdict:
    """Whether every event has an artifact, a quarantine row or a stated reason.

    Args:
        events: raw rows, with their places on the log.
        derived: for each artifact, the ids of the events whose bytes are in it.
        aside: ids of quarantined events.
        done: how far the deriver has read the log: the next offset for each topic partition.
        settled: events that were ingested later are still under way.
    """
    artifacts = {event_id for ids in derived for event_id in ids}
    found: Counter[str] = Counter()
    missing, waiting = [], []
    for event in events:
        event_id = str(event["event_id"])
        passed = event["log_offset"] < done.get((event["topic"], event["topic_partition"]), 0)
        if event_id in artifacts:
            found["an artifact"] += 1
        elif event_id in aside:
            found["set aside"] += 1
        elif event["kind"] == "call_end":
            found[CALL_END] += 1
        elif event["ingested_at"] > settled:
            found["under way"] += 1
        elif not passed:
            waiting.append(event_id)
        elif event["kind"] == "call_chunk":
            # The deriver has taken it in and published all that it made of it: the log says so.
            found[NOT_HEARD] += 1
        else:
            missing.append(event_id)
    figures: dict[str, Figure] = {"events": len(events), "missing": len(missing), "not_derived_yet": len(waiting)}
    figures["became"] = {name: float(count) for name, count in sorted(found.items())}
    if not missing and not waiting:
        words = f"all {len(events)} events are accounted for" if events else "no events in this hour"
        return Verdict(holds=True, words=words, figures=figures)
    figures["ids"] = named([*missing, *waiting])
    words = f"of {len(events)} events {len(missing)} became nothing and {len(waiting)} still wait for their deriver"
    return Verdict(holds=False, words=words, figures=figures)


def mirrored(
    rows: Sequence[Row], listed: Sequence[Listed], *, settled: datetime, embedders: Sequence[str] = ()
) -> Verdict:
    """Whether the index holds exactly the passages of the table: ids compared both ways.

    Args:
        rows: the table's (``artifact_id``, ``embedder``, ``derived_at``).
        listed: what the index has of the same hour. A passage that another embedder indexed too is one passage.
        settled: what was derived later is still under way.
        embedders: each of these must hold every passage, and others are not looked at; where nobody says, each passage
            is to be in its own embedder's collections.
    """
    listed = [each for each in listed if not embedders or each.embedder in embedders]
    indexed = {(each.passage_id, each.embedder) for each in listed}
    in_table = {str(row["artifact_id"]) for row in rows}
    not_indexed = [
        row
        for row in rows
        if any((row["artifact_id"], embedder) not in indexed for embedder in embedders or (row["embedder"],))
    ]
    not_in_table = [each for each in listed if each.passage_id not in in_table]
    lost = {str(row["artifact_id"]) for row in not_indexed if row["derived_at"] <= settled}
    extra = {each.passage_id for each in not_in_table if each.derived_at <= settled}
    young = len(not_indexed) + len(not_in_table) - len(lost) - len(extra)
    figures: dict[str, Figure] = {
        "in_the_table": len(in_table),
        "in_the_index": len({each.passage_id for each in listed}),
        "under_way": max(young, 0),
        "not_indexed": len(lost),
        "not_in_the_table": len(extra),
    }
    if not lost and not extra:
        words = f"the index holds the {len(in_table)} passages of the table" if rows or listed else "no passages"
        return Verdict(holds=True, words=words, figures=figures)
    if lost:
        figures["ids_not_indexed"] = named(lost)
    if extra:
        figures["ids_not_in_the_table"] = named(extra)
    words = f"{len(lost)} passages are in no index and {len(extra)} indexed ones in no table"
    return Verdict(holds=False, words=words, figures=figures)
