"""What is reported, and how far we are: the pure half of the ``landings`` sensor."""

from datetime import UTC, datetime, timedelta

from resources.commits import Commit, TableLog
from sensors.landed import Cursor, landings

NINE = datetime(2026, 3, 1, 9, tzinfo=UTC)


def hour(number):
    return NINE + timedelta(hours=number)


def commit(sequence, rows, watermark=None):
    committed = NINE + timedelta(seconds=sequence)
    return Commit(100 + sequence, sequence, committed, rows, watermark or max(rows) + timedelta(minutes=5))


def log(*commits, uuid="u", sequence=None):
    return TableLog(uuid, sequence or max((each.sequence for each in commits), default=0), commits)


def test_several_commits_of_a_tick_are_one_landing():
    found, _ = landings({"messages": log(commit(1, {NINE: 3}), commit(2, {NINE: 4}))}, Cursor())
    assert [(each.table, each.hour, each.rows, each.snapshot_id) for each in found] == [("messages", NINE, 7, 102)]


def test_a_tick_reports_at_most_one_landing_for_a_table():
    logs = {"messages": log(commit(1, {hour(0): 1, hour(1): 1, hour(2): 1})), "passages": log(commit(1, {NINE: 1}))}
    found, _ = landings(logs, Cursor())
    assert [each.table for each in found] == ["messages", "passages"]
    assert found[0].waiting == 2


def test_every_hour_of_a_backfill_has_its_turn_while_the_live_hour_goes_on():
    cursor = Cursor()
    reported = []
    for tick in range(1, 8):
        rows = {hour(0): 1, hour(1): 1, hour(2): 1, hour(9): 1} if tick == 1 else {hour(9): 1}
        found, cursor = landings({"messages": log(commit(tick, rows))}, cursor)
        reported += [(each.hour, each.rows) for each in found]
    assert {each for each, _ in reported} == {hour(0), hour(1), hour(2), hour(9)}
    assert sum(rows for _, rows in reported) == 4 + 6


def test_nothing_new_is_nothing_to_report():
    _, cursor = landings({"messages": log(commit(1, {NINE: 1}))}, Cursor())
    found, after = landings({"messages": log(sequence=1)}, cursor)
    assert (found, after) == ([], cursor)


def test_the_cursor_survives_a_restart():
    _, cursor = landings({"messages": log(commit(4, {hour(0): 1, hour(1): 2}))}, Cursor())
    again = Cursor.parse(cursor.model_dump_json())
    assert again == cursor
    assert again.after("messages") == {"u": 4}
    found, _ = landings({"messages": log(sequence=4)}, again)
    assert [(each.hour, each.rows) for each in found] == [(hour(1), 2)]


def test_a_table_that_was_not_read_keeps_its_place():
    _, cursor = landings({"messages": log(commit(4, {NINE: 1}))}, Cursor())
    _, after = landings({}, cursor)
    assert after.after("messages") == {"u": 4}


def test_a_new_table_of_an_old_name_is_read_from_its_beginning():
    _, cursor = landings({"messages": log(commit(40, {hour(5): 1}))}, Cursor())
    found, after = landings({"messages": log(commit(1, {hour(0): 2}), uuid="other")}, cursor)
    assert [(each.hour, each.rows) for each in found] == [(hour(0), 2)]
    assert after.after("messages") == {"other": 1}


def test_the_watermark_never_goes_back():
    _, cursor = landings({"messages": log(commit(1, {hour(5): 1}))}, Cursor())
    found, _ = landings({"messages": log(commit(2, {hour(0): 1}))}, cursor)
    assert found[0].watermark == hour(5) + timedelta(minutes=5)


def test_a_cursor_of_another_version_begins_anew():
    assert Cursor.parse('{"version": 1, "unknown": true}') == Cursor()
    assert Cursor.parse("no json") == Cursor()
    assert Cursor.parse(None) == Cursor()
