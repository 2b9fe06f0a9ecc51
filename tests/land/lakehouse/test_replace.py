"""Replacement of rows, while another writer writes the same hour."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest

from mmplatform.errors import Rejected
from mmplatform.land.lakehouse.replace import Replacement
from mmplatform.land.lakehouse.row_codec import record_to_row
from mmplatform.land.lakehouse.store import Lakehouse
from tests.builders import NOW, chat, message, position

GROUP = "archive"


def row(number, text="said", offset=None, run=0, **when):
    """A row of the event ``number``; ``run``: the derivation of the run that wrote it."""
    place = position(number if offset is None else offset)
    made = message(chat(number, text=text, **when), place)
    provenance = made.provenance.model_copy(update={"derivation": run})
    return place, record_to_row(made.model_copy(update={"provenance": provenance}), place)[1]


def reads(*numbers):
    """The versions that the stream wrote, as a run read them."""
    return {row(n)[1]["artifact_id"]: row(n)[1]["version"] for n in numbers}


def land(lakehouse, *rows):
    end = {("interactions.chat", 0): max(place.offset for place, _ in rows) + 1}
    return lakehouse.append("messages", list(rows), offsets=end, source=GROUP)


def instead(*rows, gone=(), read=None):
    known = reads(*(int(each["event_ids"][0].removeprefix("chat-")) for _, each in rows)) if read is None else read
    return Replacement(NOW, [each for _, each in rows], [each["artifact_id"] for _, each in gone], known)


def texts(lakehouse):
    rows = lakehouse.table("messages").scan().to_arrow().to_pylist()
    return sorted((each["event_ids"][0], each["text"]) for each in rows)


def test_one_commit_replaces_deletes_and_adds(lakehouse):
    land(lakehouse, row(0), row(1), row(2))
    read = reads(0, 1)
    versions = len(lakehouse.table("messages").metadata.metadata_log)
    done = lakehouse.replace(
        "messages", instead(row(0, "new", run=1), row(3, "added", run=1), gone=[row(1)], read=read)
    )
    assert texts(lakehouse) == [("chat-0", "new"), ("chat-2", "said"), ("chat-3", "added")]
    assert (len(done.written), len(done.deleted), done.overtaken) == (2, 1, frozenset())
    assert len(lakehouse.table("messages").metadata.metadata_log) == versions + 1
    assert lakehouse.landed_offsets("messages", GROUP) == {("interactions.chat", 0): 3}


def test_nothing_to_change_is_no_commit(lakehouse):
    land(lakehouse, row(0))
    before = lakehouse.table("messages").metadata.current_snapshot_id
    assert lakehouse.replace("messages", instead()).snapshot_id is None
    assert lakehouse.table("messages").metadata.current_snapshot_id == before


def test_a_row_that_is_not_as_it_was_read_is_left_and_named(lakehouse):
    land(lakehouse, row(0), row(1), row(2))
    land(lakehouse, row(0, "the stream's", offset=9))
    lakehouse.delete_through("messages", {row(1)[1]["artifact_id"]: row(1, offset=50)[1]["version"]})
    land(lakehouse, row(3, "new of the stream", offset=10))
    mine = (row(n, "mine", run=1) for n in range(4))
    done = lakehouse.replace("messages", instead(*mine, read=reads(0, 1, 2)))
    assert texts(lakehouse) == [("chat-0", "the stream's"), ("chat-2", "mine"), ("chat-3", "new of the stream")]
    assert done.overtaken == {row(n)[1]["artifact_id"] for n in (0, 1, 3)}


def test_other_hours_are_not_touched(lakehouse):
    later = {"event_time": NOW + timedelta(hours=1)}
    land(lakehouse, row(0, **later))
    done = lakehouse.replace("messages", instead(gone=[row(0)], read=reads(0)))
    assert (texts(lakehouse), done.snapshot_id) == ([("chat-0", "said")], None)


def test_a_row_that_fits_no_column_changes_nothing(lakehouse):
    land(lakehouse, row(0))
    place, bad = row(0, run=1)
    with pytest.raises(Rejected, match="does not fit the columns of messages"):
        lakehouse.replace("messages", instead((place, bad | {"schema_version": 2**80})))
    assert texts(lakehouse) == [("chat-0", "said")]


def test_a_run_and_an_archiver_at_the_same_hour_lose_nothing_of_each_other(settings, lakehouse):
    land(lakehouse, *(row(n) for n in range(6)))
    other = Lakehouse.open(settings)
    with ThreadPoolExecutor(2) as pool:
        streaming = pool.submit(lambda: [land(lakehouse, row(n)) for n in range(6, 16)])
        running = pool.submit(lambda: [other.replace("messages", instead(row(n, "mine", run=1))) for n in range(6)])
        streaming.result()
        running.result()
    assert dict(texts(lakehouse)) == {f"chat-{n}": "mine" if n < 6 else "said" for n in range(16)}
    assert len(texts(lakehouse)) == 16
    assert lakehouse.landed_offsets("messages", GROUP) == {("interactions.chat", 0): 16}


def test_a_row_needs_a_higher_version_than_the_one_it_replaces(lakehouse):
    land(lakehouse, row(0, "run", run=5))
    read = {row(0)[1]["artifact_id"]: row(0, run=5)[1]["version"]}
    for run, written in ((4, 0), (6, 1)):
        done = lakehouse.replace("messages", instead(row(0, f"run {run}", run=run), read=read))
        assert (len(done.written), len(done.overtaken)) == (written, 1 - written)
    assert texts(lakehouse) == [("chat-0", "run 6")]


def test_a_change_that_the_archiver_has_landed_from_the_runs_own_records_is_done(lakehouse):
    """A run publishes before it replaces, and the archiver may be faster."""
    land(lakehouse, row(0), row(1))
    mine = row(0, "mine", run=1)
    land(lakehouse, (position(5), mine[1]))
    lakehouse.delete_through("messages", {row(1)[1]["artifact_id"]: row(1, run=1)[1]["version"]})
    done = lakehouse.replace("messages", instead(mine, gone=[row(1)], read=reads(0, 1)))
    assert (len(done.written), len(done.deleted), done.overtaken, done.snapshot_id) == (1, 1, frozenset(), None)
    assert texts(lakehouse) == [("chat-0", "mine")]


def test_a_writer_that_remembers_a_deleted_row_lands_it_again(settings, lakehouse):
    """Without a look at the commits of others it would leave it out as known."""
    land(lakehouse, row(0))
    read = reads(0)
    Lakehouse.open(settings).replace("messages", instead(gone=[row(0)], read=read))
    assert land(lakehouse, row(0, offset=7)) == 1
    assert land(lakehouse, (position(8), row(0, offset=7)[1])) == 0
    assert texts(lakehouse) == [("chat-0", "said")]
