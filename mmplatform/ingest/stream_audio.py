"""Cuts the audio of a live call into chunks, wherever the frames of the connection end.

The same bytes always give the same chunks: a chunk that was written and not acknowledged is a duplicate when it is sent
again. Samples without a header are cut by count. A recording (WebM, Ogg, …) is decoded while it arrives, in a
thread of its own: the decoder waits for bytes.
"""

from __future__ import annotations

import asyncio
import threading
import wave
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from io import BytesIO
from typing import Final, Protocol

from mmplatform.errors import PlatformError, Rejected, UnsupportedMedia
from mmplatform.ingest.dependencies import SplitRecording
from mmplatform.web.media_types import HEADERLESS_TYPES

_WAV: Final = "audio/wav"
_MAX_WAITING_BYTES: Final = 262_144
_TELEPHONE_RATE: Final = 8_000


@dataclass(frozen=True, slots=True)
class StreamChunk:
    """A chunk that decodes alone. Seconds and bytes count from the start of the stream."""

    data: bytes
    media_type: str
    start_s: float
    end_s: float
    end_bytes: int


class StreamSlicer(Protocol):
    """Bytes in, chunks out. ``resumes_by_bytes``: the stream can go on at any acknowledged byte, without a header."""

    resumes_by_bytes: bool

    async def feed(self, data: bytes) -> list[StreamChunk]:
        """Add bytes; the chunks that are complete by now. Raises Rejected."""

    async def decoded(self) -> list[StreamChunk]:
        """Wait until chunks are complete without more bytes. Raises Rejected."""

    async def finish(self) -> list[StreamChunk]:
        """The rest, at the end of the stream. Raises Rejected."""

    def close(self) -> None:
        """Stop without the rest."""


class SampleSlicer:
    """Slicer of samples without a header; the media type has their rate and channels."""

    resumes_by_bytes = True

    def __init__(self, media_type: str, chunk_s: float, start_bytes: int) -> None:
        name, *parameters = media_type.split(";")
        given = dict(parameter.split("=", 1) for parameter in parameters)
        rate, channels = int(given.get("rate", 0)), int(given.get("channels", 1))
        if name != "audio/l16":
            rate = rate or _TELEPHONE_RATE
        if rate <= 0 or channels <= 0:
            raise UnsupportedMedia("audio/L16 needs its parameters, as in `audio/L16;rate=8000;channels=2`")
        frame_bytes = channels * (2 if name == "audio/l16" else 1)
        self._media_type = media_type
        self._chunk_bytes = max(1, round(chunk_s * rate)) * frame_bytes
        self._bytes_per_s = rate * frame_bytes
        self._waiting = bytearray()
        self._start_bytes = start_bytes

    async def feed(self, data: bytes) -> list[StreamChunk]:
        """Add bytes; the chunks that are complete by now."""
        self._waiting += data
        chunks = []
        while len(self._waiting) >= self._chunk_bytes:
            chunks.append(self._cut(self._chunk_bytes))
        return chunks

    async def decoded(self) -> list[StreamChunk]:
        """Wait for ever: each chunk is complete with a byte that is fed."""
        await asyncio.Event().wait()
        return []

    async def finish(self) -> list[StreamChunk]:
        """The rest, which may be shorter than a chunk."""
        return [self._cut(len(self._waiting))] if self._waiting else []

    def close(self) -> None:
        """Forget the rest."""
        self._waiting.clear()

    def _cut(self, size: int) -> StreamChunk:
        data = bytes(self._waiting[:size])
        del self._waiting[:size]
        start_s = self._start_bytes / self._bytes_per_s
        self._start_bytes += size
        end_s = self._start_bytes / self._bytes_per_s
        return StreamChunk(data, self._media_type, start_s, end_s, self._start_bytes)


