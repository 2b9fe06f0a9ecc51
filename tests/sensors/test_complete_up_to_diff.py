"""Completeness over time, without stores: quiet, broken, caught up, unreadable."""

from datetime import UTC, datetime, timedelta

from quality.checks.complete_up_to import StreamReading
from quality.slas import ASSET_WINDOWS, landing_windows
from sensors.complete_up_to_diff import CompleteUpToCursor, diff_completeness, report_interval

T0 = datetime(2026, 3, 5, 12, tzinfo=UTC)


def seconds(count):
    return T0 + timedelta(seconds=count)


def readings(at, lag=0, waiting_s=0.0, down=()):
    return {asset: StreamReading(at, lag, waiting_s, tuple(down)) for asset in ASSET_WINDOWS}


def run(at, cursor=None, **reading):
    return diff_completeness(readings(at, **reading), cursor or CompleteUpToCursor(), at)


def by_asset(reports):
    return {report.asset: report for report in reports}


def test_a_quiet_stream_is_reported_complete_twice_in_each_window():
    reports, cursor = run(T0)
    assert {report.asset for report in reports} == set(ASSET_WINDOWS)
    assert all(report.complete and report.result.passed and report.up_to == T0 for report in reports)
    reports, cursor = run(seconds(149), cursor)
    assert reports == []
    reports, cursor = run(seconds(150), cursor)
    assert set(by_asset(reports)) == set(ASSET_WINDOWS) - {"quarantine"}, "a month's window needs no report by minutes"
    assert all(report.up_to == seconds(150) for report in reports)


def test_a_quiet_day_never_comes_near_a_window():
    cursor, last = CompleteUpToCursor(), {}
    for tick in range(0, 86_400, 30):
        reports, cursor = run(seconds(tick), cursor)
        last |= dict.fromkeys((report.asset for report in reports if report.complete), tick)
        for asset, window in ASSET_WINDOWS.items():
            assert tick - last[asset] < (window.warn_s or window.fail_s)


def test_waiting_records_are_no_completeness_and_fail_after_the_window():
    _, cursor = run(T0)
    reports, cursor = run(seconds(200), cursor, lag=3, waiting_s=200.0)
    report = by_asset(reports)["messages"]
    assert not report.complete
    assert report.result.passed
    assert "3 records wait, the oldest for 200 s" in report.result.description
    assert report.up_to == T0
    reports, cursor = run(seconds(899), cursor, lag=3, waiting_s=899.0)
    reports, cursor = run(seconds(930), cursor, lag=3, waiting_s=930.0)
    failed = by_asset(reports)["messages"]
    assert not failed.result.passed, "the change is reported in the next tick, whatever the interval"
    reports, _ = run(seconds(960), cursor)
    assert by_asset(reports)["messages"].result.passed
    assert by_asset(reports)["messages"].complete


def test_a_busy_stream_that_keeps_up_passes_without_ever_being_idle():
    cursor = CompleteUpToCursor()
    for tick in range(0, 7200, 30):
        reports, cursor = run(seconds(tick), cursor, lag=40, waiting_s=12.0)
        assert all(report.result.passed and not report.complete for report in reports)


def test_a_service_that_is_not_ready_stops_completeness_with_nothing_waiting():
    _, cursor = run(T0)
    reports, cursor = run(seconds(600), cursor, down=["derive-chat"])
    assert not any(report.complete for report in reports)
    assert "not ready: derive-chat" in by_asset(reports)["raw_chats"].result.description
    reports, _ = run(seconds(901), cursor, down=["derive-chat"])
    assert not by_asset(reports)["raw_chats"].result.passed


def test_an_unreadable_stack_fails_after_the_window_and_says_why():
    _, cursor = run(T0)
    reports, cursor = diff_completeness(
        {}, cursor, seconds(1000), unreadable="cannot be read: Unavailable: no stack runs"
    )
    report = by_asset(reports)["index"]
    assert (report.complete, report.result.passed) == (False, False)
    assert "no stack runs" in report.result.description


def test_nothing_is_claimed_before_the_first_reading():
    reports, cursor = diff_completeness({}, CompleteUpToCursor(), T0, unreadable="cannot be read")
    assert reports == []
    reports, _ = run(T0, cursor, down=["archive"])
    assert reports == []


def test_time_never_goes_back():
    _, cursor = run(seconds(100))
    _, cursor = run(seconds(130), cursor, lag=1, waiting_s=90.0)
    assert cursor.up_to["messages"] == seconds(100)


def test_two_reports_fit_into_each_window():
    for window in ASSET_WINDOWS.values():
        assert report_interval(window) <= timedelta(seconds=(window.warn_s or window.fail_s) / 2)


def test_the_last_complete_time_is_reported_once_when_a_stream_breaks():
    _, cursor = run(T0)
    _, cursor = run(seconds(120), cursor)  # complete, and not due
    materialized, first_red = [], None
    for tick in range(150, 1200, 30):
        reports, cursor = run(seconds(tick), cursor, lag=1, waiting_s=tick - 121.0)
        report = by_asset(reports).get("messages")
        if report and report.complete:
            materialized.append((tick, report.up_to))
        if report and not report.result.passed:
            first_red = first_red or tick
    assert materialized == [(180, seconds(120))], (
        "a window after 180 s is at most a minute after the window of the break"
    )
    assert first_red is not None
    assert 120 + 900 < first_red <= 120 + 900 + 60


def test_records_that_wait_at_one_tick_and_not_at_the_next_are_no_break():
    _, cursor = run(T0)
    count = 0
    for tick in range(30, 3600, 30):
        waiting = {"lag": 1, "waiting_s": 1.0} if tick % 60 else {}
        reports, cursor = run(seconds(tick), cursor, **waiting)
        count += sum(report.complete for report in reports if report.asset == "messages")
    assert count <= 3600 / 120, "no more than the regular reports of a quiet stream"


def test_an_assets_own_window_decides():
    windows = landing_windows("messages=86400, transcripts=60/120")
    _, cursor = diff_completeness(readings(T0), CompleteUpToCursor(), T0, windows)
    reports, _ = diff_completeness(readings(seconds(1000), lag=1, waiting_s=990.0), cursor, seconds(1000), windows)
    outcomes = {report.asset: report.result.passed for report in reports}
    assert outcomes["transcripts"] is False
    assert outcomes.get("messages", True) is True
    assert outcomes["captions"] is False


def test_after_an_outage_of_dagster_an_old_completeness_is_not_reported_as_new():
    _, cursor = run(T0)
    _, cursor = run(seconds(120), cursor)
    reports, cursor = diff_completeness({}, cursor, seconds(3 * 3600), unreadable="cannot be read")
    assert not [report for report in reports if report.complete]
    assert by_asset(reports)["messages"].result.passed is False
