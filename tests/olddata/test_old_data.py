"""A data directory that the code before the renaming wrote: today's code finds everything in it, and goes on with it.

``v0.tar.xz`` was made by ``make_v0.py``, which tells the story that lies in it. ``expected.json`` in the archive is
what that code said of it. Today's code is asked by its command line and its HTTP doors only, and the files by the names
that lie in them, so that a name which changed on one side is noticed here.
"""

from __future__ import annotations

import itertools
import json
import os
import re
import shutil
import sqlite3
import subprocess
import sys
import tarfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from pyiceberg.catalog.sql import SqlCatalog
from pyiceberg.expressions import AlwaysTrue, EqualTo

from tests.waiting import eventually, eventually_equal

pytestmark = [pytest.mark.system, pytest.mark.stack, pytest.mark.models, pytest.mark.slow, pytest.mark.timeout(1800)]
ARCHIVE = Path(__file__).with_name("v0.tar.xz")
PATIENCE_S = 600.0
DANA, MIRA, LATER = "v0-dana", "v0-mira", "v0-later"
OPEN, EARLY, HOLES, DONE = "v0-call-open", "v0-call-early", "v0-call-holes", "v0-call-done"
SETTINGS = {
    "MMPLATFORM_GATEWAY_PORT": "0",
    "MMPLATFORM_DAGSTER_PORT": "0",
    "MMPLATFORM_ARCHIVE_COMMIT_INTERVAL_S": "2",
    "MMPLATFORM_ASR_MODEL": "whisper-tiny",
    "MMPLATFORM_CALL_IDLE_TIMEOUT_S": "1e9",
    "MMPLATFORM_CALL_GAP_TIMEOUT_S": "1e9",
    "MMPLATFORM_OPENLINEAGE_URL": "kafka",
    # Dagster on a machine that has much else to do.
    **{f"DAGSTER_{what}GRPC_TIMEOUT_SECONDS": "900" for what in ("", "REPOSITORY_", "SENSOR_", "SCHEDULE_")},
}
IDS = {"raw_chats": "event_id", "raw_calls": "event_id", "raw_screenshots": "event_id", "quarantine": "quarantine_id"}
QUIET_HOURS = {"2025-11-03-09:00", "2025-11-03-10:00", "2025-11-03-11:00"}
"""Nothing is told of them here."""


def sensors_of(repository: dict[str, str]) -> str:
    where = ", ".join(f'{name}: "{value}"' for name, value in repository.items())
    return f"""{{ sensorsOrError(repositorySelector: {{ {where} }}) {{ ... on Sensors {{ results {{
      name sensorState {{ typeSpecificData {{ ... on SensorData {{ lastCursor }} }}
      ticks(limit: 5) {{ timestamp status }} }} }} }} }} }}"""


REPOSITORIES = "{ repositoriesOrError { ... on RepositoryConnection { nodes { name location { name } } } } }"
MATERIALIZED = "{ assetNodes { assetKey { path } assetMaterializations(limit: 1000) { partition timestamp } } }"
RUNS = "{ runsOrError { ... on Runs { results { runId jobName status } } } }"


