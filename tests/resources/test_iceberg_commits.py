"""Commits are read from a real Iceberg table's metadata."""

from datetime import UTC, datetime, timedelta

from pyiceberg.table.snapshots import Operation

from resources.iceberg_commits import CommitReader
from tests.resources.tables import append, read_log, rows_of, total

NINE = datetime(2026, 3, 1, 9, tzinfo=UTC)


def test_a_commit_has_rows_by_hour_and_a_watermark(table):
    newest = NINE + timedelta(hours=1, minutes=7, microseconds=11)
    append(table, NINE, NINE + timedelta(minutes=59), newest)
    (commit,) = read_log(table).commits
    assert commit.rows == {NINE: 2, NINE + timedelta(hours=1): 1}
    assert commit.watermark == newest
    assert commit.snapshot_id == table.current_snapshot().snapshot_id


def test_only_what_came_after_is_read_and_old_rows_are_not_counted_again(table):
    append(table, NINE)
    before = read_log(table)
    append(table, NINE, NINE)
    after = read_log(table, before)
    assert [commit.rows for commit in after.commits] == [{NINE: 2}]
    assert read_log(table, after).commits == ()


def test_a_deletion_is_no_landing_and_is_not_read_twice(table):
    append(table, NINE)
    append(table, NINE + timedelta(hours=3))
    first = read_log(table)
    table.delete(f"event_time >= '{(NINE + timedelta(hours=3)).isoformat()}'")
    log = read_log(table, first)
    assert log.commits == ()
    assert log.sequence > first.sequence


def test_rows_that_a_deletion_rewrites_did_not_land(table):
    append(table, NINE, NINE + timedelta(minutes=1), NINE + timedelta(minutes=2))
    first = read_log(table)
    table.delete(f"event_time == '{NINE.isoformat()}'")
    assert table.scan().to_arrow().num_rows == 2
    assert read_log(table, first).commits == ()


def test_a_row_that_is_replaced_in_one_transaction_landed_once(table):
    append(table, NINE, NINE + timedelta(minutes=1))
    first = read_log(table)
    with table.transaction() as transaction:
        transaction.delete(f"event_time == '{NINE.isoformat()}'")
        transaction.append(rows_of(NINE, NINE + timedelta(hours=1)))
    operations = [snapshot.summary.operation for snapshot in table.metadata.snapshots]
    assert operations == [Operation.APPEND, Operation.OVERWRITE, Operation.APPEND]
    log = read_log(table, first)
    assert [commit.rows for commit in log.commits] == [{NINE: 1, NINE + timedelta(hours=1): 1}]
    assert read_log(table, log).commits == ()


def test_a_whole_file_that_is_replaced_in_one_transaction_landed_once(table):
    append(table, NINE)
    first = read_log(table)
    with table.transaction() as transaction:
        transaction.delete(f"event_time == '{NINE.isoformat()}'")
        transaction.append(rows_of(NINE))
    assert table.metadata.snapshots[1].summary.operation == Operation.DELETE
    log = read_log(table, first)
    assert [commit.rows for commit in log.commits] == [{NINE: 1}]


def test_hours_before_1970_are_hours_too(table):
    append(table, datetime(1969, 12, 31, 23, 30, tzinfo=UTC))
    (commit,) = read_log(table).commits
    assert commit.rows == {datetime(1969, 12, 31, 23, tzinfo=UTC): 1}


def test_a_reader_that_stops_is_continued_by_the_next(table):
    for number in range(3):
        append(table, NINE + timedelta(hours=number))
    first = CommitReader(table, {})
    assert first.step()
    assert first.step()
    rest = read_log(table, first.result())
    assert [len(first.result().commits), len(rest.commits)] == [2, 1]
    assert rest.commits[0].rows == {NINE + timedelta(hours=2): 1}


def test_merged_manifests_count_each_commit_once(table):
    with table.transaction() as transaction:
        transaction.set_properties({"commit.manifest-merge.enabled": "true", "commit.manifest.min-count-to-merge": "2"})
    for number in range(4):
        append(table, NINE + timedelta(hours=number))
    assert len(table.current_snapshot().manifests(table.io)) < 4
    assert total(read_log(table)) == {NINE + timedelta(hours=number): 1 for number in range(4)}
