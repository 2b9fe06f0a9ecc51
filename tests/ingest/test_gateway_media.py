"""Screenshots and calls through the gateway: limits that apply while the bytes arrive, and probed media."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime

import pytest

from mmplatform.errors import Unavailable
from mmplatform.events import CallChunk, CallEnd
from quality.contract_gate import find_violations
from quality.contracts import ContractLimits
from tests.ingest.gateways import (
    CHUNK_FIELDS,
    FORM_HEAD,
    SCREENSHOT_FIELDS,
    assert_problem,
    memory_gateway,
    picture,
    wav,
)

LIMIT = 60_000


@pytest.fixture
async def gateway(tmp_path):
    async with memory_gateway(
        tmp_path, max_image_bytes=LIMIT, max_chunk_bytes=LIMIT, max_image_pixels=10_000
    ) as gateway:
        yield gateway


async def shot(gateway, data, media_type="image/png", params=None, headers=None):
    headers = {"Content-Type": media_type, **(headers or {})}
    params = SCREENSHOT_FIELDS if params is None else params
    return await gateway.http.post("/v1/events/screenshot", content=data, params=params, headers=headers)


async def form(gateway, file, data=None, path="/v1/events/screenshot"):
    return await gateway.http.post(path, files={"file": file}, data=SCREENSHOT_FIELDS if data is None else data)


async def chunk(gateway, data, params=None, media_type="audio/wav", call="call-1"):
    headers = {"Content-Type": media_type}
    return await gateway.http.post(
        f"/v1/calls/{call}/chunks", content=data, params=params or CHUNK_FIELDS, headers=headers
    )


async def test_a_screenshot_points_to_its_bytes(gateway):
    data = picture(size=(64, 48))
    answer = await shot(gateway, data)
    assert answer.status_code == 202
    [event] = gateway.events("screenshot")
    assert (event.width, event.height, event.event_id) == (64, 48, "shot-1")
    assert gateway.deps.blobs.get(event.blob) == data
    assert event.blob.media_type == "image/png"
    assert answer.json()["position"]["topic"] == "interactions.screenshot"


@pytest.mark.parametrize(("kind", "media_type"), [("PNG", "image/png"), ("JPEG", "image/jpg"), ("WEBP", "image/webp")])
async def test_every_kind_of_image_is_accepted_raw_and_in_a_form(gateway, kind, media_type):
    assert (await shot(gateway, picture(kind), media_type)).status_code == 202
    again = await form(gateway, (f"x.{kind.lower()}", picture(kind), media_type))
    assert again.json()["duplicate"]
    [event] = gateway.events("screenshot")
    assert event.blob.media_type == media_type.replace("jpg", "jpeg")


async def test_a_form_without_a_type_goes_by_the_name(gateway):
    assert (await form(gateway, ("a.PNG", picture(), "application/octet-stream"))).status_code == 202
    assert_problem(await form(gateway, ("a.exe", picture(), "application/octet-stream")), 415)


async def test_fields_may_come_as_headers_and_the_query_wins(gateway):
    headers = {"X-Conversation-Id": "from-header", "X-Subject-Id": "from-header", "X-Source": "phone"}
    answer = await shot(gateway, picture(), params={"subject_id": "from-query"}, headers=headers)
    assert answer.status_code == 202
    [event] = gateway.events("screenshot")
    assert (event.conversation_id, event.subject_id, event.source) == ("from-header", "from-query", "phone")


@pytest.mark.parametrize(
    ("query", "why"),
    [
        ("conversation_id=%FF&subject_id=s", "no UTF-8"),
        ("conversation_id=%ED%A0%80&subject_id=s", "half a surrogate pair"),
        ("conversation_id=c&conversation_id=d&subject_id=s", "twice"),
        ("conversation_id=c%00&subject_id=s", "NUL"),
        ("conversation_id=c", "no subject"),
        ("conversation_id=c&subject_id=s&event_time=2026-03-01T12:00:00", "a naive time"),
        ("conversation_id=c&subject_id=s&nonsense=1", "an unknown field"),
        ("&".join(f"a{i}=1" for i in range(50)), "too many fields"),
    ],
)
async def test_a_wrong_query_is_refused(gateway, query, why):
    answer = await gateway.http.post(
        f"/v1/events/screenshot?{query}", content=picture(), headers={"Content-Type": "image/png"}
    )
    assert_problem(answer, 422)
    assert gateway.events("screenshot") == [], why


@pytest.mark.parametrize("media_type", ["image/gif", "text/html", "", "audio/wav", "image/svg+xml"])
async def test_other_media_types_are_refused(gateway, media_type):
    assert_problem(await shot(gateway, picture(), media_type), 415)


async def test_a_type_that_is_not_what_the_bytes_are_is_refused(gateway):
    assert_problem(await shot(gateway, picture("JPEG"), "image/png"), 415)


@pytest.mark.parametrize("data", [b"", b"nonsense" * 20, picture()[:200]])
async def test_an_image_that_cannot_be_read_is_refused(gateway, data):
    answer = await shot(gateway, data)
    assert answer.status_code in {415, 422}
    assert_problem(answer, answer.status_code)
    assert gateway.events("screenshot") == []


async def test_too_many_pixels_are_too_large(gateway):
    assert_problem(await shot(gateway, picture("WEBP", size=(128, 100)), "image/webp"), 413)


async def test_a_form_without_a_file_is_refused(gateway):
    answer = await gateway.http.post("/v1/events/screenshot", files={"file": (None, "text")}, data=SCREENSHOT_FIELDS)
    assert_problem(answer, 422)
    headers = {"Content-Type": "multipart/form-data"}
    assert_problem(await gateway.http.post("/v1/events/screenshot", content=b"x", headers=headers), 422)
    headers = {"Content-Type": "multipart/form-data; boundary=b"}
    assert_problem(await gateway.http.post("/v1/events/screenshot", content=b"nonsense", headers=headers), 422)


class Endless:
    """A body that never ends; it counts the bytes that were read from it."""

    def __init__(self, prefix=b""):
        self.bytes_read = 0
        self._prefix = prefix

    async def __aiter__(self):
        if self._prefix:
            yield self._prefix
        while True:
            self.bytes_read += 8_192
            yield bytes(8_192)


async def receive_only(app, path, content_type, body, headers=()):
    """Drive the application by hand: httpx's transport would read the whole body first."""
    pieces, sent = aiter(body), []

    async def receive():
        return {"type": "http.request", "body": await anext(pieces), "more_body": True}

    async def send(message):
        sent.append(message)

    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": "POST",
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"",
        "root_path": "",
        "scheme": "http",
        "headers": [(b"content-type", content_type), *headers],
        "client": ("127.0.0.1", 1),
        "server": ("127.0.0.1", 2),
    }
    await app(scope, receive, send)
    return sent[0]["status"]