@dataclass
class OldData:
    """The unpacked directory, and the stack on it."""

    folder: Path
    expected: dict[str, Any]
    memo_before: frozenset[str] = frozenset()
    since: float = 0.0
    gateway: str = ""
    dagster_url: str = ""

    @property
    def data_dir(self) -> Path:
        return self.folder / "data"

    def cli(self, *words: str) -> str:
        """What a verb prints; a failing one fails the test with its words."""
        environment = {**os.environ, **SETTINGS, "MMPLATFORM_DATA_DIR": str(self.data_dir), "COLUMNS": "250"}
        command = [sys.executable, "-m", "mmplatform", *words]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, f"{words}: {done.stdout}{done.stderr}"
        return done.stdout

    def post(self, path: str, content: bytes, media_type: str, **said: Any) -> dict[str, Any]:
        answer = httpx.post(
            f"{self.gateway}{path}", content=content, params=said, headers={"Content-Type": media_type}, timeout=60
        )
        assert answer.is_success, answer.text
        return answer.json()

    def say(self, event_id: str, text: str) -> None:
        said = {"event_id": event_id, "conversation_id": LATER, "subject_id": LATER, "role": "customer", "text": text}
        self.post("/v1/events/chat", json.dumps(said).encode(), "application/json")

    def search(self, query: str, **more: Any) -> list[dict[str, Any]]:
        answer = httpx.post(f"{self.gateway}/v1/search", json={"query": query, **more}, timeout=60)
        assert answer.is_success, answer.text
        return answer.json()["hits"]

    def later(self, name: str) -> bytes:
        return (self.folder / "later" / name).read_bytes()

    def table(self, name: str) -> Any:
        lakehouse = self.data_dir / "lakehouse"
        uri = f"sqlite:///{lakehouse / 'catalog.sqlite'}?timeout=30"
        with closing(SqlCatalog("mmplatform", uri=uri, warehouse=str(lakehouse / "warehouse"))) as catalog:
            return catalog.load_table(("mmplatform", name))

    def rows(self, table: str, *columns: str, **where: str) -> list[dict[str, Any]]:
        """The rows as they lie in the table, so that a doubled one shows."""
        [(column, value)] = where.items() if where else [("", "")]
        chosen = EqualTo(column, value) if column else AlwaysTrue()
        return self.table(table).scan(row_filter=chosen, selected_fields=columns or ("*",)).to_arrow().to_pylist()

    def transcript(self, call: str) -> list[dict[str, Any]]:
        columns = ("artifact_id", "channel", "start_s", "end_s", "text", "status", "model", "memo_hit")
        return sorted(self.rows("transcripts", *columns, conversation_id=call), key=lambda row: row["start_s"])

    def memo(self, query: str = "select distinct space from entries") -> frozenset[str]:
        """What the memo's answers are kept under: ``who/model@version``."""
        with closing(sqlite3.connect(self.data_dir / "memo" / "memo.sqlite")) as memo:
            return frozenset(name for (name,) in memo.execute(query))

    def ask(self, query: str) -> dict[str, Any]:
        answer = httpx.post(f"{self.dagster_url}/graphql", json={"query": query}, timeout=120)
        found = answer.raise_for_status().json()
        assert not found.get("errors"), found["errors"]
        return found["data"]

    def repository(self) -> dict[str, str]:
        """How Dagster calls the code; empty while it loads it."""
        try:
            nodes = self.ask(REPOSITORIES)["repositoriesOrError"].get("nodes")
        except httpx.HTTPError:
            return {}
        return (
            {"repositoryLocationName": nodes[0]["location"]["name"], "repositoryName": nodes[0]["name"]}
            if nodes
            else {}
        )

    def sensors(self) -> dict[str, dict[str, Any]]:
        found = self.ask(sensors_of(self.repository()))["sensorsOrError"]["results"]
        return {each["name"]: each["sensorState"] for each in found}

    def materialized(self) -> dict[str, list[dict[str, Any]]]:
        nodes = self.ask(MATERIALIZED)["assetNodes"]
        return {node["assetKey"]["path"][0]: node["assetMaterializations"] for node in nodes}


@pytest.fixture(scope="module")
def old(tmp_path_factory) -> Iterator[OldData]:
    found = unpacked(tmp_path_factory.mktemp("old"))
    found.memo_before = found.memo("select distinct deriver from memo")
    leave_a_run_file(found)
    forget_what_the_archiver_committed(found)
    forget_a_state(found, EARLY)
    with running(found):
        yield found


def unpacked(folder: Path) -> OldData:
    """The archive at another place: its tables say the whole path of each file, so this one is made as long."""
    with tarfile.open(ARCHIVE) as archive:
        archive.extractall(folder, filter="data")
    expected = json.loads((folder / "v0" / "expected.json").read_text())
    written, padding = expected["data_dir"], len(expected["data_dir"]) - len(f"{folder}//data")
    assert padding > 0, f"{folder} is too long"
    top = (folder / "v0").rename(folder / ("x" * padding))
    here = str(top / "data")
    assert len(here) == len(written)
    for path in (top / "data" / "lakehouse").rglob("*"):
        if path.suffix in {".json", ".avro"}:
            path.write_bytes(path.read_bytes().replace(written.encode(), here.encode()))
    with closing(sqlite3.connect(top / "data" / "lakehouse" / "catalog.sqlite")) as catalog, catalog:
        for column in ("metadata_location", "previous_metadata_location"):
            catalog.execute(f"update iceberg_tables set {column} = replace({column}, ?, ?)", (written, here))  # noqa: S608
    return OldData(top, expected)


