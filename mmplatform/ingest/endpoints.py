"""The ingest endpoints. 202 means: the bytes are in the blob store and the event is on the log, on disk.

Other responses are problems (RFC 9457, see ``problems.py``): 409 the id arrived with other content, 413 too large, 415
an unsupported media type, 422 invalid fields or undecodable bytes, 429 with Retry-After while the derivers are behind
or the body budget is used up, 503 while the broker or the blob store is unavailable. A source that sends event ids may
safely repeat any request.
"""

from __future__ import annotations

import re
import uuid
from collections.abc import Callable
from typing import Final

from fastapi import APIRouter, Request

from mmplatform.errors import Rejected, TooLarge
from mmplatform.ingest.chat_intake import pending_chat
from mmplatform.ingest.dependencies import IngestDeps
from mmplatform.ingest.intake import (
    Intake,
    pending_chunk,
    pending_end,
    pending_screenshot,
)
from mmplatform.ingest.schemas import (
    MAX_BATCH,
    Accepted,
    ChatBody,
    ChunkFields,
    DeleteBody,
    DeleteFields,
    EditBody,
    EditFields,
    EndFields,
    RedactBody,
    ScreenshotFields,
    parse_call_id,
    parse_chats,
    parse_edit,
    parse_end,
    parse_message_id,
)
from mmplatform.kafka.canary_key import is_canary_request
from mmplatform.web.bodies import parse_fields, parse_query, read_json, read_upload
from mmplatform.web.media_types import AUDIO_TYPES, IMAGE_TYPES
from mmplatform.web.openapi import SENDER_STATUSES, json_body, problem_responses, query_parameters, upload

_MAX_SMALL_BODY_BYTES: Final = 65_536
_TRACEPARENT: Final = re.compile(r"(?!ff)[0-9a-f]{2}-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}")
_MIN_CHAT_BODY_LIMIT: Final = 8_000_000
_MAX_ESCAPED_CHAR_BYTES: Final = 12
"""A surrogate pair, escaped."""
_CHAT_DESCRIPTION: Final = json_body(ChatBody, EditBody, DeleteBody, RedactBody, max_items=MAX_BATCH)
_DELETE_DESCRIPTION: Final = {"parameters": query_parameters(DeleteFields, "required")}
_END_DESCRIPTION: Final = {
    **json_body(EndFields, required=False),
    "parameters": [
        parameter | {"required": False}
        for parameter in query_parameters(EndFields, "required here when the request has no body")
    ],
}


def ingest_router(deps: IngestDeps) -> APIRouter:
    """The endpoints over these dependencies. The application must use ``problems.install_problem_handlers``."""
    router = APIRouter(tags=["ingest"], responses=problem_responses(SENDER_STATUSES))
    choose_intake = _intake_chooser(deps)
    _add_chat_routes(router, choose_intake, deps)

    @router.post("/v1/events/screenshot", status_code=202, openapi_extra=upload(ScreenshotFields, IMAGE_TYPES))
    async def screenshot(request: Request) -> Accepted:
        """One image: multipart with the fields as parts, or the raw body with fields as query or X- headers."""
        intake = choose_intake(request)
        with intake.reserve("screenshot") as reservation:
            uploaded = await read_upload(request, IMAGE_TYPES, deps.settings.max_image_bytes, reservation)
            fields = parse_fields(ScreenshotFields, uploaded.fields)
            intake.check_time(fields.event_time)
            return await intake.accept(
                await pending_screenshot(intake.deps, fields, uploaded, fields.event_id or _new_id()),
                reservation,
                trace_context(request),
            )

    @router.post("/v1/calls/{call_id}/chunks", status_code=202, openapi_extra=upload(ChunkFields, AUDIO_TYPES))
    async def chunk(request: Request, call_id: str) -> Accepted:
        """One chunk of a call's audio, decodable by itself; ``event_time`` is when its last sample was captured."""
        intake = choose_intake(request)
        with intake.reserve("call") as reservation:
            call_id = parse_call_id(call_id)
            uploaded = await read_upload(request, AUDIO_TYPES, deps.settings.max_chunk_bytes, reservation)
            fields = parse_fields(ChunkFields, uploaded.fields)
            intake.check_time(fields.event_time)
            event_id = fields.event_id or f"{call_id}:{fields.index}"
            pending = await pending_chunk(intake.deps, call_id, fields, uploaded, event_id)
            return await intake.accept(pending, reservation, trace_context(request))

    @router.post("/v1/calls/{call_id}/end", status_code=202, openapi_extra=_END_DESCRIPTION)
    async def end(request: Request, call_id: str) -> Accepted:
        """End of a call; fields as JSON, or as query with an empty body. Accepted even while calls are slowed."""
        intake, call_id = choose_intake(request), parse_call_id(call_id)
        fields = await _end_fields(request)
        intake.check_time(fields.event_time)
        pending = pending_end(intake.deps, call_id, fields, fields.event_id or f"{call_id}:end")
        return await intake.accept(pending, traceparent=trace_context(request))

    return router


