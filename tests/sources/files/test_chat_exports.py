"""Chats as spreadsheets, shells and chat systems export them: delimiters, encodings, names of columns, JSON shapes."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from mmplatform.sources.files.chat_records import ChatFile, ChatRecord
from mmplatform.sources.files.discovery import Rejection, UploadDefaults, plan_upload

CASE = Path(__file__).parents[3] / "examples" / "payment-failed"
DEFAULTS = UploadDefaults(subject_id="s1", conversation_id="c1")
SECRET = "4111 1111 1111 1111"


def read(path, defaults=DEFAULTS):
    [file] = plan_upload([path]).files
    chat_file = ChatFile(file, defaults)
    found = list(chat_file)
    records = [row.body for row in found if isinstance(row, ChatRecord)]
    return records, [row for row in found if isinstance(row, Rejection)], chat_file.remark


def read_text(tmp_path, text, name="export.csv", encoding="utf-8", defaults=DEFAULTS):
    (tmp_path / name).write_bytes(text.encode(encoding))
    return read(tmp_path / name, defaults)


def test_the_sample_case_is_read_with_its_offsets_from_the_time_of_the_file():
    at = datetime(2026, 3, 1, 12, tzinfo=UTC)
    records, rejected, remark = read(CASE / "chat.jsonl", UploadDefaults(event_time=at))
    rows = [json.loads(line) for line in (CASE / "chat.jsonl").read_text().splitlines()]
    assert rejected == []
    assert remark == ""
    assert [body.event_time for body in records] == [at + timedelta(seconds=row["offset_s"]) for row in rows]
    assert [body.event_id for body in records] == [row["event_id"] for row in rows]


def test_the_chats_of_other_customers_are_read_and_their_other_columns_named_once():
    records, rejected, remark = read(CASE.parent / "others.jsonl")
    assert len(records) > 100
    assert rejected == []
    assert remark == "ignored columns: topic, synthetic"


@pytest.mark.parametrize("offset", ["NaN", "1e400", '"soon"', "1e15", "[]"])
def test_an_offset_that_is_no_time_is_rejected_by_name(tmp_path, offset):
    line = f'{{"role": "bot", "text": "x", "offset_s": {offset}}}\n'
    _, [rejection], _ = read_text(tmp_path, line, "a.jsonl")
    assert rejection.reason.startswith("offset_s must be a number of seconds")


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32"])
def test_any_delimiter_in_any_unicode_encoding_is_read(tmp_path, delimiter, encoding):
    rows = [("role", "text"), ("customer", "zażółć 🙂 a,b"), ("bot", "x; y"), ("agent", "tab\there | bar")]
    text = "".join(delimiter.join(f'"{cell}"' for cell in row) + "\r\n" for row in rows)
    records, rejected, _ = read_text(tmp_path, text, encoding=encoding)
    assert rejected == []
    assert [(body.role, body.text) for body in records] == rows[1:]


@pytest.mark.parametrize(("line", "delimiter"), [("sep=;", ";"), ('"sep=;"', ";"), ("SEP=|", "|"), ("sep=\t", "\t")])
def test_excels_own_first_line_states_the_delimiter_and_counts_as_a_line(tmp_path, line, delimiter):
    rows = [("Role", "Text"), ("customer", "hello, you"), ("nobody", "x")]
    text = f"{line}\r\n" + "".join(delimiter.join(row) + "\r\n" for row in rows)
    [body], [rejection], _ = read_text(tmp_path, text)
    assert body.text == "hello, you"
    assert rejection.line == 4


@pytest.mark.parametrize(
    "header",
    [
        "Role,Text",
        "ROLE,TEXT",
        " role , text ",
        "Sender,Message",
        "sender_type,message_text",
        "Author,Body",
        "from,content",
        "senderType,messageText",
        "Speaker,Utterance",
    ],
)
def test_columns_are_found_in_any_case_and_under_common_names(tmp_path, header):
    [body], rejected, remark = read_text(tmp_path, f"{header}\ncustomer,hello\n")
    assert (body.role, body.text, rejected, remark) == ("customer", "hello", [], "")


def test_every_column_has_its_common_names(tmp_path):
    header = "Message ID;Chat ID;Customer ID;Sender Type;Body;Created At;System"
    text = f"{header}\n7;chat 9;cust 3;Agent;hello;2026-03-01T12:00:00+01:00;zendesk\n"
    [body], rejected, _ = read_text(tmp_path, text, defaults=UploadDefaults())
    assert rejected == []
    assert body.model_dump(mode="json") == {
        "event_id": "7",
        "conversation_id": "chat 9",
        "subject_id": "cust 3",
        "role": "agent",
        "text": "hello",
        "event_time": "2026-03-01T11:00:00Z",
        "source": "zendesk",
    }


def test_a_columns_own_name_wins_over_a_synonym_which_is_ignored(tmp_path):
    [body], _, remark = read_text(tmp_path, "sender,role,text,message\nDana,customer,hello,other\n")
    assert (body.role, body.text) == ("customer", "hello")
    assert remark == "ignored columns: sender, message"


@pytest.mark.parametrize(
    ("word", "role"),
    [
        ("Customer", "customer"),
        ("USER", "customer"),
        ("end-user", "customer"),
        ("Visitor", "customer"),
        ("Assistant", "bot"),
        ("chatbot", "bot"),
        ("AI", "bot"),
        ("Human Agent", "agent"),
        ("operator", "agent"),
        ("System", "system"),
    ],
)
def test_the_words_of_other_systems_for_a_role_are_read(tmp_path, word, role):
    [body], _, _ = read_text(tmp_path, f"role,text\n{word},hello\n")
    assert body.role == role


def test_a_role_that_no_system_has_is_rejected_with_the_valid_ones(tmp_path):
    _, [rejection], _ = read_text(tmp_path, f"role,text\n{SECRET},hello\n")
    assert all(role in rejection.reason for role in ("role", "customer", "agent", "bot", "system"))
    assert SECRET not in rejection.reason


def test_names_of_ignored_columns_that_look_like_data_are_not_repeated(tmp_path):
    _, _, remark = read_text(tmp_path, f"role,text,{SECRET},Ticket Status,Größe\nbot,hello,1,2,3\n")
    assert remark == "ignored columns: (unnamed), Ticket Status, Größe"


def test_surplus_empty_cells_of_a_spreadsheet_are_no_error(tmp_path):
    [body], [rejection], _ = read_text(tmp_path, "role,text\nbot,hello,,\nbot,hello,more\n")
    assert body.text == "hello"
    assert rejection.reason == "3 fields where the header has 2"


def test_bytes_of_another_encoding_cost_their_line_and_the_reason_names_the_remedy(tmp_path):
    (tmp_path / "a.csv").write_bytes(b"role,text\nbot,caf\xe9\nbot,fine\n")
    [body], [rejection], _ = read(tmp_path / "a.csv")
    assert body.text == "fine"
    assert (rejection.line, rejection.reason) == (
        2,
        "it has bytes that are not UTF-8: save the file as UTF-8 and send it again",
    )
    (tmp_path / "a.jsonl").write_bytes(b'{"role": "bot", "text": "caf\xe9"}\n{"role": "bot", "text": "fine"}\n')
    [body], [rejection], _ = read(tmp_path / "a.jsonl")
    assert "UTF-8" in rejection.reason


def test_utf_16_that_is_cut_off_is_rejected_with_its_encoding(tmp_path):
    (tmp_path / "a.csv").write_bytes("role,text\nbot,hello\nbot,last\n".encode("utf-16")[:-1])
    _, [rejection], _ = read(tmp_path / "a.csv")
    assert "UTF-16" in rejection.reason


MESSAGES = [{"role": "user", "content": "first"}, {"role": "assistant", "content": "second\nline"}]


@pytest.mark.parametrize("indent", [None, 2])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_a_json_array_is_read_however_it_is_laid_out(tmp_path, indent, encoding):
    text = json.dumps(MESSAGES, indent=indent)
    for name in ("a.json", "a.jsonl", "a.txt"):
        records, rejected, _ = read_text(tmp_path, text, name, encoding)
        assert [(body.role, body.text) for body in records] == [("customer", "first"), ("bot", "second\nline")]
        assert rejected == []


@pytest.mark.parametrize(("before", "behind"), [("", ","), ("\x1e", ""), (" ", " , ")])
def test_lines_of_json_may_end_in_a_comma_or_begin_with_a_record_separator(tmp_path, before, behind):
    text = "\n".join(f"{before}{json.dumps(message)}{behind}" for message in MESSAGES)
    records, rejected, _ = read_text(tmp_path, text, "a.jsonl")
    assert [(body.role, body.text) for body in records] == [("customer", "first"), ("bot", "second\nline")]
    assert rejected == []


@pytest.mark.parametrize("indent", [None, 2])
@pytest.mark.parametrize("name", ["messages", "turns", "transcript"])
def test_a_conversation_with_its_messages_is_read_with_its_ids(tmp_path, indent, name):
    document = {"id": 4711, "customerId": "dana", "status": "closed", name: MESSAGES}
    records, rejected, _ = read_text(tmp_path, json.dumps(document, indent=indent), "a.json", defaults=UploadDefaults())
    assert rejected == []
    assert [(body.conversation_id, body.subject_id, body.text) for body in records] == [
        ("4711", "dana", "first"),
        ("4711", "dana", "second\nline"),
    ]


def test_conversations_may_stand_in_lines_and_in_an_array(tmp_path):
    documents = [{"conversation_id": f"c{n}", "messages": MESSAGES} for n in range(3)]
    lines = "".join(json.dumps(document) + "\n" for document in documents)
    for name, text in (("a.jsonl", lines), ("a.json", json.dumps(documents, indent=1))):
        records, rejected, _ = read_text(tmp_path, text, name)
        assert rejected == []
        assert [body.conversation_id for body in records] == ["c0", "c0", "c1", "c1", "c2", "c2"]


def test_an_array_names_the_lines_of_a_wrong_element_and_reads_on(tmp_path):
    rows = ['[{"role": "bot", "text": "one"},', "7,", "null,", '{"role": "bot",', ' "text": 5},']
    text = "\n".join([*rows, '{"role": "bot", "text": "two"}]'])
    records, rejected, _ = read_text(tmp_path, text, "a.json")
    assert [body.text for body in records] == ["one", "two"]
    assert [(row.line, row.lines) for row in rejected] == [(2, 1), (3, 1), (4, 2)]
    assert "text" in rejected[-1].reason


@pytest.mark.parametrize(
    ("end", "reason"),
    [
        ("", "not closed"),
        (',{"role": "bot", "text": "tw', "not JSON"),
        (', oops {"role": 1}]', "not JSON"),
        ("] x", "after"),
    ],
)
def test_an_array_that_breaks_off_gives_what_came_before_and_the_reason(tmp_path, end, reason):
    records, [rejection], _ = read_text(tmp_path, f'[{{"role": "bot", "text": "one"}}{end}', "a.json")
    assert [body.text for body in records] == ["one"]
    assert reason in rejection.reason


def test_a_long_array_is_read_in_pieces(tmp_path):
    rows = [{"role": "bot", "text": f"{n} " + "x" * (n % 700)} for n in range(3_000)]
    records, rejected, _ = read_text(tmp_path, json.dumps(rows), "a.json")
    assert [body.text for body in records] == [row["text"] for row in rows]
    assert rejected == []


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("chat.txt", json.dumps(MESSAGES[0]) + "\n" + json.dumps(MESSAGES[1]) + "\n"),
        ("chat.csv", json.dumps(MESSAGES[0]) + "\n" + json.dumps(MESSAGES[1]) + "\n"),
        ("chat.jsonl", 'role;text\nuser;first\nassistant;"second\nline"\n'),
        ("chat.txt", 'role\ttext\nuser\tfirst\nassistant\t"second\nline"\n'),
        ("chat", 'sep=;\nSender;Message\nuser;first\nassistant;"second\nline"\n'),
        ("chat.png", json.dumps(MESSAGES)),
    ],
)  # fmt: skip
def test_a_chat_is_found_by_its_content_whatever_its_name(tmp_path, name, text):
    records, rejected, _ = read_text(tmp_path, text, name)
    assert rejected == []
    assert [(body.role, body.text) for body in records] == [("customer", "first"), ("bot", "second\nline")]


@pytest.mark.parametrize(
    "text",
    ['[{"question": "why?", "expected": {}}]', '{"title": "a case"}', "[1, 2]", "# Readme\n\nfrom, to\n", "", "role"],
)
@pytest.mark.parametrize("name", ["a.json", "a.txt", "a.md"])
def test_other_json_and_prose_are_no_chats(tmp_path, name, text):
    (tmp_path / name).write_text(text)
    planned = plan_upload([tmp_path])
    assert (planned.files, planned.rejected, [path.name for path in planned.skipped]) == ((), (), [name])
    [rejection] = plan_upload([tmp_path / name]).rejected
    assert "its kind is not supported" in rejection.reason


def test_the_folder_of_the_sample_case_has_nothing_to_refuse():
    planned = plan_upload([CASE])
    assert planned.rejected == ()
    assert {file.kind for file in planned.files} == {"chats", "screenshot", "call"}
    assert [file.path.name for file in planned.files if file.kind == "chats"] == ["chat.jsonl"]


def test_equal_texts_at_other_offsets_are_other_events(tmp_path):
    rows = [{"role": "bot", "text": "x", "offset_s": offset} for offset in (0, 1, 1)]
    records, _, _ = read_text(tmp_path, "".join(json.dumps(row) + "\n" for row in rows), "a.jsonl")
    assert len({body.event_id for body in records}) == 3