def leave_a_run_file(old: OldData) -> None:
    """As a crash would have left it."""
    run = old.data_dir / "run"
    run.mkdir()
    (run / "stack.json").write_text(json.dumps(old.expected["stack"]))


def forget_what_the_archiver_committed(old: OldData) -> None:
    """It reads the log from the beginning: that nothing is landed twice is up to what the tables say of themselves."""
    with closing(sqlite3.connect(old.data_dir / "broker" / "broker.sqlite")) as store, store:
        assert store.execute("delete from offsets where group_id = 'archive'").rowcount > 0


def forget_a_state(old: OldData, call: str) -> None:
    """The state of one call is on the log alone; the others' lies on this machine too."""
    place = _topic_partition(old, call)
    assert place not in {_topic_partition(old, other) for other in (OPEN, HOLES)}
    [store] = old.data_dir.glob(f"state/**/{place}/CURRENT")
    shutil.rmtree(store.parent)


def _topic_partition(old: OldData, call: str) -> int:
    [place] = {row["topic_partition"] for row in old.rows("raw_calls", "topic_partition", conversation_id=call)}
    return place


@contextmanager
def running(old: OldData) -> Iterator[None]:
    old.since = time.time()
    told = old.cli("up", "--detach")
    try:
        addresses = dict(re.findall(r"^(gateway|dagster) +(http\S+)$", told, re.MULTILINE))
        old.gateway, old.dagster_url = addresses["gateway"], addresses["dagster"]
        yield
    finally:
        old.cli("down", "--timeout", "180")


def test_every_passage_that_was_found_is_found_with_its_place(old):
    for subject, hits in old.expected["passages"].items():
        for modality in {hit["modality"] for hit in hits}:
            wanted = {hit["passage_id"]: hit for hit in hits if hit["modality"] == modality}
            found = {
                hit["passage_id"]: {name: hit[name] for name in wanted[hit["passage_id"]]}
                for hit in old.search("anything", subject_id=subject, modalities=[modality], k=100)
                if hit["passage_id"] in wanted
            }
            assert found == wanted


def test_a_question_is_answered_with_the_right_passage_of_each_modality(old):
    for modality in ("chat", "call", "screenshot"):
        text = next(h["text"] for h in old.expected["passages"][DANA] if h["modality"] == modality)
        [best] = old.search(text, subject_id=DANA, modalities=[modality], k=1)
        assert best["text"] == text
        assert best["score"] > 0.99


def test_the_embedder_that_served_serves_and_the_one_before_it_is_kept(old):
    words = [line.split() for line in old.cli("embedder", "status").splitlines()]
    state = {found[1]: found[0] for found in words if len(found) > 1 and found[1] in {"serving", "previous"}}
    assert state == old.expected["embedders"]


def test_the_dead_letters_are_listed_and_which_of_them_was_redriven_is_known(old):
    assert json.loads(old.cli("dead-letters", "list", "--json")) == old.expected["dead_letters"]


