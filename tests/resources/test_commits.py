"""Commits are read from a real Iceberg table's metadata."""

from datetime import UTC, datetime, timedelta

import pyarrow as pa
import pytest
from pyiceberg.catalog.sql import SqlCatalog
from pyiceberg.partitioning import PartitionField, PartitionSpec
from pyiceberg.schema import Schema
from pyiceberg.transforms import IdentityTransform
from pyiceberg.types import IntegerType, NestedField, TimestamptzType

from resources import commits
from resources.commits import read_log

NINE = datetime(2026, 3, 1, 9, tzinfo=UTC)
FIELDS = pa.schema([pa.field("event_hour", pa.int32()), pa.field("event_time", pa.timestamp("us", "UTC"))])


@pytest.fixture
def table(tmp_path):
    catalog = SqlCatalog("test", uri=f"sqlite:///{tmp_path}/catalog.db", warehouse=f"file://{tmp_path}")
    catalog.create_namespace("n")
    yield catalog.create_table(
        "n.messages",
        Schema(NestedField(1, "event_hour", IntegerType()), NestedField(2, "event_time", TimestamptzType())),
        partition_spec=PartitionSpec(PartitionField(1, 1000, IdentityTransform(), "event_hour")),
    )
    catalog.close()


def append(table, *times):
    rows = [{"event_hour": int(time.timestamp() // 3600), "event_time": time} for time in times]
    table.append(pa.Table.from_pylist(rows, schema=FIELDS))


def test_a_commit_says_how_many_rows_of_which_hour_and_how_new(table):
    newest = NINE + timedelta(hours=1, minutes=7, microseconds=11)
    append(table, NINE, NINE + timedelta(minutes=59), newest)
    (commit,) = read_log(table, {}).commits
    assert commit.rows == {NINE: 2, NINE + timedelta(hours=1): 1}
    assert commit.watermark == newest
    assert commit.snapshot_id == table.current_snapshot().snapshot_id


def test_only_what_came_after_is_read_and_old_rows_are_not_counted_again(table):
    append(table, NINE)
    before = read_log(table, {})
    append(table, NINE, NINE)
    after = read_log(table, {before.table_uuid: before.sequence})
    assert [commit.rows for commit in after.commits] == [{NINE: 2}]
    assert read_log(table, {after.table_uuid: after.sequence}).commits == ()


def test_a_deletion_is_no_landing_and_is_not_read_twice(table):
    append(table, NINE)
    append(table, NINE + timedelta(hours=3))
    first = read_log(table, {})
    table.delete(f"event_time >= '{(NINE + timedelta(hours=3)).isoformat()}'")
    log = read_log(table, {first.table_uuid: first.sequence})
    assert log.commits == ()
    assert log.sequence > first.sequence


def test_rows_that_a_deletion_writes_anew_did_not_land(table):
    append(table, NINE, NINE + timedelta(minutes=1), NINE + timedelta(minutes=2))
    first = read_log(table, {})
    table.delete(f"event_time == '{NINE.isoformat()}'")
    assert table.scan().to_arrow().num_rows == 2
    assert read_log(table, {first.table_uuid: first.sequence}).commits == ()


def test_hours_before_1970_are_hours_too(table):
    append(table, datetime(1969, 12, 31, 23, 30, tzinfo=UTC))
    (commit,) = read_log(table, {}).commits
    assert commit.rows == {datetime(1969, 12, 31, 23, tzinfo=UTC): 1}


def test_a_long_history_is_read_in_parts(table, monkeypatch):
    monkeypatch.setattr(commits, "MOST_COMMITS", 2)
    for number in range(3):
        append(table, NINE + timedelta(hours=number))
    first = read_log(table, {})
    rest = read_log(table, {first.table_uuid: first.sequence})
    assert [len(first.commits), len(rest.commits)] == [2, 1]
    assert rest.commits[0].rows == {NINE + timedelta(hours=2): 1}
