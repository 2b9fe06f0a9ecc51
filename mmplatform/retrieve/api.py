"""``POST /v1/search``: the public search."""

from __future__ import annotations

from collections.abc import Callable

from fastapi import APIRouter

from mmplatform.retrieve.search import SearchAnswer, Searcher, SearchQuery


def search_router(searcher: Callable[[], Searcher]) -> APIRouter:
    """The router; ``searcher`` is called once for each request, so that it may be opened after the application."""
    router = APIRouter(tags=["search"])

    @router.post("/v1/search")
    def search(query: SearchQuery) -> SearchAnswer:
        """Find passages. A plain function: FastAPI runs it on a thread, and the event loop stays free for ingest."""
        return searcher().search(query)

    return router
