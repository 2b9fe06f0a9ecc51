"""Validation errors as responses: field and rule, never the value (it may be personal data)."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, Final

from pydantic import ValidationError

from mmplatform.errors import Rejected

_NAME: Final = re.compile(r"[A-Za-z_]{1,40}")


class InvalidRequest(Rejected):
    """Fields are invalid; ``errors`` names each field and rule, never the value."""

    def __init__(self, message: str, errors: list[dict[str, Any]]) -> None:
        super().__init__(message)
        self.errors = errors


def invalid_request(error: ValidationError, default_field: str = "") -> InvalidRequest:
    """Convert a validation error, without the input (it may be personal data)."""
    return invalid_request_from_details(
        error.errors(include_input=False, include_url=False, include_context=False), default_field
    )


def invalid_request_from_details(found: Sequence[Any], default_field: str = "") -> InvalidRequest:
    """Convert Pydantic's error details; keeps only the location, the rule and its message."""
    errors = [
        {"field": _field(e["loc"]) or default_field or "body", "type": e["type"], "detail": e["msg"]}
        for e in found[:20]
    ]
    summary = "; ".join(f"{e['field']}: {e['detail']}" for e in errors[:5])
    return InvalidRequest(f"{len(found)} invalid field(s) in the request: {summary}", errors)


def _field(loc: tuple[int | str, ...]) -> str:
    """Location in the request. An unknown field's name comes from the sender: only a plain identifier is repeated."""
    return ".".join(str(part) if isinstance(part, int) or _NAME.fullmatch(part) else "(unnamed)" for part in loc)
