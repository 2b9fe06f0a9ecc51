"""One order of versions: whatever comes in whatever order, and whoever reads it when, all stores end alike."""

from __future__ import annotations

from itertools import permutations

import pytest

from mmplatform.artifacts import ArtifactBase, Retraction
from mmplatform.consumers.rebuild_index import IndexRebuild
from mmplatform.consumers.rebuild_lakehouse import rebuild_from_log
from mmplatform.land.index.embedder_registry import EmbedderRegistry
from mmplatform.land.index.store import ChromaIndex
from mmplatform.land.lakehouse.store import Lakehouse
from mmplatform.modalities import QUARANTINE_TABLE
from mmplatform.pipeline.factories import open_dual_write_index
from mmplatform.pipeline.process import Outcome
from mmplatform.settings import load
from tests.builders import NOW, chat, message, passage, position
from tests.consumers.lost_store import completed_by
from tests.pipeline.paused_run import chats
from tests.pipeline.stream import MemoryLog, Stream
from tests.servers.chroma import running_chroma

TABLES = ("raw_chats", "messages", "passages", "retractions", QUARANTINE_TABLE)
PROCESSING = {"logged_at", "log_offset"}
RUN, LATER_RUN = 1_785_578_400_000, 1_785_578_500_000
"""Derivations of two reprocessing runs."""


@pytest.fixture(scope="module")
def chroma(tmp_path_factory):
    with running_chroma(tmp_path_factory.mktemp("chroma")) as address:
        yield address


@pytest.fixture
def settings(tmp_path, chroma):
    # Without models no space is registered, and each passage goes into its own embedder's.
    return load(data_dir=tmp_path / "data", chroma_url=chroma, models_dir=tmp_path)


class World:
    """Stores, the stream that fills them, and the same stores after a restart or a loss."""

    def __init__(self, settings) -> None:
        self.settings = settings
        self.lakehouse = Lakehouse.open(settings)
        self.lakehouse.ensure_tables()
        self.index = ChromaIndex.open(settings)
        self.stream = Stream(self.lakehouse, self.writer())

    def writer(self):
        return open_dual_write_index(self.settings, self.index, EmbedderRegistry(self.index))

    def restart(self):
        """The indexer and the archiver are other processes now: their memories are empty."""
        self.index.close()
        self.lakehouse, self.index = Lakehouse.open(self.settings), ChromaIndex.open(self.settings)
        self.stream.lakehouse, self.stream.index = self.lakehouse, self.writer()

    def empty_index(self):
        for collection in self.index.list_collections():
            self.index.client().delete_collection(collection.name)
        self.restart()

    def rows(self, lakehouse=None):
        """Every row as it lies there; an id that is there twice fails."""
        found = {}
        for table in TABLES:
            rows = (lakehouse or self.lakehouse).table(table).scan().to_arrow().to_pylist()
            found[table] = sorted(
                (sorted((name, str(value)) for name, value in row.items() if name not in PROCESSING) for row in rows),
                key=str,
            )
            [column] = {"raw_id", "quarantine_id", "artifact_id"} & (rows[0].keys() if rows else {"raw_id"})
            assert len({row[column] for row in rows}) == len(rows)
        return found

    def found(self):
        """Every passage of the index."""
        names = [collection.name for collection in self.index.list_collections() if collection.name.startswith("p")]
        found = {}
        for embedder in self.index.embedders():
            for row_id in self.index.ids(embedder=embedder):
                found[row_id] = embedder
        rows = self.index.rows(modality="chat", since=NOW.replace(year=2000), until=NOW.replace(year=2100))
        texts = {row_id: (text, metadata["version"]) for row_id, text, metadata in rows}
        assert texts.keys() == found.keys(), names
        return texts


@pytest.fixture
def world(settings):
    made = World(settings)
    yield made
    made.empty_index()
    made.index.close()


def derived(number, offset=0, derivation=0, text=""):
    """A message and its passage in one version."""
    event = chat(number, text=text or f"version {offset}.{derivation}")
    source = message(event, position(0))
    pair = (source, passage(source))
    return tuple(completed_by(each, offset, derivation) for each in pair)


def retracted(artifacts):
    names = ArtifactBase.model_fields.keys() - {"kind", "schema_version"}
    return tuple(
        Retraction(**{name: getattr(each, name) for name in names}, reason="a later event made it wrong")
        for each in artifacts
    )


