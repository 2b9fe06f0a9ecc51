"""Whether what was derived can be traced back: rows to events, passages to artifacts and their bytes. Pure."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from quality.checks.verdict import Figure, Verdict, named

MOST_BLOBS: Final = 50
"""Looked for in one check: each costs a request, 20 ms and more on S3."""


@dataclass(frozen=True, slots=True)
class Bytes:
    """Blobs of an hour: how many there are, how many were looked for, and the events whose bytes are gone."""

    total: int = 0
    looked_at: int = 0
    missing: Collection[str] = ()


def traced(points: Mapping[str, Sequence[str]], there: Collection[str], blobs: Bytes | None = None) -> Verdict:
    """Whether everything that rows point at exists.

    Args:
        points: for each row's id, the ids that it points at; a row that points at nothing cannot be traced either.
        there: those of these ids that exist.
        blobs: what is known of the bytes behind them, where there are any.
    """
    known = set(there)
    loose = {row_id for row_id, ids in points.items() if not ids or not known.issuperset(ids)}
    absent = {each for ids in points.values() for each in ids} - known
    figures: dict[str, Figure] = {"rows": len(points), "untraceable": len(loose)}
    words = [f"{len(points) - len(loose)} of {len(points)} rows can be traced"] if points else ["no rows in this hour"]
    if loose:
        figures |= {"ids": named(loose), "ids_absent": named(absent)}
    if blobs is not None and blobs.total:
        figures |= {
            "blobs": blobs.total,
            "blobs_looked_at": blobs.looked_at,
            "blobs_missing": len(blobs.missing),
        }
        words.append(f"{len(blobs.missing)} of the {blobs.looked_at} blobs looked at (of {blobs.total}) are gone")
        if blobs.missing:
            figures["ids_without_bytes"] = named(blobs.missing)
    holds = not loose and not (blobs is not None and blobs.missing)
    return Verdict(holds=holds, words="; ".join(words), figures=figures)


def sample(ids: Collection[str], most: int = MOST_BLOBS) -> list[str]:
    """Which are looked at: ids are hashes or given by the source, and the first of them are the same in every look."""
    return sorted(ids)[:most]
