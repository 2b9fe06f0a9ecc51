"""A backfill of hours, started as the UI starts it, while chats stream into those very hours and into this one."""

from __future__ import annotations

import itertools
import math
import os
import threading
from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from assets.reprocess import MAX_HOURS_PER_RUN
from mmplatform.artifacts import artifact_id
from mmplatform.events import Position, utc_now
from mmplatform.land.index.store import ChromaIndex
from mmplatform.land.lakehouse.replace import Replacement
from mmplatform.land.lakehouse.row_codec import record_to_row, row_to_artifact
from mmplatform.land.lakehouse.store import Lakehouse
from mmplatform.pipeline.reprocess.reprocess import HOUR_FORMAT
from tests.integration.conftest import running_stack
from tests.integration.dagster_ui import ENDED, DagsterUi
from tests.integration.stack import Stack
from tests.waiting import eventually, eventually_equal

pytestmark = [pytest.mark.stack, pytest.mark.models, pytest.mark.slow, pytest.mark.timeout(2400)]
HOURS = int(os.environ.get("MMPLATFORM_TEST_BACKFILL_HOURS", "4"))
"""More than one run takes; ``make test-backfill`` takes a whole day."""

AN_HOUR = timedelta(hours=1)
MESSAGES_EACH = 4
PATIENCE_S = 300 + 60 * HOURS
PLACE = {"topic", "topic_partition", "log_offset"}
CIRCUMSTANCES = {"taken_at", "derived_at", "seconds", "memo_hit", "record", "version", "logged_at", *PLACE}


class Source(threading.Thread):
    """Chats into each of the hours in turn, every other one into the hour that runs.

    Attributes:
        sent: what was acknowledged: event id → text.
    """

    def __init__(self, stack: Stack, hours: list[datetime]) -> None:
        super().__init__(daemon=True)
        self._client, self._hours, self._stopping = stack.client(), hours, threading.Event()
        self._numbers = itertools.count()
        self.sent: dict[str, str] = {}

    def send(self, event_time: datetime | None) -> None:
        number = next(self._numbers)
        text = f"ticket {number} has not been answered yet"
        accepted = self._client.chat(
            conversation_id=f"backfill-{number % 5}",
            subject_id=f"backfill-{number % 5}",
            role="customer",
            text=text,
            event_id=f"backfill-chat-{number}",
            event_time=event_time,
        )
        self.sent[accepted.event_id] = text

    def run(self) -> None:
        for hour in itertools.cycle(self._hours):
            if self._stopping.wait(0.25):
                return
            for event_time in (hour + timedelta(minutes=31), None):
                self.send(event_time)

    def stop(self) -> None:
        self._stopping.set()
        if self.ident is not None:
            self.join(60)
            assert not self.is_alive()
        self._client.close()


@pytest.fixture(scope="module")
def stack(tmp_path_factory):
    data_dir = tmp_path_factory.mktemp("backfill") / "data"
    arguments = ("--derivers", "call=0,screenshot=0")
    with running_stack(data_dir, arguments=arguments, MMPLATFORM_DAGSTER_PORT="0") as running:
        yield running


@pytest.fixture(scope="module")
def ui(stack):
    found = DagsterUi(stack.run.dagster)
    found.wait_until_loaded()
    return found


@pytest.fixture(scope="module")
def index(stack):
    opened = ChromaIndex.open(stack.addressed)
    yield opened
    opened.close()


@pytest.fixture(scope="module")
def hours():
    """The last ones that are over."""
    this_hour = utc_now().replace(minute=0, second=0, microsecond=0)
    return [this_hour - AN_HOUR * back for back in range(HOURS, 0, -1)]


@pytest.fixture
def source(stack, hours):
    found = Source(stack, hours)
    yield found
    found.stop()


