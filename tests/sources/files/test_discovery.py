from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mmplatform.sources.files.chat_records import ChatFile, ChatRecord
from mmplatform.sources.files.discovery import Rejection, SourceFile, UploadDefaults, plan_upload
from tests.ingest.gateways import picture, wav

LINE = {"conversation_id": "c1", "subject_id": "s1", "role": "customer", "text": "hello"}
SECRET = "4111-1111"


def names(paths):
    return [path.name for path in paths]


def chats(tmp_path, content, name="chats.jsonl", defaults=None):
    path = tmp_path / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    [file] = plan_upload([path]).files
    found = list(ChatFile(file, defaults or UploadDefaults()))
    return [f for f in found if isinstance(f, ChatRecord)], [f for f in found if isinstance(f, Rejection)]


def jsonl(*rows):
    return "".join(json.dumps(row) + "\n" for row in rows)


def test_a_folder_is_planned_with_the_quick_kinds_first_and_the_rest_skipped(tmp_path):
    for name in ("b.wav", "sub/a.MP3", "x.png", "sub/deep/y.jpeg", "z.webp", "chat.csv", "chat.jsonl", "call.opus"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"x")
    for name in ("README.md", "truth.json", ".hidden.png", ".git/logo.png"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"x")
    planned = plan_upload([tmp_path])
    kinds = [file.kind for file in planned.files]
    assert kinds == ["chats"] * 2 + ["screenshot"] * 3 + ["call"] * 3
    assert {file.path.name: file.media_type for file in planned.files if file.kind == "call"} == {
        "b.wav": "audio/wav",
        "a.MP3": "audio/mpeg",
        "call.opus": "audio/ogg",
    }
    assert planned.rejected == ()
    assert names(planned.skipped) == ["README.md", "truth.json"]
    assert planned.size == 8


def test_an_unsupported_named_file_is_rejected_with_a_reason(tmp_path):
    (tmp_path / "notes.txt").write_text("x")
    (tmp_path / "empty.wav").touch()
    planned = plan_upload([tmp_path / "notes.txt", tmp_path / "nowhere.png", tmp_path / "empty.wav"])
    reasons = {rejection.path.name: rejection.reason for rejection in planned.rejected}
    assert "kind is not supported" in reasons["notes.txt"]
    assert "no such file" in reasons["nowhere.png"]
    assert "empty" in reasons["empty.wav"]
    assert planned.files == ()


def test_an_empty_file_in_a_folder_is_rejected_too(tmp_path):
    (tmp_path / "empty.png").touch()
    assert names(rejection.path for rejection in plan_upload([tmp_path]).rejected) == ["empty.png"]


def test_a_file_named_twice_is_sent_once(tmp_path):
    (tmp_path / "a.png").write_bytes(picture())
    (tmp_path / "link.png").symlink_to(tmp_path / "a.png")
    assert len(plan_upload([tmp_path, tmp_path / "a.png", tmp_path / "link.png"]).files) == 1


UNREADABLE = """
import os, sys
from pathlib import Path
from mmplatform.sources.files.discovery import plan_upload
if os.geteuid() == 0:
    os.setuid(65534)  # nobody: root may read everything
found = plan_upload([Path(name) for name in sys.argv[1:]])
print([file.path.name for file in found.files])
for refusal in found.rejected:
    print(refusal.path.name, "|", refusal.reason)
"""


@pytest.fixture
def locked():
    """A readable folder with an unreadable one inside; pytest's own folders are closed to other users."""
    folder = Path(tempfile.mkdtemp())
    folder.chmod(0o755)
    (folder / "a.png").write_bytes(picture())
    (folder / "a.png").chmod(0o644)  # whatever umask an earlier test has left: another user reads it
    (folder / "locked").mkdir()
    (folder / "locked" / "b.png").write_bytes(picture())
    (folder / "locked").chmod(0)
    yield folder
    (folder / "locked").chmod(0o755)
    shutil.rmtree(folder)


