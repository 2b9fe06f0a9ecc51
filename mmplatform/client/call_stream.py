"""Streams a live call over one WebSocket; a connection that breaks is opened again at the last acknowledgement."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, Literal
from urllib.parse import quote, urlsplit, urlunsplit

from mmplatform.errors import Conflict, Permanent, Rejected, TooLarge, Unavailable, UnsupportedMedia
from mmplatform.proxy import loopback_mounts
from mmplatform.web.media_types import HEADERLESS_TYPES

if TYPE_CHECKING:
    from websockets.asyncio.client import ClientConnection

_REJECTIONS: Final[dict[int, type[Rejected]]] = {409: Conflict, 413: TooLarge, 415: UnsupportedMedia}
_FRAME_BYTES: Final = 65_536
_FIRST_WAIT_S: Final = 0.2
_MAX_WAIT_S: Final = 5.0
_SERVER_ERROR: Final = 500
_TOO_MANY_REQUESTS: Final = 429


@dataclass(frozen=True, slots=True)
class StreamedCall:
    """A call that has ended: its number of chunks, its seconds, and how often it was connected."""

    chunks: int
    end_s: float
    connections: int


@dataclass(slots=True)
class _Audio:
    """Bytes of the stream that may have to be sent again. A recording is retained whole: its header is needed."""

    headerless: bool
    data: bytearray = field(default_factory=bytearray)
    dropped: int = 0
    complete: bool = False
    changed: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def size(self) -> int:
        return self.dropped + len(self.data)

    def forget(self, acknowledged: int) -> None:
        if self.headerless and acknowledged > self.dropped:
            del self.data[: acknowledged - self.dropped]
            self.dropped = acknowledged


class CallStream:
    """One call. ``timeout_s``: how long the gateway may be unreachable."""

    def __init__(self, gateway_url: str, call_id: str, start: dict[str, Any], *, timeout_s: float) -> None:
        parts = urlsplit(gateway_url)
        scheme = "wss" if parts.scheme == "https" else "ws"
        path = f"{parts.path.rstrip('/')}/v1/calls/{quote(call_id, safe='')}/stream"
        self._url = urlunsplit((scheme, parts.netloc, path, "", ""))
        self._gateway_url = gateway_url
        self._start = start
        self._timeout_s = timeout_s
        self._resume: dict[str, Any] | None = None
        self._connections = 0
        self._last_progress = time.monotonic()

    async def send(self, frames: AsyncIterable[bytes]) -> StreamedCall:
        """Send all frames and end the call.

        Raises:
            Rejected: the gateway refuses the stream for good; also TooLarge, UnsupportedMedia and Conflict.
            Unavailable: the gateway could not be reached, or accepted nothing, for ``timeout_s``.
        """
        media_type = str(self._start["media_type"]).split(";", 1)[0].strip().lower()
        audio = _Audio(headerless=media_type in HEADERLESS_TYPES)
        reading = asyncio.create_task(_collect(frames, audio))
        try:
            ended = await self._connect_until_ended(audio)
            await reading
        finally:
            reading.cancel()
            with suppress(asyncio.CancelledError):
                await reading
        end_s = self._resume["end_s"] if self._resume else 0.0
        return StreamedCall(int(ended["chunks"]), float(end_s), self._connections)

    async def _connect_until_ended(self, audio: _Audio) -> dict[str, Any]:
        from websockets.asyncio.client import connect
        from websockets.exceptions import InvalidHandshake, InvalidURI, WebSocketException

        wait_s = _FIRST_WAIT_S
        self._last_progress = time.monotonic()
        while True:
            try:
                # Without compression: audio does not shrink.
                proxy: Literal[True] | None = None if loopback_mounts(self._gateway_url) else True
                async with connect(self._url, compression=None, proxy=proxy) as connection:
                    self._connections += 1
                    return await self._talk(connection, audio)
            except InvalidURI:
                raise Permanent(f"{self._gateway_url} is no address of a gateway: it must begin with http://") from None
            except InvalidHandshake:
                cause = "the server at this address has no call stream"
            except (WebSocketException, OSError, TimeoutError):
                cause = "the connection broke"
            except Unavailable as error:
                cause = str(error)
            if time.monotonic() - self._last_progress > self._timeout_s:
                raise Unavailable(f"the gateway at {self._gateway_url} accepts no audio: {cause}")
            await asyncio.sleep(wait_s)
            wait_s = min(_MAX_WAIT_S, 2 * wait_s)

    async def _talk(self, connection: ClientConnection, audio: _Audio) -> dict[str, Any]:
        resume = {} if self._resume is None else {"resume": self._resume}
        await connection.send(json.dumps(self._start | resume))
        ready = await _receive(connection)
        sending = asyncio.create_task(_send_audio(connection, audio, int(ready["send_from"])))
        try:
            while True:
                message = await _receive(connection)
                if message["type"] == "ended":
                    return message
                if message["type"] == "ack":
                    self._resume = {name: message[name] for name in ("index", "end_s", "bytes")}
                    self._last_progress = time.monotonic()
                    audio.forget(int(message["bytes"]))
                if sending.done():
                    sending.result()
        finally:
            sending.cancel()
            with suppress(asyncio.CancelledError, Exception):
                await sending


async def _collect(frames: AsyncIterable[bytes], audio: _Audio) -> None:
    try:
        async for frame in frames:
            audio.data += frame
            audio.changed.set()
    finally:
        audio.complete = True
        audio.changed.set()


async def _send_audio(connection: ClientConnection, audio: _Audio, position: int) -> None:
    while True:
        audio.changed.clear()
        if position < audio.size:
            start = position - audio.dropped
            frame = bytes(audio.data[start : start + _FRAME_BYTES])
            position += len(frame)
            await connection.send(frame)
        elif audio.complete:
            await connection.send(json.dumps({"type": "end"}))
            return
        else:
            await audio.changed.wait()


async def _receive(connection: ClientConnection) -> dict[str, Any]:
    """The gateway's next message. Raises the error of a problem."""
    message: dict[str, Any] = json.loads(await connection.recv())
    if message["type"] != "problem":
        return message
    problem = message["problem"]
    status, detail = int(problem["status"]), f"the gateway refused the stream: {problem['detail']}"
    if status >= _SERVER_ERROR or status == _TOO_MANY_REQUESTS:
        raise Unavailable(detail)
    raise _REJECTIONS.get(status, Rejected)(detail)
