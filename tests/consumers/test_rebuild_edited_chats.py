"""Edited, deleted and redacted chats after a rebuild of the index and of the lakehouse: row for row as before."""

from __future__ import annotations

from datetime import timedelta

import pytest

from mmplatform.consumers.rebuild_index import IndexRebuild
from mmplatform.consumers.rebuild_lakehouse import rebuild_from_log
from mmplatform.land.lakehouse.store import Lakehouse
from mmplatform.settings import load
from tests.builders import NOW, chat
from tests.consumers.test_one_order import World
from tests.derive.test_chat_fold import change, text
from tests.pipeline.paused_run import chats
from tests.pipeline.stream import MemoryLog
from tests.servers.chroma import running_chroma

LATER = {"event_time": NOW + timedelta(hours=5), "ingested_at": NOW + timedelta(hours=5)}
EVENTS = (
    chat(0, text=text(0, passages=4)),
    chat(1, text="to be deleted"),
    chat(2, text="never changed"),
    chat(3, text="to be redacted"),
    change("edit", "e4", 4, text="came before its message"),
    change("delete", "d5", 5),
    change("edit", "e0", 0, text=text(1, passages=2), **LATER),
    change("delete", "d1", 1, **LATER),
    change("edit", "late", 1, text="an edit behind its deletion", **LATER),
    change("redact", "r3", 3, **LATER),
    chat(4, text="has another text already"),
    chat(5, text="is deleted already"),
    change("edit", "waits", 9, text="its message never comes", **LATER),
    change("edit", "e0b", 0, text="one short text", **LATER),
)
LEFT = ["came before its message", "never changed", "one short text"]


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """Written once: each test leaves the stores as they were."""
    folder = tmp_path_factory.mktemp("edited")
    with running_chroma(folder / "chroma") as chroma:
        made = World(load(data_dir=folder / "data", chroma_url=chroma, models_dir=folder))
        made.stream.send(EVENTS, chats())
        yield made
        made.index.close()


def test_a_lakehouse_of_edited_and_deleted_chats_is_rebuilt_row_for_row(world, tmp_path):
    before = world.rows()
    assert sorted(world.lakehouse.scan("messages", columns=("text",))["text"].to_pylist()) == LEFT
    empty = Lakehouse.open(world.settings.model_copy(update={"data_dir": tmp_path / "again"}))
    rebuild_from_log(world.settings, empty, MemoryLog(world.stream))
    assert world.rows(empty) == before
    assert rebuild_from_log(world.settings, empty, MemoryLog(world.stream)).rows == 0
    assert rebuild_from_log(world.settings, world.lakehouse, MemoryLog(world.stream)).rows == 0
    assert world.rows() == before


@pytest.mark.parametrize("archived", [1.0, 0.5, 0.0])
def test_an_index_of_edited_and_deleted_chats_is_rebuilt_from_the_tables_and_the_log(world, archived):
    before = world.found()
    assert sorted(found for found, _ in before.values()) == LEFT
    world.empty_index()
    assert world.found() == {}
    IndexRebuild(world.settings, world.lakehouse, world.index, MemoryLog(world.stream, archived)).run()
    assert world.found() == before


def test_what_was_deleted_stays_away_when_its_old_outcome_comes_again_after_a_rebuild(world):
    """A deriver that was paused publishes the message as it was, into stores that were both rebuilt."""
    IndexRebuild(world.settings, world.lakehouse, world.index, MemoryLog(world.stream)).run()
    rebuild_from_log(world.settings, world.lakehouse, MemoryLog(world.stream))
    before = world.rows(), world.found()
    artifacts = list(world.stream.log["artifacts"])
    world.restart()
    world.stream.archive(artifacts)
    world.stream.write_index(artifacts[: len(artifacts) // 2])
    assert (world.rows(), world.found()) == before
