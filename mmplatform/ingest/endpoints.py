"""The ingest endpoints. 202 means: the bytes are in the blob store and the event is on the log, on disk.

Answers other than 202 are problems (RFC 9457, see ``problems.py``): 409 the id came with other content, 413 too large,
415 a media type that is not taken, 422 wrong fields or undecodable bytes, 429 with Retry-After while the derivers are
behind or too many bytes are in hand, 503 while the broker or the blob store is away. A source that gives event ids may
repeat any request safely.
"""

from __future__ import annotations

import uuid
from typing import Any, Final

from fastapi import APIRouter, Request
from pydantic import TypeAdapter

from mmplatform.errors import TooLarge
from mmplatform.ingest.dependencies import IngestDeps
from mmplatform.ingest.intake import (
    Candidate,
    Intake,
    chat_candidate,
    chunk_candidate,
    end_candidate,
    screenshot_candidate,
)
from mmplatform.ingest.schemas import (
    AUDIO_TYPES,
    IMAGE_TYPES,
    MAX_BATCH,
    Accepted,
    ChatBody,
    ChunkFields,
    EndFields,
    ScreenshotFields,
    parse_call_id,
    parse_chats,
    parse_end,
)
from mmplatform.web.bodies import parse_fields, parse_query, read_json, read_upload

_SMALL_BODY: Final = 65_536
_LEAST_CHAT_LIMIT: Final = 8_000_000
_ESCAPED_CHAR: Final = 12
"""Bytes of one character at the most: a surrogate pair, escaped."""


def ingest_router(deps: IngestDeps) -> APIRouter:
    """The endpoints over these dependencies. The application must use ``problems.answer_problems``."""
    router = APIRouter(tags=["ingest"])
    intake = Intake(deps)

    @router.post("/v1/events/chat", status_code=202, openapi_extra=_json_body(ChatBody | list[ChatBody]))
    async def chat(request: Request) -> Accepted | list[Accepted]:
        """One message as JSON, or a list of up to 500, which are answered with a list in the same order."""
        with intake.room("chat") as held:
            limit = max(_LEAST_CHAT_LIMIT, _ESCAPED_CHAR * deps.settings.max_chat_chars + _SMALL_BODY)
            parsed = parse_chats(await read_json(request, limit, held))
            bodies = parsed if isinstance(parsed, list) else [parsed]
            if len(bodies) > MAX_BATCH:
                raise TooLarge(f"the list has {len(bodies)} messages, over the limit of {MAX_BATCH}")
            for body in bodies:
                intake.check_time(body.event_time)
            candidates = [chat_candidate(deps, body, body.event_id or _new_id()) for body in bodies]
            accepted = await intake.accept_all(candidates, held)
            return accepted if isinstance(parsed, list) else accepted[0]

    @router.post("/v1/events/screenshot", status_code=202, openapi_extra=_upload(ScreenshotFields, IMAGE_TYPES))
    async def screenshot(request: Request) -> Accepted:
        """One image: multipart with the fields beside it, or the raw body with fields as query or X- headers."""
        with intake.room("screenshot") as held:
            upload = await read_upload(request, IMAGE_TYPES, deps.settings.max_image_bytes, held)
            said = parse_fields(ScreenshotFields, upload.fields)
            intake.check_time(said.event_time)
            return await intake.accept(await screenshot_candidate(deps, said, upload, said.event_id or _new_id()), held)

    @router.post("/v1/calls/{call_id}/chunks", status_code=202, openapi_extra=_upload(ChunkFields, AUDIO_TYPES))
    async def chunk(request: Request, call_id: str) -> Accepted:
        """One piece of a call's audio, decodable by itself; ``event_time`` is when its last sample was captured."""
        with intake.room("call") as held:
            call_id = parse_call_id(call_id)
            upload = await read_upload(request, AUDIO_TYPES, deps.settings.max_chunk_bytes, held)
            said = parse_fields(ChunkFields, upload.fields)
            intake.check_time(said.event_time)
            event_id = said.event_id or f"{call_id}:{said.index}"
            return await intake.accept(await chunk_candidate(deps, call_id, said, upload, event_id), held)

    @router.post("/v1/calls/{call_id}/end", status_code=202, openapi_extra=_json_body(EndFields))
    async def end(request: Request, call_id: str) -> Accepted:
        """The call is over; fields as JSON, or as query with an empty body. Taken even while calls are slowed."""
        call_id = parse_call_id(call_id)
        said = await _end_fields(request)
        intake.check_time(said.event_time)
        candidate: Candidate = end_candidate(deps, call_id, said, said.event_id or f"{call_id}:end")
        return await intake.accept(candidate)

    return router


async def _end_fields(request: Request) -> EndFields:
    if request.headers.get("content-type") is None:
        return parse_fields(EndFields, parse_query(request))
    return parse_end(await read_json(request, _SMALL_BODY))


def _new_id() -> str:
    return uuid.uuid4().hex


def _json_body(model: Any) -> dict[str, Any]:
    """The OpenAPI description of a body that we parse ourselves, so that its size is known before it is read."""
    schema = TypeAdapter(model).json_schema(ref_template="#/components/schemas/{model}")
    definitions = schema.pop("$defs", {})
    if "anyOf" in schema and definitions:
        (inlined,) = definitions.values()
        schema = {"anyOf": [inlined, {"type": "array", "items": inlined, "maxItems": MAX_BATCH, "minItems": 1}]}
    return {"requestBody": {"required": True, "content": {"application/json": {"schema": schema}}}}


def _upload(model: Any, taken: dict[str, str]) -> dict[str, Any]:
    """Likewise for a file, raw or in a form."""
    schema = TypeAdapter(model).json_schema()
    required = set(schema.get("required", ()))
    file = {"type": "string", "format": "binary"}
    form = {**schema, "properties": {"file": file, **schema["properties"]}, "required": ["file", *sorted(required)]}
    content = {media_type: {"schema": file} for media_type in sorted(set(taken.values()))}
    parameters = [
        {"name": name, "in": "query", "required": False, "schema": part} for name, part in schema["properties"].items()
    ]
    body = {"required": True, "content": {**content, "multipart/form-data": {"schema": form}}}
    return {"requestBody": body, "parameters": parameters}
