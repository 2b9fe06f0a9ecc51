"""One request and its response, in kio's own words: for what confluent-kafka does not ask."""

from __future__ import annotations

import io
import socket
import struct
from typing import Any

from kio.index import load_response_from_request
from kio.serial import entity_reader, entity_writer


def call(port: int, request: Any) -> Any:
    """Send a kio request to the broker on this port; the kio response."""
    header = request.__header_schema__(
        request_api_key=request.__api_key__,
        request_api_version=request.__version__,
        correlation_id=1,
        client_id="raw",
    )
    buffer = io.BytesIO()
    entity_writer(type(header))(buffer, header)
    entity_writer(type(request))(buffer, request)
    with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
        connection.sendall(struct.pack(">i", buffer.tell()) + buffer.getvalue())
        (size,) = struct.unpack(">i", _exactly(connection, 4))
        data = _exactly(connection, size)
    schema = load_response_from_request(request)
    _, start = entity_reader(schema.__header_schema__)(data, 0)
    return entity_reader(schema)(data, start)[0]


def _exactly(connection: socket.socket, size: int) -> bytes:
    data = b""
    while len(data) < size:
        data += (fresh := connection.recv(size - len(data)))
        assert fresh, "the broker closed the connection"
    return data
