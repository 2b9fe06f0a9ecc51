"""An index that was lost, from the lakehouse and the end of the log: real stores; a model only where a test says so."""

from __future__ import annotations

import numpy as np
import pytest
from typer.testing import CliRunner

from mmplatform.buckets import bucket_name
from mmplatform.cli.main import app
from mmplatform.consumers import rebuild_index
from mmplatform.consumers.rebuild_index import IndexRebuild
from mmplatform.errors import Unavailable
from mmplatform.events import utc_now
from mmplatform.kafka.reader import ReplayLog
from mmplatform.land.index.embedder_registry import EmbedderRegistry
from mmplatform.land.index.store import ChromaIndex
from mmplatform.land.lakehouse.row_codec import record_to_row
from mmplatform.modalities import ARCHIVE_GROUP, ARTIFACTS_TOPIC
from mmplatform.pipeline.factories import open_dual_write_index, resolve_space
from mmplatform.pipeline.reprocess.hour_lock import hour_locks_dir, lock_hour
from mmplatform.settings import load
from tests.consumers.lost_store import World, completed_by
from tests.land.records import NOON, passage, retraction
from tests.servers.broker import any_broker
from tests.servers.chroma import running_chroma

pytestmark = pytest.mark.broker


@pytest.fixture
def world(tmp_path):
    with any_broker(tmp_path / "broker") as kafka, running_chroma(tmp_path / "chroma") as chroma:
        settings = load(
            kafka_bootstrap_servers=kafka, chroma_url=chroma, data_dir=tmp_path, models_dir=tmp_path, topic_partitions=1
        )
        yield World(settings)


@pytest.fixture
def index(world):
    opened = ChromaIndex.open(world.settings)
    yield opened
    opened.close()


def test_an_empty_index_has_again_what_is_in_the_table_and_what_is_only_on_the_log(world, index):
    landed = [passage(1), passage(2), passage(3, at=NOON.replace(hour=9))]
    positions = world.write(ARTIFACTS_TOPIC, *landed)
    rows = [(position, record_to_row(each, position)[1]) for position, each in zip(positions, landed, strict=True)]
    world.lakehouse.append("passages", rows, offsets={}, source=ARCHIVE_GROUP)
    world.archived(positions[-1])
    world.write(ARTIFACTS_TOPIC, passage(4), retraction(passage(2)))

    def as_it_goes(_done, _total):
        """The stream goes on: one that is written already is taken back, and the indexer takes it out."""
        if not deleted:
            deleted.append(world.write(ARTIFACTS_TOPIC, retraction(passage(3)))[0])
            indexer_of(world, index).retract([retraction(passage(3))], utc_now())

    deleted = []
    done = IndexRebuild(world.settings, world.lakehouse, index, world.log).run(as_it_goes)
    assert set(index.ids()) == {passage(1).artifact_id, passage(4).artifact_id}
    assert (done.passages, done.embedded, done.refused) == (3, 0, 0)
    (hit,) = index.search(passage(1).vector, embedder=passage(1).embedder, subject=passage(1).subject_key, k=1)
    assert hit.passage_id == passage(1).artifact_id
    assert hit.score == pytest.approx(1.0, abs=1e-3)


def test_run_again_it_changes_nothing(world, index):
    (position,) = world.write(ARTIFACTS_TOPIC, passage(1))
    world.lakehouse.append(
        "passages", [(position, record_to_row(passage(1), position)[1])], offsets={}, source=ARCHIVE_GROUP
    )
    world.archived(position)
    index.upsert([passage(1)], utc_now())
    for _ in range(2):
        assert IndexRebuild(world.settings, world.lakehouse, index, world.log).run().passages == 1
        assert list(index.ids()) == [passage(1).artifact_id]


def test_beside_a_reprocessing_run_no_hour_is_locked_and_what_the_run_made_stays(world, index):
    old = passage(1, text="as it was")
    (position,) = world.write(ARTIFACTS_TOPIC, old)
    rows = [(position, record_to_row(old, position)[1])]
    world.lakehouse.append("passages", rows, offsets={}, source=ARCHIVE_GROUP)
    world.archived(position)
    made = completed_by(passage(1, text="made anew"), 1, derivation=1_785_578_400_000)
    world.write(ARTIFACTS_TOPIC, made)  # on the log already, and the indexer behind
    with lock_hour(hour_locks_dir(world.settings), "messages", NOON):
        rebuilt = IndexRebuild(world.settings, world.lakehouse, index, world.log).run()
    assert (rebuilt.passages, rebuilt.from_log) == (1, 1)
    (hit,) = index.search(made.vector, embedder=made.embedder, subject=made.subject_key, k=1)
    assert hit.text == "made anew"
    index.upsert([old], utc_now())  # a late writer
    assert {text for text, _ in index.get(old.embedder, bucket_name(old.subject_key), [old.artifact_id]).values()} == {
        "made anew"
    }


def indexer_of(world, index):
    """What the indexer writes through."""
    return open_dual_write_index(world.settings, index, EmbedderRegistry(index))


def test_a_stream_that_is_quicker_than_every_round_is_no_success(world, index, monkeypatch):
    monkeypatch.setattr(rebuild_index, "_MAX_ROUNDS", 3)
    (position,) = world.write(ARTIFACTS_TOPIC, passage(1))
    world.lakehouse.append(
        "passages", [(position, record_to_row(passage(1), position)[1])], offsets={}, source=ARCHIVE_GROUP
    )
    world.archived(position)

    class Busy(ReplayLog):
        def read(self, *where):
            yield from super().read(*where)
            world.write(ARTIFACTS_TOPIC, passage(1))

    with pytest.raises(Unavailable, match="in each of 3 rounds"):
        IndexRebuild(world.settings, world.lakehouse, index, Busy(world.settings)).run()


@pytest.mark.models
def test_a_vector_of_another_length_in_the_oldest_hour_is_refused_and_the_verb_fails(world, index, monkeypatch):
    space = resolve_space(load()).name
    wide = {n: np.eye(384, dtype=np.float32)[n] for n in (2, 3)}
    short = passage(1, embedder=space, at=NOON.replace(hour=1))
    landed = [short, *(passage(n, embedder=space, vector=vector) for n, vector in wide.items())]
    positions = world.write(ARTIFACTS_TOPIC, *landed)
    rows = [(position, record_to_row(each, position)[1]) for position, each in zip(positions, landed, strict=True)]
    world.lakehouse.append("passages", rows, offsets={}, source=ARCHIVE_GROUP)
    world.archived(positions[-1])
    for name in ("kafka_bootstrap_servers", "chroma_url", "data_dir", "topic_partitions"):
        monkeypatch.setenv(f"MMPLATFORM_{name.upper()}", str(getattr(world.settings, name)))
    answer = CliRunner().invoke(app, ["index", "rebuild"])
    assert set(index.ids()) == {each.artifact_id for each in landed[1:]}
    assert answer.exit_code == 1
    assert "1 passages were refused" in answer.output
