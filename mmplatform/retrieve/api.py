"""``POST /v1/search``: the public search.

Answers other than 200 are the gateway's problems (RFC 9457): 413 too large, 415 no JSON, 422 wrong fields, 503 with
Retry-After while the index is away.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from fastapi import APIRouter, Request
from fastapi.concurrency import run_in_threadpool
from pydantic import ValidationError

from mmplatform.errors import Unavailable
from mmplatform.ingest.bodies import read_json
from mmplatform.ingest.problems import Away
from mmplatform.ingest.requests import invalid
from mmplatform.retrieve.search import SearchAnswer, Searcher, SearchQuery

LARGEST_BODY: Final = 65_536
"""Bytes. The longest question is 24 kB when each of its characters is an escaped surrogate pair."""


def search_router(searcher: Callable[[], Searcher]) -> APIRouter:
    """The router; ``searcher`` is called once for each request, so that it may be opened after the application.

    The application must use ``problems.answer_problems``.
    """
    router = APIRouter(tags=["search"])
    # We parse the body ourselves, so that its size is known before it is read; so we describe it ourselves too.
    described = {"required": True, "content": {"application/json": {"schema": SearchQuery.model_json_schema()}}}

    @router.post("/v1/search", openapi_extra={"requestBody": described})
    async def search(request: Request) -> SearchAnswer:
        """Find passages, best first, each with its source, its times and its age."""
        query = parse_query(await read_json(request, LARGEST_BODY))
        # On a thread: the model and the index take their time, and the event loop stays free for ingest.
        return await run_in_threadpool(_answer, searcher, query)

    return router


def parse_query(body: bytes) -> SearchQuery:
    """The JSON of a question. Raises Invalid."""
    try:
        return SearchQuery.model_validate_json(body)
    except ValidationError as error:
        raise invalid(error) from None


def _answer(searcher: Callable[[], Searcher], query: SearchQuery) -> SearchAnswer:
    try:
        return searcher().search(query)
    except Unavailable as error:
        raise Away(str(error), said="the search index does not answer just now; ask again") from error
