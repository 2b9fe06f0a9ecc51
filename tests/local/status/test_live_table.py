from io import StringIO

import pytest
from rich.console import Console

from mmplatform.local.status.freshness_table import format_seconds, freshness_table
from mmplatform.local.status.live_table import ServiceRow, StackSnapshot, render, summary_line
from mmplatform.local.status.worker_status import FreshnessPayload, ProcessUsage, WorkerStatusPayload

STAGES = {"ingest": {"p95": 0.05}, "log": {"p95": 0.2}, "derive": {"p95": 0.5}, "index": {"p95": 0.1}}
CHAT = {"gap": {"count": 4, "p50": 0.123, "p95": 0.7, "p99": 0.9, "max": 1.25}, "stages": STAGES, "slowest": "derive"}
STATUS = WorkerStatusPayload.model_validate(
    {"state": "running", "lag": 12, "rate": 3.25, "freshness": {"chat": CHAT, "call": {}}, "more": 1}
)
PICTURE = StackSnapshot(
    [
        ServiceRow("index", "ready", 2, 4711, ProcessUsage(0.25, 120_000_000), STATUS),
        ServiceRow("derive-call", "crash-loop", 4, None, problem="ended with exit code 1\nMemoryError"),
        ServiceRow("derive-chat", "ready", 0, 4712, status=WorkerStatusPayload(state="loading")),
    ],
    {"gateway": "http://127.0.0.1:8080", "dagster": ""},
    ("12:00:00 index: ready",),
)


def drawn(width: int) -> str:
    console = Console(file=StringIO(), width=width, force_terminal=False)
    console.print(render(PICTURE, width))
    return console.file.getvalue()


def row(text: str, name: str) -> list[str]:
    return next(summary_line for summary_line in text.splitlines() if summary_line.startswith(name)).split()


def test_the_table_shows_state_restarts_usage_lag_and_rate():
    assert row(drawn(120), "index") == ["index", "ready", "2", "4711", "25%", "120", "MB", "12", "3.2"]


def test_under_it_stands_the_gap_of_each_modality_and_the_p95_of_each_stage_with_the_slowest_marked():
    text = drawn(120)
    titles = ["modality", "p50", "p95", "p99", "max", "ingest", "log", "derive", "index"]
    assert row(text, "modality") == titles
    gap, shares = ["123", "ms", "700", "ms", "900", "ms", "1.2", "s"], ["50", "ms", "200", "ms", "500", "ms*", "100"]
    assert row(text, "chat") == ["chat", *gap, *shares, "ms"]
    assert row(text, "call") == ["call", *"––––––––"], "nothing measured is told as such"
    assert "* the slowest" in text


def test_without_a_measurement_there_is_no_table_of_gaps():
    console = Console(file=StringIO(), width=100)
    console.print(render(StackSnapshot([ServiceRow("index", "ready", 0, 1, status=WorkerStatusPayload())], {}), 100))
    assert "modality" not in console.file.getvalue()


def test_a_gap_over_its_budget_is_red():
    def colours(p99: float) -> str:
        console = Console(file=StringIO(), width=100, force_terminal=True, color_system="standard")
        console.print(freshness_table({"chat": FreshnessPayload.model_validate({"gap": {"p50": 0.1, "p99": p99}})}))
        return console.file.getvalue()

    assert ("\x1b[31m" in colours(2.1), "\x1b[31m" in colours(1.9)) == (True, False)


@pytest.mark.parametrize("slow", [0.0123, 119.94, 3_599.0, 86_399.0, 8_639_999.0])
def test_the_table_of_gaps_fits_eighty_columns_however_old_the_events_are(slow):
    quantiles = {"count": 20_000, "p50": slow, "p95": slow, "p99": slow, "max": slow}
    stages = dict.fromkeys(STAGES, quantiles)
    page = {"screenshot": {"gap": quantiles, "stages": stages, "slowest": "index"}}
    status = WorkerStatusPayload.model_validate({"freshness": page})
    console = Console(file=StringIO(), width=80)
    console.print(render(StackSnapshot([ServiceRow("index", "ready", 0, 1, status=status)], {}), 80))
    text = console.file.getvalue()
    assert "…" not in text
    assert row(text, "screenshot") == [
        "screenshot",
        *f"{format_seconds(slow)} ".split() * 7,
        *f"{format_seconds(slow)}*".split(),
    ]


@pytest.mark.parametrize(
    ("value", "told"),
    [
        (0, "0 ms"),
        (0.9994, "999 ms"),
        (0.9996, "1.0 s"),
        (119.94, "119.9 s"),
        (119.96, "2m 00s"),
        (3_599.7, "1h 00m"),
        (7_384, "2h 03m"),
        (86_399.6, "1d 00h"),
        (8_640_000, "100 d"),
        (-2.5, "-2.5 s"),
    ],
)
def test_a_duration_is_rounded_before_it_is_split(value, told):
    assert format_seconds(value) == told


def test_addresses_and_problems_stand_under_the_table():
    text = drawn(120)
    assert "gateway  http://127.0.0.1:8080" in text
    assert "dagster" not in text
    assert "derive-call: ended with exit code 1\nMemoryError" in text
    assert "12:00:00 index: ready" in text


def test_a_workers_own_state_is_shown_with_the_supervisors():
    assert "ready (loading)" in drawn(120)


def test_a_narrow_terminal_omits_the_pid_and_cuts_nothing_off():
    text = drawn(80)
    assert row(text, "index") == ["index", "ready", "2", "25%", "120", "MB", "12", "3.2"]
    assert row(text, "chat") == row(drawn(120), "chat")
    assert "…" not in text


def test_the_summary_line_names_services_that_are_not_ready_and_the_gaps():
    assert summary_line(PICTURE) == (
        "2/3 ready · derive-call: crash-loop · derive-chat: ready (loading) · index lag 12"
        " · chat gap 123 ms / 900 ms · 120 MB"
    )
