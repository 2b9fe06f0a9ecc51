"""A live call over one WebSocket: ``/v1/calls/{call_id}/stream`` cuts the audio into chunks, as the endpoint has them.

Messages of the caller: first a text, :class:`~mmplatform.ingest.schemas.StreamStart` as JSON, unless the query has its
fields; then audio in binary frames of any size; at last the text ``{"type": "end"}``, which ends the call. Messages of
the gateway, all of them JSON:

- ``ready``: ``send_from`` is the byte of the stream from which to send (a recording: 0, since its header is needed)
- ``ack``: everything up to here is on the log; ``index``, ``end_s`` and ``bytes`` are what ``resume`` takes
- ``wait``: the platform is behind or a store does not answer; the gateway tries again and reads no more until then
- ``problem``: a problem document; the connection is closed, with 1013 where the same thing may work later
- ``ended``: the end of the call is on the log.

A connection that breaks ends no call: the caller connects again with ``resume``. What was not acknowledged is sent
again, and what was written before it broke is a duplicate.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final, TypeVar

import structlog
from fastapi import APIRouter, WebSocket, WebSocketDisconnect
from pydantic import ValidationError

from mmplatform.errors import Busy, PlatformError, Rejected, TooLarge, Unavailable, UnsupportedMedia
from mmplatform.ingest.dependencies import IngestDeps
from mmplatform.ingest.intake import Intake, pending_chunk, pending_end
from mmplatform.ingest.schemas import (
    Accepted,
    ChunkFields,
    EndFields,
    StreamPosition,
    StreamStart,
    parse_call_id,
    parse_stream_start,
)
from mmplatform.ingest.stream_audio import StreamChunk, StreamSlicer, open_slicer
from mmplatform.telemetry.logs import safe_error_fields
from mmplatform.web.bodies import Upload, parse_fields, parse_query
from mmplatform.web.media_types import AUDIO_TYPES, canonical_type, refused_type
from mmplatform.web.problems import problem_body
from mmplatform.web.validation import invalid_request

A = TypeVar("A")
MAX_STREAMS: Final = 200
START_TIMEOUT_S: Final = 10.0
RETRY_TIMEOUT_S: Final = 30.0
"""Time for which a chunk is tried again before the caller is sent away to come again."""

_UNAVAILABLE_RETRY_S: Final = 1.0
_CLOSE_NORMAL: Final = 1000
_CLOSE_REFUSED: Final = 1008
_CLOSE_FAILED: Final = 1011
_CLOSE_TRY_LATER: Final = 1013

_log = structlog.get_logger(__name__)


def stream_router(deps: IngestDeps) -> APIRouter:
    """The WebSocket over these dependencies."""
    router = APIRouter(tags=["ingest"])
    intake = Intake(deps)
    open_streams: set[WebSocket] = set()

    @router.websocket("/v1/calls/{call_id}/stream")
    async def stream(socket: WebSocket, call_id: str) -> None:
        """One call, or its continuation."""
        await socket.accept()
        open_streams.add(socket)
        try:
            if len(open_streams) > MAX_STREAMS:
                raise Busy(f"{MAX_STREAMS} calls are streamed already: connect again later", retry_after=5.0)
            await _CallStream(deps, intake, socket, parse_call_id(call_id)).run()
            code = _CLOSE_NORMAL
        except PlatformError as error:
            code = _CLOSE_REFUSED if isinstance(error, Rejected) else _CLOSE_TRY_LATER
            await _send(socket, {"type": "problem", "problem": problem_body(error)})
        except WebSocketDisconnect:
            return
        except Exception as error:  # noqa: BLE001 - the server would log a message that may quote the caller
            _log.error("stream_failed", **safe_error_fields(error))
            code = _CLOSE_FAILED
        finally:
            open_streams.discard(socket)
        with suppress(RuntimeError, WebSocketDisconnect):  # the caller was faster
            await socket.close(code)

    return router


@dataclass(slots=True)
class _Progress:
    """The next chunk's number, and the seconds of the recording up to which it is on the log already."""

    index: int
    skip_until_s: float


