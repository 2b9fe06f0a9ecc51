"""Wrong requests as answers: which field, which rule, never the value (it may be personal data)."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, Final

from pydantic import ValidationError

from mmplatform.errors import Rejected

_NAME: Final = re.compile(r"[A-Za-z_]{1,40}")


class Invalid(Rejected):
    """Fields are wrong; ``errors`` says which and how, never with their values."""

    def __init__(self, message: str, errors: list[dict[str, Any]]) -> None:
        super().__init__(message)
        self.errors = errors


def invalid(error: ValidationError, at: str = "") -> Invalid:
    """A validation error as an answer without the input (it may be personal data)."""
    return described(error.errors(include_input=False, include_url=False, include_context=False), at)


def described(found: Sequence[Any], at: str = "") -> Invalid:
    """Pydantic's error details as an answer; only where, which rule and its words are taken from them."""
    errors = [{"field": _field(e["loc"]) or at or "body", "type": e["type"], "detail": e["msg"]} for e in found[:20]]
    said = "; ".join(f"{e['field']}: {e['detail']}" for e in errors[:5])
    return Invalid(f"{len(found)} thing(s) wrong with the request: {said}", errors)


def _field(loc: tuple[int | str, ...]) -> str:
    """Where in the request. An unknown field's name is the sender's: it is told only when it can be but a name."""
    return ".".join(str(part) if isinstance(part, int) or _NAME.fullmatch(part) else "(unnamed)" for part in loc)
