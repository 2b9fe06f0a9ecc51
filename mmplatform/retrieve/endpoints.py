"""``POST /v1/search``: the public search. ``GET /readyz/search``: its readiness.

Answers other than 200 are the gateway's problems (RFC 9457): 413 too large, 415 not JSON, 422 wrong fields, 503 with
Retry-After while the index does not answer.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Final, NamedTuple

import structlog
from fastapi import APIRouter, Request
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import JSONResponse
from pydantic import ValidationError

from mmplatform.errors import PlatformError, Unavailable
from mmplatform.kafka.canary_key import is_canary_request
from mmplatform.retrieve.search.fenced_search import FencedSearch
from mmplatform.retrieve.search.search import SearchAnswer, SearchQuery
from mmplatform.web.bodies import read_json
from mmplatform.web.openapi import problem_responses
from mmplatform.web.problems import DependencyUnavailable
from mmplatform.web.validation import invalid_request

_log = structlog.get_logger(__name__)
MAX_BODY_BYTES: Final = 65_536
"""The longest question has 24 kB, when each character is an escaped surrogate pair."""


class CanarySearch(NamedTuple):
    """Search of the canaries' tenant, for requests with the key."""

    key: str
    search: FencedSearch


def search_router(
    search_of: Callable[[], FencedSearch],
    ready: Callable[[], object] = lambda: None,
    *,
    canaries: CanarySearch | None = None,
) -> APIRouter:
    """Router; ``search_of`` is called for each request, so that it may be opened after the application.

    ``ready`` returns when a question can be answered, else raises the reason. ``canaries``: None: none is searched.

    The application must use ``problems.install_problem_handlers``.
    """
    router = APIRouter(tags=["search"], responses=problem_responses((400, 413, 415, 422, 429, 500, 503)))
    # The handler parses the body, so that its size is checked before it is read; so its schema is given here too.
    request_body = {"required": True, "content": {"application/json": {"schema": SearchQuery.model_json_schema()}}}

    @router.post("/v1/search", openapi_extra={"requestBody": request_body})
    async def search(request: Request) -> SearchAnswer:
        """Find passages, best first, each with its source, its times and its age, and what they may be missing."""
        is_canary = is_canary_request(request.headers, request.scope, canaries.key if canaries else "")
        chosen = canaries.search if canaries and is_canary else search_of()
        query = parse_query(await read_json(request, MAX_BODY_BYTES))
        try:
            return await chosen.search(query, partial(_wait_for_disconnect, request))
        except Unavailable as error:
            public_message = "the search index does not answer just now; ask again"
            raise DependencyUnavailable(str(error), public_message=public_message) from error

    @router.get("/readyz/search", tags=["health"], responses={503: {"description": "Not ready, with the reasons"}})
    async def readyz() -> JSONResponse:
        """Readiness of search; 503 with the reason when not ready. Ingest may work all the same."""
        reasons = await run_in_threadpool(_search_blockers, ready)
        return JSONResponse({"ready": not reasons, "reasons": reasons}, 503 if reasons else 200)

    return router


def _search_blockers(ready: Callable[[], object]) -> dict[str, str]:
    try:
        ready()
    except PlatformError as error:
        # The reason may name addresses: it is logged, but not sent to the caller.
        _log.debug("search_not_ready", error=type(error).__name__, reason=str(error))
        return {"index": "unavailable" if isinstance(error, Unavailable) else "misconfigured"}
    return {}


def parse_query(body: bytes) -> SearchQuery:
    """The JSON of a question. Raises InvalidRequest."""
    try:
        return SearchQuery.model_validate_json(body)
    except ValidationError as error:
        raise invalid_request(error) from None


async def _wait_for_disconnect(request: Request) -> None:
    """Return when the client has closed the connection; its body is read already."""
    while (await request.receive())["type"] != "http.disconnect":
        pass
