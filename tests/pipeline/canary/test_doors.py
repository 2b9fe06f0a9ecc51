"""Doors of a canary against an application that listens."""

from __future__ import annotations

from contextlib import closing

from fastapi import FastAPI, Request, Response
from structlog.testing import capture_logs

from mmplatform.pipeline.canary.doors import PublicDoors
from mmplatform.pipeline.canary.probe import new_canary
from mmplatform.settings import load
from tests.servers.web import serving


def test_a_refused_fence_is_tried_again_by_the_next_canary_and_its_loss_is_logged_once(tmp_path):
    app, fenced, can_wait = FastAPI(), [], []

    @app.post("/v1/search")
    async def search(request: Request) -> Response:
        fenced.append("after" in await request.json())
        if fenced[-1] and not can_wait:
            return Response(status_code=422)
        return Response('{"hits": []}', media_type="application/json")

    canaries = [new_canary("chat", "conversation", lambda nonce: (nonce,)) for _ in range(3)]
    with serving(app) as url, closing(PublicDoors(load(data_dir=tmp_path), url, url)) as doors, capture_logs() as logs:
        for canary in canaries[:2]:
            assert doors.search(canary, "t", 0.0) is None
            assert doors.search(canary, "t", 0.0) is not None
        can_wait.append(True)
        assert doors.search(canaries[2], "t", 0.0) is not None
    assert fenced == [True, False, True, False, True]
    assert [line["log_level"] for line in logs if "refuses to wait" in line["event"]] == ["warning"]
