"""Validation errors as responses: the field, what is wrong with it and what to do, never the value.

A value may be personal data. The sentences are the platform's own: a caller knows neither the validator nor its words.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

from pydantic import ValidationError

from mmplatform.errors import Rejected

_NAME: Final = re.compile(r"[A-Za-z_]{1,40}")
_POSITION: Final = re.compile(r"line (\d+) column (\d+)")
_TIME: Final = (
    "is no time: send ISO 8601 with its zone, such as 2026-03-01T12:00:00Z or 2026-03-01T12:00:00+01:00, "
    "or seconds since 1970"
)
_WHOLE_NUMBER: Final = "must be a whole number"
_NUMBER: Final = "must be a number"
_TEXT: Final = "must be text"
_OBJECT: Final = "must be a JSON object with the fields of the request"
_LIST: Final = "must be a list"
_SENTENCES: Final[dict[str, str]] = {
    "missing": "is missing: send it",
    "extra_forbidden": "is no field of this request: remove it, or correct its name",
    "string_type": _TEXT,
    "string_unicode": "has half of a surrogate pair: send complete Unicode characters",
    "string_too_short": "is empty: send at least {min_length} character(s)",
    "string_too_long": "is longer than {max_length} characters: shorten it",
    "string_pattern_mismatch": "has a character that is not allowed, such as NUL or a line break: remove it",
    "timezone_aware": "has no time zone: add Z, or an offset such as +01:00",
    "int_type": _WHOLE_NUMBER,
    "int_parsing": _WHOLE_NUMBER,
    "int_parsing_size": "is too large a number",
    "int_from_float": _WHOLE_NUMBER,
    "float_type": _NUMBER,
    "float_parsing": _NUMBER,
    "finite_number": "must be a number that is neither infinite nor NaN",
    "greater_than_equal": "must be {ge} or more",
    "greater_than": "must be more than {gt}",
    "less_than_equal": "must be {le} or less",
    "less_than": "must be less than {lt}",
    "literal_error": "must be {expected}",
    "enum": "must be {expected}",
    "union_tag_invalid": "must be one of {expected_tags}",
    "too_long": "has {actual_length} entries: at most {max_length} are accepted",
    "too_short": "has {actual_length} entries: at least {min_length} must be sent",
    "list_type": _LIST,
    "tuple_type": _LIST,
    "dict_type": _OBJECT,
    "model_type": _OBJECT,
    "model_attributes_type": _OBJECT,
    "bool_type": "must be true or false",
    "bool_parsing": "must be true or false",
}


class InvalidRequest(Rejected):
    """Fields are invalid; ``errors`` names each field and rule, never the value."""

    def __init__(self, message: str, errors: list[dict[str, Any]]) -> None:
        super().__init__(message)
        self.errors = errors


def invalid_request(error: ValidationError, default_field: str = "") -> InvalidRequest:
    """Convert a validation error, without the input (it may be personal data)."""
    return invalid_request_from_details(error.errors(include_input=False, include_url=False), default_field)


def invalid_request_from_details(found: Sequence[Any], default_field: str = "") -> InvalidRequest:
    """Convert Pydantic's error details; keeps only the location, the rule, and what to do."""
    errors = [
        {"field": _field(e["loc"]) or default_field or "body", "type": e["type"], "detail": _explain(e)}
        for e in found[:20]
    ]
    summary = "; ".join(f"{e['field']} {e['detail']}" for e in errors[:5])
    return InvalidRequest(f"{len(found)} invalid field(s) in the request: {summary}", errors)


def _explain(detail: Mapping[str, Any]) -> str:
    kind, context = str(detail["type"]), detail.get("ctx", {})
    if kind == "value_error":  # raised by the platform's own validators
        return str(context.get("error", "is not valid"))
    if kind == "json_invalid":
        return _explain_json(context)
    if kind.startswith(("datetime_", "date_", "time_")):
        return _TIME
    try:
        return _SENTENCES[kind].format_map(context)
    except KeyError:
        return "is not valid: see the gateway's /docs for what it must be"


def _explain_json(context: Mapping[str, Any]) -> str:
    """Position of the fault; the parser's own message has its words, and may quote."""
    found = _POSITION.search(str(context.get("error", "")))
    position = f" (line {found[1]}, column {found[2]})" if found else ""
    return f"is not JSON in UTF-8{position}: send one complete JSON value, with no half of a surrogate pair in a text"


def _field(loc: tuple[int | str, ...]) -> str:
    """Location in the request. An unknown field's name comes from the sender: only a plain identifier is repeated."""
    return ".".join(str(part) if isinstance(part, int) or _NAME.fullmatch(part) else "(unnamed)" for part in loc)
