"""Embedder registry in a real Chroma server: one of several writers wins, and all readers see the last revision."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor

import pytest

from mmplatform.errors import Conflict, Misconfigured, Unavailable
from mmplatform.land.index.embedder_registry import RELIST_INTERVAL_S, RETAINED_REVISIONS, EmbedderRegistry, Space
from mmplatform.land.index.store import ChromaIndex
from mmplatform.settings import load
from tests.land.records import NOON, passage
from tests.servers.chroma import running_chroma

OLD, NEW = Space(model="minilm", name="minilm@1"), Space(model="/opt/new", name="new@2")


@pytest.fixture(scope="module")
def chroma(tmp_path_factory):
    with running_chroma(tmp_path_factory.mktemp("chroma")) as address:
        yield address


@pytest.fixture
def index(chroma):
    opened = ChromaIndex.open(load(chroma_url=chroma))
    for each in opened.list_collections():
        opened.client().delete_collection(each.name)
    yield opened
    opened.close()


def revisions(index):
    return sorted(each.name for each in index.list_collections())


def test_no_embedder_serves_until_it_is_recorded_and_then_it_stays(index):
    log = EmbedderRegistry(index)
    assert log.latest() is None
    first = log.ensure_serving(OLD)
    assert (first.serving, first.revision, first.active, first.complete) == (OLD, 1, (OLD,), (OLD.name,))
    assert EmbedderRegistry(index).ensure_serving(NEW) == first
    assert EmbedderRegistry(index).latest() == first


def test_a_change_is_seen_by_earlier_readers_and_by_later_ones(index):
    log, other = EmbedderRegistry(index), EmbedderRegistry(index)
    first = log.ensure_serving(OLD)
    assert other.latest() == first
    built = log.change_spaces(first, serving=OLD, candidate=NEW)
    assert (built.active, built.complete, built.secondary) == ((OLD, NEW), (OLD.name,), NEW)
    swapped = log.change_spaces(built, serving=NEW, previous=OLD)
    assert (swapped.active, swapped.complete) == ((NEW, OLD), (NEW.name, OLD.name))
    assert other.latest() == EmbedderRegistry(index).latest() == swapped


def test_of_many_writers_that_change_the_same_revision_one_wins_and_the_others_get_a_conflict(index):
    first = EmbedderRegistry(index).ensure_serving(OLD)

    def change(number):
        space = Space(model=f"m{number}", name=f"m{number}@1")
        try:
            return EmbedderRegistry(index).change_spaces(first, serving=OLD, candidate=space)
        except Conflict:
            return None

    with ThreadPoolExecutor(6) as pool:
        done = list(pool.map(change, range(6)))
    [won] = [each for each in done if each]
    assert EmbedderRegistry(index).latest() == won


def test_many_first_writers_agree_on_one_revision(index):
    spaces = [Space(model=f"m{number}", name=f"m{number}@1") for number in range(6)]
    with ThreadPoolExecutor(6) as pool:
        found = list(pool.map(lambda space: EmbedderRegistry(index).ensure_serving(space), spaces))
    assert {each.nonce for each in found} == {EmbedderRegistry(index).latest().nonce}


def test_old_revisions_are_deleted_and_a_reader_that_missed_them_reads_the_last(index):
    times = [0.0]
    sleeper = EmbedderRegistry(index, clock=lambda: times[0])
    state = sleeper.ensure_serving(OLD)
    log = EmbedderRegistry(index)
    for _ in range(RETAINED_REVISIONS + 3):
        state = log.change_spaces(state, serving=OLD)
    assert len(revisions(index)) == RETAINED_REVISIONS
    times[0] += RELIST_INTERVAL_S + 1
    assert sleeper.latest() == state


def test_a_server_whose_data_were_replaced_is_noticed(index):
    times = [0.0]
    log = EmbedderRegistry(index, clock=lambda: times[0])
    log.change_spaces(log.ensure_serving(OLD), serving=NEW)
    for name in revisions(index):
        index.client().delete_collection(name)
    times[0] += RELIST_INTERVAL_S + 1
    assert log.latest() is None


def test_lacking_passages_are_flagged_once_and_not_without_a_secondary_space(index):
    log = EmbedderRegistry(index)
    alone = log.ensure_serving(OLD)
    log.flag_lacking(alone)
    assert log.latest() == alone
    built = log.change_spaces(alone, serving=OLD, candidate=NEW)
    log.flag_lacking(built)
    log.flag_lacking(built)
    flagged = log.latest()
    log.flag_lacking(flagged)
    assert (flagged.lacking, flagged.revision, flagged.candidate) == (True, built.revision + 1, NEW)
    assert log.latest() == flagged


def test_revisions_are_no_passages(index):
    EmbedderRegistry(index).ensure_serving(OLD)
    index.upsert([passage(1)], NOON)
    assert index.count() == len(list(index.ids())) == 1
    assert index.embedders() == {passage(1).embedder}
    index.delete([passage(1).artifact_id])
    assert EmbedderRegistry(index).latest().serving == OLD


def test_a_record_that_is_not_readable_is_an_error_and_passes_for_no_other(index):
    EmbedderRegistry(index).ensure_serving(OLD)
    index.client().create_collection("embedders-000002", metadata={"spaces": "{}"}, embedding_function=None)
    with pytest.raises(Unavailable, match="embedders-000002"):
        EmbedderRegistry(index).latest()


def test_a_server_that_is_away_is_an_error():
    with pytest.raises(Unavailable):
        EmbedderRegistry(ChromaIndex.open(load(chroma_url="http://127.0.0.1:1"))).latest()


def test_flags_stay_until_the_spaces_change(index):
    log = EmbedderRegistry(index)
    built = log.change_spaces(log.ensure_serving(OLD), serving=OLD, candidate=NEW, retiring=("gone@1",))
    log.flag_lacking(built)
    copied = log.change_flags(log.latest(), lacking=False, copying=True)
    log.flag_lacking(copied)
    flagged = EmbedderRegistry(index).latest()
    assert (flagged.lacking, flagged.copying, flagged.retiring) == (True, True, ("gone@1",))
    after = log.change_spaces(flagged, serving=NEW, previous=OLD)
    assert (after.lacking, after.copying, after.retiring) == (False, False, ("gone@1",))
    assert log.change_flags(after, retiring=()).active == (NEW, OLD)
    with pytest.raises(Conflict):
        log.change_flags(after, copying=True)


def test_a_revision_of_an_earlier_release_is_read_and_one_without_new_fields_is_readable_there(index):
    earlier = {
        "schema_version": 1,
        "revision": 1,
        "serving": OLD.model_dump(),
        "candidate": None,
        "previous": NEW.model_dump(),
        "lacking": True,
        "changed_at": "2026-03-05T12:00:00Z",
        "nonce": "n",
    }
    record = {"spaces": json.dumps(earlier)}
    index.client().create_collection("embedders-000001", metadata=record, embedding_function=None)
    log = EmbedderRegistry(index)
    found = log.latest()
    assert (found.lacking, found.copying, found.retiring) == (True, False, ())
    log.change_spaces(found, serving=NEW, previous=OLD)
    written = index.client().get_collection("embedders-000002", embedding_function=None).metadata["spaces"]
    assert set(json.loads(written)) == set(earlier)


def test_an_embedder_of_which_a_filled_index_has_no_passages_is_refused(index):
    index.upsert([passage(1)], NOON)
    with pytest.raises(Misconfigured, match=f"passages of {passage(1).embedder} only"):
        EmbedderRegistry(index).ensure_serving(NEW)
    assert EmbedderRegistry(index).latest() is None
    there = Space(model="minilm", name=passage(1).embedder)
    assert EmbedderRegistry(index).ensure_serving(there).serving == there
    assert EmbedderRegistry(index).ensure_serving(NEW).serving == there, "written is written"
