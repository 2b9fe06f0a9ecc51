"""Reads request bodies under a limit: a body that is too large is refused while it arrives, never after a full read."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterable, Mapping
from dataclasses import dataclass
from io import BytesIO
from typing import Final, TypeVar, get_origin
from urllib.parse import parse_qsl

from pydantic import BaseModel, ValidationError
from starlette.datastructures import FormData, UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import HTTPConnection, Request

from mmplatform.errors import Rejected, TooLarge, UnsupportedMedia
from mmplatform.web.body_budget import BodyReservation
from mmplatform.web.media_types import canonical_type, media_type_from_name, refused_type
from mmplatform.web.validation import invalid_request

F = TypeVar("F", bound=BaseModel)
_MAX_FORM_OVERHEAD_BYTES: Final = 65_536
_MAX_FIELDS: Final = 20
_TOO_LARGE: Final = "the body is over the limit of {} bytes: send a smaller file, or less in one request"


@dataclass(frozen=True, slots=True)
class Upload:
    """An uploaded file: its bytes, its canonical media type, and the fields sent with it."""

    data: bytes
    media_type: str
    fields: Mapping[str, str | list[str]]


async def read_json(request: Request, max_bytes: int, reservation: BodyReservation | None = None) -> bytes:
    """A JSON body of at most ``max_bytes``, not parsed. Raises UnsupportedMedia, TooLarge, Busy."""
    declared = _declared_type(request)
    if declared != "application/json":
        raise UnsupportedMedia("the body must be JSON: send it with Content-Type application/json")
    return await _read_body(request, max_bytes, reservation)


async def read_upload(
    request: Request, accepted_types: Mapping[str, str], max_bytes: int, reservation: BodyReservation | None = None
) -> Upload:
    """One file of at most ``max_bytes``: as the raw body, with fields as query or ``X-`` headers, or as multipart.

    Args:
        request: the body must not have been touched.
        accepted_types: accepted media types → the canonical name of each.
        max_bytes: limit of the file's size.
        reservation: counts the bytes as they arrive.

    Raises:
        Busy: the body budget is used up by other requests.
        UnsupportedMedia: another media type; raised before the body is read, unless it is multipart.
        TooLarge: over the limit; the rest of the body stays unread.
        Rejected: no file, an empty one, or a form that cannot be parsed.
    """
    declared = _declared_type(request)
    if declared == "multipart/form-data":
        return await _read_form(request, accepted_types, max_bytes, reservation)
    media_type = _accepted_type(request.headers.get("content-type", ""), accepted_types)
    data = await _read_body(request, max_bytes, reservation)
    if not data:
        raise Rejected("the body is empty: send the file's bytes")
    return Upload(data, media_type, _metadata_fields(request))


def parse_fields(model: type[F], fields: Mapping[str, str | list[str]]) -> F:
    """Validate the fields of a form or query as a record; only a list may be given more than once.

    Raises:
        InvalidRequest: a field is wrong.
        Rejected: a field is given twice.
    """
    lists = {name for name, field in model.model_fields.items() if get_origin(field.annotation) is tuple}
    for name, value in fields.items():
        if isinstance(value, list) and name not in lists:
            # An unknown field's name comes from the sender.
            raise Rejected(f"{name if name in model.model_fields else 'a field'} is given twice: send it once")
    try:
        return model.model_validate(fields)
    except ValidationError as error:
        raise invalid_request(error) from None


def parse_query(request: HTTPConnection) -> dict[str, str | list[str]]:
    """The query's fields; rejects invalid UTF-8, where the framework would insert U+FFFD. Raises Rejected."""
    query: bytes = request.scope.get("query_string", b"")
    try:
        pairs = parse_qsl(query.decode("ascii"), keep_blank_values=True, errors="strict", max_num_fields=_MAX_FIELDS)
    except ValueError:
        raise Rejected(f"the query is not UTF-8, percent-encoded, of at most {_MAX_FIELDS} fields") from None
    return _collect(pairs)


def _collect(pairs: Iterable[tuple[str, str]]) -> dict[str, str | list[str]]:
    """Values by name; a list for a name that is given more than once."""
    values: dict[str, list[str]] = {}
    for name, value in pairs:
        values.setdefault(name, []).append(value)
    return {name: found[0] if len(found) == 1 else found for name, found in values.items()}