def planned_unprivileged(*paths):
    command = [sys.executable, "-c", UNREADABLE, *map(str, paths)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def test_an_unreadable_folder_is_rejected_by_name_and_its_neighbours_are_planned(locked):
    expected = ["['a.png']", "locked | the folder cannot be read: Permission denied"]
    assert planned_unprivileged(locked) == expected
    assert planned_unprivileged(locked / "locked") == ["[]", expected[1]]


def test_a_file_in_an_unreadable_folder_is_rejected_by_name(locked):
    expected = ["[]", "b.png | it cannot be read: Permission denied"]
    assert planned_unprivileged(locked / "locked" / "b.png") == expected


def test_an_impossible_file_name_is_rejected(tmp_path):
    [rejection] = plan_upload([tmp_path / ("x" * 300 + ".png")]).rejected
    assert "name too long" in rejection.reason


def test_a_link_to_a_folder_is_not_followed_but_counted(tmp_path):
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "a.png").write_bytes(picture())
    (tmp_path / "sub" / "again").symlink_to(tmp_path)
    planned = plan_upload([tmp_path])
    assert names(file.path for file in planned.files) == ["a.png"]
    assert names(planned.skipped) == ["again"]


def test_a_broken_link_is_rejected(tmp_path):
    (tmp_path / "gone.wav").symlink_to(tmp_path / "nowhere.wav")
    [rejection] = plan_upload([tmp_path]).rejected
    assert "no such file" in rejection.reason


def test_lines_keep_their_order_and_their_own_fields(tmp_path):
    rows = [
        LINE | {"event_id": "e1", "event_time": "2026-03-01T12:00:00+01:00", "source": "crm"},
        LINE | {"text": "second", "role": "bot"},
    ]
    records, rejected = chats(tmp_path, jsonl(*rows), defaults=UploadDefaults(source="files"))
    assert rejected == []
    assert [each.line for each in records] == [1, 2]
    assert records[0].body.event_time == datetime(2026, 3, 1, 11, tzinfo=UTC)
    assert [each.body.source for each in records] == ["crm", "files"]
    assert records[0].body.event_id == "e1"


def test_defaults_of_the_file_fill_the_fields_that_a_line_leaves_out(tmp_path):
    at = datetime(2026, 1, 1, tzinfo=UTC)
    row = {"role": "agent", "text": "x"}
    defaults = UploadDefaults(subject_id="s9", conversation_id="c9", event_time=at)
    [line], [] = chats(tmp_path, jsonl(row), defaults=defaults)
    assert (line.body.subject_id, line.body.conversation_id, line.body.event_time) == ("s9", "c9", at)
    [line], [] = chats(tmp_path, jsonl(row | {"subject_id": "own"}), defaults=defaults)
    assert line.body.subject_id == "own"


def test_bad_lines_are_rejected_by_number_and_the_others_read(tmp_path):
    content = b"\n".join(
        [
            json.dumps(LINE).encode(),
            b"nonsense " + SECRET.encode(),
            b"",
            json.dumps(LINE | {"role": SECRET}).encode(),
            b"[1, 2]",
            b'{"text": "\xff\xfe"}',
            json.dumps(LINE | {"text": "\x00"}).encode(),
            json.dumps(LINE | {"event_time": "2026-03-01T12:00:00"}).encode(),
            b'{"conversation_id":"c","subject_id":"s","role":"bot","text":"\\ud800"}',
            json.dumps(LINE | {SECRET: 1}).encode(),
            b"[" * 100_000,
            json.dumps({"role": "bot", "text": "no subject"}).encode(),
            json.dumps(LINE | {"text": "last"}).encode(),
        ]
    )
    records, rejected = chats(tmp_path, content)
    assert [each.line for each in records] == [1, 10, 13]
    assert [each.line for each in rejected] == [2, 4, 5, 6, 7, 8, 9, 11, 12]
    assert not any(SECRET in each.reason for each in rejected)
    assert "time zone" in rejected[5].reason
    assert "subject_id" in rejected[-1].reason


def test_a_line_that_is_too_long_is_rejected_and_the_next_one_read(tmp_path):
    content = jsonl(LINE | {"text": "x" * 5_000_000}, LINE)
    records, [rejection] = chats(tmp_path, content)
    assert [each.line for each in records] == [2]
    assert (rejection.line, "longer" in rejection.reason) == (1, True)