def test_calls_that_were_open_go_on_in_the_middle_of_a_word(old):
    before = {call: old.transcript(call) for call in (OPEN, EARLY, HOLES)}
    split_s = json.loads(old.later("calls.json"))[OPEN]["chunks"][0]["start_s"]
    for call, todo in json.loads(old.later("calls.json")).items():
        for chunk in todo["chunks"]:
            old.post(
                f"/v1/calls/{call}/chunks",
                old.later(chunk["file"]),
                "audio/wav",
                index=chunk["index"],
                start_s=chunk["start_s"],
                event_time=chunk["event_time"],
                subject_id=DANA,
                speakers="agent,customer",
                source="v0",
            )
        if not todo["ended"]:
            said = {"subject_id": DANA, "chunks": todo["of"], "event_time": todo["chunks"][-1]["event_time"]}
            old.post(f"/v1/calls/{call}/end", json.dumps(said).encode(), "application/json")
    words = ("order open", "you pay", "another browser")
    for call in (OPEN, EARLY):
        eventually(lambda call=call: words[-1] in _said(old, call), PATIENCE_S)
        assert [_said(old, call).count(each) for each in words] == [1, 1, 1]
        after = {row["artifact_id"]: row for row in old.transcript(call)}
        assert {row["artifact_id"]: row["text"] for row in before[call]}.items() <= {
            each: row["text"] for each, row in after.items()
        }.items(), "what was said before is there as it was"
        assert {row["status"] for row in after.values()} == {"final"}, "no audio is missing"
        assert any(row["start_s"] < split_s < row["end_s"] for row in after.values()), "across the border"
    assert _place_and_words(old, EARLY) == _place_and_words(old, OPEN), "the same recording"
    assert any(row["memo_hit"] for row in old.transcript(EARLY)), "what the old code heard is not heard again"
    # The holes were told as such; now that their audio came, the marks are taken back.
    assert {row["status"] for row in before[HOLES]} == {"final", "gap"}
    eventually_equal(lambda: {row["status"] for row in old.transcript(HOLES)}, {"final"}, PATIENCE_S)
    for call in (OPEN, EARLY, HOLES):
        _does_not_overlap(old.transcript(call))


def _said(old: OldData, call: str) -> str:
    return " ".join(row["text"] for row in old.transcript(call)).lower()


def _place_and_words(old: OldData, call: str) -> list[tuple[Any, ...]]:
    return [(row["channel"], row["start_s"], row["end_s"], row["text"]) for row in old.transcript(call)]


def _does_not_overlap(rows: list[dict[str, Any]]) -> None:
    for channel in {row["channel"] for row in rows}:
        own = [row for row in rows if row["channel"] == channel]
        assert all(one["end_s"] <= other["start_s"] + 0.01 for one, other in itertools.pairwise(own))


def test_the_memo_of_before_is_replaced_and_no_model_has_another_name_in_the_new_one(old):
    """The same words and the same image from another person: they are derived once more, then known."""
    text = next(row["text"] for row in old.rows("raw_chats", "text", subject_id=MIRA))
    old.say("v0-again", text)
    said = {"event_id": "v0-again-shot", "conversation_id": LATER, "subject_id": LATER}
    old.post("/v1/events/screenshot", old.later("screenshot.png"), "image/png", **said)
    for table in ("messages", "captions", "passages"):
        _rows_of(old, table, ("artifact_id",))
    news = old.memo() - old.memo_before
    assert not {_model(name) for name in news} & {_model(name) for name in old.memo_before}
    memo = old.data_dir / "memo"
    assert not any(text.encode() in file.read_bytes() for file in memo.iterdir())
    [again] = old.rows("captions", "content_id", subject_id=LATER)
    assert again["content_id"]
    assert {row["content_id"] for row in old.rows("captions", "content_id", subject_id=DANA)} == {None}


def _rows_of(old: OldData, table: str, columns: tuple[str, ...]) -> list[dict[str, Any]]:
    return eventually(lambda: old.rows(table, *columns, subject_id=LATER), PATIENCE_S)


def _model(name: str) -> str:
    return name.partition("/")[2] or name