def test_a_backfill_and_the_stream_neither_lose_nor_overwrite_each_others_rows(stack, ui, index, hours, source):
    for hour, minute in itertools.product(hours, range(MESSAGES_EACH)):
        source.send(hour + timedelta(minutes=minute))
    eventually_equal(lambda: _events(stack, "passages"), set(source.sent), PATIENCE_S)
    eventually_equal(lambda: _indexed(index), _stored(stack), PATIENCE_S)
    before = {table: _rows(stack, table) for table in ("messages", "passages")}
    for hour in hours:
        _spoil(stack.lakehouse, index, hour)
    assert all(_rows(stack, table) != rows for table, rows in before.items())
    source.start()
    streamed_before = len(source.sent)
    backfill = ui.backfill("messages", [hour.strftime(HOUR_FORMAT) for hour in hours])
    # Somebody asks for one of these hours by itself, in the middle of it.
    alone = ui.launch("messages", hours[0].strftime(HOUR_FORMAT))
    runs = ui.wait_for_runs(backfill, count=math.ceil(HOURS / MAX_HOURS_PER_RUN), within_s=PATIENCE_S)
    eventually(lambda: ui.status(alone) in ENDED, PATIENCE_S)
    during = len(source.sent) - streamed_before
    source.stop()
    assert {run["status"] for run in (*runs, ui.run(alone))} == {"SUCCESS"}
    _in_sequence([*runs, ui.run(alone)])
    assert during > HOURS
    # What lay there before is, to the row, as the stream made it, and of what came meanwhile nothing is missing.
    for table, rows in before.items():
        eventually_equal(lambda table=table: _events(stack, table), set(source.sent), PATIENCE_S)
        now = _rows(stack, table)
        assert {each: now.get(each) for each in rows} == rows
    # Of the archiver's topics the raw one may be read last.
    eventually_equal(lambda: _events(stack, "raw_chats", "event_id"), set(source.sent), PATIENCE_S)
    assert {row["event_ids"][0]: row["text"] for row in stack.rows("messages")} == source.sent
    for table, column in (("messages", "artifact_id"), ("passages", "artifact_id"), ("raw_chats", "event_id")):
        counts = Counter(row[column] for row in stack.rows(table, None, column))
        assert {each: count for each, count in counts.items() if count > 1} == {}
    eventually_equal(lambda: _indexed(index), _stored(stack), PATIENCE_S)


def test_a_run_that_is_cancelled_in_the_ui_leaves_the_hour_as_it_was_and_shows_as_cancelled(stack, ui, index, hours):
    eventually_equal(lambda: _indexed(index), _stored(stack), PATIENCE_S)
    before, found = _rows(stack, "messages"), _indexed(index)
    run = ui.launch("messages", hours[-1].strftime(HOUR_FORMAT))
    eventually(lambda: any(step["startTime"] for step in ui.run(run)["stepStats"]), PATIENCE_S)
    ui.terminate(run)
    eventually(lambda: ui.status(run) in ENDED, PATIENCE_S)
    assert ui.status(run) == "CANCELED"
    assert (_rows(stack, "messages"), _indexed(index)) == (before, found)


def _events(stack: Stack, table: str, column: str = "event_ids") -> set[str]:
    found = (row[column] for row in stack.rows(table, None, column))
    return {each for value in found for each in ([value] if isinstance(value, str) else value)}


def _rows(stack: Stack, table: str) -> dict[str, dict[str, Any]]:
    return {
        row["artifact_id"]: {name: value for name, value in row.items() if name not in CIRCUMSTANCES}
        for row in stack.rows(table)
    }


def _stored(stack: Stack) -> dict[str, str]:
    return {row["artifact_id"]: row["text"] for row in stack.rows("passages", None, "artifact_id", "text")}


def _indexed(index: ChromaIndex) -> dict[str, str]:
    rows = index.rows(modality="chat", since=datetime(2020, 1, 1, tzinfo=UTC), until=utc_now() + AN_HOUR)
    return {each: text for each, text, _ in rows}


def _spoil(lakehouse: Lakehouse, index: ChromaIndex, hour: datetime) -> None:
    """State left by an older deriver: a missing row, a different row, a passage that is derived no more."""
    for table in ("messages", "passages"):
        rows = sorted(lakehouse.scan(table, hour=hour).to_pylist(), key=lambda row: row["event_time"])
        missing, other = rows[0], rows[1]
        made = row_to_artifact(other)
        provenance = made.provenance.model_copy(update={"deriver_version": "0", "derivation": 1})
        old = made.model_copy(update={"text": "stale", "provenance": provenance})
        written = [_at(old, other)]
        read = {row["artifact_id"]: row["version"] for row in (missing, other)}
        if table == "passages":
            extra = made.model_copy(update={"artifact_id": artifact_id("passage", made.source_artifact_id, 9)})
            written.append(_at(extra, other))
            index.upsert([old, extra], utc_now())
            index.delete([missing["artifact_id"]])
        done = lakehouse.replace(table, Replacement(hour, written, [missing["artifact_id"]], read))
        assert not done.overtaken


def _at(artifact: Any, row: dict[str, Any]) -> dict[str, Any]:
    place = Position(topic=row["topic"], topic_partition=row["topic_partition"], offset=row["log_offset"])
    return record_to_row(artifact, place)[1]


def _in_sequence(runs: list[dict[str, Any]]) -> None:
    spans = sorted(
        (step["startTime"], step["endTime"])
        for run in runs
        for step in run["stepStats"]
        if step["stepKey"].startswith("reprocess_")
    )
    assert len(spans) == len(runs)
    assert all(end <= start for (_, end), (start, _) in itertools.pairwise(spans))
