"""Refusals in words that a sender understands: the thing and the remedy, no class, no pattern, no validator phrase."""

from __future__ import annotations

import builtins
import json
import re

import av
import pydantic
import pydantic_core
import pytest

from mmplatform import errors
from tests.derive.media.audio_files import encoded, tones
from tests.ingest.gateways import CHUNK_FIELDS, SCREENSHOT_FIELDS, chat_body, memory_gateway, picture, wav

JARGON = re.compile(
    r"Input should|Field required|Extra inputs|String should|Value error|valid (string|integer|number|dictionary|list)|"
    r"unable to parse|pydantic|validation|regex|pattern|\^\[|\\x|\[\^|Traceback|<class|None|object at 0x|"
    r"[a-z]+_(type|parsing|error|required)\b",
)
CLASSES = re.compile(
    r"\b(?:"
    + "|".join(
        {
            name
            for module in (errors, av.error, pydantic, pydantic_core, builtins)
            for name in dir(module)
            if re.search(r"(?:Error|Exception|Rejected|Unavailable|Permanent|Misconfigured|Media|Conflict)$", name)
        }
        | {"UnidentifiedImageError", "MultiPartException"}
    )
    + r")\b"
)

LONG = "x" * 201
BAD_CHATS = [
    b"",
    b"{",
    b"[",
    b"nonsense",
    b"\xff\xfe",
    b'"text"',
    b"7",
    b"null",
    b"true",
    b"[1]",
    b"[]",
    b"[[]]",
    b"{}",
    b'{"text": "\\ud800"}',
    b'{"text": "\\q"}',
    b"[" * 5_000,
    b'{"a":' * 5_000,
    *(
        json.dumps(chat_body(**change)).encode()
        for change in (
            {"role": "nobody"},
            {"role": 7},
            {"role": None},
            {"text": 7},
            {"text": ""},
            {"text": " \t"},
            {"text": "a\x00b"},
            {"text": None},
            {"text": ["a"]},
            {"conversation_id": ""},
            {"conversation_id": LONG},
            {"conversation_id": "a\nb"},
            {"conversation_id": 5},
            {"subject_id": {}},
            {"event_id": ""},
            {"event_id": "\x7f"},
            {"source": LONG},
            {"source": "\x00"},
            {"event_time": "yesterday"},
            {"event_time": "2026-03-01T12:00:00"},
            {"event_time": ""},
            {"event_time": "1970-01-01T00:00:00Z"},
            {"event_time": "9999-12-31T23:59:59-14:00"},
            {"event_time": []},
            {"event_time": 1e300},
            {"event_time": "2026-13-01T00:00:00Z"},
            {"event_time": "2999-01-01T00:00:00Z"},
            {"event_time": True},
            {"colour": "red"},
            {"4111 1111": 1},
            {"text": "x" * 101},
        )
    ),
]
BAD_CHUNK_FIELDS = [
    {"index": "-1"},
    {"index": "x"},
    {"index": ""},
    {"index": "1.5"},
    {"index": "9" * 30},
    {"index": "9" * 5_000},
    {"index": "10000001"},
    {"start_s": "nan"},
    {"start_s": "x"},
    {"start_s": "-1"},
    {"start_s": "1e9"},
    {"start_s": "inf"},
    {"speakers": ","},
    {"speakers": "a,b"},
    {"speakers": ",".join("abcdefghi")},
    {"speakers": "x" * 65},
    {"speakers": "a\x00"},
    {"subject_id": ""},
    {"event_time": "now"},
    {"event_time": "2026-03-01"},
    {"other": "1"},
]
BAD_AUDIO = [
    (b"nonsense" * 9, "audio/wav"),
    (wav()[:30], "audio/wav"),
    (wav()[:43], "audio/wav"),
    (wav(seconds=0), "audio/wav"),
    (wav(channels=9), "audio/wav"),
    (b"\xff\xfb\x90\x00" + b"\x00" * 300, "audio/mpeg"),
    (b"fLaC" + b"\x00" * 90, "audio/flac"),
    (b"OggS" + b"\x00" * 90, "audio/ogg"),
    (b"\x00\x00\x00\x18ftypM4A " + bytes(90), "audio/mp4"),
    (wav(), "audio/flac"),
    (wav(), "text/plain"),
    (wav(), ""),
    (wav(), "audio/amr"),
    (wav(), "audio/aac"),
    (wav(), "multipart/form-data"),
    (wav(), "multipart/form-data; boundary=b"),
    (b"", "audio/wav"),
    (wav(rate=300), "audio/wav"),
]
BAD_IMAGES = [
    (b"nonsense" * 9, "image/png"),
    (picture()[:40], "image/png"),
    (picture()[:200], "image/png"),
    (picture(), "image/jpeg"),
    (picture("JPEG")[:300], "image/jpeg"),
    (picture("WEBP")[:60], "image/webp"),
    (b"%PDF-1.7", "application/pdf"),
    (b"\x00\x00\x00\x18ftypheic" + bytes(80), "image/heic"),
    (b"<svg/>", "image/svg+xml"),
    (picture(), ""),
    (b"", "image/png"),
    (picture(size=(200, 200)), "image/png"),
    (b"\x89PNG\r\n\x1a\n" + b"\x00" * 50, "image/png"),
    (picture(), "image/x-other"),
]


