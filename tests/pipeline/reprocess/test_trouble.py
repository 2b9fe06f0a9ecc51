"""Bad days of a reprocessing run: ended half-way, two at once, a locked catalog, a clock that is put back, damage."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

import pytest
import sqlalchemy as sa

from mmplatform.derive.chat import ChatDeriver
from mmplatform.errors import Unavailable
from mmplatform.kafka.topics import ensure_topics
from mmplatform.land.file_lock import file_lock
from mmplatform.memo import MemoryMemo
from mmplatform.pipeline.reprocess.reprocess import reprocess
from mmplatform.settings import load
from tests.builders import NOW, chat
from tests.pipeline.paused_run import POINTS, THERE, Loud, chats, parts_of, published_folder
from tests.pipeline.stream import Published, Stream
from tests.servers.broker import embedded_broker

HOUR = timedelta(hours=1)
ENDS = dict(zip(POINTS, (signal.SIGINT, signal.SIGKILL, signal.SIGTERM, signal.SIGKILL, signal.SIGKILL), strict=True))
LONG = " ".join(f"parcel number {n} has not come, although it was promised for monday." for n in range(40))


def events_of(hour, count=3):
    moments = {"event_time": hour + timedelta(minutes=1), "ingested_at": hour + timedelta(minutes=2)}
    name = f"{hour:%m%d%H}"
    return [chat(f"{name}-{n}", text=f"{n}: {LONG}", conversation_id=name, **moments) for n in range(count)]


@pytest.fixture
def stream(lakehouse, dual_write_index):
    return Stream(lakehouse, dual_write_index)


def run(settings, hour=NOW, kind=Loud, *, change_log=None, **how):
    parts = parts_of(settings, chats(kind), change_log)
    try:
        return reprocess("messages", hour, parts, **how)
    finally:
        parts.index.close()


def texts(lakehouse, table, hour):
    """As they lie there, doubled ones too."""
    from mmplatform.land.lakehouse.arrow import hour_filter

    scan = lakehouse.table(table).scan(row_filter=hour_filter(hour), selected_fields=("artifact_id", "text"))
    return sorted((row["artifact_id"], row["text"]) for row in scan.to_arrow().to_pylist())


def indexed(index, hour):
    return sorted((each, text) for each, text, _ in index.rows(modality="chat", since=hour, until=hour + HOUR))


def voice(rows):
    """``new`` where all of them shout, ``old`` where none does."""
    loud = {text == text.upper() for _, text in rows}
    return {frozenset({True}): "new", frozenset({False}): "old"}.get(frozenset(loud), "mixed")


FOUND = {
    "derived": ("old", "old", "old"),
    "published": ("old", "old", "old"),
    "messages": ("new", "old", "old"),
    "tables": ("new", "new", "old"),
    "writing": ("old", "old", "old"),
}


@pytest.mark.slow
def test_a_run_that_is_ended_at_any_point_leaves_each_table_old_or_new_and_is_completed(
    settings, stream, lakehouse, index
):
    """By the next run, or by those who read on the log what it had published."""
    hours = {point: NOW + HOUR * number for number, point in enumerate(POINTS)}
    for hour in hours.values():
        stream.send(events_of(hour), chats())
    sizes = {hour: len(texts(lakehouse, "passages", hour)) for hour in hours.values()}
    # The one that stands still as it writes holds the others up: it is the last.
    first = [_start(settings, hours[point], point) for point in POINTS[:-1]]
    for child in first:
        _wait(child)
    last = _start(settings, hours[POINTS[-1]], POINTS[-1])
    _wait(last)
    for child, point in zip((*first, last), POINTS, strict=True):
        child.send_signal(ENDS[point])
        assert child.wait(30) != 0
        child.stdout.close()
        child.stderr.close()
    assert {point: voices(lakehouse, index, hour) for point, hour in hours.items()} == FOUND
    for point, hour in hours.items():
        outcomes = list(Published.read(published_folder(settings, hour)))
        assert len(outcomes) == (point != "derived")
        if outcomes and point != "published":  # half of the points each way
            for outcome in outcomes:
                stream.publish(outcome)
            assert voices(lakehouse, index, hour) == ("new", "new", "new")
            assert run(settings, hour, change_log=stream).changed is False
        else:
            assert run(settings, hour, change_log=stream).changed
            assert voices(lakehouse, index, hour) == ("new", "new", "new")
            before = texts(lakehouse, "passages", hour), indexed(index, hour)
            for outcome in outcomes:  # what the ended run had published comes late
                stream.publish(outcome)
            assert (texts(lakehouse, "passages", hour), indexed(index, hour)) == before
        assert len(texts(lakehouse, "messages", hour)) == 3
        assert texts(lakehouse, "passages", hour) == indexed(index, hour)
        assert len(indexed(index, hour)) == sizes[hour]
        assert run(settings, hour, change_log=stream).changed is False


def voices(lakehouse, index, hour):
    return (
        voice(texts(lakehouse, "messages", hour)),
        voice(texts(lakehouse, "passages", hour)),
        voice(indexed(index, hour)),
    )


def _start(settings, hour, point):
    command = (sys.executable, "-m", "tests.pipeline.paused_run", str(settings.data_dir), settings.chroma_url)
    return subprocess.Popen(
        [*command, hour.isoformat(), point], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def _wait(child):
    assert any(THERE in line for line in child.stdout), child.stderr.read()[-2000:]


@pytest.mark.slow
@pytest.mark.models
@pytest.mark.broker
def test_two_runs_on_one_hour_at_once_both_end_and_come_to_what_one_does(
    settings, stream, lakehouse, index, embedder, redactor, tmp_path
):
    from mmplatform.land.lakehouse.arrow import hour_filter

    stream.send(events_of(NOW), ChatDeriver(embedder, redactor, MemoryMemo()))
    before = texts(lakehouse, "passages", NOW)
    for table in ("messages", "passages"):
        lakehouse.table(table).delete(hour_filter(NOW))
    index.delete(list(index.ids()))
    command = [sys.executable, "-m", "mmplatform", "reprocess", "messages", "2026-08-01-10:00"]
    where = {"MMPLATFORM_DATA_DIR": str(settings.data_dir), "MMPLATFORM_CHROMA_URL": settings.chroma_url}
    children, outputs = [], [tmp_path / "first.out", tmp_path / "second.out"]
    with embedded_broker(tmp_path / "broker") as address:
        where |= {"MMPLATFORM_KAFKA_BOOTSTRAP_SERVERS": address}
        ensure_topics(settings.model_copy(update={"kafka_bootstrap_servers": address}))
        with (tmp_path / "index.out").open("wb") as out:
            indexer = subprocess.Popen(
                [sys.executable, "-m", "mmplatform.worker", "index"], env=os.environ | where, stdout=out, stderr=out
            )
        for output in outputs:
            with output.open("wb") as out:
                children.append(subprocess.Popen(command, env=os.environ | where, stdout=out, stderr=out))
        codes = [child.wait(150) for child in children]
        indexer.terminate()
        indexer.wait(30)
    outputs_text = [output.read_text() for output in outputs]
    assert codes == [0, 0], outputs_text
    # The first run derived all of it, and the second found nothing to do.
    assert len([text for text in outputs_text if "index: 0 upserted, 0 deleted" in text]) == 1, outputs_text
    assert texts(lakehouse, "passages", NOW) == indexed(index, NOW) == before
    assert len(texts(lakehouse, "messages", NOW)) == 3


def test_a_run_waits_for_another_one_on_its_hour_and_not_for_one_on_the_next(settings, stream, lakehouse):
    from mmplatform.pipeline.reprocess.hour_lock import lock_hour

    stream.send(events_of(NOW), chats())
    script = (
        "import sys, time\nfrom datetime import datetime\nfrom pathlib import Path\n"
        "from mmplatform.pipeline.reprocess.hour_lock import lock_hour\n"
        "with lock_hour(Path(sys.argv[1]), 'messages', datetime.fromisoformat(sys.argv[2])):\n"
        "    print('there', flush=True)\n    sys.stdin.read()\n"
    )
    folder = settings.data_dir / "run" / "reprocess"
    with subprocess.Popen(
        [sys.executable, "-c", script, str(folder), NOW.isoformat()],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as child:
        _wait(child)
        with lock_hour(folder, "messages", NOW + HOUR):  # free at once
            pass
        done = threading.Thread(target=run, args=(settings,))
        done.start()
        done.join(1.5)
        assert done.is_alive()
        assert voice(texts(lakehouse, "messages", NOW)) == "old"
        child.stdin.close()
        done.join(60)
    assert voice(texts(lakehouse, "messages", NOW)) == "new"


def test_a_lock_that_cannot_be_opened_is_an_error_with_its_path(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(Unavailable, match=r"file/x\.lock"), file_lock(tmp_path / "file" / "x.lock"):
        pytest.fail("held")


def test_a_catalog_that_is_locked_for_a_while_is_waited_for(settings, stream, lakehouse, index):
    stream.send(events_of(NOW), chats())
    asked, order = threading.Event(), []

    def free():
        assert asked.wait(60)
        time.sleep(0.5)  # a catalog that is not locked would answer meanwhile
        order.append("freed")
        locked.rollback()

    with _locked(settings) as locked, _listening(asked.set, lambda: order.append("answered")):
        freeing = threading.Thread(target=free)
        freeing.start()
        assert run(settings, change_log=stream).changed
        freeing.join()
    assert order[:2] == ["freed", "answered"]
    assert texts(lakehouse, "passages", NOW) == indexed(index, NOW)


def test_a_catalog_that_stays_locked_ends_the_run_with_nothing_written(settings, stream, lakehouse, index):
    stream.send(events_of(NOW), chats())
    before = texts(lakehouse, "messages", NOW), indexed(index, NOW)
    catalog = f"sqlite:///{settings.data_dir / 'lakehouse' / 'catalog.sqlite'}?timeout=0.5"
    hasty = load(data_dir=settings.data_dir, chroma_url=settings.chroma_url, iceberg_catalog=catalog)
    with _Locking(settings) as locking, pytest.raises(Unavailable, match="catalog"):
        run(hasty, progress=locking.take)
    assert (texts(lakehouse, "messages", NOW), indexed(index, NOW)) == before
    assert run(hasty, change_log=stream).changed
    assert voice(texts(lakehouse, "messages", NOW)) == voice(indexed(index, NOW)) == "new"


class _Locking:
    """The catalog's file, locked by another process from a moment on."""

    def __init__(self, settings):
        self._path = settings.data_dir / "lakehouse" / "catalog.sqlite"
        self._db = None

    def take(self, *_):
        self._db = sqlite3.connect(self._path, isolation_level=None, check_same_thread=False)
        self._db.execute("BEGIN EXCLUSIVE")

    def rollback(self):
        self._db.rollback()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._db.close()


