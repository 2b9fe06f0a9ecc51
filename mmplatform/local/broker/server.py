"""Socket server: frames in, answers out in order; errors stay within their connection."""

from __future__ import annotations

import asyncio
import socket
from collections import deque
from typing import cast

import structlog

from mmplatform.local.broker import dispatch
from mmplatform.local.broker.node import Node
from mmplatform.local.broker.wire import LENGTH, MAX_FRAME_BYTES, BadFrameError, Frame, encode, parse, read_frame

_log = structlog.get_logger(__name__)
# Concurrent requests of one connection, and their bytes: more stay in the socket's buffer.
_MAX_PENDING = 128
_MAX_PENDING_BYTES = 2 * MAX_FRAME_BYTES
_HTTP = (b"GET ", b"POST", b"HEAD", b"PUT ", b"OPTI")
_TLS_HANDSHAKE = b"\x16\x03"

_Answer = asyncio.Task[memoryview | None]


class Connection(asyncio.Protocol):
    """One client. Requests start in the order of arrival and run side by side; answers go out in that order.

    So the batches of a pipelining producer are appended in order, and share one flush.
    """

    def __init__(self, node: Node, connections: set[Connection]) -> None:
        self._node = node
        self._connections = connections
        self._buffer = bytearray()
        self._pending: deque[tuple[int, int, _Answer]] = deque()  # api key, request bytes, answer
        self._pending_bytes = 0
        self._is_writable = True
        self._transport: asyncio.Transport | None = None
        self._host = ""

    # --- asyncio.Protocol ----------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """A client has connected."""
        self._transport = cast("asyncio.Transport", transport)
        peer = transport.get_extra_info("peername")
        self._host = str(peer[0]) if peer else ""
        self._connections.add(self)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio's signature
        """The client has disconnected."""
        self._connections.discard(self)
        self._transport = None
        for key, _, answer in self._pending:
            # A long poll has no client to answer; all other requests are completed.
            if key == dispatch.FETCH:
                answer.cancel()
        self._pending.clear()

    def pause_writing(self) -> None:
        """The client does not read its answers."""
        self._is_writable = False
        self._throttle()

    def resume_writing(self) -> None:
        """The client reads its answers again."""
        self._is_writable = True
        self._throttle()

    def data_received(self, data: bytes) -> None:
        """Start every request whose frame is complete."""
        self._buffer += data
        consumed = 0
        try:
            while len(self._buffer) - consumed >= LENGTH.size:
                (size,) = LENGTH.unpack_from(self._buffer, consumed)
                if not 0 < size <= MAX_FRAME_BYTES:
                    raise BadFrameError(_impossible(size, bytes(self._buffer[consumed : consumed + LENGTH.size])))
                start = consumed + LENGTH.size
                if len(self._buffer) < start + size:
                    break
                self._start(read_frame(bytes(memoryview(self._buffer)[start : start + size])))
                consumed = start + size
        except BadFrameError as error:
            self._drop(str(error))
            return
        del self._buffer[:consumed]
        self._throttle()

    # --- requests and answers ------------------------------------------------------------------------------------

    def _start(self, frame: Frame) -> None:
        answer = asyncio.get_running_loop().create_task(self._answer(frame))
        self._pending.append((frame.api_key, len(frame.data), answer))
        self._pending_bytes += len(frame.data)
        answer.add_done_callback(self._send)

    async def _answer(self, frame: Frame) -> memoryview | None:
        if not dispatch.is_supported(frame):
            version = 0 if frame.api_key == dispatch.API_VERSIONS else frame.api_version
            return encode(frame.api_key, version, frame.correlation_id, dispatch.refusal(frame))
        message = await dispatch.dispatch(self._node, frame, parse(frame), self._host)
        if message is None:
            return None
        return encode(frame.api_key, frame.api_version, frame.correlation_id, message)

    def _send(self, _answer: _Answer) -> None:
        """Write out the answers that are ready, up to the first that is not."""
        while self._pending and self._pending[0][2].done() and self._transport is not None:
            key, size, answer = self._pending.popleft()
            self._pending_bytes -= size
            error = asyncio.CancelledError() if answer.cancelled() else answer.exception()
            if isinstance(error, BadFrameError):
                self._drop(str(error))
            elif error is not None:
                _log.error("request_failed", api=key, error=repr(error), exc_info=error)
                self._close()
            elif (frame := answer.result()) is not None:
                self._transport.write(frame)
        self._throttle()

    def _throttle(self) -> None:
        """Read on only while the client reads its answers and has few requests pending."""
        if self._transport is None or self._transport.is_closing():
            return
        is_full = len(self._pending) >= _MAX_PENDING or self._pending_bytes >= _MAX_PENDING_BYTES
        if is_full or not self._is_writable:
            self._transport.pause_reading()
        else:
            self._transport.resume_reading()

    def _drop(self, reason: str) -> None:
        _log.warning("connection_closed", client=self._host, reason=reason)
        self._close()

    def _close(self) -> None:
        self._buffer.clear()
        if self._transport is not None:
            self._transport.close()

    def abort(self) -> None:
        """Close without waiting for answers; when the broker ends."""
        if self._transport is not None:
            self._transport.abort()


def _impossible(size: int, start: bytes) -> str:
    if start in _HTTP:
        return "this is an HTTP request; the port speaks the Kafka protocol"
    if start.startswith(_TLS_HANDSHAKE):
        return "this is a TLS handshake; the embedded broker speaks plain text on loopback only"
    return f"a frame of {size} bytes; the largest is {MAX_FRAME_BYTES}"


async def listen(node: Node, connections: set[Connection]) -> asyncio.Server:
    """Listen on the node's host and port; sets the node's port to the actual one."""
    host, port = node.options.host, node.options.port
    # One socket only: a name with an IPv4 and an IPv6 address would otherwise get two, with port 0 on two ports.
    family, _, _, _, address = min(socket.getaddrinfo(host, port, type=socket.SOCK_STREAM), key=lambda found: found[0])
    server = await asyncio.get_running_loop().create_server(
        lambda: Connection(node, connections), str(address[0]), port, family=family, backlog=512
    )
    node.port = server.sockets[0].getsockname()[1]
    return server
