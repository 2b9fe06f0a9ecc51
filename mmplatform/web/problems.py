"""One shape for every error that the gateway answers: RFC 9457 ``application/problem+json``.

Nothing that was sent is repeated: a detail names fields, limits and ids, never values.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any, Final

import structlog
from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from mmplatform.errors import Busy, Permanent, PlatformError, Rejected, Unavailable
from mmplatform.telemetry.logs import places
from mmplatform.web.validation import Invalid, described

_UNAVAILABLE_RETRY_S: Final = 2
_CLIENT_WENT_AWAY: Final = 400

_NOT_SAFE: Final = "the platform cannot keep events safe just now; send the same request again"

_log = structlog.get_logger(__name__)


class Away(Unavailable):
    """An absence whose caller is no source of events: ``said`` tells what is away, and never where it should be."""

    def __init__(self, reason: str, *, said: str) -> None:
        super().__init__(reason)
        self.said = said


def problem(
    status: int, detail: str, *, kind: str = "", headers: Mapping[str, str] | None = None, **more: Any
) -> JSONResponse:
    """A problem document; ``kind`` names it for programs, ``detail`` says it to people."""
    title = HTTPStatus(status).phrase
    body = {
        "type": f"urn:mmplatform:problem:{kind or title.lower().replace(' ', '-')}",
        "title": title,
        "status": status,
        "detail": detail,
        **more,
    }
    return JSONResponse(body, status, headers=dict(headers or {}), media_type="application/problem+json")


def answer_problems(app: FastAPI) -> None:
    """Give every error of the application this shape. Middleware that is added later sees the answers."""
    app.add_exception_handler(PlatformError, _platform_error)
    app.add_exception_handler(RequestValidationError, _request_invalid)
    app.add_exception_handler(HTTPException, _http_error)
    app.add_exception_handler(ClientDisconnect, _disconnected)
    app.add_middleware(Unforeseen)


def _platform_error(request: Request, error: Exception) -> JSONResponse:
    match error:
        case Invalid():
            return problem(error.status, str(error), kind="invalid", errors=error.errors)
        case Rejected():
            return problem(error.status, str(error), kind=_kebab(type(error).__name__))
        case Busy():
            wait = str(max(1, math.ceil(error.retry_after)))
            return problem(Busy.status, str(error), kind="busy", headers={"Retry-After": wait}, **error.hint)
        case Unavailable():
            _log.warning("unavailable", path=_route(request), reason=str(error))
            wait = str(_UNAVAILABLE_RETRY_S)
            # Paths, buckets and addresses are the operator's business, not the source's: the log has them.
            said = error.said if isinstance(error, Away) else _NOT_SAFE
            return problem(Unavailable.status, said, kind="unavailable", headers={"Retry-After": wait})
        case _:
            # Addresses and settings are the operator's business, not the source's.
            _log.error("permanent_error", path=_route(request), error=type(error).__name__, reason=str(error))
            return problem(Permanent.status, "the platform is misconfigured; its log says how", kind="permanent")


def _request_invalid(request: Request, error: Exception) -> JSONResponse:
    found = error.errors() if isinstance(error, RequestValidationError) else []
    return _platform_error(request, described(found))


def _http_error(_: Request, error: Exception) -> JSONResponse:
    status = error.status_code if isinstance(error, HTTPException) else HTTPStatus.INTERNAL_SERVER_ERROR
    headers = error.headers if isinstance(error, HTTPException) else None
    return problem(status, HTTPStatus(status).description or HTTPStatus(status).phrase, headers=headers)


def _disconnected(_: Request, __: Exception) -> JSONResponse:
    return problem(_CLIENT_WENT_AWAY, "the connection was closed before the body was complete", kind="disconnected")


class Unforeseen:
    """ASGI middleware: the last word on an error that nobody foresaw.

    It is answered here and goes no further: the server would log its message, which may quote what was sent. Of an
    answer that has begun the rest is left out, and the server closes the connection.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass one request on."""
        begun = False

        async def noting(message: Message) -> None:
            nonlocal begun
            begun = begun or message["type"] == "http.response.start"
            await send(message)

        try:
            await self._app(scope, receive, noting)
        except Exception as error:
            if scope["type"] != "http":
                raise
            _log.error("unexpected_error", path=_path(scope), error=type(error).__name__, at=places(error))
            if not begun:
                said = "something unforeseen went wrong; the gateway's log names it"
                await problem(500, said, kind="unexpected")(scope, receive, send)


def _route(request: Request) -> str:
    return _path(request.scope)


def _path(scope: Scope) -> str:
    """The route's template: the path that was asked may hold anything."""
    return str(getattr(scope.get("route"), "path", "unmatched"))


def _kebab(name: str) -> str:
    return "".join(f"-{c.lower()}" if c.isupper() else c for c in name).lstrip("-")