def _locked(settings):
    locking = _Locking(settings)
    locking.take()
    return locking


@contextmanager
def _listening(asked, answered):
    """Hears of each statement that is sent to a catalog, and of each that is answered."""
    heard = {"before_cursor_execute": lambda *_: asked(), "after_cursor_execute": lambda *_: answered()}
    for name, tell in heard.items():
        sa.event.listen(sa.Engine, name, tell)
    try:
        yield
    finally:
        for name, tell in heard.items():
            sa.event.remove(sa.Engine, name, tell)


@pytest.mark.parametrize("day", [datetime(2026, 3, 29, tzinfo=UTC), datetime(2026, 10, 25, tzinfo=UTC)])
def test_an_hour_is_the_same_one_where_the_clocks_are_changed(settings, stream, lakehouse, index, monkeypatch, day):
    """In Berlin there was no 02:30 in the first night, and two in the other: hours of UTC know nothing of it."""
    from mmplatform.pipeline.reprocess.reprocess import parse_hour

    hours = [day + HOUR * number for number in range(4)]
    monkeypatch.setenv("TZ", "Europe/Berlin")
    time.tzset()
    try:
        for hour in hours:
            stream.send(events_of(hour, 2), chats())
        for done, hour in enumerate(hours, start=1):
            summary = run(settings, parse_hour(f"{hour:%Y-%m-%d-%H:%M}"), change_log=stream)
            assert (summary.read, summary.tables["messages"].replaced) == (2, 2)
            voices = [voice(texts(lakehouse, "messages", each)) for each in hours]
            assert voices == ["new"] * done + ["old"] * (len(hours) - done)
            assert [voice(indexed(index, each)) for each in hours] == voices
    finally:
        monkeypatch.undo()
        time.tzset()


