"""A small table with hours as the platform's tables have them, and its log read to the end."""

from collections import Counter

import pyarrow as pa

from resources.iceberg_commits import CommitReader

FIELDS = pa.schema([pa.field("event_hour", pa.int32()), pa.field("event_time", pa.timestamp("us", "UTC"))])


def rows_of(*times):
    rows = [{"event_hour": int(time.timestamp() // 3600), "event_time": time} for time in times]
    return pa.Table.from_pylist(rows, schema=FIELDS)


def append(table, *times):
    table.append(rows_of(*times))


def read_log(table, after=None):
    """The commits after a position; all without one."""
    reader = CommitReader(table, {after.table_uuid: after.sequence} if after else {})
    while reader.step():
        pass
    return reader.result()


def total(*logs):
    """Rows by hour."""
    return sum((Counter(commit.rows) for log in logs for commit in log.commits), Counter())
