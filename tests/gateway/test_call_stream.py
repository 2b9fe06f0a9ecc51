"""Live calls over a WebSocket, through a real server socket: frames of any size become chunks on the log."""

from __future__ import annotations

import asyncio
import json
from contextlib import asynccontextmanager, nullcontext, suppress
from itertools import pairwise

import numpy as np
import pytest
import uvicorn
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

from mmplatform.client.client import AsyncGatewayClient
from mmplatform.derive.media import audio
from mmplatform.errors import Rejected, Unavailable, UnsupportedMedia
from mmplatform.events import CallChunk, CallEnd, decode_event
from mmplatform.gateway.app import create_app
from mmplatform.ingest import call_stream
from mmplatform.modalities import CALL
from tests.derive.media.audio_files import encoded, tones
from tests.ingest.gateways import memory_parts
from tests.waiting import eventually

L16 = "audio/L16;rate=8000;channels=2"
START = {"subject_id": "s1", "media_type": L16, "speakers": ["agent", "customer"]}
FRAME_BYTES = 8_000 * 4 // 50
"""20 milliseconds."""


def samples(seconds, channels=2, rate=8_000, seed=0):
    noise = np.random.default_rng(seed).integers(-9_000, 9_000, (round(seconds * rate), channels))
    return noise.astype(">i2").tobytes()


def frames(data, size=FRAME_BYTES):
    return [data[start : start + size] for start in range(0, len(data), size)]


class Server:
    """The gateway on a port of this machine, over doubles."""

    def __init__(self, parts, log, port):
        self.deps, self.log, self.port = parts.ingest, log, port
        self.http, self.url = f"http://127.0.0.1:{port}", f"ws://127.0.0.1:{port}/v1/calls/"

    def events(self):
        return [decode_event(entry.value) for entry in self.log.read(CALL.topic)]

    def chunks(self):
        return [event for event in self.events() if isinstance(event, CallChunk)]

    def audio(self):
        """The stored audio of all chunks, in order."""
        found = [audio.decode(self.deps.blobs.get(chunk.blob), chunk.blob.media_type) for chunk in self.chunks()]
        return np.concatenate(found, axis=1)


@asynccontextmanager
async def served(tmp_path, **settings):
    parts, log = memory_parts(tmp_path, **settings)
    config = uvicorn.Config(
        create_app(parts.ingest.settings, parts), port=0, log_config=None, timeout_graceful_shutdown=1
    )
    server = uvicorn.Server(config)
    server.capture_signals = nullcontext
    task = asyncio.create_task(server.serve())
    await asyncio.to_thread(eventually, lambda: server.started)
    await asyncio.to_thread(eventually, lambda: all(gate.backlog is not None for gate in parts.ingest.gates.values()))
    try:
        yield Server(parts, log, server.servers[0].sockets[0].getsockname()[1])
    finally:
        server.should_exit = True
        await task


@pytest.fixture
async def server(tmp_path):
    async with served(tmp_path) as server:
        yield server


async def receive(socket, kind):
    while True:
        message = json.loads(await asyncio.wait_for(socket.recv(), 20))
        if message["type"] == kind:
            return message
        assert message["type"] in {"ack", "ready", "wait"}, message


async def refused(socket):
    message = await receive(socket, "problem")
    with pytest.raises(ConnectionClosed):
        await asyncio.wait_for(socket.recv(), 10)
    return socket.close_code, message["problem"]


async def test_each_acknowledgement_has_a_token_of_its_position(server):
    async with connect(f"{server.url}c1/stream") as socket:
        await socket.send(json.dumps(START))
        for frame in frames(samples(1.5)):
            await socket.send(frame)
        accepted = [(await receive(socket, "ack"))["accepted"]]
        await socket.send(json.dumps({"type": "end"}))
        accepted.append((await receive(socket, "ended"))["accepted"])
    for part in accepted:
        position = server.deps.tokens.read(part["token"])
        assert position.model_dump(mode="json") == part["position"]


