"""Check ``bytes_stored``: pointers of events against the blobs in the store. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from quality.checks.result import CheckResult, first_ids
from quality.rows import Row


def check_bytes_stored(rows: Sequence[Row], sizes: Mapping[str, int]) -> CheckResult:
    """Fails when an event's blob is missing or has another size than its pointer.

    Args:
        rows: raw rows with a pointer, ``blob_sha256`` and ``blob_size``.
        sizes: bytes of each stored blob, by SHA-256.
    """
    missing = [str(row["event_id"]) for row in rows if row["blob_sha256"] not in sizes]
    other_size = [
        str(row["event_id"]) for row in rows if sizes.get(row["blob_sha256"], row["blob_size"]) != row["blob_size"]
    ]
    stored = {row["blob_sha256"] for row in rows} & set(sizes)
    description = "every event has its bytes"
    if missing or other_size:
        description = f"of {len(rows)} events {len(missing)} lack their bytes, and {len(other_size)} have other bytes"
    return CheckResult(
        passed=not missing and not other_size,
        description=description if rows else "no event of this hour has bytes",
        metadata={
            "events": len(rows),
            "blobs": len(stored),
            "bytes": sum(sizes[sha256] for sha256 in stored),
            "missing": len(missing),
            "of_another_size": len(other_size),
            "ids": first_ids([*missing, *other_size]),
        },
    )
