"""Whether the bytes that events point to are in the blob store. Pure: pointers and sizes go in."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from quality.checks.verdict import Verdict, named


def stored(rows: Sequence[Mapping[str, Any]], sizes: Mapping[str, int]) -> Verdict:
    """Whether every event's bytes are there, all of them.

    Args:
        rows: raw rows with a pointer, ``blob_sha256`` and ``blob_size``.
        sizes: what the store holds, in bytes, by SHA-256.
    """
    missing = [str(row["event_id"]) for row in rows if row["blob_sha256"] not in sizes]
    other = [
        str(row["event_id"]) for row in rows if sizes.get(row["blob_sha256"], row["blob_size"]) != row["blob_size"]
    ]
    held = {row["blob_sha256"] for row in rows} & set(sizes)
    words = "every event has its bytes"
    if missing or other:
        words = (
            f"of {len(rows)} events {len(missing)} lack their bytes, and {len(other)} have other bytes in their place"
        )
    return Verdict(
        holds=not missing and not other,
        words=words if rows else "no event of this hour has bytes",
        figures={
            "events": len(rows),
            "blobs": len(held),
            "bytes": sum(sizes[sha256] for sha256 in held),
            "missing": len(missing),
            "of_another_size": len(other),
            "ids": named([*missing, *other]),
        },
    )