@pytest.mark.parametrize(
    ("path", "content_type", "prefix"),
    [
        ("/v1/events/screenshot", b"image/png", b""),
        ("/v1/events/screenshot", b"multipart/form-data; boundary=b", FORM_HEAD),
        ("/v1/calls/c/chunks", b"audio/wav", b""),
        ("/v1/calls/c/end", b"application/json", b""),
        ("/v1/events/chat", b"application/json", b""),
    ],
)
async def test_an_endless_body_is_refused_while_it_arrives(gateway, path, content_type, prefix):
    body = Endless(prefix)
    assert await receive_only(gateway.transport.app, path, content_type, body) == 413
    limit = 9_000_000 if path.endswith("chat") else LIMIT + 150_000
    assert body.bytes_read <= limit


async def test_a_declared_length_over_the_limit_is_refused_unread(gateway):
    body = Endless()
    declared = [(b"content-length", str(LIMIT + 1).encode())]
    path = "/v1/events/screenshot"
    assert await receive_only(gateway.transport.app, path, b"image/png", body, headers=declared) == 413
    assert body.bytes_read == 0


async def test_a_media_type_or_a_closed_gate_is_answered_without_reading(gateway):
    body = Endless()
    assert await receive_only(gateway.transport.app, "/v1/events/screenshot", b"image/heic", body) == 415
    gateway.deps.gates["call"].observe(10**9)
    assert await receive_only(gateway.transport.app, "/v1/calls/c/chunks", b"audio/wav", body) == 429
    assert body.bytes_read == 0


async def test_a_chunk_event_describes_its_audio(gateway):
    data = wav(seconds=0.5, rate=8_000, channels=2)
    params = CHUNK_FIELDS | {
        "index": "3",
        "start_s": "1.5",
        "speakers": "agent,customer",
        "event_time": "2026-03-01T12:00:00Z",
    }
    answer = await chunk(gateway, data, params)
    assert answer.status_code == 202
    assert answer.json()["event_id"] == "call-1:3"
    [event] = gateway.events("call")
    assert isinstance(event, CallChunk)
    assert (event.call_id, event.chunk_index, event.start_s, event.duration_s) == ("call-1", 3, 1.5, 0.5)
    assert (event.sample_rate, event.channels, event.speakers) == (8_000, 2, ("agent", "customer"))
    assert event.event_time == datetime(2026, 3, 1, 12, tzinfo=UTC)
    assert gateway.deps.blobs.get(event.blob) == data


