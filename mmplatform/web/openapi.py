"""OpenAPI descriptions of what FastAPI does not parse: bodies with a limit, uploads, problem documents."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from pydantic import TypeAdapter

_PROBLEM: Final[dict[str, Any]] = {
    "type": "object",
    "required": ["type", "title", "status", "detail"],
    "properties": {
        "type": {"type": "string", "description": "urn:mmplatform:problem:…, for programs"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string", "description": "what is wrong and what to do, for people"},
        "errors": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["field", "type", "detail"],
                "properties": {name: {"type": "string"} for name in ("field", "type", "detail")},
            },
        },
        "lag": {"type": "number"},
        "oldest_s": {"type": "number"},
        "low_water": {"type": "number"},
    },
}
_DESCRIPTIONS: Final = {
    400: "The connection was closed before the body was complete",
    404: "No such path; an id in a path has no slash",
    409: "The id arrived before with other content",
    413: "Over a limit of size or length",
    415: "A media type that is not accepted, or bytes of another type",
    422: "A field is missing or wrong, or the bytes cannot be decoded",
    429: "The platform is behind: repeat after Retry-After",
    500: "An unexpected error; the gateway's log names it",
    503: "A store does not answer: repeat after Retry-After",
}
SENDER_STATUSES: Final = (400, 404, 409, 413, 415, 422, 429, 500, 503)
"""Statuses of every endpoint that accepts an event."""


def problem_responses(statuses: Iterable[int]) -> dict[int | str, dict[str, Any]]:
    """Descriptions of the problem documents with these statuses."""
    content = {"application/problem+json": {"schema": _PROBLEM}}
    return {status: {"description": _DESCRIPTIONS[status], "content": content} for status in statuses}


def json_body(*models: Any, max_items: int = 0, required: bool = True) -> dict[str, Any]:
    """A JSON body of a record, or of one of several kinds; with ``max_items`` also a list of them."""
    schemas = [TypeAdapter(model).json_schema() for model in models]
    schema: dict[str, Any] = schemas[0] if len(schemas) == 1 else {"anyOf": schemas}
    if max_items:
        schema = {"anyOf": [*schemas, {"type": "array", "items": schema, "maxItems": max_items, "minItems": 1}]}
    return {"requestBody": {"required": required, "content": {"application/json": {"schema": schema}}}}


def query_parameters(model: Any, note: str) -> list[dict[str, Any]]:
    """The fields of a record as parameters of the query; a list is repeated, or one value with commas."""
    schema = TypeAdapter(model).json_schema()
    required = set(schema.get("required", ()))
    parameters = []
    for name, part in schema["properties"].items():
        parameter = {"name": name, "in": "query", "required": name in required, "schema": _without_null(part)}
        if name in required:
            parameter["description"] = note
        parameters.append(parameter)
    return parameters


def upload(model: Any, accepted_types: dict[str, str]) -> dict[str, Any]:
    """A file as the raw body with its fields in the query, or as the part ``file`` of a form."""
    schema = TypeAdapter(model).json_schema()
    file = {"type": "string", "format": "binary", "minLength": 1}
    parts = {name: _without_null(part) for name, part in schema["properties"].items()}
    form = {
        "type": "object",
        "properties": {"file": file, **parts},
        "required": ["file"],
        "additionalProperties": False,
        "description": "a field may be a part of the form in place of the query; a part wins",
    }
    content = {media_type: {"schema": file} for media_type in sorted(set(accepted_types.values()))}
    body = {"required": True, "content": {**content, "multipart/form-data": {"schema": form}}}
    note = "required in the query, unless it is a part of the form or a header X-…"
    return {"requestBody": body, "parameters": query_parameters(model, note)}


def _without_null(part: dict[str, Any]) -> dict[str, Any]:
    """A query and a form have no null: an optional field is left out."""
    kinds = [kind for kind in part.get("anyOf", ()) if kind.get("type") != "null"]
    rest = {name: value for name, value in part.items() if name not in {"anyOf", "default"} or not kinds}
    return {**rest, **kinds[0]} if len(kinds) == 1 else part
