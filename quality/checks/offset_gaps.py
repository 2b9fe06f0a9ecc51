"""Whether a raw table has every record of its topic: offsets that are missing between those that landed. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Final

from quality.checks.verdict import Figure, Verdict, named

DEAD: Final = "a dead letter: it does not parse"
REPEATED: Final = "an event that had landed before"
NO_RECORD: Final = "no record: the log keeps places for itself"
LOST: Final = "lost"
EXPIRED: Final = "gone from the log before it was archived"


def holes(landed: Iterable[tuple[int, int]], ends: Mapping[int, int]) -> dict[int, list[int]]:
    """Offsets that are missing, by topic partition.

    Args:
        landed: topic partition and offset of each row.
        ends: how far the archiver is: the next offset, by topic partition. What lies behind is not missing yet.
    """
    there: dict[int, set[int]] = {}
    for number, offset in landed:
        there.setdefault(number, set()).add(offset)
    found = {
        number: [each for each in range(min(offsets), ends.get(number, 0)) if each not in offsets]
        for number, offsets in there.items()
    }
    return {number: offsets for number, offsets in found.items() if offsets}


def gapless(rows: int, missing: Mapping[tuple[int, int], str], unlooked: int = 0) -> Verdict:
    """Whether every missing offset has a reason.

    Args:
        rows: how many rows were looked at.
        missing: why each is missing, by topic partition and offset.
        unlooked: missing ones that were too many to look at.
    """
    bad = {place: reason for place, reason in missing.items() if reason in {LOST, EXPIRED}}
    figures: dict[str, Figure] = {"rows": rows, "missing": len(missing) + unlooked, "lost": len(bad)}
    if missing:
        figures["reasons"] = {reason: float(count) for reason, count in sorted(Counter(missing.values()).items())}
    if unlooked:
        figures["not_looked_at"] = unlooked
        words = f"{unlooked} missing offsets were too many to look at"
        return Verdict(holds=False, words=words, figures=figures)
    if bad:
        figures["places"] = named(f"{number}/{offset}" for number, offset in bad)
        return Verdict(holds=False, words=f"{len(bad)} records of the log are in no row", figures=figures)
    told = f"; {len(missing)} offsets have a reason to be missing" if missing else ""
    words = f"{rows} rows without a hole{told}" if rows else "quiet: nothing was ingested lately"
    return Verdict(holds=True, words=words, figures=figures)