def test_csv_has_a_header_quotes_and_line_breaks_in_fields(tmp_path):
    content = (
        "\ufeffconversation_id,subject_id,role,text,event_time\r\n"
        'c1,s1,customer,"a ""quoted"", long\r\ntext",2026-03-01T12:00:00Z\r\n'
        "c1,s1,bot,second,\r\n"
        "c1,s1,bot\r\n"
        "c1,s1,nobody,third,\r\n"
        "c1,s1,bot,fourth,\r\n"
    )
    records, rejected = chats(tmp_path, content, "chats.csv")
    assert [each.body.text for each in records] == ['a "quoted", long\r\ntext', "second", "fourth"]
    assert [each.line for each in records] == [2, 4, 7]
    assert [(each.line, each.reason.split(":")[0][:32]) for each in rejected] == [
        (5, "3 fields where the header has 5"),
        (6, "role must be 'customer', 'agent'"),
    ]


def test_invalid_utf8_in_a_csv_costs_only_its_line(tmp_path):
    content = b"conversation_id,subject_id,role,text\nc,s,bot,\xff\xfe\nc,s,bot,fine\n"
    records, rejected = chats(tmp_path, content, "chats.csv")
    assert [each.body.text for each in records] == ["fine"]
    assert [each.line for each in rejected] == [2]


@pytest.mark.parametrize(
    "header", ["a,b,c", "conversation_id,subject_id,text", "role,role,text", f"role,{SECRET}", "role/text"]
)
def test_a_csv_without_a_valid_header_is_rejected_as_a_whole(tmp_path, header):
    records, [rejection] = chats(tmp_path, f"{header}\n1,2,3\n", "chats.csv")
    assert records == []
    assert rejection.line == 1
    assert "role" in rejection.reason
    assert SECRET not in rejection.reason


CSV_HEAD = "conversation_id,subject_id,role,text\n"


def csv_lines(*texts):
    return "".join(f"c,s,bot,{text}\n" for text in texts)


def test_lines_inside_an_unclosed_quote_are_rejected_with_their_range_and_number(tmp_path):
    before, after = (f"m{n}" for n in range(10)), (f"m{n}" for n in range(10, 1000))
    content = CSV_HEAD + csv_lines(*before, '"5 inch screen', *after)
    records, [rejection] = chats(tmp_path, content, "chats.csv")
    assert [each.body.text for each in records] == [f"m{n}" for n in range(10)]
    assert (rejection.line, rejection.lines) == (12, 991)
    assert rejection.reason.startswith("lines 12 to 1002: not CSV: a quote that is not closed")


def test_a_quote_closed_by_a_later_one_costs_only_the_lines_between(tmp_path):
    content = CSV_HEAD + csv_lines("first", '"5 inch screen', "lost", "lost", '"7 inch screen', "last")
    records, [rejection] = chats(tmp_path, content, "chats.csv")
    assert [(each.line, each.body.text) for each in records] == [(2, "first"), (7, "last")]
    assert (rejection.line, rejection.lines, rejection.reason[:12]) == (3, 4, "lines 3 to 6")


def test_a_record_over_several_lines_with_too_many_fields_is_rejected_with_all_of_them(tmp_path):
    content = CSV_HEAD + csv_lines('"a\nb\nc",surplus', "last")
    records, [rejection] = chats(tmp_path, content, "chats.csv")
    assert [each.line for each in records] == [5]
    assert (rejection.line, rejection.lines) == (2, 3)
    assert rejection.reason == "lines 2 to 4: 5 fields where the header has 4"


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_a_csv_may_end_its_lines_as_any_system_does(tmp_path, end):
    content = (CSV_HEAD + csv_lines("one", "two", "three")).replace("\n", end)
    records, rejected = chats(tmp_path, content, "chats.csv")
    assert [(each.line, each.body.text) for each in records] == [(2, "one"), (3, "two"), (4, "three")]
    assert rejected == []


