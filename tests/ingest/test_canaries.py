"""A canary's request is known by its key alone, and nothing of it is a customer's."""

from __future__ import annotations

from dataclasses import replace

import httpx
import pytest

from mmplatform.errors import Misconfigured
from mmplatform.gateway.app import create_app
from mmplatform.identity import CANARY_TENANT
from mmplatform.ingest.metrics import IngestMetrics
from mmplatform.kafka.canary_key import CANARY_REQUEST_HEADER, open_canary_key
from mmplatform.kafka.headers import is_canary
from mmplatform.kafka.position_token import PositionTokens
from mmplatform.land.blobs.file_store import FileBlobs
from mmplatform.modalities import MODALITIES
from mmplatform.settings import load
from tests.ingest.gateways import CHUNK_FIELDS, SCREENSHOT_FIELDS, chat_body, memory_parts, picture, wav

KEY = {CANARY_REQUEST_HEADER: "a key"}


@pytest.fixture
async def gateway(tmp_path):
    parts, log = memory_parts(tmp_path)
    own = parts.ingest.settings.model_copy(update={"tenant": CANARY_TENANT})
    canaries = replace(
        parts.ingest,
        settings=own,
        blobs=FileBlobs(tmp_path / "blobs", CANARY_TENANT),
        tokens=PositionTokens(b"key of the tests", CANARY_TENANT),
        metrics=IngestMetrics(),
    )
    parts = replace(parts, ingest=replace(parts.ingest, canary_key="a key", canaries=canaries))
    app = create_app(parts.ingest.settings, parts)
    transport = httpx.ASGITransport(app=app, raise_app_exceptions=False)
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=transport, base_url="http://gateway", headers=KEY) as http,
    ):
        yield http, log, tmp_path


async def send_all(http, headers=None):
    answers = [
        await http.post("/v1/events/chat", json=chat_body(), headers=headers),
        await http.post(
            "/v1/events/screenshot",
            params=SCREENSHOT_FIELDS,
            content=picture(),
            headers={"Content-Type": "image/png"} | (headers or {}),
        ),
        await http.post(
            "/v1/calls/c/chunks",
            params=CHUNK_FIELDS,
            content=wav(),
            headers={"Content-Type": "audio/wav"} | (headers or {}),
        ),
        await http.post("/v1/calls/c/end", json={"subject_id": "s1"}, headers=headers),
    ]
    return [answer.status_code for answer in answers]


def records(log):
    return [entry for spec in MODALITIES.values() for entry in log.read(spec.topic)]


async def test_events_with_the_key_are_of_the_canaries_tenant_and_marked(gateway):
    http, log, tmp_path = gateway
    assert await send_all(http) == [202] * 4
    assert [is_canary(entry.headers) for entry in records(log)] == [True] * 4
    assert {entry.headers["tenant"].decode() for entry in records(log)} == {CANARY_TENANT}
    assert [path.name for path in (tmp_path / "blobs").iterdir() if not path.name.startswith(".")] == [CANARY_TENANT]


async def test_no_metric_of_the_gateway_counts_them(gateway):
    http, _, _ = gateway
    await send_all(http)
    page = (await http.get("/metrics")).text
    assert "mmplatform_gateway_events_total{" not in page
    assert "/v1/events" not in page


async def test_a_wrong_key_is_refused_so_that_it_is_no_customers_event(gateway):
    http, log, _ = gateway
    assert await send_all(http, {CANARY_REQUEST_HEADER: "guessed"}) == [422] * 4
    assert records(log) == []


async def test_a_gateway_without_a_key_takes_none(tmp_path):
    parts, log = memory_parts(tmp_path)
    app = create_app(parts.ingest.settings, parts)
    transport = httpx.ASGITransport(app=app, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://gateway") as http:
        for key in ("", "a key"):
            answer = await http.post("/v1/events/chat", json=chat_body(), headers={CANARY_REQUEST_HEADER: key})
            assert answer.status_code == 422
    assert records(log) == []


def test_the_key_is_of_the_installation(tmp_path):
    one, two = (load(data_dir=tmp_path / name) for name in "ab")
    assert open_canary_key(one) == open_canary_key(one) != open_canary_key(two)


def test_no_gateway_has_the_canaries_tenant_as_its_own():
    with pytest.raises(Misconfigured, match="TENANT"):
        load(tenant=CANARY_TENANT)