async def test_a_chunk_may_come_in_a_form(gateway):
    answer = await form(gateway, ("a.wav", wav(), "audio/x-wav"), CHUNK_FIELDS, path="/v1/calls/call-1/chunks")
    assert answer.status_code == 202
    assert gateway.events("call")[0].blob.media_type == "audio/wav"


@pytest.mark.parametrize(
    "change",
    [
        {"index": "-1"},
        {"index": "x"},
        {"start_s": "nan"},
        {"start_s": "inf"},
        {"start_s": "-1"},
        {"start_s": "86400.1"},
        {"event_time": "1999-12-31T23:59:59Z"},
        {"speakers": "x" * 65},
        {"speakers": ",".join("abcdefghi")},
        {"speakers": "agent,customer"},  # for one channel
        {"speakers": ","},
        {"subject_id": ""},
    ],
)
async def test_invalid_fields_of_a_chunk_are_refused(gateway, change):
    assert_problem(await chunk(gateway, wav(), CHUNK_FIELDS | change), 422)
    assert gateway.events("call") == []


async def test_values_at_the_limits_pass_the_gateway_and_the_contract(gateway):
    changes = {"start_s": "86400", "event_time": "2000-01-01T00:00:00Z", "speakers": "x" * 64}
    assert (await chunk(gateway, wav(), CHUNK_FIELDS | changes)).status_code == 202
    assert find_violations("raw_calls", [vars(event) for event in gateway.events("call")], ContractLimits()) == {}


@pytest.mark.parametrize("data", [b"RIFFnonsense", b"\x00" * 500, wav(seconds=0)])
async def test_audio_that_cannot_be_decoded_is_refused(gateway, data):
    answer = await chunk(gateway, data)
    assert answer.status_code in {415, 422}
    assert gateway.events("call") == []


async def test_a_chunk_that_lasts_too_long_is_too_large(tmp_path):
    async with memory_gateway(tmp_path) as gateway:
        assert_problem(await chunk(gateway, wav(seconds=130, rate=4_000)), 413)


@pytest.mark.parametrize("call", ["%ED%A0%80", "%00", "x" * 181, "a%0Ab"])
async def test_a_broken_call_id_is_refused(gateway, call):
    assert_problem(await chunk(gateway, wav(), call=call), 422)


async def test_the_same_chunk_again_is_a_duplicate_and_another_a_conflict(gateway):
    first = (await chunk(gateway, wav())).json()
    assert (await chunk(gateway, wav())).json() == first | {"duplicate": True}
    assert_problem(await chunk(gateway, wav(seed=1)), 409)
    assert (await chunk(gateway, wav(), call="call-2")).json()["event_id"] == "call-2:0"
    assert len(gateway.events("call")) == 2


async def test_the_end_of_a_call_is_on_its_calls_topic_partition(gateway):
    at = (await chunk(gateway, wav())).json()["position"]
    answer = await gateway.http.post("/v1/calls/call-1/end", json={"subject_id": "s1", "chunks": 1})
    assert answer.status_code == 202
    assert answer.json()["event_id"] == "call-1:end"
    assert answer.json()["position"]["topic_partition"] == at["topic_partition"]
    event = gateway.events("call")[-1]
    assert isinstance(event, CallEnd)
    assert (event.reason, event.chunks) == ("ended", 1)


async def test_the_end_of_a_call_may_be_sent_in_the_query(gateway):
    assert (await gateway.http.post("/v1/calls/call-1/end?subject_id=s1&chunks=2")).status_code == 202
    assert_problem(await gateway.http.post("/v1/calls/call-1/end"), 422)
    assert_problem(await gateway.http.post("/v1/calls/call-1/end", json={"chunks": "many"}), 422)


async def test_an_unavailable_blob_store_is_503_and_leaves_no_pointer(gateway, monkeypatch):
    def away(*_args, **_kwargs):
        raise Unavailable("the disk is full")

    with monkeypatch.context() as patch:
        patch.setattr(type(gateway.deps.blobs), "put", away)
        assert_problem(await shot(gateway, picture()), 503)
    assert gateway.events("screenshot") == []
    assert (await shot(gateway, picture())).status_code == 202


async def test_concurrent_posts_of_one_image_write_one_record(gateway):
    answers = await asyncio.gather(*(shot(gateway, picture()) for _ in range(8)))
    assert sorted(answer.json()["duplicate"] for answer in answers) == [False] + [True] * 7
    assert len(gateway.events("screenshot")) == 1
