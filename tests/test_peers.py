"""What every contestant of ``benchmarks.peers`` is measured with: the log that it reads, the reader, the ledger."""

from __future__ import annotations

import itertools
import json
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer

from benchmarks.peers.arrivals import append, commit_offset, files_of, follow, log_of
from benchmarks.peers.outcome import Ledger, Outcome, texts
from benchmarks.peers.pathway_app import port_of, reader
from benchmarks.peers.watch import DELETED, Row, watch


def change(n, version=1, *, deleted=False):
    return {"id": f"chat-{n}", "n": n, "version": version, "text": f"text {n}", "deleted": deleted}


def test_a_loop_goes_on_behind_the_place_that_it_kept(tmp_path):
    append(tmp_path, [change(n) for n in range(5)])
    first, at = next(follow(tmp_path, batch_size=3))
    assert [each["n"] for each in first] == [0, 1, 2]
    assert next(follow(tmp_path, batch_size=3))[0] == first  # killed before it kept its place: read again
    commit_offset(tmp_path, at)
    append(tmp_path, [change(5)])
    found = [each["n"] for batch, _ in itertools.islice(follow(tmp_path, batch_size=2), 2) for each in batch]
    assert found == [3, 4, 5]


def test_a_peer_that_keeps_its_place_itself_says_where_to_go_on(tmp_path):
    append(tmp_path, [change(n) for n in range(3)])
    _, at = next(follow(tmp_path, batch_size=2))
    commit_offset(tmp_path, 0)
    assert [each["n"] for each in next(follow(tmp_path, offset=at))[0]] == [2]


def test_a_line_that_is_half_written_is_read_when_it_is_whole(tmp_path):
    append(tmp_path, [change(0)])
    with log_of(tmp_path).open("a") as log:
        log.write(json.dumps(change(1))[:10])
    batches = follow(tmp_path)
    assert [each["n"] for each in next(batches)[0]] == [0]
    with log_of(tmp_path).open("a") as log:
        log.write(json.dumps(change(1))[10:] + "\n")
    assert [each["n"] for each in next(batches)[0]] == [1]


def test_the_last_of_two_changes_in_a_batch_counts(tmp_path):
    append(tmp_path, [change(0), change(0, 2), change(1), change(1, deleted=True)])
    batch, _ = next(follow(tmp_path))
    assert [(each["n"], each["version"], each["deleted"]) for each in batch] == [(0, 2, False), (1, 1, True)]


def test_a_peer_that_reads_folders_finds_a_file_for_each_chat(tmp_path):
    files_of(tmp_path).mkdir()
    append(tmp_path, [change(0), change(1), change(1, 2), change(0, deleted=True)])
    [left] = files_of(tmp_path).iterdir()
    assert json.loads(left.read_text())["version"] == 2


def test_the_reader_notes_each_version_once_and_in_the_end_all_that_is_there(tmp_path):
    index = [Row("chat-0", 0, 1), Row("chat-1", 1, 1)]
    asked = []

    def rows(since):
        asked.append(since)
        if len(asked) == 2:
            index[0] = Row("chat-0", 0, 2)
            (tmp_path / "look-again").touch()
        if len(asked) == 4:
            (tmp_path / "stop").touch()
        return [row for row in index if row.n >= since]

    watch(tmp_path, rows)
    seen = [json.loads(line)[:2] for line in (tmp_path / "seen.jsonl").read_text().splitlines()]
    assert seen == [[0, 1], [1, 1], [0, 2]]
    assert asked == [0, 2, 0, 0, 0]
    assert json.loads((tmp_path / "there.json").read_text()) == [["chat-0", 0, 2], ["chat-1", 1, 1]]