def test_archiving_goes_on_and_no_row_is_there_twice(old):
    """The archiver has read the log from its beginning."""
    old.say("v0-goes-on", "and where is my order now?")
    eventually(lambda: old.rows("messages", "artifact_id", subject_id=LATER), PATIENCE_S)
    eventually(lambda: "v0-goes-on" in {row["event_id"] for row in old.rows("raw_chats", "event_id")}, PATIENCE_S)
    gaps = {row["artifact_id"] for row in old.expected["transcripts"] if row["status"] == "gap"}
    for table, wanted in old.expected["rows"].items():
        column = IDS.get(table, "artifact_id")
        found = Counter(row[column] for row in old.rows(table, column))
        assert {each: count for each, count in found.items() if count > 1} == {}, table
        assert set(wanted) - set(found) <= gaps, table
    # What a reprocessing run had put in the place of the log's rows would have been replaced by these again.
    wanted = [row for row in old.expected["transcripts"] if row["conversation_id"] == DONE]
    assert {row["model"] for row in wanted} == {"whisper-base"}
    kept = {row["artifact_id"]: (row["model"], row["text"]) for row in old.transcript(DONE)}
    assert kept == {row["artifact_id"]: (row["model"], row["text"]) for row in wanted}


def test_the_tables_go_on_saying_how_far_the_log_is_in_them(old):
    for table, before in old.expected["summaries"].items():
        after = old.table(table).current_snapshot().summary.additional_properties
        for key, value in before.items():
            if ".offsets." in key:
                was, now = json.loads(value), json.loads(after[key])
                assert all(now[topic][part] >= place for topic, parts in was.items() for part, place in parts.items())


def test_an_hour_that_was_derived_before_is_derived_again_to_the_same_rows(old):
    if not old.memo() <= old.memo_before:
        pytest.skip("a model is newer: it may well say something else")
    for table, hour in (("messages", 9), ("captions", 11)):
        told = old.cli("reprocess", table, f"2025-11-03-{hour:02}:00")
        lines = {
            line.split()[0]: line.split()[1:] for line in told.splitlines() if line.startswith((table, "passages"))
        }
        assert int(lines[table][0]) > 0
        assert int(lines["passages"][0]) > 0
        if table == "captions":  # its rows have the id of their content from now on, and the same passages
            del lines[table]
        assert {each for figures in lines.values() for each in figures[1:]} == {"0"}, told


@pytest.mark.skipif(
    not os.environ.get("MMPLATFORM_TEST_OLD_DAGSTER"), reason="takes minutes: set MMPLATFORM_TEST_OLD_DAGSTER=1"
)
def test_dagster_knows_what_it_was_told_and_is_not_told_again(old):
    eventually(old.repository, PATIENCE_S)
    for _ in range(2):
        now = time.time()
        eventually(lambda now=now: _looked(old, now), PATIENCE_S, every_s=5.0)
    before = old.expected["dagster"]
    for asset, partitions in before["materializations"].items():
        news = [each for each in old.materialized()[asset] if float(each["timestamp"]) / 1000 >= old.since]
        quiet = {old.expected["untouched_bucket"]} if asset == "index" else QUIET_HOURS
        assert not quiet & {each["partition"] for each in news}, f"{asset} was told again"
        found = Counter(each["partition"] or "" for each in old.materialized()[asset])
        assert all(found[each] >= count for each, count in partitions.items()), f"of {asset} something was forgotten"
    cursors = {name: state["typeSpecificData"]["lastCursor"] for name, state in old.sensors().items()}
    for name, text in before["cursors"].items():
        _goes_on(name, json.loads(text or "null"), json.loads(cursors[name] or "null"))
    runs = {run["runId"]: [run["jobName"], run["status"]] for run in old.ask(RUNS)["runsOrError"]["results"]}
    assert before["runs"].items() <= runs.items()


def _looked(old: OldData, moment: float) -> bool:
    """Whether every sensor has begun and ended a look since then."""
    ticks = [state["ticks"] for state in old.sensors().values()]
    ended = {"SUCCESS", "SKIPPED"}
    return all(any(each["timestamp"] > moment and each["status"] in ended for each in some) for some in ticks)


def _goes_on(name: str, before: Any, after: Any) -> None:
    """A cursor that was not understood begins anew: from another place, or without what it had."""
    assert type(after) is type(before), name
    if not isinstance(before, dict):
        return
    assert after.keys() == before.keys(), name
    assert after.get("version") == before.get("version"), name
    for table, place in before.get("tables", {}).items():
        assert after["tables"][table]["table_uuid"] == place["table_uuid"]
        assert after["tables"][table]["sequence"] >= place["sequence"]
