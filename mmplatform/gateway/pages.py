"""Pages for people: what this address offers, and the API's documentation, which needs no internet."""

from __future__ import annotations

from html import escape
from typing import Any, Final

from fastapi import FastAPI
from fastapi.responses import HTMLResponse

from mmplatform import __version__

STATIC_URL: Final = "/static/docs"
"""Scripts and styles of the documentation. FastAPI's own page loads them from a CDN and is blank without one."""

_OFFERS: Final = (
    ("GET", "/docs", "the API, to read and to try"),
    ("GET", "/openapi.json", "the same as an OpenAPI document"),
    ("POST", "/v1/events/chat", "a chat message"),
    ("POST", "/v1/events/screenshot", "a screenshot"),
    ("POST", "/v1/calls/{call_id}/chunks", "a chunk of a live call; /v1/calls/{call_id}/end closes it"),
    ("POST", "/v1/search", "passages for a question"),
    ("GET", "/healthz", "the process answers"),
    ("GET", "/readyz", "it can accept events; /readyz/search: it can answer searches"),
    ("GET", "/metrics", "figures for Prometheus"),
)
_PAGE: Final = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>mmplatform gateway</title>
<meta name="viewport" content="width=device-width, initial-scale=1">
<style>
body {{ font: 16px/1.5 system-ui, sans-serif; margin: 3rem auto; max-width: 44rem; padding: 0 1rem; color: #1a1a2e }}
table {{ border-collapse: collapse; width: 100% }} td {{ padding: .3rem .8rem .3rem 0; vertical-align: top }}
tr + tr td {{ border-top: 1px solid #ddd }} code {{ font-size: .9rem }}
td:first-child {{ color: #666; font-size: .8rem }}
</style></head>
<body><h1>mmplatform gateway</h1>
<p>Version {version}. Calls, chats and screenshots go in here; a copilot asks here.</p>
<table>{rows}</table></body></html>
"""


def create_documented_app(**options: Any) -> FastAPI:
    """Create an application whose ``/docs`` and ``/redoc`` load nothing from other hosts, with a page at ``/``."""
    from fastapi_offline import FastAPIOffline

    app: FastAPI = FastAPIOffline(static_url=STATIC_URL, **options)
    page = _PAGE.format(version=escape(__version__), rows="".join(_row(*offer) for offer in _OFFERS))

    @app.get("/", include_in_schema=False)
    async def start() -> HTMLResponse:
        return HTMLResponse(page)

    return app


def _row(method: str, path: str, purpose: str) -> str:
    shown = f"<code>{escape(path)}</code>"
    linked = f'<a href="{escape(path)}">{shown}</a>' if method == "GET" else shown
    return f"<tr><td>{method}</td><td>{linked}</td><td>{escape(purpose)}</td></tr>"
