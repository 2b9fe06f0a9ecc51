"""A loop that goes on through outages logs each of them once, and each other failure."""

from __future__ import annotations

import pytest
import structlog
from structlog.testing import capture_logs

from mmplatform.errors import Unavailable
from mmplatform.telemetry.outage_log import OutageLog

SECRET = "4111-1111-1111-1111"


@pytest.fixture
def outages():
    return OutageLog(structlog.get_logger(), outage="the log is away", failure="it failed", again_in_s=0.5)


def stop(error):
    def step():
        raise error

    return step


def test_an_outage_is_logged_once_and_each_attempt_returns_its_error(outages):
    errors = [Unavailable("no broker"), Unavailable("no broker")]
    with capture_logs() as lines:
        assert [outages.attempt(stop(error)) for error in errors] == errors
    assert lines == [
        {"event": "the log is away", "reason": "no broker", "again_in_s": 0.5, "log_level": "warning"},
    ]


def test_another_reason_is_another_line(outages):
    with capture_logs() as lines:
        for reason in ("no broker", "no leader", "no leader"):
            outages.attempt(stop(Unavailable(reason)))
    assert [line["reason"] for line in lines] == ["no broker", "no leader"]


def end_by_a_step(outages):
    assert outages.attempt(lambda: None) is None


@pytest.mark.parametrize("end", [end_by_a_step, OutageLog.end])
def test_the_same_outage_later_is_logged_again(outages, end):
    with capture_logs() as lines:
        outages.attempt(stop(Unavailable("no broker")))
        end(outages)
        outages.attempt(stop(Unavailable("no broker")))
    assert [line["event"] for line in lines] == ["the log is away"] * 2


def test_each_other_failure_is_logged_without_its_message(outages):
    with capture_logs() as lines:
        for _ in range(2):
            assert isinstance(outages.attempt(stop(ValueError(SECRET))), ValueError)
    assert [(line["event"], line["error"], line["log_level"]) for line in lines] == [
        ("it failed", "ValueError", "error")
    ] * 2
    assert SECRET not in str(lines)
