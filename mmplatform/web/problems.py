"""Problem documents (RFC 9457 ``application/problem+json``): the one shape of the gateway's error responses.

A problem never repeats request content: its detail names fields, limits and ids, never values.
"""

from __future__ import annotations

import json
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
from mmplatform.telemetry.logs import code_locations
from mmplatform.web.validation import InvalidRequest, invalid_request_from_details

_UNAVAILABLE_RETRY_AFTER_S: Final = 2
_DISCONNECTED_STATUS: Final = 400

_CANNOT_STORE: Final = "the platform cannot store events right now; send the same request again"
_HTTP_DETAILS: Final[dict[int, str]] = {
    HTTPStatus.NOT_FOUND: "there is no such path: /docs lists them",
    HTTPStatus.METHOD_NOT_ALLOWED: "the path does not accept this method: the header Allow names those it accepts",
}

_log = structlog.get_logger(__name__)


class DependencyUnavailable(Unavailable):
    """Unavailable store behind a request that sends no event: ``public_message`` names the store, not its address."""

    def __init__(self, reason: str, *, public_message: str) -> None:
        super().__init__(reason)
        self.public_message = public_message


def problem(
    status: int, detail: str, *, kind: str = "", headers: Mapping[str, str] | None = None, **more: Any
) -> JSONResponse:
    """A problem document; ``kind`` identifies it for programs, ``detail`` explains it to people."""
    title = HTTPStatus(status).phrase
    body = {
        "type": f"urn:mmplatform:problem:{kind or title.lower().replace(' ', '-')}",
        "title": title,
        "status": status,
        "detail": detail,
        **more,
    }
    return JSONResponse(body, status, headers=dict(headers or {}), media_type="application/problem+json")


def problem_body(error: PlatformError) -> dict[str, Any]:
    """The fields of an error's problem document, for a connection that answers by messages."""
    body: dict[str, Any] = json.loads(bytes(_document(error, "stream").body))
    return body


def install_problem_handlers(app: FastAPI) -> None:
    """Turn every error of the application into a problem document. Middleware added later sees these responses."""
    app.add_exception_handler(PlatformError, _platform_error)
    app.add_exception_handler(RequestValidationError, _request_invalid)
    app.add_exception_handler(HTTPException, _http_error)
    app.add_exception_handler(ClientDisconnect, _disconnected)
    app.add_middleware(UnhandledErrorMiddleware)


def _platform_error(request: Request, error: Exception) -> JSONResponse:
    return _document(error, _route(request))


def _document(error: Exception, path: str) -> JSONResponse:
    match error:
        case InvalidRequest():
            return problem(error.status, str(error), kind="invalid", errors=error.errors)
        case Rejected():
            return problem(error.status, str(error), kind=_kebab(type(error).__name__))
        case Busy():
            wait = str(max(1, math.ceil(error.retry_after)))
            return problem(Busy.status, str(error), kind="busy", headers={"Retry-After": wait}, **error.hint)
        case Unavailable():
            _log.warning("unavailable", path=path, reason=str(error))
            wait = str(_UNAVAILABLE_RETRY_AFTER_S)
            # Paths, buckets and addresses are for the operator only: they are logged, not answered.
            public_message = error.public_message if isinstance(error, DependencyUnavailable) else _CANNOT_STORE
            return problem(Unavailable.status, public_message, kind="unavailable", headers={"Retry-After": wait})
        case _:
            # Addresses and settings are for the operator only.
            _log.error("permanent_error", path=path, error=type(error).__name__, reason=str(error))
            return problem(Permanent.status, "the platform is misconfigured; see its log", kind="permanent")


def _request_invalid(request: Request, error: Exception) -> JSONResponse:
    found = error.errors() if isinstance(error, RequestValidationError) else []
    return _platform_error(request, invalid_request_from_details(found))


def _http_error(_: Request, error: Exception) -> JSONResponse:
    status = error.status_code if isinstance(error, HTTPException) else HTTPStatus.INTERNAL_SERVER_ERROR
    headers = error.headers if isinstance(error, HTTPException) else None
    detail = _HTTP_DETAILS.get(status) or HTTPStatus(status).description or HTTPStatus(status).phrase
    return problem(status, detail, headers=headers)


def _disconnected(_: Request, __: Exception) -> JSONResponse:
    return problem(_DISCONNECTED_STATUS, "the connection was closed before the body was complete", kind="disconnected")


class UnhandledErrorMiddleware:
    """ASGI middleware: answers an unexpected exception with a problem document, and logs it without its message.

    An unexpected exception may contain customer text, so only its type and stack locations are logged, and the server,
    which would log its message, never sees it. A started response is cut, and the server closes the connection.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Forward one request."""
        started = False

        async def send_and_track(message: Message) -> None:
            nonlocal started
            started = started or message["type"] == "http.response.start"
            await send(message)

        try:
            await self._app(scope, receive, send_and_track)
        except Exception as error:
            if scope["type"] != "http":
                raise
            _log.error("unexpected_error", path=_path(scope), error=type(error).__name__, at=code_locations(error))
            if not started:
                detail = "an unexpected error occurred; the gateway's log names it"
                await problem(500, detail, kind="unexpected")(scope, receive, send)


def _route(request: Request) -> str:
    return _path(request.scope)


def _path(scope: Scope) -> str:
    """The route's template: the requested path may contain anything."""
    return str(getattr(scope.get("route"), "path", "unmatched"))


def _kebab(name: str) -> str:
    return "".join(f"-{c.lower()}" if c.isupper() else c for c in name).lstrip("-")
