import subprocess
import sys
import time

import pytest

from mmplatform.events import utc_now
from mmplatform.local import log_files


def test_a_large_log_is_rotated_and_the_oldest_is_dropped(tmp_path):
    log = log_files.log_path(tmp_path, "index")
    log.parent.mkdir()
    for number in range(5):
        log.write_text(f"{number}" * 100)
        assert log_files.rotate(log, max_bytes=99, max_files=3)
    assert log.read_text() == ""
    kept = {path.name: path.read_text()[0] for path in log.parent.iterdir() if path != log}
    assert kept == {"index.log.1": "4", "index.log.2": "3", "index.log.3": "2"}


def test_a_small_or_missing_log_is_not_rotated(tmp_path):
    log = tmp_path / "a.log"
    assert not log_files.rotate(log, max_bytes=10)
    log.write_text("short")
    assert not log_files.rotate(log, max_bytes=10)
    assert log.read_text() == "short"


def test_a_log_that_cannot_be_copied_is_emptied_all_the_same_and_the_error_is_raised(tmp_path):
    log, copy = tmp_path / "a.log", tmp_path / "a.log.1"
    log.write_text("x" * 100)
    copy.symlink_to("/dev/full")
    with pytest.raises(OSError, match="No space left"):
        log_files.rotate(log, max_bytes=99, max_files=1)
    assert log.read_text() == ""
    assert not copy.is_symlink(), "half a copy takes room"


def test_a_process_writes_on_into_the_rotated_file_without_a_hole(tmp_path):
    log = tmp_path / "a.log"
    code = "import sys\nfor line in sys.stdin: print(line.strip() * 20, flush=True)"
    with (
        log.open("ab") as output,
        subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=output, text=True) as process,
    ):
        assert process.stdin is not None
        for word, size in (("before", 100), ("after", 80)):
            process.stdin.write(f"{word}\n")
            process.stdin.flush()
            while log.stat().st_size < size:
                time.sleep(0.01)
            log_files.rotate(log, max_bytes=110)
        process.stdin.close()
    assert log.read_text() == "after" * 20 + "\n"
    assert (tmp_path / "a.log.1").read_text() == "before" * 20 + "\n"


def test_the_tail_gives_the_last_lines(tmp_path):
    log = tmp_path / "a.log"
    assert log_files.tail(log, 3) == []
    log.write_text("".join(f"line {number}\n" for number in range(100_000)))
    assert log_files.tail(log, 2) == ["line 99998", "line 99999"]
    assert log_files.tail(log, 0) == []


def test_the_last_lines_are_of_the_current_run_only(tmp_path):
    log = tmp_path / "a.log"
    log_files.write_start_line(log, "a", utc_now())
    with log.open("a") as file:
        file.write("old life\n")
    log_files.write_start_line(log, "a", utc_now())
    with log.open("a") as file:
        file.write("first\n    ^^^^^\n\nlast\n")
    assert log_files.tail_since_start(log, 5) == ["first", "last"]


def test_following_sees_appended_lines_across_a_rotation_and_no_partial_lines(tmp_path):
    log, other = tmp_path / "a.log", tmp_path / "b.log"
    log.write_text("one\ntwo\n")
    lines = log_files.follow({"a": log, "b": other}, 1, wait=True)
    assert next(lines) == ("a", "two")

    def append(text: str) -> None:
        with log.open("a") as file:
            file.write(text)

    append("three\nfo")
    assert next(lines) == ("a", "three")  # and the half line is read, and kept back
    append("ur\n")
    assert next(lines) == ("a", "four")
    log_files.rotate(log, max_bytes=1)
    other.write_text("appears\n")
    append("5\n")
    assert {next(lines), next(lines)} == {("b", "appears"), ("a", "5")}


def test_without_waiting_following_ends(tmp_path):
    log = tmp_path / "a.log"
    log.write_text("one\ntwo\n")
    assert list(log_files.follow({"a": log}, 5, wait=False)) == [("a", "one"), ("a", "two")]