@pytest.mark.parametrize("text", ["x" * 5_000_000, "x" * 1_900_000 + "," * 200_000, '"' + "x" * 5_000_000 + '"'])
def test_a_csv_line_that_is_too_long_is_rejected_and_never_truncated(tmp_path, text):
    records, rejected = chats(tmp_path, CSV_HEAD + csv_lines("first", text, "last"), "chats.csv")
    assert records[0].body.text == "first"
    assert all(len(each.body.text) < 10 for each in records)
    assert rejected[0].line == 3
    assert len(records) + sum(each.lines for each in rejected) == 3


def test_a_line_without_a_time_has_the_files_and_the_same_one_every_time(tmp_path):
    path = tmp_path / "a.jsonl"
    path.write_text(jsonl(LINE, LINE | {"event_time": "2026-03-01T12:00:00Z"}, LINE | {"event_time": None}))
    os.utime(path, (1_700_000_000.25, 1_700_000_000.25))
    found = [each.body.event_time for each in ChatFile(plan_upload([path]).files[0], UploadDefaults())]
    written = datetime(2023, 11, 14, 22, 13, 20, 250_000, tzinfo=UTC)
    assert found == [written, datetime(2026, 3, 1, 12, tzinfo=UTC), written]


def test_a_file_with_an_implausible_time_needs_a_given_one(tmp_path):
    path = tmp_path / "a.jsonl"
    path.write_text(jsonl(LINE, LINE | {"event_time": "2026-03-01T12:00:00Z"}))
    os.utime(path, (0, 0))
    [file] = plan_upload([path]).files
    rejection, line = ChatFile(file, UploadDefaults())
    assert (rejection.line, "--at" in rejection.reason) == (1, True)
    assert line.body.event_time.year == 2026
    assert all(
        isinstance(each, ChatRecord)
        for each in ChatFile(file, UploadDefaults(event_time=datetime(2026, 1, 1, tzinfo=UTC)))
    )


def test_the_position_of_the_reading_grows_to_the_files_size(tmp_path):
    for name, content in (("a.jsonl", jsonl(*[LINE] * 5000)), ("a.csv", CSV_HEAD + csv_lines(*["x" * 90] * 5000))):
        (tmp_path / name).write_text(content)
        [file] = plan_upload([tmp_path / name]).files
        chat_file = ChatFile(file, UploadDefaults("s", "c"))
        seen = [chat_file.bytes_read for _ in chat_file]
        assert seen == sorted(seen)
        assert len(set(seen)) > 20
        assert chat_file.bytes_read == file.size


def test_ids_are_the_same_every_time_and_equal_texts_have_different_ones(tmp_path):
    rows = [LINE, LINE, LINE | {"text": "x"}, LINE | {"event_time": "2026-03-01T12:00:00Z"}, LINE]
    first, _ = chats(tmp_path, jsonl(*rows))
    later, _ = chats(
        tmp_path, jsonl(*rows), name="copy.jsonl", defaults=UploadDefaults(event_time=datetime(2026, 5, 1, tzinfo=UTC))
    )
    ids = [each.body.event_id for each in first]
    assert len(set(ids)) == 5
    assert ids == [each.body.event_id for each in later]


def test_a_deleted_file_is_rejected(tmp_path):
    file = SourceFile(tmp_path / "gone.jsonl", "chats", "application/jsonl", 1, None)
    [rejection] = ChatFile(file, UploadDefaults())
    assert "cannot be read" in rejection.reason


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(content=st.binary(max_size=300), name=st.sampled_from(["a.csv", "a.jsonl"]))
def test_no_content_ends_the_reading(tmp_path, content, name):
    path = tmp_path / name
    path.write_bytes(b"role,text\n" * name.endswith("csv") + content)
    file = SourceFile(path, "chats", "text/csv" if name.endswith("csv") else "application/jsonl", 1, datetime.now(UTC))
    for each in ChatFile(file, UploadDefaults("s", "c")):
        assert isinstance(each, ChatRecord | Rejection)


def test_media_are_planned_by_their_content_and_by_name_where_it_has_no_signature(tmp_path):
    (tmp_path / "really-audio.png").write_bytes(wav())
    (tmp_path / "unknown.png").write_bytes(b"no signature")
    found = {file.path.name: (file.kind, file.media_type) for file in plan_upload([tmp_path]).files}
    assert found == {"really-audio.png": ("call", "audio/wav"), "unknown.png": ("screenshot", "image/png")}