def publish(world, batches, *, restarting=False):
    for batch in batches:
        world.stream.publish(Outcome(artifacts=tuple(each for artifacts in batch for each in artifacts)))
        if restarting:
            world.restart()


CASES = {
    "an edit by a run": (lambda n: (derived(n, 3), derived(n, 3, RUN), derived(n, 1)), "version 3." + str(RUN)),
    "a later event": (lambda n: (derived(n, 3), derived(n, 3, RUN), derived(n, 5)), "version 5.0"),
    "a retraction of what a run made": (
        lambda n: (derived(n, 3), derived(n, 3, RUN), retracted(derived(n, 3, RUN))),
        None,
    ),
    "a retraction of what the stream made": (
        lambda n: (derived(n, 3), derived(n, 3, RUN), retracted(derived(n, 3))),
        "version 3." + str(RUN),
    ),
    "a run after a retraction": (
        lambda n: (derived(n, 3), retracted(derived(n, 3)), derived(n, 3, LATER_RUN)),
        "version 3." + str(LATER_RUN),
    ),
    "a late record below a retraction": (
        lambda n: (derived(n, 3), retracted(derived(n, 4)), derived(n, 3, LATER_RUN)),
        None,
    ),
}


def every_order():
    """Three batches: of each case each order, under an id of its own. With the text that stays for each id."""
    batches, wanted, number = ([], [], []), {}, 0
    for make, stays in CASES.values():
        for order in permutations(range(3)):
            records = make(number)
            for batch, place in zip(batches, order, strict=True):
                batch.append(records[place])
            wanted[derived(number)[1].artifact_id] = stays
            number += 1
    return batches, {row_id: text for row_id, text in wanted.items() if text is not None}


@pytest.mark.parametrize("restarting", [False, True], ids=["one process", "restarted after each batch"])
def test_every_order_ends_in_the_highest_version_in_table_index_and_both_rebuilds(
    world, settings, tmp_path, restarting
):
    world.stream.send([chat(900, text="an event"), chat(900, text="its conflict"), chat(901, text=" ")], chats())
    batches, wanted = every_order()
    publish(world, batches, restarting=restarting)
    live, found = world.rows(), world.found()
    texts = {row_id: text for row_id, (text, _) in found.items()}
    assert {row_id: text for row_id, text in texts.items() if text != "an event"} == wanted
    messages = world.lakehouse.scan("messages", columns=("text",))["text"].to_pylist()
    passages = world.lakehouse.scan("passages", columns=("text",))["text"].to_pylist()
    assert sorted(messages) == sorted(passages) == sorted(texts.values())
    # Row for row from the log alone, and once more: nothing changes.
    empty = Lakehouse.open(settings.model_copy(update={"data_dir": tmp_path / "again"}))
    assert rebuild_from_log(settings, empty, MemoryLog(world.stream)).rows > 0
    assert world.rows(empty) == live
    assert rebuild_from_log(settings, empty, MemoryLog(world.stream)).rows == 0
    assert rebuild_from_log(settings, world.lakehouse, MemoryLog(world.stream)).rows == 0
    # The index: from the tables alone, from the log alone, and from half of each.
    for archived in (1.0, 0.0, 0.5):
        world.empty_index()
        IndexRebuild(settings, world.lakehouse, world.index, MemoryLog(world.stream, archived)).run()
        assert world.found() == found


def test_a_zombie_that_publishes_an_old_outcome_behind_a_newer_one_changes_nothing(world):
    """The deriver was paused with an outcome in its hands; meanwhile another one, a run and a retraction went on."""
    old = [derived(number, number, text="of the zombie") for number in range(3)]
    newer = [derived(0, 10), derived(1, 1, RUN), retracted(derived(2, 2))]
    publish(world, [old, newer])
    before = world.rows(), world.found()
    assert sorted(text for text, _ in before[1].values()) == ["version 1." + str(RUN), "version 10.0"]
    publish(world, [old])
    assert (world.rows(), world.found()) == before
    world.restart()
    publish(world, [old])
    assert (world.rows(), world.found()) == before


def test_a_zombie_whose_outcome_never_came_before_lands_nothing_below_the_newer_one(world):
    old = [derived(number, number, text="of the zombie") for number in range(3)]
    publish(world, [[derived(0, 10), derived(1, 1, RUN), retracted(derived(2, 2))]])
    before = world.rows(), world.found()
    world.restart()
    publish(world, [old])
    assert (world.rows(), world.found()) == before
