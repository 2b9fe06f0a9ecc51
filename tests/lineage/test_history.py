"""Lineage read back from a real file: jobs, runs and datasets as Marquez shows them."""

from __future__ import annotations

import json

import pytest
from typer.testing import CliRunner

from mmplatform.cli.main import app
from mmplatform.lineage.history import LineageHistory
from mmplatform.lineage.landings import StreamLineage
from mmplatform.lineage.rotated_file import RotatedFileBackend, lineage_file
from mmplatform.settings import load
from tests.builders import chat
from tests.lineage.events import COLUMNS, placed


class FileSink:
    """Writes events to the file of a data directory, as the archiver's emitter does."""

    def __init__(self, data_dir):
        self.backend = RotatedFileBackend(lineage_file(data_dir))

    def emit(self, build):
        self.backend.send(build())


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory):
    """Two landings of chats, one of which failed, in the run of an archiver that runs on."""
    folder = tmp_path_factory.mktemp("data")
    lineage = StreamLineage(load(kafka_bootstrap_servers="kafka:9092"), COLUMNS, FileSink(folder), "3")
    lineage.begin()
    table, row = placed(chat(), 3, "interactions.chat")
    with lineage.landing(table, [row]):
        pass
    with pytest.raises(OSError, match="no space"), lineage.landing(table, [row]):
        raise OSError("no space")
    return folder


@pytest.fixture(scope="module")
def history(data_dir):
    return LineageHistory.read(lineage_file(data_dir).read_text().splitlines())


def run_verb(data_dir, *arguments):
    return CliRunner().invoke(
        app, ["lineage", *arguments], env={"MMPLATFORM_DATA_DIR": str(data_dir), "COLUMNS": "250"}
    )


def test_runs_have_marquezs_states_and_their_durations(history):
    [landing] = [job for job in history.jobs.values() if job.name.name == "archive.raw_chats"]
    assert [run.state for run in landing.runs.values()] == ["COMPLETED", "FAILED"]
    assert all(run.duration_s is not None and run.duration_s >= 0 for run in landing.runs.values())
    [archive] = [job for job in history.jobs.values() if job.name.name == "archive"]
    assert (archive.latest_run.state, archive.latest_run.duration_s) == ("RUNNING", None)


def test_a_dataset_names_its_columns_and_the_jobs_that_write_and_read_it(history):
    [table] = [found for found in history.datasets.values() if found.name.name == "raw_chats"]
    assert {field["name"] for field in table.fields} >= {"event_id", "event_time"}
    assert {job.name for job in table.written_by} == {"archive.raw_chats"}
    [topic] = [found for found in history.datasets.values() if found.name.name == "interactions.chat"]
    assert topic.name.namespace == "kafka://kafka:9092"
    assert {job.name for job in topic.read_by} == {"archive.raw_chats"}


def test_a_torn_line_is_counted_and_the_others_are_read(data_dir):
    lines = lineage_file(data_dir).read_text().splitlines()
    history = LineageHistory.read([lines[0][:40], *lines, '{"job": 3}', "[]"])
    assert (history.events, history.unreadable_lines) == (len(lines), 3)


def test_the_verb_shows_jobs_and_datasets_and_the_runs_of_one(data_dir):
    listed = run_verb(data_dir)
    assert listed.exit_code == 0, listed.output
    for text in ("archive.raw_chats", "FAILED", "RUNNING", "interactions.chat", "raw_chats", "events"):
        assert text in listed.output
    named = run_verb(data_dir, "raw_chats")
    assert named.exit_code == 0, named.output
    for text in ("COMPLETED", "FAILED", "event_time", "written by archive.raw_chats", "schema", "jobType"):
        assert text in named.output


def test_the_verb_prints_marquezs_form(data_dir):
    found = json.loads(run_verb(data_dir, "--json", "archive.raw_chats").stdout)
    [job] = found["jobs"]
    assert job["id"] == {"namespace": "mmplatform", "name": "archive.raw_chats"}
    assert [dataset["name"] for dataset in job["outputs"]] == ["raw_chats"]
    assert (job["type"], job["latestRun"]["state"]) == ("BATCH", "FAILED")
    assert found["datasets"] == []


def test_a_missing_file_and_an_unnamed_job_are_refused_with_a_hint(data_dir, tmp_path):
    for found, text in ((run_verb(tmp_path), "no event was written yet"), (run_verb(data_dir, "nothing"), "lists all")):
        assert found.exit_code == 1
        assert text in str(found.exception)