async def test_frames_of_20_ms_become_chunks_of_a_second(server):
    data = samples(3.5)
    async with connect(f"{server.url}c1/stream") as socket:
        await socket.send(json.dumps(START))
        assert await receive(socket, "ready") == {"type": "ready", "send_from": 0, "index": 0}
        for frame in frames(data):
            await socket.send(frame)
        await socket.send(json.dumps({"type": "end"}))
        assert (await receive(socket, "ended"))["chunks"] == 4
    *chunks, end = server.events()
    assert isinstance(end, CallEnd)
    assert end.chunks == 4
    assert [(chunk.event_id, chunk.start_s, chunk.duration_s) for chunk in chunks] == [
        ("c1:0", 0.0, 1.0),
        ("c1:1", 1.0, 1.0),
        ("c1:2", 2.0, 1.0),
        ("c1:3", 3.0, 0.5),
    ]
    assert {chunk.speakers for chunk in chunks} == {("agent", "customer")}
    assert b"".join(server.deps.blobs.get(chunk.blob) for chunk in chunks) == data


async def test_the_query_may_name_the_format_and_the_end_is_a_message(server):
    query = "subject_id=s1&media_type=audio%2FPCMU&chunk_s=0.5"
    async with connect(f"{server.url}c1/stream?{query}") as socket:
        await receive(socket, "ready")
        await socket.send(bytes([200]) * 8_000)
        acknowledged = await receive(socket, "ack")
        assert (acknowledged["index"], acknowledged["bytes"], acknowledged["end_s"]) == (0, 4_000, 0.5)
        await socket.send('{"type": "end"}')
        assert (await receive(socket, "ended"))["chunks"] == 2


@pytest.mark.parametrize("cut", [0.3, 1.0, 2.6])
async def test_a_broken_connection_is_resumed_at_the_last_acknowledgement_without_a_loss(server, cut):
    data = samples(3.5)
    sent = frames(data)
    async with connect(f"{server.url}c1/stream") as socket:
        await socket.send(json.dumps(START))
        await receive(socket, "ready")
        for frame in sent[: round(cut * 50)]:
            await socket.send(frame)
        last = None
        for _ in range(int(cut)):
            last = await receive(socket, "ack")
        socket.transport.abort()
    resume = {} if last is None else {"resume": {name: last[name] for name in ("index", "end_s", "bytes")}}
    async with connect(f"{server.url}c1/stream") as socket:
        await socket.send(json.dumps(START | resume))
        ready = await receive(socket, "ready")
        assert ready["send_from"] == int(cut) * 32_000
        for frame in frames(data[ready["send_from"] :], 1_000):
            await socket.send(frame)
        await socket.send('{"type": "end"}')
        assert (await receive(socket, "ended"))["chunks"] == 4
    assert b"".join(server.deps.blobs.get(chunk.blob) for chunk in server.chunks()) == data


async def test_what_was_written_and_not_acknowledged_is_a_duplicate_when_it_is_sent_again(server):
    data = samples(2.0)
    for _ in range(2):
        async with connect(f"{server.url}c1/stream") as socket:
            await socket.send(json.dumps(START))
            await receive(socket, "ready")
            await socket.send(data)
            acknowledged = [await receive(socket, "ack") for _ in range(2)]
            socket.transport.abort()
    assert [message["accepted"]["duplicate"] for message in acknowledged] == [True, True]
    assert len(server.chunks()) == 2


@pytest.mark.parametrize(
    ("media_type", "container", "codec"),
    [
        ("audio/webm;codecs=opus", "webm", "libopus"),
        ("audio/ogg", "ogg", "libopus"),
        ("audio/mpeg", "mp3", "libmp3lame"),
    ],
)
async def test_the_slices_of_a_recording_become_chunks_without_gaps(server, media_type, container, codec):
    data = encoded(container, codec, tones(48_000, 1, 4.0), 48_000)
    start = {"subject_id": "s1", "media_type": media_type}
    async with connect(f"{server.url}c1/stream") as socket:
        await socket.send(json.dumps(start))
        await receive(socket, "ready")
        for frame in frames(data, 700):
            await socket.send(frame)
        await socket.send('{"type": "end"}')
        await receive(socket, "ended")
    chunks = server.chunks()
    assert chunks[-1].end_s == pytest.approx(4.0, abs=0.15)
    for before, after in pairwise(chunks):
        assert after.start_s == pytest.approx(before.end_s, abs=1e-6)


