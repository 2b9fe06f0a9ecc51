"""Check ``completeness`` of a raw table: offsets of its topic that are missing between the archived ones. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Final

from quality.checks.result import INCOMPLETE_PARTITIONS, CheckResult, RawMetadataValue, first_ids

DEAD_LETTER_REASON: Final = "a dead letter: it does not parse"
DUPLICATE_REASON: Final = "an event that had landed before"
CANARY_REASON: Final = "a canary: it is in no table"
NO_RECORD_REASON: Final = "no record: the log keeps places for itself"
LOST_REASON: Final = "lost"
EXPIRED_REASON: Final = "gone from the log before it was archived"


def find_offset_gaps(archived: Iterable[tuple[int, int]], ends: Mapping[int, int]) -> dict[int, list[int]]:
    """Missing offsets by topic partition.

    Args:
        archived: topic partition and offset of each row.
        ends: the archiver's next offset by topic partition. Later offsets are not missing yet.
    """
    offsets_by_partition: dict[int, set[int]] = {}
    for topic_partition, offset in archived:
        offsets_by_partition.setdefault(topic_partition, set()).add(offset)
    missing = {
        topic_partition: [
            offset for offset in range(min(offsets), ends.get(topic_partition, 0)) if offset not in offsets
        ]
        for topic_partition, offsets in offsets_by_partition.items()
    }
    return {topic_partition: offsets for topic_partition, offsets in missing.items() if offsets}


def check_offset_gaps(
    rows: int, missing: Mapping[tuple[int, int], str], unchecked: int = 0, lost_hours: Iterable[str] = ()
) -> CheckResult:
    """Fails when a missing offset has no harmless reason.

    Args:
        rows: the number of rows checked.
        missing: the reason of each missing offset, by topic partition and offset.
        unchecked: missing offsets that were too many to check.
        lost_hours: partition keys of the hours of the lost events.
    """
    lost = {position: reason for position, reason in missing.items() if reason in {LOST_REASON, EXPIRED_REASON}}
    metadata: dict[str, RawMetadataValue] = {"rows": rows, "missing": len(missing) + unchecked, "lost": len(lost)}
    if missing:
        metadata["reasons"] = {reason: float(count) for reason, count in sorted(Counter(missing.values()).items())}
    if unchecked:
        metadata["not_looked_at"] = unchecked
        description = f"{unchecked} missing offsets were too many to check"
        return CheckResult(passed=False, description=description, metadata=metadata)
    if lost:
        if hours := sorted(set(lost_hours)):
            metadata[INCOMPLETE_PARTITIONS] = hours
        metadata["places"] = first_ids(f"{topic_partition}/{offset}" for topic_partition, offset in lost)
        return CheckResult(passed=False, description=f"{len(lost)} records of the log are in no row", metadata=metadata)
    explained = f"; {len(missing)} offsets have a reason to be missing" if missing else ""
    description = f"{rows} rows without an offset gap{explained}" if rows else "quiet: no recent rows"
    return CheckResult(passed=True, description=description, metadata=metadata)
