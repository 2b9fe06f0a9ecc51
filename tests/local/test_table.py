from io import StringIO

from rich.console import Console

from mmplatform.local.statuses import Usage, WorkerStatus
from mmplatform.local.table import Picture, Row, line, render

STATUS = WorkerStatus.model_validate(
    {"state": "running", "lag": 12, "rate": 3.25, "gap": {"chat": {"p50": 0.123, "p99": 0.9}, "call": {}}, "more": 1}
)
PICTURE = Picture(
    [
        Row("index", "ready", 2, 4711, Usage(0.25, 120_000_000), STATUS),
        Row("derive-call", "crash-loop", 4, None, trouble="ended with exit code 1\nMemoryError"),
        Row("derive-chat", "ready", 0, 4712, status=WorkerStatus(state="loading")),
    ],
    {"gateway": "http://127.0.0.1:8080", "dagster": ""},
    ("12:00:00 index: ready",),
)


def drawn(width: int) -> str:
    console = Console(file=StringIO(), width=width, force_terminal=False)
    console.print(render(PICTURE, width))
    return console.file.getvalue()


def test_the_table_shows_state_restarts_usage_lag_rate_and_gap():
    row = next(text for text in drawn(120).splitlines() if text.startswith("index"))
    assert row.split() == ["index", "ready", "2", "4711", "25%", "120", "MB", "12", "3.2", "chat", "0.12", "/", "0.90"]


def test_addresses_and_troubles_stand_under_the_table():
    text = drawn(120)
    assert "gateway  http://127.0.0.1:8080" in text
    assert "dagster" not in text
    assert "derive-call: ended with exit code 1\nMemoryError" in text
    assert "12:00:00 index: ready" in text


def test_a_worker_that_says_more_than_ready_is_quoted():
    assert "ready (loading)" in drawn(120)


def test_a_narrow_terminal_keeps_the_gap_and_cuts_nothing_off():
    text = drawn(80)
    assert "chat 0.12 / 0.90" in text
    assert "…" not in text


def test_the_line_says_what_is_not_ready_and_the_gaps():
    assert line(PICTURE) == (
        "2/3 ready · derive-call: crash-loop · derive-chat: ready (loading) · index lag 12"
        " · index gap chat 0.12 / 0.90 · 120 MB"
    )
