"""Both stores against a dict that keeps the highest version of each id, whoever writes what and in whatever order.

A log gets records with any versions in any order. Archivers and indexers read it in batches, again after a crash, and
with another process's memory. Old records are restored, and runs replace rows that they read a while ago.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from mmplatform.artifacts import VECTOR_HEADER, Passage, decode_artifact
from mmplatform.consumers.archiver import append_rows, group_by_table, next_offsets
from mmplatform.consumers.indexer import newest_per_id, upsert
from mmplatform.events import encode
from mmplatform.land.index.store import ChromaIndex
from mmplatform.land.lakehouse.replace import Replacement
from mmplatform.land.lakehouse.row_codec import record_to_row, row_to_artifact
from mmplatform.land.lakehouse.store import Lakehouse
from mmplatform.modalities import PASSAGES_TABLE, RETRACTIONS_TABLE
from mmplatform.pipeline.consumed_record import ConsumedRecord
from mmplatform.pipeline.embedder_swap.dual_write import DualWriteIndex
from mmplatform.settings import load
from mmplatform.versions import NO_VERSION, Version
from tests.doubles.memory_index import MemoryIndex, MemoryServer
from tests.land.records import EMBEDDER, NOON, passage, position, retraction
from tests.servers.chroma import running_chroma

IDS, WRITERS = 2, 2
NUMBERS = itertools.count(start=1000, step=IDS)
"""Each example has ids of its own, so that all can share the tables of one lakehouse."""

versions = st.builds(Version, st.sampled_from([0, 0, 0, 1]), st.sampled_from([0, 0, 1]), st.integers(0, 3), st.just(0))
records = st.tuples(st.integers(0, IDS - 1), versions, st.sampled_from([False, False, True]))
writers = st.integers(0, WRITERS - 1)
lengths = st.integers(1, 4)
fates = st.sampled_from(["whole", "whole", "again", "crash"])
places = st.lists(st.integers(0, 30), min_size=1, max_size=3)
arrivals = st.tuples(st.just("arrive"), st.lists(records, min_size=1, max_size=4))
restarts = st.tuples(st.just("restart"), writers)
indexing = st.tuples(st.just("index"), writers, lengths, fates)
index_steps = st.one_of(arrivals, indexing, indexing, st.tuples(st.just("index_again"), places), restarts)
archiving = st.tuples(st.just("archive"), writers, lengths, fates)
runs = st.tuples(st.just("start_run"), st.integers(0, IDS - 1), st.booleans())
steps = st.one_of(
    index_steps,
    archiving,
    archiving,
    st.tuples(st.just("restore"), writers, places),
    runs,
    st.tuples(st.just("end_run"), writers),
)


class NoRevisions:
    """No embedder is swapped here."""

    def latest(self):
        return None

    def flag_lacking(self, _base):
        pytest.fail("there is one space only")


@dataclass
class World:
    """The log, its readers and what they must leave in the stores.

    Attributes:
        open_lakehouse: opens a lakehouse without memory, as a process does that starts; ``None``: the index alone.
        open_index: the same of the index.
        highest: the model: the highest version of each id, and whether it retracts.
    """

    open_lakehouse: object
    open_index: object
    first: int = field(default_factory=lambda: next(NUMBERS))
    log: list = field(default_factory=list)
    archived: int = 0
    indexed: int = 0
    indexer: int = 0
    runs: int = 0
    started: list = field(default_factory=list)
    highest: dict = field(default_factory=dict)

    def __post_init__(self):
        self.lakehouses = [self.open_lakehouse() for _ in range(WRITERS)] if self.open_lakehouse else []
        self.indexes = [self._index() for _ in range(WRITERS)]

    def _index(self):
        return DualWriteIndex(self.open_index(), NoRevisions(), pytest.fail, pytest.fail)

    def run(self, drawn):
        for name, *given_ in drawn:
            getattr(self, name)(*given_)
        while self.started:
            self.end_run(0)
        turns = itertools.cycle(range(WRITERS))
        while self.archived < len(self.log) and self.lakehouses:  # one by one: a batch keeps its highest anyway
            self.archive(next(turns), 1, "whole")
        while self.indexed < len(self.log):
            self.index(next(turns), 1, "whole")

    def arrive(self, drawn):
        for number, version, retracts in drawn:
            made = passage(self.first + number, version=version, text=version.sortable)
            self._publish(retraction(made) if retracts else made)

    def _publish(self, made):
        self.highest[made.artifact_id] = max(
            self.highest.get(made.artifact_id, (NO_VERSION, False)),
            (made.version.sortable, not isinstance(made, Passage)),
        )
        headers = {VECTOR_HEADER: made.vector_f32} if isinstance(made, Passage) else {}
        # The table knows the offsets of earlier examples as landed.
        place = position(100 * self.first + len(self.log))
        self.log.append(ConsumedRecord(place, encode(made), NOON, headers=headers, logged_at=NOON))

    def archive(self, writer, length, fate):
        if not self.lakehouses:
            return
        taken = self.log[max(0, self.archived - 3 * (fate == "again")) : self.archived + length]
        if not taken:
            return
        lakehouse, batch = self.lakehouses[writer], group_by_table(taken)
        for table, through in batch.retracted.items():
            lakehouse.delete_through(table, through)
        tables = list(batch.rows.items())
        if fate == "crash":  # between the commits of two tables, before the log's
            tables = tables[: len(tables) // 2]
        for table, rows in tables:
            append_rows(lakehouse, table, rows, next_offsets(taken), pytest.fail)
        if fate == "crash":
            self.lakehouses[writer] = self.open_lakehouse()
        else:
            self.archived = min(len(self.log), self.archived + length)

    def restore(self, writer, places):
        taken = [self.log[place] for place in places if place < len(self.log)]
        if taken and self.lakehouses:
            batch = group_by_table(taken)
            for table, through in batch.retracted.items():
                self.lakehouses[writer].delete_through(table, through)
            for table, rows in batch.rows.items():
                self.lakehouses[writer].restore(table, rows)

    def start_run(self, number, deletes):
        """A run reads what is stored, and publishes what it changes before it changes it."""
        if not self.lakehouses:
            return
        self.runs += 1
        known = passage(self.first + number)
        found = self.lakehouses[0].scan(PASSAGES_TABLE, ids=[known.artifact_id]).to_pylist()
        read = {row["artifact_id"]: row["version"] for row in found}
        if deletes and not found:
            return
        stored = Version.from_sortable(found[0]["version"]) if found else Version()
        version = stored._replace(derivation=max(self.runs, stored.derivation + 1))
        made = passage(self.first + number, version=version, text=version.sortable)
        self._publish(retraction(made) if deletes else made)
        rows = [] if deletes else [record_to_row(made, position(0))[1]]
        self.started.append(Replacement(NOON, rows, [made.artifact_id] if deletes else [], read))

    def end_run(self, writer):
        if self.started:
            self.lakehouses[writer].replace(PASSAGES_TABLE, self.started.pop(0))

    def index(self, writer, length, fate):
        taken = self.log[max(0, self.indexed - 3 * (fate == "again")) : self.indexed + length]
        if writer != self.indexer:  # the topic partitions have come from another one
            self.indexes[writer].forget_retractions()
            self.indexer = writer
        passages, retractions = newest_per_id([decode_artifact(each.value, each.headers) for each in taken])
        self.indexes[writer].retract(retractions, NOON)
        if fate == "crash":
            self.indexes[writer] = self._index()
            return
        upsert(self.indexes[writer], passages)
        self.indexed = min(len(self.log), self.indexed + length)

    def index_again(self, places):
        """A rebuild writes old records of the log with a memory of its own."""
        taken = [self.log[place] for place in places if place < self.indexed]
        artifacts = [decode_artifact(each.value, each.headers) for each in taken]
        upsert(self._index(), [artifact for artifact in artifacts if isinstance(artifact, Passage)])

    def restart(self, writer):
        if self.lakehouses:
            self.lakehouses[writer] = self.open_lakehouse()
        self.indexes[writer] = self._index()

    def expected(self):
        return {row_id: version for row_id, (version, retracts) in self.highest.items() if not retracts}

    def check(self):
        ids = [passage(self.first + number).artifact_id for number in range(IDS)]
        index = self.open_index()
        found = {row_id: text for row_id, text in _indexed(index) if row_id in ids}
        assert found == self.expected(), "the index"
        if self.lakehouses:
            rows = self.open_lakehouse().scan(PASSAGES_TABLE, ids=ids).to_pylist()
            assert {row["artifact_id"]: row["version"] for row in rows} == self.expected(), "the lakehouse"
            assert all(row_to_artifact(row).text == row["text"] == row["version"] for row in rows)
            retracted = self.open_lakehouse().scan(RETRACTIONS_TABLE, ids=ids).to_pylist()
            assert {row["artifact_id"] for row in retracted if row["artifact_id"] not in self.expected()} == {
                row_id for row_id, (_, retracts) in self.highest.items() if retracts
            }


def _indexed(index):
    return [(hit.passage_id, hit.text) for hit in index.search(passage(0).vector, embedder=EMBEDDER, k=1000)]


def _low(number=0):
    return number, Version(offset=1), False


LATE_AFTER_ANOTHERS_RETRACTION = [
    ("arrive", [(1, Version(), False)]),
    ("archive", 0, 1, "whole"),
    ("arrive", [(0, Version(offset=2), True), _low()]),
    ("archive", 1, 1, "whole"),
    ("archive", 0, 1, "whole"),
]
ONE_BY_ONE = [
    ("arrive", [(number, Version(offset=offset), retracts)])
    for number, offset, retracts in (
        *((0, 2, False), (0, 1, False), (0, 3, True), (0, 3, False), (0, 2, False)),
        *((1, 2, False), (1, 2, True)),
    )
]
RESTORED_BESIDE = [
    ("arrive", [(0, Version(offset=2), False), (0, Version(offset=1), False), (1, Version(offset=3), True), _low(1)]),
    ("archive", 0, 1, "whole"),
    ("restore", 1, [1]),
    ("archive", 0, 2, "crash"),
    ("restore", 1, [3]),
]
RUN_OVERTAKEN = [
    ("arrive", [_low(), (0, Version(offset=2), True)]),
    ("archive", 0, 1, "whole"),
    ("start_run", 0, False),
    ("archive", 1, 2, "whole"),
    ("end_run", 0),
]
RUN_THAT_READ_NOTHING = [
    ("start_run", 0, False),
    ("arrive", [(0, Version(offset=2), True)]),
    ("archive", 1, 1, "whole"),
    ("archive", 1, 1, "whole"),
    ("end_run", 0),
]
SLOW = settings(
    max_examples=20, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large], derandomize=True
)


@pytest.fixture(scope="module")
def open_lakehouse(tmp_path_factory):
    given_ = load(data_dir=tmp_path_factory.mktemp("lakehouse"))
    Lakehouse.open(given_).ensure_tables()
    return lambda: Lakehouse.open(given_)


@SLOW
@example(LATE_AFTER_ANOTHERS_RETRACTION)
@example(ONE_BY_ONE)
@example(RESTORED_BESIDE)
@example(RUN_OVERTAKEN)
@example(RUN_THAT_READ_NOTHING)
@given(st.lists(steps, min_size=8, max_size=14))
def test_both_stores_keep_the_highest_version_of_each_id(open_lakehouse, drawn):
    server = MemoryServer()
    world = World(open_lakehouse, lambda: MemoryIndex(server))
    world.run(drawn)
    world.check()


@settings(max_examples=200, derandomize=True)
@given(st.lists(index_steps, min_size=4, max_size=30))
def test_the_index_keeps_the_highest_version_of_each_id(drawn):
    server = MemoryServer()
    world = World(None, lambda: MemoryIndex(server))
    world.run(drawn)
    world.check()


@pytest.fixture(scope="module")
def open_chroma(tmp_path_factory):
    opened = []

    def connect(address):
        opened.append(ChromaIndex.open(load(chroma_url=address)))
        return opened[-1]

    with running_chroma(tmp_path_factory.mktemp("chroma")) as address:
        yield lambda: connect(address)
        for each in opened:
            each.close()


@settings(SLOW, max_examples=5)
@example(ONE_BY_ONE)
@given(st.lists(index_steps, min_size=8, max_size=12))
def test_a_real_index_server_keeps_the_highest_version_of_each_id(open_chroma, drawn):
    world = World(None, open_chroma)
    world.run(drawn)
    world.check()
