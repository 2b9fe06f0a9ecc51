"""What a reader of the log learns from a record's headers, without its value."""

from __future__ import annotations

import json

import pytest

from mmplatform.errors import Misconfigured
from mmplatform.events import decode_event, encode
from mmplatform.kafka.headers import Pseudonyms, open_pseudonyms, output_headers
from mmplatform.settings import load
from tests.builders import chat, message, passage, position
from tests.ingest.gateways import CHUNK_FIELDS, SCREENSHOT_FIELDS, chat_body, memory_gateway, picture, wav

TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
SUBJECT = "ann@example.org"


@pytest.fixture
async def gateway(tmp_path):
    async with memory_gateway(tmp_path) as gateway:
        yield gateway


async def send_one_of_each_kind(gateway, **headers):
    http = gateway.http
    answers = [
        await http.post("/v1/events/chat", json=chat_body(source="crm"), headers=headers),
        await http.post(
            "/v1/events/screenshot",
            content=picture(),
            params=SCREENSHOT_FIELDS,
            headers={"Content-Type": "image/png"} | headers,
        ),
        await http.post(
            "/v1/calls/c1/chunks", content=wav(), params=CHUNK_FIELDS, headers={"Content-Type": "audio/wav"} | headers
        ),
        await http.post("/v1/calls/c1/end", json={"subject_id": "s1"}, headers=headers),
    ]
    assert [answer.status_code for answer in answers] == [202] * 4
    topics = ("interactions.chat", "interactions.call", "interactions.screenshot")
    return [entry for topic in topics for entry in gateway.log.read(topic)]


async def chat_headers(gateway, traceparent=None, **changes):
    headers = {} if traceparent is None else {"traceparent": traceparent}
    answer = await gateway.http.post("/v1/events/chat", json=chat_body(**changes), headers=headers)
    assert answer.status_code == 202, answer.text
    number, offset = answer.json()["position"]["topic_partition"], answer.json()["position"]["offset"]
    [entry] = [
        entry
        for entry in gateway.log.read("interactions.chat")
        if (entry.position.topic_partition, entry.position.offset) == (number, offset)
    ]
    return entry.headers


async def test_the_headers_of_each_kind_of_event_name_it_without_its_value(gateway):
    entries = await send_one_of_each_kind(gateway)
    events = [decode_event(entry.value) for entry in entries]
    assert {event.kind for event in events} == {"chat_message", "screenshot", "call_chunk", "call_end"}
    for entry, event in zip(entries, events, strict=True):
        assert entry.key == event.conversation_key
        assert entry.headers == {
            "schema_version": b"2",
            "kind": event.kind.encode(),
            "tenant": b"default",
            "subject": gateway.deps.pseudonyms.of_subject("default/s1").encode(),
            "event": event.uid.encode(),
            "digest": event.digest.encode(),
        }


async def test_the_pseudonym_of_a_subject_is_stable_and_does_not_contain_it(gateway):
    first, second, other = [
        await chat_headers(gateway, event_id=name, subject_id=subject, conversation_id=name)
        for name, subject in (("e1", SUBJECT), ("e2", SUBJECT), ("e3", "zoe@example.org"))
    ]
    assert first["subject"] == second["subject"] != other["subject"]
    assert len(first["subject"]) == 32
    assert not any(SUBJECT.encode() in value or b"ann" in value for value in first.values())


async def test_the_digest_follows_the_content_and_not_the_time_of_sending(gateway):
    times = ("2026-03-01T12:00:00Z", "2026-03-01T12:00:07Z")
    first, repeated = [
        await chat_headers(gateway, event_time=time, conversation_id=f"c{place}") for place, time in enumerate(times)
    ]
    other = await chat_headers(gateway, conversation_id="c9", text="another one")
    assert first["digest"] == repeated["digest"] != other["digest"]
    assert len({first["event"], repeated["event"], other["event"]}) == 3


async def test_a_trace_context_passes_to_the_record_of_each_kind_of_event(gateway):
    entries = await send_one_of_each_kind(gateway, traceparent=TRACE)
    assert [entry.headers["traceparent"] for entry in entries] == [TRACE.encode()] * 4


@pytest.mark.parametrize(
    "malformed",
    [
        "",
        "4111-1111-1111-1111",
        TRACE.upper(),
        TRACE[:-1],
        f"{TRACE}-more",
        f"{TRACE},{TRACE}",
        TRACE.replace("00-", "ff-", 1),
        TRACE.replace("0af7651916cd43dd8448eb211c80319c", "0" * 32),
        TRACE.replace("b7ad6b7169203331", "0" * 16),
    ],
)
async def test_a_malformed_trace_context_is_left_out_and_the_event_is_accepted(gateway, malformed):
    assert "traceparent" not in await chat_headers(gateway, traceparent=malformed)


def test_two_tenants_and_two_keys_have_different_pseudonyms_of_one_subject():
    key, other_key = Pseudonyms(b"key"), Pseudonyms(b"another key")
    pseudonyms = {key.of_subject("default/ann"), key.of_subject("acme/ann"), other_key.of_subject("default/ann")}
    assert len(pseudonyms) == 3


def test_the_key_of_a_data_directory_is_made_once_and_only_its_owner_reads_it(tmp_path):
    first, again = [open_pseudonyms(load(data_dir=tmp_path / "data")) for _ in range(2)]
    elsewhere = open_pseudonyms(load(data_dir=tmp_path / "elsewhere"))
    assert first.of_subject("default/ann") == again.of_subject("default/ann") != elsewhere.of_subject("default/ann")
    path = tmp_path / "data" / "pseudonym.key"
    assert path.stat().st_mode & 0o077 == 0
    assert [file.name for file in path.parent.iterdir()] == ["pseudonym.key"], "no temporary file is left"


def test_the_key_of_the_settings_comes_before_that_of_the_data_directory(tmp_path):
    first, second = [
        open_pseudonyms(load(data_dir=tmp_path / name, pseudonym_key="of the settings")) for name in ("a", "b")
    ]
    assert first.of_subject("default/ann") == second.of_subject("default/ann")
    assert not list(tmp_path.iterdir())


def test_a_key_that_cannot_be_written_is_a_misconfiguration_by_name(tmp_path):
    (tmp_path / "data").write_text("a file where the directory belongs")
    with pytest.raises(Misconfigured, match="key of pseudonyms"):
        open_pseudonyms(load(data_dir=tmp_path / "data"))


def test_the_headers_of_an_artifact_and_of_a_passage_carry_the_trace_and_the_vector():
    pseudonyms = Pseudonyms(b"key")
    derived = message(chat(source="crm"), position())
    common = {
        "schema_version": b"2",
        "tenant": b"default",
        "subject": pseudonyms.of_subject("default/cust-1").encode(),
        "traceparent": TRACE.encode(),
    }
    assert output_headers(derived, pseudonyms, TRACE.encode()) == common | {"kind": b"message"}
    indexed = passage(derived)
    headers = output_headers(indexed, pseudonyms, TRACE.encode())
    assert headers == common | {"kind": b"passage", "vector": indexed.vector_f32}
    assert "vector_f32" not in json.loads(encode(indexed)), "it travels once"


def test_a_record_without_a_trace_context_has_no_header_of_it():
    assert "traceparent" not in output_headers(message(chat(), position()), Pseudonyms(b"key"))
