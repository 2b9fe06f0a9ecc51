"""Frames on the socket: a request's bytes to a kio message, a kio message to a response's bytes."""

from __future__ import annotations

import io
import struct
from dataclasses import dataclass
from functools import cache
from typing import Any, Final

from kio.index import KioIndexError, load_request_schema, load_response_schema
from kio.serial import entity_reader, entity_writer
from kio.serial.errors import SerialError

from mmplatform.local.broker.array_bounds import Walk, walker

LENGTH: Final = struct.Struct(">i")
# Kafka's socket.request.max.bytes: a frame that claims more is not read.
MAX_FRAME_BYTES: Final = 100 * 1024 * 1024
_KEY_AND_VERSION: Final = struct.Struct(">hhi")


class BadFrameError(Exception):
    """Bytes that are not a request of this protocol; the connection is closed."""


@dataclass(frozen=True, slots=True)
class Frame:
    """A request frame whose first fields are read: which API, which version, and the rest as bytes."""

    api_key: int
    api_version: int
    correlation_id: int
    data: bytes


@dataclass(frozen=True, slots=True)
class Request:
    """A parsed request."""

    client_id: str
    message: Any  # one of kio's request dataclasses, by the frame's key and version


def read_frame(data: bytes) -> Frame:
    """Read key, version and correlation id; raises BadFrameError when they are missing."""
    if len(data) < _KEY_AND_VERSION.size:
        raise BadFrameError("a request of fewer than 8 bytes")
    api_key, api_version, correlation_id = _KEY_AND_VERSION.unpack_from(data)
    return Frame(api_key, api_version, correlation_id, data)


def parse(frame: Frame) -> Request:
    """Parse the whole request; raises BadFrameError for an unknown API or bytes that do not fit its schema."""
    try:
        read_header, walk, read_message = _readers(frame.api_key, frame.api_version)
        header, size = read_header(frame.data, 0)
        walk(frame.data, size)  # before kio reserves memory for what is claimed
        message, _ = read_message(frame.data, size)
    except (KioIndexError, SerialError, ValueError, LookupError, OverflowError, MemoryError, struct.error) as error:
        raise BadFrameError(f"api {frame.api_key} version {frame.api_version}: {type(error).__name__}") from error
    return Request(header.client_id or "", message)


def encode(api_key: int, api_version: int, correlation_id: int, message: object) -> memoryview:
    """A response frame, its length first; `message` is of the response schema of that key and version."""
    header_type, write_header, write_message = _writers(api_key, api_version)
    buffer = io.BytesIO()
    buffer.write(LENGTH.pack(0))
    write_header(buffer, header_type(correlation_id=correlation_id))
    write_message(buffer, message)
    frame = buffer.getbuffer()
    LENGTH.pack_into(frame, 0, len(frame) - LENGTH.size)
    return frame


@cache
def _readers(api_key: int, api_version: int) -> tuple[Any, Walk, Any]:
    schema = load_request_schema(api_key, api_version)
    return entity_reader(schema.__header_schema__), walker(schema), entity_reader(schema)


@cache
def _writers(api_key: int, api_version: int) -> tuple[Any, Any, Any]:
    schema = load_response_schema(api_key, api_version)
    header = schema.__header_schema__
    return header, entity_writer(header), entity_writer(schema)
