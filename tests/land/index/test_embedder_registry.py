"""Who serves, written down in a real Chroma server: one wins of several who change it, and everybody reads the last."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor

import pytest

from mmplatform.errors import Conflict, Misconfigured, Unavailable
from mmplatform.land.index.embedder_registry import _KEPT, _LIST_S, Space, SpaceLog
from mmplatform.land.index.store import ChromaIndex
from mmplatform.settings import load
from tests.land.making import NOON, passage
from tests.servers.chroma import running_chroma

OLD, NEW = Space(model="minilm", name="minilm@1"), Space(model="/opt/new", name="new@2")


@pytest.fixture(scope="module")
def chroma(tmp_path_factory):
    with running_chroma(tmp_path_factory.mktemp("chroma")) as address:
        yield address


@pytest.fixture
def index(chroma):
    opened = ChromaIndex.open(load(chroma_url=chroma))
    for each in opened.listed():
        opened.connected().delete_collection(each.name)
    yield opened
    opened.close()


def revisions(index):
    return sorted(each.name for each in index.listed())


def test_nobody_serves_until_it_is_written_down_and_then_it_stays(index):
    log = SpaceLog(index)
    assert log.read() is None
    first = log.adopt(OLD)
    assert (first.serving, first.revision, first.active, first.complete) == (OLD, 1, (OLD,), (OLD.name,))
    assert SpaceLog(index).adopt(NEW) == first
    assert SpaceLog(index).read() == first


def test_a_change_is_seen_by_who_read_before_and_by_who_comes_later(index):
    log, other = SpaceLog(index), SpaceLog(index)
    first = log.adopt(OLD)
    assert other.read() == first
    built = log.change(first, serving=OLD, candidate=NEW)
    assert (built.active, built.complete, built.beside) == ((OLD, NEW), (OLD.name,), NEW)
    swapped = log.change(built, serving=NEW, previous=OLD)
    assert (swapped.active, swapped.complete) == ((NEW, OLD), (NEW.name, OLD.name))
    assert other.read() == SpaceLog(index).read() == swapped


def test_of_many_who_change_the_same_revision_one_wins_and_the_others_are_told(index):
    first = SpaceLog(index).adopt(OLD)

    def change(number):
        space = Space(model=f"m{number}", name=f"m{number}@1")
        try:
            return SpaceLog(index).change(first, serving=OLD, candidate=space)
        except Conflict:
            return None

    with ThreadPoolExecutor(6) as pool:
        done = list(pool.map(change, range(6)))
    [won] = [each for each in done if each]
    assert SpaceLog(index).read() == won


def test_many_who_are_the_first_agree_on_one(index):
    spaces = [Space(model=f"m{number}", name=f"m{number}@1") for number in range(6)]
    with ThreadPoolExecutor(6) as pool:
        found = list(pool.map(lambda space: SpaceLog(index).adopt(space), spaces))
    assert {each.nonce for each in found} == {SpaceLog(index).read().nonce}


def test_old_revisions_are_forgotten_and_who_slept_through_them_reads_the_last(index):
    times = [0.0]
    sleeper = SpaceLog(index, clock=lambda: times[0])
    state = sleeper.adopt(OLD)
    log = SpaceLog(index)
    for _ in range(_KEPT + 3):
        state = log.change(state, serving=OLD)
    assert len(revisions(index)) == _KEPT
    times[0] += _LIST_S + 1
    assert sleeper.read() == state


def test_a_server_whose_data_were_replaced_is_noticed(index):
    times = [0.0]
    log = SpaceLog(index, clock=lambda: times[0])
    log.change(log.adopt(OLD), serving=NEW)
    for name in revisions(index):
        index.connected().delete_collection(name)
    times[0] += _LIST_S + 1
    assert log.read() is None


def test_that_something_is_lacking_is_said_once_and_not_of_a_space_that_nothing_is_beside(index):
    log = SpaceLog(index)
    alone = log.adopt(OLD)
    log.lack(alone)
    assert log.read() == alone
    built = log.change(alone, serving=OLD, candidate=NEW)
    log.lack(built)
    log.lack(built)
    said = log.read()
    log.lack(said)
    assert (said.lacking, said.revision, said.candidate) == (True, built.revision + 1, NEW)
    assert log.read() == said


def test_they_are_no_passages(index):
    SpaceLog(index).adopt(OLD)
    index.upsert([passage(1)], NOON)
    assert index.count() == len(list(index.ids())) == 1
    assert index.embedders() == {passage(1).embedder}
    index.delete([passage(1).artifact_id])
    assert SpaceLog(index).read().serving == OLD


def test_a_record_that_does_not_read_is_told_and_passes_for_no_other(index):
    SpaceLog(index).adopt(OLD)
    index.connected().create_collection("embedders-000002", metadata={"spaces": "{}"}, embedding_function=None)
    with pytest.raises(Unavailable, match="embedders-000002"):
        SpaceLog(index).read()


def test_a_server_that_is_away_is_told():
    with pytest.raises(Unavailable):
        SpaceLog(ChromaIndex.open(load(chroma_url="http://127.0.0.1:1"))).read()


def test_what_is_marked_stays_until_the_spaces_are_others(index):
    log = SpaceLog(index)
    built = log.change(log.adopt(OLD), serving=OLD, candidate=NEW, retiring=("gone@1",))
    log.lack(built)
    copied = log.mark(log.read(), lacking=False, copying=True)
    log.lack(copied)
    said = SpaceLog(index).read()
    assert (said.lacking, said.copying, said.retiring) == (True, True, ("gone@1",))
    after = log.change(said, serving=NEW, previous=OLD)
    assert (after.lacking, after.copying, after.retiring) == (False, False, ("gone@1",))
    assert log.mark(after, retiring=()).active == (NEW, OLD)
    with pytest.raises(Conflict):
        log.mark(after, copying=True)


def test_a_revision_of_an_earlier_release_is_read_and_one_with_nothing_new_reads_there(index):
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
    index.connected().create_collection("embedders-000001", metadata=record, embedding_function=None)
    log = SpaceLog(index)
    found = log.read()
    assert (found.lacking, found.copying, found.retiring) == (True, False, ())
    log.change(found, serving=NEW, previous=OLD)
    written = index.connected().get_collection("embedders-000002", embedding_function=None).metadata["spaces"]
    assert set(json.loads(written)) == set(earlier)


def test_nobody_adopts_an_embedder_of_which_a_filled_index_has_nothing(index):
    index.upsert([passage(1)], NOON)
    with pytest.raises(Misconfigured, match=f"passages of {passage(1).embedder} only"):
        SpaceLog(index).adopt(NEW)
    assert SpaceLog(index).read() is None
    there = Space(model="minilm", name=passage(1).embedder)
    assert SpaceLog(index).adopt(there).serving == there
    assert SpaceLog(index).adopt(NEW).serving == there, "written is written"
