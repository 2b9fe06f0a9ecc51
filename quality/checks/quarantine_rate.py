"""What was set aside: how many of which reason, which of it is new, and how much is too much. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, Final

from quality.checks.verdict import Figure, Verdict
from quality.slas import MOST_SET_ASIDE

Row = Mapping[str, Any]

MOST_REASONS: Final = 20
"""In an event: a reason may have a number in it, and then there are as many as rows."""


def news(rows: Sequence[Row], seen: Mapping[int, int]) -> tuple[list[Row], dict[int, int]]:
    """The rows beyond what was seen of the quarantine topic, and what is seen after them.

    ``seen`` says, by topic partition, the offset after the last row that was told of.
    """
    fresh = [row for row in rows if row["log_offset"] >= seen.get(row["topic_partition"], 0)]
    after = dict(seen)
    for row in fresh:
        after[row["topic_partition"]] = max(after.get(row["topic_partition"], 0), row["log_offset"] + 1)
    return fresh, after


def by_reason(rows: Sequence[Row]) -> dict[str, int]:
    """How many rows give each of the most frequent reasons; a row may give several."""
    counts = Counter(f"{row['contract']}: {reason}" for row in rows for reason in row["reasons"])
    return dict(counts.most_common(MOST_REASONS))


def crowded(rows: Sequence[Row], most: int = MOST_SET_ASIDE) -> Verdict:
    """Whether the rows of an hour are few enough to be bad events, and no bad gate or deriver."""
    figures: dict[str, Figure] = {
        "rows": len(rows),
        "most": most,
        "reasons": {r: float(n) for r, n in by_reason(rows).items()},
    }
    words = f"{len(rows)} events were set aside in the last hour"
    return Verdict(holds=len(rows) <= most, words=f"{words}, at most {most} are usual", figures=figures)