@pytest.fixture
async def gateway(tmp_path):
    async with memory_gateway(tmp_path, max_chat_chars=100, max_image_pixels=10_000) as gateway:
        yield gateway


def check(answer):
    assert 400 <= answer.status_code < 500, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    body = answer.json()
    for text in (body["detail"], *(error["detail"] for error in body.get("errors", ()))):
        assert len(text) > 8, text
        assert not JARGON.search(text), text
        assert not CLASSES.search(text), text


async def test_every_refused_chat_is_explained(gateway):
    for body in BAD_CHATS:
        check(await gateway.http.post("/v1/events/chat", content=body, headers={"Content-Type": "application/json"}))
        check(await gateway.http.post("/v1/calls/c/end", content=body, headers={"Content-Type": "application/json"}))
    for media_type in ("", "text/plain", "application/xml", "multipart/form-data"):
        check(await gateway.http.post("/v1/events/chat", content=b"{}", headers={"Content-Type": media_type}))
    assert gateway.events("chat") == []


async def test_every_refused_field_of_a_chunk_is_explained(gateway):
    for change in BAD_CHUNK_FIELDS:
        for path in ("/v1/calls/c/chunks", "/v1/events/screenshot"):
            fields = CHUNK_FIELDS | change
            check(await gateway.http.post(path, content=wav(), params=fields, headers={"Content-Type": "audio/wav"}))
            check(await gateway.http.post(path, files={"file": ("a.wav", wav(), "audio/wav")}, data=fields))
    for call in ("%00", "a%0Ab", "x" * 181, "%ED%A0%80"):
        check(await gateway.http.post(f"/v1/calls/{call}/chunks", content=wav(), params=CHUNK_FIELDS))
    assert gateway.events("call") == []


async def test_every_refused_file_is_explained(gateway):
    for data, media_type in BAD_AUDIO:
        headers = {"Content-Type": media_type}
        check(await gateway.http.post("/v1/calls/c/chunks", content=data, params=CHUNK_FIELDS, headers=headers))
    for data, media_type in BAD_IMAGES:
        headers = {"Content-Type": media_type}
        check(await gateway.http.post("/v1/events/screenshot", content=data, params=SCREENSHOT_FIELDS, headers=headers))
    assert gateway.events("call") + gateway.events("screenshot") == []


@pytest.mark.parametrize(
    ("container", "codec"),
    [("wav", "pcm_s16le"), ("mp3", "libmp3lame"), ("flac", "flac"), ("ogg", "libopus"), ("mp4", "aac")],
)
async def test_a_damaged_file_of_any_format_is_taken_or_explained(gateway, container, codec):
    whole = encoded(container, codec, tones(48_000, 1, 0.3), 48_000)
    media_type = {"mp3": "audio/mpeg"}.get(container, f"audio/{container}")
    for number, cut in enumerate(range(10, len(whole), max(1, len(whole) // 25))):
        for data in (whole[:cut], whole[:cut] + bytes(40) + whole[cut + 40 :]):
            fields = CHUNK_FIELDS | {"index": str(number), "event_id": f"{cut}-{len(data)}"}
            headers = {"Content-Type": media_type}
            answer = await gateway.http.post("/v1/calls/c/chunks", content=data, params=fields, headers=headers)
            if answer.status_code != 202:
                check(answer)


async def test_paths_and_methods_that_are_not_there_are_explained(gateway):
    requests = (("GET", "/v1/events/chat"), ("POST", "/v1/nothing"), ("DELETE", "/healthz"), ("GET", "/v1/calls/c"))
    for method, path in requests:
        check(await gateway.http.request(method, path))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"role": "nobody"}, "role must be 'customer', 'agent', 'bot' or 'system'"),
        ({"event_time": "2026-03-01T12:00:00"}, "event_time has no time zone: add Z"),
        ({"event_time": "yesterday"}, "event_time is no time: send ISO 8601"),
        ({"conversation_id": "a\nb"}, "conversation_id has a character that is not allowed"),
        ({"colour": "red"}, "colour is no field of this request"),
        ({"text": ""}, "text is empty"),
        ({"text": " "}, "text is blank"),
    ],
)
async def test_a_refusal_names_the_field_and_the_remedy(gateway, change, words):
    answer = await gateway.http.post("/v1/events/chat", json=chat_body(**change))
    assert words in answer.json()["detail"]