def test_the_reader_notes_what_is_no_longer_there_but_not_when_the_server_is_away(tmp_path):
    (tmp_path / "look-again").touch()
    looks = iter([[0, 1, 2], [], [0, 2], [0, 2]])

    def rows(_since):
        found = next(looks, None)
        if found is None:
            return []
        if found == [0, 2]:
            (tmp_path / "stop").touch()
        return [Row(f"chat-{n}", n, 1) for n in found]

    watch(tmp_path, rows)
    seen = [json.loads(line)[:2] for line in (tmp_path / "seen.jsonl").read_text().splitlines()]
    assert seen == [[0, 1], [1, 1], [2, 1], [1, DELETED]]


def test_the_reader_that_is_to_forget_notes_again_what_is_still_there(tmp_path):
    looks = []

    def rows(since):
        looks.append(since)
        if len(looks) == 1:
            (tmp_path / "forget").touch()
            return [Row("chat-0", 0, 1), Row("chat-1", 1, 1)]
        if len(looks) == 2:
            (tmp_path / "stop").touch()
        return [Row("chat-0", 0, 1)]

    watch(tmp_path, rows)
    assert [json.loads(line)[:2] for line in (tmp_path / "seen.jsonl").read_text().splitlines()] == [[0, 1]]
    assert looks == [0, 0, 0]
    assert not (tmp_path / "forget").exists()


class Pathway(BaseHTTPRequestHandler):
    """Answers as the peer's own server does, with what lies in the index."""

    index: tuple[dict[str, object], ...] = ()
    asked: tuple[dict[str, object], ...] = ()

    def do_POST(self):
        query = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        Pathway.asked = (*Pathway.asked, query)
        self.send_response(200)
        self.end_headers()
        self.wfile.write(json.dumps(Pathway.index).encode())

    def log_message(self, *_):
        pass


@contextmanager
def pathway(folder):
    with HTTPServer(("127.0.0.1", 0), Pathway) as server:
        port_of(folder).write_text(str(server.server_port))
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield
        finally:
            server.shutdown()
            thread.join()


def test_the_reader_of_a_server_waits_for_one_that_is_not_there_yet_and_finds_it_elsewhere(tmp_path, monkeypatch):
    monkeypatch.setattr(Pathway, "index", ({"id": "chat-7", "n": 7, "version": 2},))
    monkeypatch.setattr(Pathway, "asked", ())
    rows, found = reader(tmp_path), []
    early = threading.Thread(target=lambda: found.extend(rows(7)))
    early.start()
    with pathway(tmp_path):
        early.join(timeout=30)
    assert found == [Row("chat-7", 7, 2)]
    with pathway(tmp_path):
        assert rows(0) == found
    assert [query["metadata_filter"] for query in Pathway.asked] == ["n >= `7`", "n >= `0`"]


def test_a_server_that_does_not_come_back_has_nothing(tmp_path, monkeypatch):
    monkeypatch.setattr("benchmarks.peers.pathway_app.PATIENCE_S", 0.05)
    assert reader(tmp_path)(0) == []


def test_the_ledger_counts_lost_duplicated_stale_and_undeleted_chats():
    wanted = {"a": 1, "b": 2, "c": 1, "d": 1}
    there = [("a", 1), ("b", 1), ("d", 1), ("d", 1), ("e", 1)]
    assert Ledger.from_rows(wanted, there) == Ledger(lost=1, doubled=1, stale=1, undead=1)
    assert Ledger.from_rows(wanted, list(wanted.items())) == Ledger(0, 0, 0, 0)


def test_a_row_says_what_was_not_measured():
    row = Outcome("somebody", "", 100, until_all=2.0, cpu=1.0, gaps={20: [0.1, 0.3]}).row()
    assert row == "| somebody | 50 | 10.0 | - | 0.20 / 0.30 | - |  |  |"
    assert Outcome("nobody", "", 100, trouble="cannot be installed").row().count("|") == row.count("|")


def test_no_two_chats_are_alike_and_a_seed_gives_the_same_ones():
    made = texts(500, 1)
    assert len(set(made)) == 500
    assert made == texts(500, 1)
    assert not set(made) & set(texts(500, 2))