def _intake_chooser(deps: IngestDeps) -> Callable[[Request], Intake]:
    """Function from a request to its intake: the customers', or with the key of a canary its own."""
    customers = Intake(deps)
    canaries = Intake(deps.canaries) if deps.canaries is not None else customers
    key = deps.canary_key if deps.canaries is not None else ""

    def choose(request: Request) -> Intake:
        return canaries if is_canary_request(request.headers, request.scope, key) else customers

    return choose


def _add_chat_routes(router: APIRouter, choose_intake: Callable[[Request], Intake], deps: IngestDeps) -> None:
    """Add the endpoints of messages and of their changes."""
    max_chat_bytes = max(
        _MIN_CHAT_BODY_LIMIT, _MAX_ESCAPED_CHAR_BYTES * deps.settings.max_chat_chars + _MAX_SMALL_BODY_BYTES
    )

    @router.post("/v1/events/chat", status_code=202, openapi_extra=_CHAT_DESCRIPTION)
    async def chat(request: Request) -> Accepted | list[Accepted]:
        """One message as JSON, or a list of up to 500; the response to a list is a list in the same order.

        ``kind`` chat_edited, chat_deleted or chat_redacted changes the message ``message_id``.
        """
        intake = choose_intake(request)
        with intake.reserve("chat") as reservation:
            parsed = parse_chats(await read_json(request, max_chat_bytes, reservation))
            bodies = parsed if isinstance(parsed, list) else [parsed]
            if len(bodies) > MAX_BATCH:
                raise TooLarge(f"the list has {len(bodies)} messages, over the limit of {MAX_BATCH}")
            for body in bodies:
                intake.check_time(body.event_time)
            pending = [pending_chat(intake.deps, body) for body in bodies]
            accepted = await intake.accept_all(pending, reservation, trace_context(request))
            return accepted if isinstance(parsed, list) else accepted[0]

    @router.put("/v1/events/chat/{event_id:path}", status_code=202, openapi_extra=json_body(EditFields))
    async def edit(request: Request, event_id: str) -> Accepted:
        """The new text of a message, as a whole; the path names the message."""
        intake = choose_intake(request)
        with intake.reserve("chat") as reservation:
            fields = parse_edit(await read_json(request, max_chat_bytes, reservation))
            intake.check_time(fields.event_time)
            body = EditBody(message_id=parse_message_id(event_id), **fields.model_dump())
            pending = pending_chat(intake.deps, body)
            return await intake.accept(pending, reservation, trace_context(request))

    @router.delete("/v1/events/chat/{event_id:path}", status_code=202, openapi_extra=_DELETE_DESCRIPTION)
    async def delete(request: Request, event_id: str) -> Accepted:
        """Deletion of a message, with its fields in the query. Accepted even while chats are slowed."""
        intake = choose_intake(request)
        fields = parse_fields(DeleteFields, parse_query(request))
        intake.check_time(fields.event_time)
        kind = RedactBody if fields.redact else DeleteBody
        body = kind(message_id=parse_message_id(event_id), **fields.model_dump(exclude={"redact"}))
        pending = pending_chat(intake.deps, body)
        return await intake.accept(pending, traceparent=trace_context(request))


async def _end_fields(request: Request) -> EndFields:
    if request.headers.get("content-type") is None:
        return parse_fields(EndFields, parse_query(request))
    if request.url.query:
        raise Rejected("the fields are in the query and in the body: send them in one of the two")
    return parse_end(await read_json(request, _MAX_SMALL_BODY_BYTES))


def trace_context(request: Request) -> bytes:
    """The W3C trace context of a request, for the record's header; empty without a valid one."""
    given = request.headers.get("traceparent", "")
    return given.encode() if _TRACEPARENT.fullmatch(given) else b""


def _new_id() -> str:
    return uuid.uuid4().hex