def _metadata_fields(request: Request) -> dict[str, str | list[str]]:
    headers: dict[str, bytes] = {
        name.decode("latin-1").removeprefix("x-").replace("-", "_"): value
        for name, value in request.headers.raw
        if name in _FIELD_HEADERS
    }
    try:
        return {name: value.decode("ascii") for name, value in headers.items()} | parse_query(request)
    except UnicodeDecodeError:
        raise Rejected("X- headers must be ASCII: send other characters in the query") from None


_FIELD_HEADERS: Final = frozenset({b"x-event-id", b"x-conversation-id", b"x-subject-id", b"x-event-time", b"x-source"})


def _declared_type(request: Request) -> str:
    if request.headers.get("content-encoding", "identity").lower() != "identity":
        raise UnsupportedMedia("send the body without a Content-Encoding")
    return request.headers.get("content-type", "").split(";", 1)[0].strip().lower()


def _accepted_type(content_type: str, accepted_types: Mapping[str, str]) -> str:
    canonical = canonical_type(content_type, accepted_types)
    if canonical is None:
        declared = content_type.split(";", 1)[0].strip().lower()
        accepted = ", ".join(sorted(set(accepted_types.values())))
        raise UnsupportedMedia(f"{refused_type(declared)}; accepted are {accepted}")
    return canonical


async def _read_body(request: Request, max_bytes: int, reservation: BodyReservation | None) -> bytes:
    body = BytesIO()  # its value needs no copy, unlike a bytearray's
    async for piece in _stream_limited(request, max_bytes, reservation):
        body.write(piece)
    return body.getvalue()


async def _stream_limited(
    request: Request, max_bytes: int, reservation: BodyReservation | None
) -> AsyncGenerator[bytes, None]:
    declared = request.headers.get("content-length", "")
    if declared.isdecimal():
        if int(declared) > max_bytes:
            raise TooLarge(_TOO_LARGE.format(max_bytes))
        if reservation is not None:
            reservation.check_fits(int(declared))
    size = 0
    async for piece in request.stream():
        size += len(piece)
        if size > max_bytes:
            raise TooLarge(_TOO_LARGE.format(max_bytes))
        if reservation is not None:
            reservation.add(len(piece))
        yield piece


async def _read_form(
    request: Request, accepted_types: Mapping[str, str], max_bytes: int, reservation: BodyReservation | None
) -> Upload:
    stream = _stream_limited(request, max_bytes + _MAX_FORM_OVERHEAD_BYTES, reservation)
    parser = MultiPartParser(
        request.headers, stream, max_files=1, max_fields=_MAX_FIELDS, max_part_size=_MAX_FORM_OVERHEAD_BYTES
    )
    try:
        form = await parser.parse()
    except (MultiPartException, KeyError, UnicodeError, LookupError):
        raise Rejected(
            f"the form cannot be read: send multipart/form-data with one file and at most {_MAX_FIELDS} fields"
        ) from None
    finally:
        await stream.aclose()
    try:
        return await _upload_from_form(form, accepted_types, max_bytes, parse_query(request))
    finally:
        await form.close()


async def _upload_from_form(
    form: FormData, accepted_types: Mapping[str, str], max_bytes: int, query: dict[str, str | list[str]]
) -> Upload:
    files = [value for _, value in form.multi_items() if isinstance(value, UploadFile)]
    if len(files) != 1:
        raise Rejected("the form has no file: send one as the field 'file'")
    declared = files[0].content_type or ""
    if declared.split(";", 1)[0].strip().lower() in {"", "application/octet-stream"}:
        declared = media_type_from_name(files[0].filename or "") or declared
    media_type = _accepted_type(declared, accepted_types)
    data = await files[0].read()
    if len(data) > max_bytes:
        raise TooLarge(_TOO_LARGE.format(max_bytes))
    if not data:
        raise Rejected("the file is empty: send its bytes as the field 'file'")
    fields = _collect((name, value) for name, value in form.multi_items() if isinstance(value, str))
    return Upload(data, media_type, query | fields)
