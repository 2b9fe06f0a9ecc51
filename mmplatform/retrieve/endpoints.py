"""``POST /v1/search``: the public search. ``GET /readyz/search``: its readiness.

Answers other than 200 are the gateway's problems (RFC 9457): 413 too large, 415 not JSON, 422 wrong fields, 503 with
Retry-After while the index does not answer.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import structlog
from fastapi import APIRouter, Request
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import JSONResponse
from pydantic import ValidationError

from mmplatform.errors import PlatformError, Unavailable
from mmplatform.retrieve.search.search import SearchAnswer, Searcher, SearchQuery
from mmplatform.web.bodies import read_json
from mmplatform.web.openapi import problem_responses
from mmplatform.web.problems import DependencyUnavailable
from mmplatform.web.validation import invalid_request

_log = structlog.get_logger(__name__)
MAX_BODY_BYTES: Final = 65_536
"""The longest question has 24 kB, when each character is an escaped surrogate pair."""


def search_router(searcher: Callable[[], Searcher], ready: Callable[[], object] = lambda: None) -> APIRouter:
    """Router; ``searcher`` is called for each request, so that it may be opened after the application.

    ``ready`` returns when a question can be answered, else raises the reason.

    The application must use ``problems.install_problem_handlers``.
    """
    router = APIRouter(tags=["search"], responses=problem_responses((400, 413, 415, 422, 500, 503)))
    # The handler parses the body, so that its size is checked before it is read; so its schema is given here too.
    request_body = {"required": True, "content": {"application/json": {"schema": SearchQuery.model_json_schema()}}}

    @router.post("/v1/search", openapi_extra={"requestBody": request_body})
    async def search(request: Request) -> SearchAnswer:
        """Find passages, best first, each with its source, its times and its age."""
        query = parse_query(await read_json(request, MAX_BODY_BYTES))
        # On a thread: model and index block, and the event loop stays free for ingest.
        return await run_in_threadpool(_answer, searcher, query)

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


def _answer(searcher: Callable[[], Searcher], query: SearchQuery) -> SearchAnswer:
    try:
        return searcher().search(query)
    except Unavailable as error:
        public_message = "the search index does not answer just now; ask again"
        raise DependencyUnavailable(str(error), public_message=public_message) from error
