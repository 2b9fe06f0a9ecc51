"""A data directory of records of version 1: today's code refuses it, and takes its log over by one command.

``v0.tar.xz`` was made by ``make_v0.py``, whose story lies in it. ``expected.json`` in the archive is what that code
found in it. Today's code is asked by its command line and its HTTP doors only.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from pyiceberg.catalog.sql import SqlCatalog

from tests.waiting import eventually, eventually_equal

pytestmark = [pytest.mark.system, pytest.mark.stack, pytest.mark.models, pytest.mark.slow, pytest.mark.timeout(900)]
ARCHIVE = Path(__file__).with_name("v0.tar.xz")
PATIENCE_S = 300.0
DANA, MIRA = "v0-dana", "v0-mira"
OPEN = "v0-call-open"
SETTINGS = {
    "MMPLATFORM_GATEWAY_PORT": "0",
    "MMPLATFORM_ARCHIVE_COMMIT_INTERVAL_S": "2",
    "MMPLATFORM_ASR_MODEL": "whisper-tiny",
    "MMPLATFORM_CALL_IDLE_TIMEOUT_S": "1e9",
    "MMPLATFORM_CALL_GAP_TIMEOUT_S": "1e9",
}
RAW_TABLES = ("raw_chats", "raw_calls", "raw_screenshots")


@dataclass
class Taken:
    """The old directory, and the stack that took its log over."""

    old_dir: Path
    data_dir: Path
    expected: dict[str, Any]
    later: Path
    gateway: str = ""
    said: str = ""

    def cli(self, *words: str, data_dir: Path | None = None) -> subprocess.CompletedProcess[str]:
        environment = {
            **os.environ,
            **SETTINGS,
            "MMPLATFORM_DATA_DIR": str(data_dir or self.data_dir),
            "COLUMNS": "250",
        }
        command = [sys.executable, "-m", "mmplatform", *words]
        return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)

    def passages(self, subject: str) -> list[dict[str, Any]]:
        answer = httpx.post(
            f"{self.gateway}/v1/search", json={"query": "payment", "subject_id": subject, "k": 100}, timeout=60
        )
        assert answer.is_success, answer.text
        return answer.json()["hits"]

    def texts(self, subject: str, modality: str) -> list[tuple[str, str]]:
        found = self.passages(subject)
        return sorted((each["event_ids"][0], each["text"]) for each in found if each["modality"] == modality)

    def rows(self, table: str) -> list[dict[str, Any]]:
        lakehouse = self.data_dir / "lakehouse"
        uri = f"sqlite:///{lakehouse / 'catalog.sqlite'}?timeout=30"
        with closing(SqlCatalog("mmplatform", uri=uri, warehouse=str(lakehouse / "warehouse"))) as catalog:
            return catalog.load_table(("mmplatform", table)).scan().to_arrow().to_pylist()


@pytest.fixture(scope="module")
def taken(tmp_path_factory) -> Iterator[Taken]:
    folder = tmp_path_factory.mktemp("old")
    with tarfile.open(ARCHIVE) as archive:
        archive.extractall(folder, filter="data")
    expected = json.loads((folder / "v0" / "expected.json").read_text())
    found = Taken(folder / "v0" / "data", folder / "new", expected, folder / "v0" / "later")
    started = found.cli("up", "--detach", "--no-dagster")
    assert started.returncode == 0, started.stdout + started.stderr
    try:
        found.gateway = dict(re.findall(r"^(gateway) +(http\S+)$", started.stdout, re.MULTILINE))["gateway"]
        migrated = found.cli("migrate", "--from", str(found.old_dir))
        assert migrated.returncode == 0, migrated.stdout + migrated.stderr
        found.said = migrated.stdout + migrated.stderr
        yield found
    finally:
        found.cli("down", "--timeout", "180")


def test_a_directory_of_version_1_is_refused_with_the_command_that_takes_it_over(taken):
    refused = taken.cli("up", "--detach", "--no-dagster", data_dir=taken.old_dir)
    assert refused.returncode == 1
    assert f"mmplatform migrate --from {taken.old_dir}" in " ".join(refused.stderr.split())
    assert not (taken.old_dir / "format").exists()


def test_what_was_no_event_is_counted_and_the_rest_is_there(taken):
    assert "27 events replayed" in taken.said
    assert "2 records are no events" in taken.said
    for table in RAW_TABLES:
        eventually_equal(lambda table=table: len(taken.rows(table)), len(taken.expected["rows"][table]), PATIENCE_S)


@pytest.mark.parametrize("subject", [DANA, MIRA])
@pytest.mark.parametrize("modality", ["chat", "screenshot"])
def test_every_passage_of_before_is_found_with_its_words(taken, subject, modality):
    before = sorted(
        (each["event_ids"][0], each["text"])
        for each in taken.expected["passages"][subject]
        if each["modality"] == modality
    )
    eventually_equal(lambda: taken.texts(subject, modality), before, PATIENCE_S)


def test_every_call_is_heard_again(taken):
    before = {
        each["event_ids"][0].split(":")[0] for each in taken.expected["passages"][DANA] if each["modality"] == "call"
    }
    assert before
    eventually(lambda: before <= {each.split(":")[0] for each, _ in taken.texts(DANA, "call")}, PATIENCE_S)


def test_every_row_has_the_tenant_and_its_identity(taken):
    rows = eventually(lambda: taken.rows("messages"), PATIENCE_S)
    assert {row["tenant"] for row in rows} == {"default"}
    assert all(row["event_uids"] and row["version"] for row in rows)


def test_a_second_migration_changes_nothing(taken):
    before = {table: sorted(row["raw_id"] for row in taken.rows(table)) for table in RAW_TABLES}
    texts = taken.texts(DANA, "chat")
    assert taken.cli("migrate", "--from", str(taken.old_dir)).returncode == 0
    status = eventually(lambda: taken.cli("topics"), PATIENCE_S)
    assert status.returncode == 0
    eventually_equal(lambda: taken.texts(DANA, "chat"), texts, PATIENCE_S)
    assert {table: sorted(row["raw_id"] for row in taken.rows(table)) for table in RAW_TABLES} == before