class RecordingSlicer:
    """Slicer of a recording with a header; its chunks are WAV."""

    resumes_by_bytes = False

    def __init__(self, split: SplitRecording, media_type: str, chunk_s: float) -> None:
        self._loop = asyncio.get_running_loop()
        self._drained = asyncio.Event()
        self._pipe = _Pipe(lambda: self._loop.call_soon_threadsafe(self._drained.set))
        self._chunks: deque[StreamChunk] = deque()
        self._error: PlatformError | None = None
        self._produced = asyncio.Event()
        self._done = asyncio.Event()
        self._fed_bytes = 0
        self._split = split
        self._arguments = (media_type, chunk_s)
        self._thread = threading.Thread(target=self._decode, name="call-stream", daemon=True)
        self._thread.start()

    async def feed(self, data: bytes) -> list[StreamChunk]:
        """Add bytes, and wait while the decoder has many; its chunks come by :meth:`decoded` alone, in order."""
        self._fed_bytes += len(data)
        self._pipe.write(data)
        self._drained.clear()
        if self._pipe.waiting_bytes > _MAX_WAITING_BYTES:
            await self._drained.wait()
        return []

    async def decoded(self) -> list[StreamChunk]:
        """Wait until the decoder has chunks. Raises Rejected."""
        self._produced.clear()
        if not self._chunks and self._error is None:
            await self._produced.wait()
        return self._pop_chunks()

    async def finish(self) -> list[StreamChunk]:
        """The rest, once all is decoded. Raises Rejected."""
        self._pipe.end()
        await self._done.wait()
        return self._pop_chunks()

    def close(self) -> None:
        """Stop the decoder; what it has not decoded is lost."""
        self._pipe.abort()

    def _pop_chunks(self) -> list[StreamChunk]:
        chunks = []
        while self._chunks:
            chunks.append(self._chunks.popleft())
        if not chunks and self._error is not None:
            raise self._error
        return chunks

    def _decode(self) -> None:
        media_type, chunk_s = self._arguments
        try:
            for _, start_s, wav in self._split(self._pipe, chunk_s, media_type):
                self._chunks.append(StreamChunk(wav, _WAV, start_s, start_s + _wav_seconds(wav), self._fed_bytes))
                self._loop.call_soon_threadsafe(self._produced.set)
        except PlatformError as error:
            self._error = error
        except Exception:  # noqa: BLE001 - untrusted bytes; the message of an unexpected error may quote them
            self._error = Rejected("the recording cannot be decoded: record or export it again")
        finally:
            self._pipe.abort()
            self._loop.call_soon_threadsafe(self._produced.set)
            self._loop.call_soon_threadsafe(self._done.set)


class _Pipe:
    """Bytes between the connection and the decoder's thread."""

    def __init__(self, on_drained: Callable[[], object]) -> None:
        self._condition = threading.Condition()
        self._on_drained = on_drained
        self._waiting = bytearray()
        self._ended = False

    @property
    def waiting_bytes(self) -> int:
        return len(self._waiting)

    def write(self, data: bytes) -> None:
        with self._condition:
            if not self._ended:
                self._waiting += data
                self._condition.notify()

    def end(self) -> None:
        with self._condition:
            self._ended = True
            self._condition.notify()

    def abort(self) -> None:
        with self._condition:
            self._ended = True
            self._waiting.clear()
            self._condition.notify()
        self._on_drained()

    def peek(self, size: int) -> bytes:
        with self._condition:
            self._condition.wait_for(lambda: self._ended or len(self._waiting) >= size)
            return bytes(self._waiting[:size])

    def read(self, size: int) -> bytes:
        with self._condition:
            self._condition.wait_for(lambda: self._ended or self._waiting)
            data = bytes(self._waiting[:size])
            del self._waiting[:size]
            drained = len(self._waiting) <= _MAX_WAITING_BYTES
        if drained:
            self._on_drained()
        return data


def _wav_seconds(data: bytes) -> float:
    with wave.open(BytesIO(data)) as audio:
        return float(audio.getnframes() / audio.getframerate())


def open_slicer(split: SplitRecording, media_type: str, chunk_s: float, start_bytes: int) -> StreamSlicer:
    """The slicer of a canonical media type; samples go on at ``start_bytes``. Raises UnsupportedMedia."""
    if media_type.split(";", 1)[0] in HEADERLESS_TYPES:
        return SampleSlicer(media_type, chunk_s, start_bytes)
    return RecordingSlicer(split, media_type, chunk_s)