def test_a_raw_row_whose_record_is_damaged_is_quarantined_by_name_and_the_others_land(
    settings, stream, lakehouse, index
):
    good, bad, _ = events_of(NOW)
    stream.send(events_of(NOW), chats())
    [row] = [row for row in lakehouse.scan("raw_chats", hour=NOW).to_pylist() if row["event_id"] == bad.event_id]
    from pyiceberg.expressions import EqualTo

    from mmplatform.land.lakehouse.arrow import rows_to_arrow

    raw = lakehouse.table("raw_chats")
    raw.delete(EqualTo("event_id", bad.event_id))
    raw.append(rows_to_arrow(raw, [row | {"record": row["record"][:40]}]))
    before = texts(lakehouse, "messages", NOW)
    summary = run(settings, change_log=stream)
    assert summary.lost == (bad.event_id,)
    assert (summary.tables["messages"].replaced, summary.tables["messages"].left) == (2, 1)
    assert len(texts(lakehouse, "messages", NOW)) == len(before)
    quarantined = lakehouse.scan("quarantine", hour=NOW).to_pylist()
    assert [(each["event_id"], each["contract"]) for each in quarantined] == [(bad.event_id, "raw_chats")]
    assert good.text not in str(quarantined)
    assert run(settings, change_log=stream).changed is False
    assert {each for each, _ in indexed(index, NOW)} == {each for each, _ in texts(lakehouse, "passages", NOW)}


def test_an_indexer_that_is_behind_is_reported_and_completes_what_the_run_published(settings, stream, lakehouse, index):
    stream.send(events_of(NOW), chats())
    published = Published()
    summary = run(settings, change_log=published)
    assert (summary.indexed, summary.upserted) == (False, len(indexed(index, NOW)))
    assert voices(lakehouse, index, NOW) == ("new", "new", "old")
    # The next run finds the index behind, and publishes the same once more; its version is higher.
    again = run(settings, change_log=stream)
    assert (again.tables["passages"].replaced, again.upserted) == (0, summary.upserted)
    assert texts(lakehouse, "passages", NOW) == indexed(index, NOW)
    versions = index_versions(index)
    for outcome in published.outcomes:
        stream.publish(outcome)
    assert index_versions(index) == versions


def index_versions(index):
    rows = index.rows(modality="chat", since=NOW, until=NOW + HOUR)
    return {row_id: metadata["version"] for row_id, _, metadata in rows}
