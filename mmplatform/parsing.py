"""Parsing of records from the log: the wording of what is wrong with one, without its values."""

from __future__ import annotations

from typing import Annotated, Any, Final, TypeVar

from pydantic import BeforeValidator, Field, TypeAdapter, ValidationError

from mmplatform.errors import Rejected, UnknownRelease

R = TypeVar("R")

MAX_REASON_LENGTH: Final = 500
"""Characters. With it, a quarantine row or dead letter always fits the log."""


def _truncate(reason: Any) -> Any:
    too_long = isinstance(reason, str) and len(reason) > MAX_REASON_LENGTH
    return f"{reason[: MAX_REASON_LENGTH - 1]}…" if too_long else reason


Reason = Annotated[str, Field(max_length=MAX_REASON_LENGTH), BeforeValidator(_truncate)]
"""Truncated to its maximum length, so that no record is refused because its reason is long."""


def safe_validation_message(error: ValidationError) -> str:
    """Describe what is wrong with a record, by field path and error type.

    Neither values nor names of unknown fields are quoted: they may be personal data of the sender.
    """
    found = error.errors(include_input=False, include_url=False, include_context=False)
    return "; ".join(f"{_field_path(e['loc'], e['type'])}: {e['type']}" for e in found[:10])


def _field_path(loc: tuple[int | str, ...], kind: str) -> str:
    """Dotted path of a field. An unknown field's own name, which comes from the sender, is left out."""
    parts = [str(part) for part in loc]
    if kind == "extra_forbidden":
        parts[-1:] = ["(unknown field)"]
    return ".".join(parts) or "record"


def parse(adapter: TypeAdapter[R], value: bytes | str | None, what: str) -> R:
    """Parse one kind of record. Raises UnknownRelease, Rejected; no message quotes a value."""
    try:
        return adapter.validate_json(value or b"")
    except ValidationError as error:
        if _is_of_another_release(error):
            raise UnknownRelease(
                f"{what} of an unknown kind or version: upgrade the workers, then redrive it"
            ) from None
        raise Rejected(f"not {what}: {safe_validation_message(error)}") from None


def _is_of_another_release(error: ValidationError) -> bool:
    """True for a kind or a major version that this release does not know."""
    found = error.errors(include_input=False, include_url=False, include_context=False)
    return any(e["type"] == "union_tag_invalid" or e["loc"][-1:] == ("schema_version",) for e in found)