async def test_a_recording_is_resumed_by_sending_it_from_its_start_and_nothing_lands_twice(server):
    data = encoded("webm", "libopus", tones(48_000, 1, 4.0), 48_000)
    start = {"subject_id": "s1", "media_type": "audio/webm;codecs=opus"}
    async with connect(f"{server.url}c1/stream") as socket:
        await socket.send(json.dumps(start))
        await receive(socket, "ready")
        for frame in frames(data, 700):
            await socket.send(frame)
        last = await receive(socket, "ack")
        socket.transport.abort()
    resume = {name: last[name] for name in ("index", "end_s", "bytes")}
    async with connect(f"{server.url}c1/stream") as socket:
        await socket.send(json.dumps(start | {"resume": resume}))
        assert (await receive(socket, "ready"))["send_from"] == 0
        await socket.send(data)
        await socket.send('{"type": "end"}')
        ended = await receive(socket, "ended")
    chunks = server.chunks()
    assert [chunk.chunk_index for chunk in chunks] == list(range(ended["chunks"]))
    for before, after in pairwise(chunks):
        assert after.start_s == pytest.approx(before.end_s, abs=1e-6)


@pytest.mark.parametrize(
    ("start", "code", "status", "words"),
    [
        ("nonsense", 1008, 422, "is not JSON"),
        (b"audio", 1008, 422, "first message must be a text"),
        ({"media_type": L16}, 1008, 422, "subject_id is missing"),
        (START | {"media_type": "audio/unknown"}, 1008, 415, "accepted are"),
        (START | {"media_type": "audio/L16"}, 1008, 415, "rate=8000"),
        (START | {"chunk_s": 0.01}, 1008, 422, "chunk_s must be 0.2 or more"),
        (START | {"event_time": "2999-01-01T00:00:00Z"}, 1008, 422, "ahead of the gateway's clock"),
    ],
)
async def test_a_wrong_start_is_refused_with_what_to_do(server, start, code, status, words):
    async with connect(f"{server.url}c1/stream") as socket:
        await socket.send(json.dumps(start) if isinstance(start, dict) else start)
        found, problem = await refused(socket)
    assert (found, problem["status"]) == (code, status)
    assert words in problem["detail"]


@pytest.mark.parametrize(
    ("change", "message", "status", "words"),
    [
        ({}, '{"type": "pause"}', 422, "is no end"),
        ({}, bytes(100_001), 413, "over the limit of 100000"),
        ({"speakers": ["only one"]}, samples(1.0), 422, "1 speakers are named for 2 channels"),
        ({"start_s": 86_400.0}, samples(2.0), 422, "start_s"),
        ({"media_type": "audio/webm", "speakers": []}, b"\x1f\x43\xb6\x75" + bytes(5_000), 415, "only the first slice"),
        ({"media_type": "audio/flac", "speakers": []}, b"fLaC" + bytes(5_000), 422, "damaged"),
    ],
)
async def test_wrong_audio_is_refused_with_what_to_do(tmp_path, change, message, status, words):
    async with served(tmp_path, max_chunk_bytes=100_000) as server, connect(f"{server.url}c1/stream") as socket:
        await socket.send(json.dumps(START | change))
        await receive(socket, "ready")
        with suppress(ConnectionClosed):
            await socket.send(message)
            await socket.send('{"type": "end"}')
        _, problem = await refused(socket)
        assert problem["status"] == status
        assert words in problem["detail"]
        assert not any(isinstance(event, CallEnd) for event in server.events())


async def test_a_platform_that_is_behind_makes_the_caller_wait_and_loses_nothing(server):
    server.deps.gates["call"].observe(10**9)
    async with connect(f"{server.url}c1/stream") as socket:
        await socket.send(json.dumps(START))
        await receive(socket, "ready")
        await socket.send(samples(1.0))
        waiting = await receive(socket, "wait")
        assert waiting["problem"]["status"] == 429
        server.deps.gates["call"].observe(0)
        assert (await receive(socket, "ack"))["index"] == 0


