"""Freshness gaps of rows that just landed, from two columns of their own files.

The stream does not measure this for Dagster, and nothing else is read: a file of the archiver is small, and one costs
about 3 ms on a local disk.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import IO, TYPE_CHECKING, Any, Final, cast

from mmplatform.land.lakehouse.catalog import catalog_errors
from mmplatform.modalities import MODALITIES, QUARANTINE_TABLE, TABLES
from resources.lakehouse import LakehouseResource

if TYPE_CHECKING:
    import numpy as np
    from pyiceberg.io import FileIO

STAMPS: Final[dict[str, str]] = {
    **dict.fromkeys(TABLES, "derived_at"),
    **{spec.raw_table: "ingested_at" for spec in MODALITIES.values()},
    QUARANTINE_TABLE: "quarantined_at",
}
"""The stamp that ends the gap of a table's rows."""

NO_SPEECH: Final[dict[str, tuple[str, str]]] = {
    "raw_calls": ("kind", "call_end"),
    "transcripts": ("status", "gap"),
    QUARANTINE_TABLE: ("kind", "released"),
}
"""Rows that no user waits for: without speech, or released from quarantine; their column and its value."""

MAX_FILES: Final = 64
"""For each table and tick, newest first: two commits of 16 buckets have 32."""

READ_S: Final = 5.0
"""For the files of all tables: a started file is read to its end."""


def measure_freshness_gaps(
    lakehouse: LakehouseResource,
    files: Mapping[str, Sequence[str]],
    *,
    within_s: float = READ_S,
    clock: Callable[[], float] = time.monotonic,
) -> dict[str, np.ndarray[Any, Any]]:
    """Seconds from event to stamp of the rows in some files of each table.

    A file that was compacted and expired meanwhile is skipped; a table without any readable file is left out.

    Raises:
        Unavailable: the catalog or the store does not answer.
        Misconfigured: a setting is wrong.
    """
    import numpy as np

    deadline = clock() + within_s
    opened = lakehouse.open()
    gaps = {}
    for table, paths in files.items():
        measured = []
        with catalog_errors(f"measure the gap of {table}"):
            io = opened.table(table).io
            for path in paths[:MAX_FILES]:
                if clock() >= deadline:
                    break
                try:
                    measured.append(_gap_seconds(io, path, table))
                except FileNotFoundError:
                    continue
        if measured:
            gaps[table] = np.concatenate(measured)
    return gaps


def _gap_seconds(io: FileIO, path: str, table: str) -> np.ndarray[Any, Any]:
    import numpy as np
    import pyarrow.parquet as pq

    stamp, (column, value) = STAMPS[table], NO_SPEECH.get(table, ("", ""))
    with io.new_input(path).open() as stream:
        rows = pq.ParquetFile(cast("IO[Any]", stream)).read(
            columns=["event_time", stamp, *([column] if column else [])]
        )
    gap: np.ndarray[Any, Any] = rows.column(stamp).to_numpy() - rows.column("event_time").to_numpy()
    wanted = ~np.isnat(gap)
    if column:
        wanted &= rows.column(column).to_numpy() != value
    seconds: np.ndarray[Any, Any] = gap[wanted].astype("timedelta64[us]").astype(np.int64) / 1e6
    return seconds
