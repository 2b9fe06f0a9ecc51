"""Check ``lineage_complete``: rows traced to their events, passages to their artifacts and blobs. Pure."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from quality.checks.result import CheckResult, RawMetadataValue, first_ids

MAX_SAMPLED_BLOBS: Final = 50
"""Blobs checked in one run: each costs a request, 20 ms and more on S3."""


@dataclass(frozen=True, slots=True)
class BlobSample:
    """Blobs of an hour: their number, the number that was checked, and the events whose blob is missing."""

    total: int = 0
    checked: int = 0
    missing: Collection[str] = ()


def check_lineage_complete(
    references: Mapping[str, Sequence[str]], existing_ids: Collection[str], blobs: BlobSample | None = None
) -> CheckResult:
    """Fails when a row refers to something that does not exist, or a sampled blob is missing.

    Args:
        references: for each row's id, the ids that it refers to; a row without references is untraceable too.
        existing_ids: those of these ids that exist.
        blobs: the sample of the blobs behind them, where there are any.
    """
    existing = set(existing_ids)
    untraceable = {row_id for row_id, ids in references.items() if not ids or not existing.issuperset(ids)}
    absent = {reference for ids in references.values() for reference in ids} - existing
    metadata: dict[str, RawMetadataValue] = {"rows": len(references), "untraceable": len(untraceable)}
    traceable = f"{len(references) - len(untraceable)} of {len(references)} rows are traceable"
    sentences = [traceable if references else "no rows in this hour"]
    if untraceable:
        metadata |= {"ids": first_ids(untraceable), "ids_absent": first_ids(absent)}
    if blobs is not None and blobs.total:
        metadata |= {
            "blobs": blobs.total,
            "blobs_looked_at": blobs.checked,
            "blobs_missing": len(blobs.missing),
        }
        sentences.append(f"{len(blobs.missing)} of the {blobs.checked} blobs checked (of {blobs.total}) are missing")
        if blobs.missing:
            metadata["ids_without_bytes"] = first_ids(blobs.missing)
    passed = not untraceable and not (blobs is not None and blobs.missing)
    return CheckResult(passed=passed, description="; ".join(sentences), metadata=metadata)


def sample_ids(ids: Collection[str], limit: int = MAX_SAMPLED_BLOBS) -> list[str]:
    """The first ids in sorted order: they are hashes or the source's own, and every run samples the same."""
    return sorted(ids)[:limit]