async def test_a_platform_that_stays_behind_sends_the_caller_away_to_come_again(server, monkeypatch):
    monkeypatch.setattr(call_stream, "RETRY_TIMEOUT_S", 0.0)
    server.deps.gates["call"].observe(10**9)
    async with connect(f"{server.url}c1/stream") as socket:
        await socket.send(json.dumps(START))
        await receive(socket, "ready")
        await socket.send(samples(1.0))
        code, problem = await refused(socket)
    assert (code, problem["status"]) == (1013, 429)


async def test_more_streams_than_the_limit_are_sent_away(server, monkeypatch):
    monkeypatch.setattr(call_stream, "MAX_STREAMS", 1)
    async with connect(f"{server.url}c1/stream") as first:
        await first.send(json.dumps(START))
        await receive(first, "ready")
        async with connect(f"{server.url}c2/stream") as second:
            code, problem = await refused(second)
    assert (code, problem["status"]) == (1013, 429)


async def live(data, size=FRAME_BYTES):
    for frame in frames(data, size):
        yield frame


async def test_the_client_streams_a_call(server):
    data = samples(2.5)
    async with AsyncGatewayClient(server.http) as client:
        streamed = await client.stream_call("звонок 1?", live(data), L16, subject_id="s1", speakers=("a", "b"))
    assert (streamed.chunks, streamed.end_s, streamed.connections) == (3, 2.5, 1)
    assert b"".join(server.deps.blobs.get(chunk.blob) for chunk in server.chunks()) == data
    assert {chunk.call_id for chunk in server.chunks()} == {"звонок 1?"}


class Proxy:
    """A way to the gateway that breaks each connection after so many bytes, the first few times."""

    def __init__(self, port, break_after, times):
        self._target, self._break_after, self._times = port, break_after, times

    async def forward(self, reader, writer):
        limit = self._break_after if self._times > 0 else 10**9
        self._times -= 1
        upstream, downstream = await asyncio.open_connection("127.0.0.1", self._target)
        back = asyncio.create_task(self._pump(upstream, writer, 10**9))
        await self._pump(reader, downstream, limit)
        await asyncio.sleep(0.05)
        back.cancel()
        for end in (writer, downstream):
            end.transport.abort()

    async def _pump(self, reader, writer, limit):
        passed = 0
        while passed < limit and (data := await reader.read(4_096)):
            writer.write(data)
            passed += len(data)


@pytest.mark.parametrize("media_type", [L16, "audio/webm;codecs=opus"])
async def test_the_client_resumes_broken_connections_and_nothing_is_lost_or_twice(server, media_type):
    recording = media_type != L16
    data = encoded("webm", "libopus", tones(48_000, 1, 4.0), 48_000) if recording else samples(5.0)
    proxy = Proxy(server.port, len(data) // 2, times=3)
    listener = await asyncio.start_server(proxy.forward, "127.0.0.1", 0)
    port = listener.sockets[0].getsockname()[1]
    async with AsyncGatewayClient(f"http://127.0.0.1:{port}") as client:
        streamed = await client.stream_call("c1", live(data, 640), media_type, subject_id="s1")
    listener.close()
    assert streamed.connections > 1
    chunks = server.chunks()
    assert [chunk.chunk_index for chunk in chunks] == list(range(streamed.chunks))
    for before, after in pairwise(chunks):
        assert after.start_s == pytest.approx(before.end_s, abs=1e-6)
    if recording:
        assert server.audio().shape[1] == pytest.approx(4.0 * 16_000, rel=0.05)
    else:
        assert b"".join(server.deps.blobs.get(chunk.blob) for chunk in chunks) == data


async def test_the_client_raises_a_refusal_as_its_error(server):
    async with AsyncGatewayClient(server.http) as client:
        with pytest.raises(UnsupportedMedia, match="accepted are"):
            await client.stream_call("c1", live(b"x" * 99), "text/plain", subject_id="s1")
        with pytest.raises(Rejected, match="subject_id is empty"):
            await client.stream_call("c1", live(b"x" * 99), L16, subject_id="")
    async with AsyncGatewayClient("http://127.0.0.1:9") as client:
        with pytest.raises(Unavailable, match="accepts no audio"):
            await client.stream_call("c1", live(b"x" * 99), L16, subject_id="s1", timeout_s=0.1)
