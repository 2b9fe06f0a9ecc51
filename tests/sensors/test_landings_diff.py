"""Reported landings and the cursor after them: the pure half of the ``landings`` sensor."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

from resources.iceberg_commits import TableCommit, TableCommits
from sensors.landings_diff import MAX_OLD_HOURS, LandingsCursor, diff_landings

NINE = datetime(2026, 3, 1, 9, tzinfo=UTC)


def hour(number):
    return NINE + timedelta(hours=number)


def commit(sequence, rows, watermark=None):
    committed = NINE + timedelta(seconds=sequence)
    return TableCommit(100 + sequence, sequence, committed, rows, watermark or max(rows) + timedelta(minutes=5))


def log(*commits, uuid="u", sequence=None):
    return TableCommits(uuid, sequence or max((each.sequence for each in commits), default=0), commits)


def test_several_commits_of_a_tick_are_one_landing():
    found, _ = diff_landings({"messages": log(commit(1, {NINE: 3}), commit(2, {NINE: 4}))}, LandingsCursor())
    assert [(each.table, each.hour, each.rows, each.snapshot_id) for each in found] == [("messages", NINE, 7, 102)]


def test_the_newest_hour_is_reported_at_once_however_much_history_waits():
    history = {hour(-number): 1 for number in range(1, 8_761)}
    found, cursor = diff_landings({"messages": log(commit(1, history | {NINE: 1}))}, LandingsCursor())
    assert found[-1].hour == NINE, "Dagster shows the last reported hour as the latest"
    assert len(found) == MAX_OLD_HOURS + 1
    assert {each.waiting for each in found} == {8_760 - MAX_OLD_HOURS}
    found, _ = diff_landings({"messages": log(commit(2, {NINE: 5}))}, cursor)
    assert (found[-1].hour, found[-1].rows) == (NINE, 5)


def test_every_hour_of_an_import_has_its_turn_while_the_live_hour_goes_on():
    cursor = LandingsCursor()
    reported = []
    history = {hour(-number): 2 for number in range(1, 2 * MAX_OLD_HOURS + 2)}
    for tick in range(1, 5):
        rows = history | {NINE: 1} if tick == 1 else {NINE: 1}
        found, cursor = diff_landings({"messages": log(commit(tick, rows))}, cursor)
        reported += [(each.hour, each.rows) for each in found]
    assert {each for each, _ in reported} == {*history, NINE}
    assert sum(rows for _, rows in reported) == 2 * len(history) + 4
    assert cursor.tables["messages"].pending == {}


def test_rows_of_an_hour_that_waits_are_reported_with_it():
    history = {hour(-number): 1 for number in range(1, MAX_OLD_HOURS + 3)}
    _, cursor = diff_landings({"messages": log(commit(1, history))}, LandingsCursor())
    found, _ = diff_landings({"messages": log(commit(2, {hour(-2): 5}))}, cursor)
    assert [(each.hour, each.rows) for each in found] == [(hour(-2), 6)]


def test_each_table_reports_its_own_hours():
    logs = {"messages": log(commit(1, {hour(0): 1, hour(1): 1})), "passages": log(commit(1, {NINE: 3}))}
    found, _ = diff_landings(logs, LandingsCursor())
    assert [(each.table, each.hour) for each in found] == [
        ("messages", hour(0)),
        ("messages", hour(1)),
        ("passages", NINE),
    ]


def test_the_cursor_of_a_year_of_history_is_short():
    history = {hour(-number): 1_000 for number in range(8_760)}
    sizes = dict.fromkeys(history, 987_654)
    _, cursor = diff_landings({"messages": log(replace(commit(1, history), sizes=sizes))}, LandingsCursor())
    assert len(cursor.model_dump_json()) < 230_000


def test_hours_before_1970_are_reported_as_what_they_are():
    early = datetime(1969, 12, 31, 23, tzinfo=UTC)
    found, _ = diff_landings({"messages": log(commit(1, {early: 1}))}, LandingsCursor())
    assert found[0].hour == early


def test_nothing_new_is_nothing_to_report():
    _, cursor = diff_landings({"messages": log(commit(1, {NINE: 1}))}, LandingsCursor())
    found, after = diff_landings({"messages": log(sequence=1)}, cursor)
    assert (found, after) == ([], cursor)


def test_the_cursor_survives_a_restart():
    history = {hour(-number): number for number in range(1, MAX_OLD_HOURS + 3)}
    _, cursor = diff_landings({"messages": log(commit(4, history | {NINE: 1}))}, LandingsCursor())
    again = LandingsCursor.parse(cursor.model_dump_json())
    assert again == cursor
    assert again.read_sequence("messages") == {"u": 4}
    found, after = diff_landings({"messages": log(sequence=4)}, again)
    assert [(each.hour, each.rows, each.snapshot_id) for each in found] == [(hour(-2), 2, 104), (hour(-1), 1, 104)]
    assert diff_landings({"messages": log(sequence=4)}, after) == ([], after)


def test_an_unread_table_keeps_its_position():
    _, cursor = diff_landings({"messages": log(commit(4, {NINE: 1}))}, LandingsCursor())
    _, after = diff_landings({}, cursor)
    assert after.read_sequence("messages") == {"u": 4}


def test_a_new_table_of_an_old_name_is_read_from_its_start():
    _, cursor = diff_landings({"messages": log(commit(40, {hour(5): 1}))}, LandingsCursor())
    found, after = diff_landings({"messages": log(commit(1, {hour(0): 2}), uuid="other")}, cursor)
    assert [(each.hour, each.rows) for each in found] == [(hour(0), 2)]
    assert after.read_sequence("messages") == {"other": 1}


def test_the_watermark_never_goes_back():
    _, cursor = diff_landings({"messages": log(commit(1, {hour(5): 1}))}, LandingsCursor())
    found, _ = diff_landings({"messages": log(commit(2, {hour(0): 1}))}, cursor)
    assert found[0].watermark == hour(5) + timedelta(minutes=5)


def test_a_cursor_of_another_version_starts_again():
    assert LandingsCursor.parse('{"version": 1, "tables": {}}') == LandingsCursor()
    assert LandingsCursor.parse('{"version": 2, "unknown": true}') == LandingsCursor()
    assert LandingsCursor.parse("no json") == LandingsCursor()
    assert LandingsCursor.parse(None) == LandingsCursor()


def test_replaced_rows_and_bytes_are_summed_apart_from_new_ones():
    first = replace(commit(1, {NINE: 3}), sizes={NINE: 700}, files={NINE: ("a",)})
    second = replace(commit(2, {NINE: 0}), replaced={NINE: 2}, sizes={NINE: 300}, files={NINE: ("b",)})
    ((found,), _) = diff_landings({"messages": log(first, second)}, LandingsCursor())
    assert (found.rows, found.replaced, found.size) == (3, 2, 1000)
    assert found.files == ("b", "a"), "the newest come first: there may be too many to read"


def test_what_waited_over_a_tick_keeps_its_counts_and_no_files():
    history = {hour(-number): 1 for number in range(1, MAX_OLD_HOURS + 2)} | {NINE: 1}
    late = replace(commit(1, history), sizes={hour(-1): 77}, files={hour(-1): ("a",)})
    _, cursor = diff_landings({"messages": log(late)}, LandingsCursor())
    cursor = LandingsCursor.parse(cursor.model_dump_json())
    ((found,), _) = diff_landings({"messages": log(sequence=1)}, cursor)
    assert (found.hour, found.size, found.files) == (hour(-1), 77, ())


def test_a_cursor_that_counted_rows_alone_goes_on():
    place = '{"table_uuid":"u","sequence":4,"newest":{"snapshot_id":9,"committed_at":"2026-03-01T09:00:00Z"},'
    cursor = LandingsCursor.parse(f'{{"version":2,"tables":{{"messages":{place}"pending":{{"492321":6}}}}}}}}')
    ((found,), _) = diff_landings({"messages": log(sequence=4)}, cursor)
    assert (found.hour, found.rows, found.replaced) == (datetime(2026, 3, 1, 9, tzinfo=UTC), 6, 0)