class _CallStream:
    """One connection."""

    def __init__(self, deps: IngestDeps, intake: Intake, socket: WebSocket, call_id: str) -> None:
        self._deps = deps
        self._intake = intake
        self._socket = socket
        self._call_id = call_id

    async def run(self) -> None:
        """Receive until the end of the call. Raises PlatformError, WebSocketDisconnect."""
        start = await self._receive_start()
        self._intake.check_time(start.event_time)
        media_type = canonical_type(start.media_type, AUDIO_TYPES)
        if media_type is None:
            accepted = ", ".join(sorted(set(AUDIO_TYPES.values())))
            raise UnsupportedMedia(f"{refused_type(start.media_type)}; accepted are {accepted}")
        resume = start.resume
        slicer = open_slicer(self._deps.split_recording, media_type, start.chunk_s, resume.bytes if resume else 0)
        progress = _Progress(start.index, 0.0)
        send_from = 0
        if resume is not None:
            progress.index = resume.index + 1
            if slicer.resumes_by_bytes:
                send_from = resume.bytes
            else:
                progress.skip_until_s = resume.end_s
        try:
            await _send(self._socket, {"type": "ready", "send_from": send_from, "index": progress.index})
            await self._receive_audio(start, slicer, progress)
        finally:
            slicer.close()

    async def _receive_start(self) -> StreamStart:
        if self._socket.scope.get("query_string"):
            return parse_fields(StreamStart, parse_query(self._socket))
        try:
            message = await asyncio.wait_for(self._socket.receive(), START_TIMEOUT_S)
        except TimeoutError:
            raise Rejected(f"no start within {START_TIMEOUT_S:.0f} s: send it as the first message, as JSON") from None
        if message["type"] == "websocket.disconnect":
            raise WebSocketDisconnect
        if message.get("text") is None:
            raise Rejected("audio before the start: the first message must be a text with subject_id and media_type")
        return parse_stream_start(message["text"])

    async def _receive_audio(self, start: StreamStart, slicer: StreamSlicer, progress: _Progress) -> None:
        """Write chunks as they are complete, until the end of the call; one write at a time, in order."""
        receiving = asyncio.create_task(self._receive_frame())
        decoding = asyncio.create_task(slicer.decoded())
        try:
            while True:
                done, _ = await asyncio.wait({receiving, decoding}, return_when=asyncio.FIRST_COMPLETED)
                if decoding in done:
                    await self._write_chunks(decoding.result(), start, progress)
                    decoding = asyncio.create_task(slicer.decoded())
                if receiving in done:
                    data = receiving.result()
                    if data is None:
                        break
                    await self._write_chunks(await slicer.feed(data), start, progress)
                    receiving = asyncio.create_task(self._receive_frame())
        finally:
            receiving.cancel()
            decoding.cancel()
            await asyncio.gather(receiving, decoding, return_exceptions=True)
        await self._finish(start, slicer, progress)

    async def _receive_frame(self) -> bytes | None:
        """The next frame; None for the end of the call. Raises Rejected, WebSocketDisconnect."""
        message = await self._socket.receive()
        if message["type"] == "websocket.disconnect":
            raise WebSocketDisconnect
        data: bytes | None = message.get("bytes")
        if data is None:
            _check_end(message.get("text") or "")
            return None
        limit = self._deps.settings.max_chunk_bytes
        if len(data) > limit:
            raise TooLarge(f"a frame has {len(data)} bytes, over the limit of {limit}: send smaller frames")
        return data

    async def _finish(self, start: StreamStart, slicer: StreamSlicer, progress: _Progress) -> None:
        while chunks := await slicer.finish():  # twice: behind the last chunks the decoder may have an error
            await self._write_chunks(chunks, start, progress)
        fields = EndFields(subject_id=start.subject_id, source=start.source, chunks=progress.index)
        pending = pending_end(self._deps, self._call_id, fields, f"{self._call_id}:end")
        ended = await self._retry(lambda: self._intake.accept(pending))
        await _send(
            self._socket, {"type": "ended", "chunks": progress.index, "accepted": ended.model_dump(mode="json")}
        )

    async def _write_chunks(self, chunks: list[StreamChunk], start: StreamStart, progress: _Progress) -> None:
        for chunk in chunks:
            # Half a chunk: one starts where another ended, but for the rounding of seconds.
            if start.start_s + chunk.start_s > progress.skip_until_s - start.chunk_s / 2 or not progress.skip_until_s:
                await self._write_chunk(chunk, start, progress)

    async def _write_chunk(self, chunk: StreamChunk, start: StreamStart, progress: _Progress) -> None:
        upload = Upload(chunk.data, chunk.media_type, {})
        end_s = start.start_s + chunk.end_s
        fields = _chunk_fields(start, progress.index, start.start_s + chunk.start_s, end_s)

        async def write() -> Accepted:
            with self._intake.reserve("call") as reservation:
                reservation.add(len(chunk.data))
                event_id = f"{self._call_id}:{progress.index}"
                pending = await pending_chunk(self._deps, self._call_id, fields, upload, event_id)
                return await self._intake.accept(pending, reservation)

        accepted = await self._retry(write)
        position = StreamPosition(index=progress.index, end_s=end_s, bytes=chunk.end_bytes)
        progress.index += 1
        answer = {"type": "ack", **position.model_dump(mode="json"), "accepted": accepted.model_dump(mode="json")}
        await _send(self._socket, answer)

    async def _retry(self, write: Callable[[], Awaitable[A]]) -> A:
        """Write, and try again while the platform is behind; frames wait in the connection meanwhile."""
        started_at = time.monotonic()
        while True:
            try:
                return await write()
            except (Busy, Unavailable) as error:
                wait_s = error.retry_after if isinstance(error, Busy) else _UNAVAILABLE_RETRY_S
                if time.monotonic() + wait_s - started_at > RETRY_TIMEOUT_S:
                    raise
                await _send(self._socket, {"type": "wait", "retry_after": wait_s, "problem": problem_body(error)})
                await asyncio.sleep(wait_s)


def _chunk_fields(start: StreamStart, index: int, start_s: float, end_s: float) -> ChunkFields:
    event_time: datetime | None = None
    if start.event_time is not None:
        event_time = start.event_time + timedelta(seconds=end_s)
    try:
        return ChunkFields(
            subject_id=start.subject_id,
            source=start.source,
            event_time=event_time,
            index=index,
            start_s=start_s,
            speakers=start.speakers,
        )
    except ValidationError as error:
        raise invalid_request(error) from None


def _check_end(text: str) -> None:
    try:
        message = json.loads(text)
    except (ValueError, RecursionError):
        message = None
    if not isinstance(message, dict) or message.get("type") != "end":
        raise Rejected('a text that is no end: after the start send audio in binary frames, then {"type": "end"}')


async def _send(socket: WebSocket, message: dict[str, Any]) -> None:
    with suppress(RuntimeError):  # closed meanwhile; the next receive says so
        await socket.send_text(json.dumps(message))
