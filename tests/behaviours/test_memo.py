"""What every memo promises."""

import subprocess
import sys
import time
from contextlib import closing

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mmplatform.errors import Unavailable
from mmplatform.memo import MemoryMemo, SqliteMemo

KEYS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00"), min_size=1, max_size=20)


@pytest.fixture(params=["sqlite", "memory"])
def memo(request, tmp_path):
    if request.param == "memory":
        yield MemoryMemo()
        return
    made = SqliteMemo(tmp_path / "deep" / "memo.sqlite")
    yield made
    made.close()


def test_nothing_is_known_at_first(memo):
    assert memo.get_many("d@1", ["a", "b"]) == {}
    assert memo.get_many("d@1", []) == {}


def test_what_was_put_is_known_and_nothing_else(memo):
    memo.put_many("d@1", {"a": b"1", "b": b""})
    assert memo.get_many("d@1", ["b", "c", "a", "a"]) == {"a": b"1", "b": b""}


def test_another_version_of_a_deriver_knows_nothing(memo):
    memo.put_many("d@1", {"a": b"1"})
    assert memo.get_many("d@2", ["a"]) == {}


def test_an_existing_entry_stays(memo):
    memo.put_many("d@1", {"a": b"first"})
    memo.put_many("d@1", {"a": b"second", "b": b"new"})
    assert memo.get_many("d@1", ["a", "b"]) == {"a": b"first", "b": b"new"}


def test_many_keys_are_asked_for_at_once(memo):
    entries = {str(number): bytes([number % 256]) for number in range(2_500)}
    memo.put_many("d@1", entries)
    memo.put_many("d@1", {})
    assert memo.get_many("d@1", list(entries)) == entries


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(batches=st.lists(st.tuples(KEYS, st.dictionaries(KEYS, st.binary(max_size=50), max_size=5)), max_size=6))
def test_any_sequence_of_puts_keeps_the_first_answers(memo, batches):
    expected: dict[tuple[str, str], bytes] = {}
    for deriver, entries in batches:
        for key in entries:  # examples share one memo: what is there already counts
            known = memo.get_many(deriver, [key])
            if key in known:
                expected.setdefault((deriver, key), known[key])
        memo.put_many(deriver, entries)
        for key, answer in entries.items():
            expected.setdefault((deriver, key), answer)
    for (deriver, key), answer in expected.items():
        assert memo.get_many(deriver, [key]) == {key: answer}


def test_a_memo_outlives_its_process(tmp_path):
    first = SqliteMemo(tmp_path / "memo.sqlite")
    first.put_many("d@1", {"a": b"1"})
    first.close()
    assert SqliteMemo(tmp_path / "memo.sqlite").get_many("d@1", ["a"]) == {"a": b"1"}


WRITER = """
import sys
from pathlib import Path
from mmplatform.memo import SqliteMemo
memo = SqliteMemo(Path(sys.argv[1]))
who = sys.argv[2]
for number in range(150):
    memo.put_many("d@1", {f"{who}-{number}": who.encode(), f"both-{number}": b"both"})
    assert memo.get_many("d@1", [f"{who}-{number}"])
print("done")
"""


def test_two_processes_write_at_once_and_nothing_is_lost(tmp_path):
    path = tmp_path / "memo.sqlite"
    writers = [
        subprocess.Popen([sys.executable, "-c", WRITER, path, who], stdout=subprocess.PIPE, text=True)
        for who in ("one", "two")
    ]
    assert [writer.communicate(timeout=120)[0].strip() for writer in writers] == ["done", "done"]
    memo = SqliteMemo(path)
    keys = [f"{who}-{number}" for who in ("one", "two", "both") for number in range(150)]
    known = memo.get_many("d@1", keys)
    assert set(known) == set(keys)
    assert all(answer.decode() == key.split("-")[0] for key, answer in known.items())


OPENER = """
import sys, time
from pathlib import Path
from mmplatform.memo import SqliteMemo
start = float(sys.argv[2])
for number in range(20):
    while time.time() < start + number * 0.1:
        pass
    SqliteMemo(Path(sys.argv[1]) / f"{number}.sqlite").put_many("d@1", {sys.argv[3]: b"1"})
print("done")
"""


def test_processes_that_create_the_files_at_once_meet_no_lock_and_share_one_key(tmp_path):
    start = str(time.time() + 2)
    openers = [
        subprocess.Popen([sys.executable, "-c", OPENER, tmp_path, start, who], stdout=subprocess.PIPE, text=True)
        for who in "abcd"
    ]
    assert [opener.communicate(timeout=120)[0].strip() for opener in openers] == ["done"] * 4
    for number in range(20):
        with closing(SqliteMemo(tmp_path / f"{number}.sqlite")) as memo:
            assert set(memo.get_many("d@1", list("abcd"))) == set("abcd")


def test_a_damaged_file_is_an_error_with_the_fix(tmp_path):
    path = tmp_path / "memo.sqlite"
    path.write_bytes(b"this is no database, however long it is" * 100)
    with pytest.raises(Unavailable, match="delete it"):
        SqliteMemo(path)
