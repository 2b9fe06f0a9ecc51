"""The default backend: a bounded file, written by several processes."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from mmplatform.errors import Unavailable
from mmplatform.kafka.connection import client_config
from mmplatform.lineage.backends import open_backend
from mmplatform.lineage.rotated_file import RotatedFileBackend, lineage_file, lineage_files, read_lineage_lines
from mmplatform.settings import load
from tests.lineage.events import an_event
from tests.lineage.spec import check

WRITER = """\
import sys
from pathlib import Path
from mmplatform.lineage.rotated_file import RotatedFileBackend
from tests.lineage.events import an_event
backend = RotatedFileBackend(Path(sys.argv[1]), max_bytes=40_000, max_old_files=50)
for _ in range(int(sys.argv[2])):
    backend.send(an_event())
"""


def events(path):
    return [json.loads(line) for file in lineage_files(path) for line in file.read_text().splitlines()]


def test_without_a_destination_events_lie_in_the_data_directory(tmp_path):
    settings = load(data_dir=tmp_path)
    assert settings.sends_lineage
    backend = open_backend(settings, client_config)
    backend.send(an_event())
    backend.close()
    assert [check(event)["eventType"] for event in events(lineage_file(tmp_path))] == ["START"]
    assert not load(openlineage_url="off").sends_lineage


def test_size_and_number_of_the_files_are_bounded_and_the_newest_events_stay(tmp_path):
    path, size = tmp_path / "lineage" / "events.jsonl", 3 * len(json.dumps(event_json()))
    backend = RotatedFileBackend(path, max_bytes=size, max_old_files=2)
    sent = []
    for _ in range(20):
        event = an_event()
        backend.send(event)
        sent.append(event.run.runId)
    files = lineage_files(path)
    assert [file.name for file in files] == ["events.jsonl.2", "events.jsonl.1", "events.jsonl"]
    assert all(file.stat().st_size <= size for file in files)
    left = [event["run"]["runId"] for event in events(path)]
    assert 3 <= len(left) < 20
    assert left == sent[-len(left) :], "the newest, in their order"


def event_json():
    from openlineage.client.serde import Serde

    return Serde.to_dict(an_event())


def test_processes_that_write_at_once_lose_and_tear_nothing_over_rotations(tmp_path):
    path = tmp_path / "events.jsonl"
    children = [subprocess.Popen([sys.executable, "-c", WRITER, str(path), "30"]) for _ in range(2)]
    assert [child.wait(timeout=120) for child in children] == [0, 0]
    # 60 events of at least 2 kB in files of 40 kB: the file was rotated while both wrote.
    found = [
        json.loads(line) for file in sorted(tmp_path.glob("events.jsonl*")) for line in file.read_text().splitlines()
    ]
    assert len({event["run"]["runId"] for event in found}) == len(found) == 60
    assert len(list(tmp_path.glob("events.jsonl.*"))) >= 2


def test_a_folder_that_cannot_be_written_may_be_later(tmp_path):
    (tmp_path / "lineage").write_text("a file where the folder should be")
    with pytest.raises(Unavailable, match="cannot be written"):
        RotatedFileBackend(tmp_path / "lineage" / "events.jsonl").send(an_event())


def test_a_full_disk_leaves_no_part_of_a_line(tmp_path):
    """In a process whose files may have 12,000 bytes: the second event does not fit."""
    path = tmp_path / "lineage" / "events.jsonl"
    program = f"""
import resource, signal
from pathlib import Path
from mmplatform.errors import Unavailable
from mmplatform.lineage.rotated_file import RotatedFileBackend
from tests.lineage.events import an_event
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
backend = RotatedFileBackend(Path({str(path)!r}))
backend.send(an_event())
size = Path({str(path)!r}).stat().st_size
resource.setrlimit(resource.RLIMIT_FSIZE, (size + size // 2, resource.RLIM_INFINITY))
try:
    backend.send(an_event())
except Unavailable:
    print("unavailable")
"""
    assert subprocess.check_output([sys.executable, "-c", program], text=True) == "unavailable\n"
    assert len(events(path)) == 1
    RotatedFileBackend(path).send(an_event())
    assert len(events(path)) == 2


def test_files_are_read_under_the_lock_and_what_is_no_text_is_named(tmp_path):
    path = tmp_path / "lineage" / "events.jsonl"
    RotatedFileBackend(path).send(an_event())
    assert len(read_lineage_lines(lambda: lineage_files(path), path)) == 1
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(Unavailable, match="not UTF-8"):
        read_lineage_lines(lambda: lineage_files(path), path)
    with pytest.raises(Unavailable, match="cannot be read"):
        read_lineage_lines(lambda: [tmp_path], path)
