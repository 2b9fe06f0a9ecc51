"""A gateway over doubles for unit tests: memory log, blobs in a folder, the real probes, gates that a test can move."""

from __future__ import annotations

import asyncio
import io
import wave
from contextlib import asynccontextmanager
from dataclasses import dataclass

import httpx
import numpy as np
from PIL import Image

from mmplatform.derive.media import audio, image
from mmplatform.events import decode_event
from mmplatform.gateway.app import GatewayParts, create_app
from mmplatform.ingest.backpressure import open_gates
from mmplatform.ingest.dependencies import IngestDeps
from mmplatform.kafka.headers import Pseudonyms
from mmplatform.kafka.position_token import PositionTokens
from mmplatform.kafka.topics import required_topics
from mmplatform.land.blobs.file_store import FileBlobs
from mmplatform.modalities import MODALITIES
from mmplatform.settings import Settings, load
from mmplatform.web.body_budget import BodyBudget
from tests.doubles.memory_log import MemoryLog
from tests.waiting import eventually

SECRET = "4111-1111-1111-1111"
SCREENSHOT_FIELDS = {"conversation_id": "c1", "subject_id": "s1", "event_id": "shot-1"}
CHUNK_FIELDS = {"index": "0", "start_s": "0", "subject_id": "s1"}
FORM_HEAD = b'--b\r\nContent-Disposition: form-data; name="file"; filename="a.png"\r\nContent-Type: image/png\r\n\r\n'


@dataclass
class Gateway:
    """The client speaks to the application in this process; a failing application answers 500 instead of raising."""

    http: httpx.AsyncClient
    transport: httpx.ASGITransport
    log: MemoryLog
    deps: IngestDeps
    settings: Settings

    def events(self, modality="chat"):
        return [decode_event(entry.value) for entry in self.log.read(MODALITIES[modality].topic)]


def memory_parts(tmp_path, **settings):
    loaded = load(kafka_bootstrap_servers="unused", data_dir=tmp_path, **settings)
    log = MemoryLog()
    for spec in required_topics(loaded):
        log.create(spec.name)
    deps = IngestDeps(
        settings=loaded,
        log=log,
        blobs=FileBlobs(tmp_path / "blobs"),
        gates=open_gates(loaded),
        budget=BodyBudget(loaded.max_inflight_body_bytes),
        probe_audio=audio.probe,
        probe_image=image.probe,
        split_recording=audio.split,
        pseudonyms=Pseudonyms(b"key of the tests"),
        tokens=PositionTokens(b"key of the tests", loaded.tenant),
    )
    return GatewayParts(deps, log, create_topics=lambda: None, close=log.close), log


@asynccontextmanager
async def memory_gateway(tmp_path, **settings):
    parts, log = memory_parts(tmp_path, **settings)
    app = create_app(parts.ingest.settings, parts)
    transport = httpx.ASGITransport(app=app, raise_app_exceptions=False)
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=transport, base_url="http://gateway") as http,
    ):
        # The lag is first observed at the start: a test's own observations must come after it.
        gates = parts.ingest.gates.values()
        await asyncio.to_thread(eventually, lambda: all(gate.backlog is not None for gate in gates))
        yield Gateway(http, transport, log, parts.ingest, parts.ingest.settings)


def chat_body(**changes):
    return {
        "event_id": "e1",
        "conversation_id": "c1",
        "subject_id": "s1",
        "role": "customer",
        "text": "hello",
    } | changes


def wav(seconds=0.5, rate=8_000, channels=1, seed=0):
    noise = np.random.default_rng(seed).integers(-9000, 9000, (round(seconds * rate), channels), dtype=np.int16)
    out = io.BytesIO()
    with wave.open(out, "wb") as file:
        file.setnchannels(channels)
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes(noise.tobytes())
    return out.getvalue()


def picture(kind="PNG", size=(32, 24), seed=0):
    pixels = np.random.default_rng(seed).integers(0, 255, (size[1], size[0], 3), dtype=np.uint8)
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, kind)
    return out.getvalue()


def assert_problem(answer, status):
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    body = answer.json()
    assert body["status"] == status
    assert body["title"]
    assert body["detail"]
    assert body["type"].startswith("urn:mmplatform:problem:")
    assert SECRET not in answer.text
    return body
