"""Rows of commits whose snapshots have expired are counted all the same, and once."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from resources.iceberg_commits import CommitReader
from tests.resources.tables import append, read_log, rows_of, total

NINE = datetime(2026, 3, 1, 9, tzinfo=UTC)


def hour(number):
    return NINE + timedelta(hours=number)


def is_at(moment):
    return f"event_time == '{moment.isoformat()}'"


def expire(table, *, keep=1):
    """Forget all snapshots but the newest, and the files that only they need."""
    snapshots = table.metadata.snapshots
    table.maintenance.expire_snapshots().by_ids([each.snapshot_id for each in snapshots[:-keep]]).commit()
    retained = {manifest.manifest_path for each in table.metadata.snapshots for manifest in each.manifests(table.io)}
    for expired in snapshots[:-keep]:
        needless = {expired.manifest_list} | (
            {manifest.manifest_path for manifest in expired.manifests(table.io)} - retained
        )
        for path in needless:
            Path(path.removeprefix("file://")).unlink(missing_ok=True)
    assert len(table.metadata.snapshots) == keep


def test_a_new_reader_of_an_old_table_counts_every_row_once(table):
    for number in range(5):
        append(table, hour(number), hour(number))
    expire(table, keep=2)
    log = read_log(table)
    assert total(log) == {hour(number): 2 for number in range(5)}
    assert max(commit.watermark for commit in log.commits) == hour(4)
    assert read_log(table, log).commits == ()


def test_a_reader_that_was_away_counts_only_what_it_has_not_seen(table):
    append(table, hour(0))
    before = read_log(table)
    append(table, hour(0), hour(1))
    append(table, hour(2))
    append(table, hour(3))
    expire(table)
    assert total(read_log(table, before)) == {hour(0): 1, hour(1): 1, hour(2): 1, hour(3): 1}


def test_a_reader_at_the_edge_of_what_is_left_misses_nothing_and_doubles_nothing(table):
    for number in range(3):
        append(table, hour(number))
    before = read_log(table)
    append(table, hour(3))
    expire(table)
    assert total(read_log(table, before)) == {hour(3): 1}


def test_a_retained_deletion_neither_reduces_nor_raises_the_count(table):
    """It rewrote rows of expired commits, and deleted a file: all of them landed before it."""
    append(table, hour(0), hour(0) + timedelta(minutes=1))
    append(table, hour(1))
    table.delete(is_at(hour(0)))
    table.delete(is_at(hour(1)))
    append(table, hour(2))
    expire(table, keep=3)
    assert total(read_log(table)) == {hour(0): 2, hour(1): 1, hour(2): 1}


def test_a_retained_replacement_is_counted_once(table):
    append(table, hour(0), hour(0) + timedelta(minutes=1))
    append(table, hour(1))
    with table.transaction() as transaction:
        transaction.delete(is_at(hour(0)))
        transaction.append(rows_of(hour(0)))
    expire(table, keep=2)
    assert total(read_log(table)) == {hour(0): 3, hour(1): 1}


def test_lost_rows_are_not_invented(table):
    append(table, hour(0))
    append(table, hour(1))
    table.delete(is_at(hour(0)))
    append(table, hour(2))
    expire(table)
    assert total(read_log(table)) == {hour(1): 1, hour(2): 1}


def test_expired_commits_between_retained_snapshots_are_counted(table):
    """A tag retains one old snapshot for ever; the commits after it expired nevertheless."""
    for number in range(4):
        append(table, hour(number))
    first, *between, _ = table.metadata.snapshots
    table.manage_snapshots().create_tag(first.snapshot_id, "kept").commit()
    table.maintenance.expire_snapshots().by_ids([each.snapshot_id for each in between]).commit()
    assert total(read_log(table)) == {hour(number): 1 for number in range(4)}


@pytest.mark.parametrize("merged", [False, True])
def test_a_reader_may_stop_anywhere_in_the_expired_commits(table, merged):
    """Each reader takes one step, as when a tick is short of time; manifests may list files of many commits."""
    if merged:
        with table.transaction() as transaction:
            transaction.set_properties(
                {"commit.manifest-merge.enabled": "true", "commit.manifest.min-count-to-merge": "3"}
            )
    for number in range(8):
        append(table, hour(number), hour(0))
    table.delete(is_at(hour(3)))
    expire(table)
    logs = []
    while (reader := CommitReader(table, {logs[-1].table_uuid: logs[-1].sequence} if logs else {})).step():
        logs.append(reader.result())
        assert len(logs) < 20
    assert total(*logs) == total(read_log(table))
    assert total(*logs) == {hour(0): 9} | {hour(number): 1 for number in range(1, 8)}
    if not merged:
        assert len(logs) > 2
