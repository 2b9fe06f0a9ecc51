"""``mmplatform ingest`` in a process of its own, against a gateway that listens."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from contextlib import contextmanager

import pytest

from mmplatform.gateway.app import create_app
from mmplatform.modalities import CHAT
from tests.ingest.gateways import memory_parts, picture
from tests.servers.web import serving


@contextmanager
def listening(tmp_path):
    parts, log = memory_parts(tmp_path / "gateway")
    with serving(create_app(parts.ingest.settings, parts)) as address:
        yield address, log


def ingest(*arguments):
    command = [sys.executable, "-m", "mmplatform", "ingest", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)


@pytest.fixture
def folder(tmp_path):
    folder = tmp_path / "files"
    folder.mkdir()
    row = {"conversation_id": "c1", "subject_id": "s1", "role": "customer", "text": "hello"}
    (folder / "chat.jsonl").write_text(json.dumps(row) + "\n")
    (folder / "shot.png").write_bytes(picture())
    return folder


def test_what_is_sound_is_taken_and_exits_zero_and_what_is_not_is_named_and_exits_one(tmp_path, folder):
    with listening(tmp_path) as (url, log):
        first = ingest(folder, "--subject", "s1", "--url", url)
        assert first.returncode == 0, first.stdout + first.stderr
        with (folder / "chat.jsonl").open("a") as file:
            file.write("nonsense\n")
        second = ingest(folder, "--subject", "s1", "--url", url)
        assert second.returncode == 1
        assert "chat.jsonl, line 2" in " ".join(second.stdout.split())
        assert len(list(log.read(CHAT.topic))) == 1


def test_all_refusals_are_written_to_the_file_that_is_named(tmp_path, folder):
    (folder / "chat.jsonl").write_text("nonsense\n" * 30)
    path = tmp_path / "refused.jsonl"
    with listening(tmp_path) as (url, _):
        done = ingest(folder, "--subject", "s1", "--url", url, "--refusals", path)
    assert done.returncode == 1
    found = [json.loads(line) for line in path.read_text().splitlines()]
    assert [refusal["line"] for refusal in found] == list(range(1, 31))
    assert all(refusal["path"] == str(folder / "chat.jsonl") and refusal["reason"] for refusal in found)
    assert "10 more refusals" in " ".join(done.stdout.split())


def test_a_file_for_refusals_that_cannot_be_written_is_reported_before_anything_is_sent(tmp_path, folder):
    with listening(tmp_path) as (url, log):
        for wrong in (tmp_path / "nowhere" / "x", folder / "chat.jsonl"):
            done = ingest(folder, "--subject", "s1", "--url", url, "--refusals", wrong)
            assert done.returncode == 1
            assert "--refusals" in done.stderr
        assert list(log.read(CHAT.topic)) == []
    assert "hello" in (folder / "chat.jsonl").read_text()


def test_a_name_that_is_no_utf8_does_not_end_the_summary(tmp_path, folder):
    (folder / os.fsdecode(b"\xff.png")).write_bytes(b"no image")
    with listening(tmp_path) as (url, _):
        done = ingest(folder, "--subject", "s1", "--url", url, "--refusals", tmp_path / "told")
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert "udcff.png" in "".join(done.stdout.split())
    assert len((tmp_path / "told").read_text().splitlines()) == 1


def test_no_gateway_is_reported_and_exits_one(folder):
    done = ingest(folder, "--subject", "s1", "--url", "http://127.0.0.1:9", "--at", "2026-03-01T12:00:00")
    assert done.returncode == 1
    assert "does not answer" in " ".join(done.stderr.split())
