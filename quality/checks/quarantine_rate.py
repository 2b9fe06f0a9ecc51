"""Check ``quarantine_rate``: quarantined events by reason, the new ones, and the usual maximum of an hour. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Final

from quality.checks.result import CheckResult, RawMetadataValue
from quality.rows import Row
from quality.slas import MAX_QUARANTINED_PER_HOUR

MAX_REASONS: Final = 20
"""Reasons in one event: a reason may contain a number, and then there are as many as rows."""


def new_rows(rows: Sequence[Row], reported: Mapping[int, int]) -> tuple[list[Row], dict[int, int]]:
    """Rows of the quarantine topic that were not reported yet, and the offsets after them.

    ``reported`` is the offset after the last reported row, by topic partition.
    """
    fresh = [row for row in rows if row["log_offset"] >= reported.get(row["topic_partition"], 0)]
    after = dict(reported)
    for row in fresh:
        after[row["topic_partition"]] = max(after.get(row["topic_partition"], 0), row["log_offset"] + 1)
    return fresh, after


def count_reasons(rows: Sequence[Row]) -> dict[str, int]:
    """Rows for each of the most frequent reasons; a row may have several."""
    counts = Counter(f"{row['contract']}: {reason}" for row in rows for reason in row["reasons"])
    return dict(counts.most_common(MAX_REASONS))


def check_quarantine_rate(rows: Sequence[Row], max_rows: int = MAX_QUARANTINED_PER_HOUR) -> CheckResult:
    """Fails when an hour has too many rows for bad events: then the gate or a deriver is suspect."""
    metadata: dict[str, RawMetadataValue] = {
        "rows": len(rows),
        "most": max_rows,
        "reasons": {reason: float(count) for reason, count in count_reasons(rows).items()},
    }
    description = f"{len(rows)} events were quarantined in the last hour, at most {max_rows} are usual"
    return CheckResult(passed=len(rows) <= max_rows, description=description, metadata=metadata)
