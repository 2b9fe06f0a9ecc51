"""Request bodies read under a limit: what is too large is refused while it comes, never after it was read whole."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping
from dataclasses import dataclass
from io import BytesIO
from pathlib import PurePath
from typing import Final, TypeVar
from urllib.parse import parse_qsl

from pydantic import BaseModel, ValidationError
from starlette.datastructures import FormData, UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import Request

from mmplatform.errors import Rejected, TooLarge, UnsupportedMedia
from mmplatform.web.body_budget import Held
from mmplatform.web.validation import invalid

F = TypeVar("F", bound=BaseModel)
_FORM_OVERHEAD: Final = 65_536
_MAX_FIELDS: Final = 20
_TYPE_OF_SUFFIX: Final = {
    ".wav": "audio/wav",
    ".mp3": "audio/mpeg",
    ".flac": "audio/flac",
    ".ogg": "audio/ogg",
    ".opus": "audio/ogg",
    ".m4a": "audio/mp4",
    ".png": "image/png",
    ".jpg": "image/jpeg",
    ".jpeg": "image/jpeg",
    ".webp": "image/webp",
}


@dataclass(frozen=True, slots=True)
class Upload:
    """Bytes, what they are (one of our media types), and what was said about them."""

    data: bytes
    media_type: str
    fields: Mapping[str, str]


def media_type_of_name(name: str) -> str | None:
    """What a file's name says it is; None for what we do not take."""
    return _TYPE_OF_SUFFIX.get(PurePath(name).suffix.lower())


async def read_json(request: Request, limit: int, held: Held | None = None) -> bytes:
    """A JSON body of at most ``limit`` bytes, not parsed. Raises UnsupportedMedia, TooLarge, Busy."""
    declared = _declared_type(request)
    if declared != "application/json":
        raise UnsupportedMedia("send application/json")
    return await _read(request, limit, held)


async def read_upload(request: Request, taken: Mapping[str, str], limit: int, held: Held | None = None) -> Upload:
    """One file of at most ``limit`` bytes: as the raw body, with fields as query or ``X-`` headers, or as multipart.

    Args:
        request: the body must not have been touched.
        taken: media types that are taken → the name that each goes by.
        limit: bytes of the file.
        held: where its bytes are counted as they come.

    Raises:
        Busy: no room for its bytes beside those of other requests.
        UnsupportedMedia: another media type; known before the body is read, unless it is multipart.
        TooLarge: over the limit; the rest of the body is left unread.
        Rejected: no file, an empty one, or a form that cannot be parsed.
    """
    declared = _declared_type(request)
    if declared == "multipart/form-data":
        return await _read_form(request, taken, limit, held)
    media_type = _taken(declared, taken)
    data = await _read(request, limit, held)
    if not data:
        raise Rejected("the body is empty: send the file's bytes")
    return Upload(data, media_type, _said(request))


def parse_fields(model: type[F], fields: Mapping[str, str]) -> F:
    """Fields of a form or query as a record. Raises Invalid."""
    try:
        return model.model_validate(fields)
    except ValidationError as error:
        raise invalid(error) from None


def parse_query(request: Request) -> dict[str, str]:
    """The query's fields; strict where the framework would put U+FFFD. Raises Rejected."""
    query: bytes = request.scope.get("query_string", b"")
    try:
        pairs = parse_qsl(query.decode("ascii"), keep_blank_values=True, errors="strict", max_num_fields=_MAX_FIELDS)
    except ValueError:
        raise Rejected(f"the query is not UTF-8, percent-encoded, of at most {_MAX_FIELDS} fields") from None
    fields = dict(pairs)
    if len(fields) != len(pairs):
        raise Rejected("a field of the query is given twice")
    return fields


def _said(request: Request) -> dict[str, str]:
    headers = {
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


def _taken(declared: str, taken: Mapping[str, str]) -> str:
    if declared not in taken:
        raise UnsupportedMedia(f"this media type is not taken; send one of {', '.join(sorted(set(taken.values())))}")
    return taken[declared]


async def _read(request: Request, limit: int, held: Held | None) -> bytes:
    body = BytesIO()  # gives its bytes away without a copy, as a bytearray cannot
    async for piece in _limited(request, limit, held):
        body.write(piece)
    return body.getvalue()


async def _limited(request: Request, limit: int, held: Held | None) -> AsyncGenerator[bytes, None]:
    declared = request.headers.get("content-length", "")
    if declared.isdecimal():
        if int(declared) > limit:
            raise TooLarge(f"the body is over the limit of {limit} bytes")
        if held is not None:
            held.expect(int(declared))
    size = 0
    async for piece in request.stream():
        size += len(piece)
        if size > limit:
            raise TooLarge(f"the body is over the limit of {limit} bytes")
        if held is not None:
            held.grow(len(piece))
        yield piece


async def _read_form(request: Request, taken: Mapping[str, str], limit: int, held: Held | None) -> Upload:
    stream = _limited(request, limit + _FORM_OVERHEAD, held)
    parser = MultiPartParser(request.headers, stream, max_files=1, max_fields=_MAX_FIELDS, max_part_size=_FORM_OVERHEAD)
    try:
        form = await parser.parse()
    except (MultiPartException, KeyError, UnicodeError, LookupError):
        raise Rejected(
            f"the form cannot be read: send multipart/form-data with one file and at most {_MAX_FIELDS} fields"
        ) from None
    finally:
        await stream.aclose()
    try:
        return await _from_form(form, taken, limit, parse_query(request))
    finally:
        await form.close()


async def _from_form(form: FormData, taken: Mapping[str, str], limit: int, query: dict[str, str]) -> Upload:
    files = [value for _, value in form.multi_items() if isinstance(value, UploadFile)]
    if len(files) != 1:
        raise Rejected("the form has no file: send one as the field 'file'")
    declared = (files[0].content_type or "").split(";", 1)[0].strip().lower()
    if declared in {"", "application/octet-stream"}:
        declared = media_type_of_name(files[0].filename or "") or declared
    media_type = _taken(declared, taken)
    data = await files[0].read()
    if len(data) > limit:
        raise TooLarge(f"the file is over the limit of {limit} bytes")
    if not data:
        raise Rejected("the file is empty")
    said = {name: value for name, value in form.multi_items() if isinstance(value, str)}
    return Upload(data, media_type, query | said)
