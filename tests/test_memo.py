"""The memo's file: nothing raw is in it, only its owner reads it, and without its key nothing is found."""

from __future__ import annotations

import hashlib
import os
import sqlite3
from contextlib import closing

import pytest

from mmplatform.memo import SqliteMemo
from tests.derive.test_purity import calls, chats, derive, screenshots

RAW = ("415", "555 0123", "my number is", "thank you", "hello", "call 4", "of 1000 by 640")
PLAIN = "a plain memo had this: 4111 1111 1111 1111"


def bytes_on_disk(path):
    """The memo's file and its log of writes, read while it is open."""
    return b"".join(file.read_bytes() for file in path.parent.glob(f"{path.name}*"))


@pytest.fixture
def path(tmp_path):
    return tmp_path / "memo.sqlite"


@pytest.mark.parametrize("modality", [chats, calls, screenshots])
def test_no_raw_word_and_no_plain_hash_is_in_the_file(path, modality, monkeypatch):
    keys = set()
    put_many = SqliteMemo.put_many

    def spy(self, deriver, entries):
        keys.update(entries)
        put_many(self, deriver, entries)

    monkeypatch.setattr(SqliteMemo, "put_many", spy)
    with closing(SqliteMemo(path)) as memo:
        derive(modality, memo)
        found = bytes_on_disk(path)
    assert keys
    assert found.count(b"@1") > 0, "the spaces are there, so the entries are"
    assert not [word for word in RAW if word.encode() in found]
    assert not [key for key in keys if key.split()[0].encode() in found or bytes.fromhex(key.split()[0]) in found]
    assert path.with_suffix(".key").read_bytes() not in found


def test_only_the_owner_reads_the_files(path):
    umask = os.umask(0)
    try:
        with closing(SqliteMemo(path)) as memo:
            memo.put_many("d@1", {"a": b"1"})
            modes = {file.name: file.stat().st_mode & 0o777 for file in path.parent.iterdir()}
    finally:
        os.umask(umask)
    assert set(modes) >= {"memo.sqlite", "memo.sqlite-wal", "memo.key"}
    assert set(modes.values()) == {0o600}


@pytest.mark.parametrize("damage", ["lost", "another", "short"])
def test_without_its_key_nothing_is_found_and_new_entries_are_stored(path, damage):
    key = path.with_suffix(".key")
    with closing(SqliteMemo(path)) as memo:
        memo.put_many("d@1", {"a": b"first"})
    key.unlink()
    if damage != "lost":
        key.write_bytes(os.urandom(32 if damage == "another" else 3))
    with closing(SqliteMemo(path)) as memo:
        assert memo.get_many("d@1", ["a"]) == {}
        memo.put_many("d@1", {"a": b"second"})
        assert memo.get_many("d@1", ["a"]) == {"a": b"second"}
    assert len(key.read_bytes()) == 32


@pytest.mark.parametrize("column", ["key", "space"])
def test_an_entry_under_the_name_of_another_is_not_found_and_is_overwritten(path, column):
    with closing(SqliteMemo(path)) as memo:
        memo.put_many("d@1", {"a": b"of a", "b": b"of b"})
        memo.put_many("d@2", {"a": b"of a, of another model"})
        other = memo._cipher.hash("d@1", "b") if column == "key" else memo._cipher.hash("d@2", "a")
        with closing(sqlite3.connect(path)) as db, db:
            taken = db.execute("SELECT value FROM entries WHERE key = ?", (other,)).fetchone()
            db.execute("UPDATE entries SET value = ? WHERE key = ?", (*taken, memo._cipher.hash("d@1", "a")))
        assert memo.get_many("d@1", ["a", "b"]) == {"b": b"of b"}
        memo.put_many("d@1", {"a": b"again", "b": b"ignored"})
        assert memo.get_many("d@1", ["a", "b"]) == {"a": b"again", "b": b"of b"}


@pytest.mark.parametrize("stored", [b"", b"short", bytes(40)])
def test_a_damaged_entry_is_not_found(path, stored):
    with closing(SqliteMemo(path)) as memo:
        memo.put_many("d@1", {"a": b"1"})
        with closing(sqlite3.connect(path)) as db, db:
            db.execute("UPDATE entries SET value = ?", (stored,))
        assert memo.get_many("d@1", ["a"]) == {}


@pytest.mark.parametrize("crashed", [False, True], ids=["closed", "crashed"])
def test_a_memo_of_before_is_replaced_and_its_words_leave_the_file(path, crashed):
    old = sqlite3.connect(path, isolation_level=None)
    old.execute("PRAGMA journal_mode=WAL")
    old.execute("CREATE TABLE memo (deriver TEXT, key TEXT, answer BLOB, PRIMARY KEY (deriver, key)) WITHOUT ROWID")
    key = hashlib.sha256(PLAIN.encode()).hexdigest()
    for n in range(200):
        old.execute("INSERT INTO memo VALUES ('redact/x@1', ?, ?)", (f"{n}{key}", PLAIN.encode()))
    if not crashed:
        old.close()
    assert PLAIN.encode() in bytes_on_disk(path)
    with closing(SqliteMemo(path)) as memo:
        assert memo.get_many("redact/x@1", [key, f"0{key}"]) == {}
        memo.put_many("redact/x@1", {key: b"answer"})
        found = bytes_on_disk(path)
        assert PLAIN.encode() not in found
        assert key.encode() not in found
        assert memo.get_many("redact/x@1", [key]) == {key: b"answer"}
    old.close()
    assert path.stat().st_size < 50_000


def test_a_memo_that_is_deleted_under_a_running_process_goes_on(path):
    """The process goes on with the files that it has open; the next one creates new files beside them."""
    with closing(SqliteMemo(path)) as memo:
        memo.put_many("d@1", {"a": b"1"})
        for file in path.parent.iterdir():
            file.unlink()
        assert memo.get_many("d@1", ["a"]) == {"a": b"1"}
        for number in range(200):
            memo.put_many("d@1", {f"b{number}": b"2" * 20_000})
        with closing(SqliteMemo(path)) as fresh:
            assert fresh.get_many("d@1", ["a", "b1"]) == {}
            fresh.put_many("d@1", {"a": b"again"})
            assert (fresh.get_many("d@1", ["a"]), memo.get_many("d@1", ["a"])) == ({"a": b"again"}, {"a": b"1"})
