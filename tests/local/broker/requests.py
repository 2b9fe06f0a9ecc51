"""Frames of requests as a client writes them, for every API and version that the broker advertises."""

from __future__ import annotations

import io

from kio.index import load_request_schema
from kio.serial import entity_writer

from mmplatform.local.broker.dispatch import APIS

ADVERTISED = [(key, version) for key, api in APIS.items() for version in range(api.oldest, api.newest + 1)]


def request_frame(key, version, message_of):
    """The frame, correlation id 7 and client id "me", and where in it the message begins that a schema makes."""
    schema = load_request_schema(key, version)
    header = schema.__header_schema__
    buffer = io.BytesIO()
    entity_writer(header)(
        buffer, header(request_api_key=key, request_api_version=version, correlation_id=7, client_id="me")
    )
    start = buffer.tell()
    entity_writer(schema)(buffer, message_of(schema))
    return buffer.getvalue(), start
