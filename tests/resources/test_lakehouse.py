"""Commits of all tables, read in the time that a sensor has."""

from datetime import UTC, datetime, timedelta

import pytest

from mmplatform.events import Position
from mmplatform.land.lakehouse.store import Lakehouse
from mmplatform.settings import load
from resources.lakehouse import LakehouseResource
from tests.resources.tables import total

NINE = datetime(2026, 3, 1, 9, tzinfo=UTC)
LONG, SHORT = "raw_chats", "raw_screenshots"


class Clock:
    """Each call takes a second."""

    def __init__(self):
        self.now = 0.0

    def __call__(self):
        self.now += 1.0
        return self.now


@pytest.fixture
def resource(tmp_path):
    """A lakehouse with six commits in one table, two in another, none in a third."""
    lakehouse = Lakehouse.open(load(data_dir=tmp_path))
    lakehouse.ensure_tables()
    for table, commits in ((LONG, 6), (SHORT, 2)):
        for number in range(commits):
            row = {"raw_id": f"e{number}", "subject_key": "default/s", "event_time": NINE + timedelta(hours=number)}
            placed = Position(topic="t", topic_partition=0, offset=number), row
            lakehouse.append(table, [placed], offsets={("t", 0): number + 1}, source="test")
    return LakehouseResource(data_dir=str(tmp_path))


def read(resource, cursor, within_s):
    """One tick's reading; moves the cursor."""
    logs = resource.read_commits(
        {name: cursor.get(name, {}) for name in (LONG, SHORT, "messages")}, within_s=within_s, clock=Clock()
    )
    cursor |= {name: {log.table_uuid: log.sequence} for name, log in logs.items()}
    return logs


def test_a_tick_ends_in_time_with_what_it_has_read(resource):
    logs = read(resource, {}, within_s=3)
    assert {name: len(log.commits) for name, log in logs.items()} == {LONG: 3, SHORT: 2, "messages": 0}


def test_the_next_tick_goes_on_and_in_the_end_every_commit_was_read_once(resource):
    cursor = {}
    ticks = [read(resource, cursor, within_s=2) for _ in range(4)]
    assert [len(logs[LONG].commits) for logs in ticks] == [2, 2, 2, 0]
    assert total(*(logs[LONG] for logs in ticks)) == {NINE + timedelta(hours=number): 1 for number in range(6)}


def test_no_table_waits_for_the_long_history_of_another(resource):
    logs = read(resource, {}, within_s=1)
    assert len(logs[LONG].commits) == len(logs[SHORT].commits) == 1


def test_without_any_time_every_table_advances_by_a_commit(resource):
    cursor = {}
    ticks = [read(resource, cursor, within_s=0) for _ in range(7)]
    assert [len(logs[LONG].commits) for logs in ticks] == [1, 1, 1, 1, 1, 1, 0]
    assert [len(logs[SHORT].commits) for logs in ticks] == [1, 1, 0, 0, 0, 0, 0]


def test_with_time_everything_is_read_at_once(resource):
    logs = read(resource, {}, within_s=1_000)
    assert {name: len(log.commits) for name, log in logs.items()} == {LONG: 6, SHORT: 2, "messages": 0}
