"""Uploads planned files through the gateway and reports the outcome of each event.

Within a file events are sent in order; up to 4 files are sent concurrently, and in real time all calls at once, as on
telephones. A rejection is reported and the rest continues. The upload waits for a busy gateway as long as it accepts an
event now and then; once the gateway is unavailable, nothing more is tried.

A repeated upload has the same ids and the same event times: those of the file or the caller, or the file's modification
time. Only calls in real time without a given time happen now.
"""

from __future__ import annotations

import asyncio
import time
import wave
from collections.abc import Awaitable, Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from io import BytesIO
from itertools import islice
from pathlib import Path
from typing import Final, TypeVar

from mmplatform.client.client import AsyncGatewayClient
from mmplatform.errors import Busy, Permanent, PlatformError, Rejected
from mmplatform.events import utc_now
from mmplatform.sources.files.chat_records import ChatFile, ChatRecord
from mmplatform.sources.files.discovery import (
    UNKNOWN_TIME,
    Rejection,
    SourceFile,
    UploadDefaults,
    UploadPlan,
    content_id,
    file_digest,
)
from mmplatform.sources.files.report import FileProgress, UploadReport

A = TypeVar("A")

SplitAudio = Callable[[Path, float], Iterator[tuple[int, float, bytes]]]
"""(file, seconds) → (index, start in seconds, WAV); raises Rejected for undecodable audio."""

CHAT_BATCH_SIZE: Final = 100
MAX_CONCURRENT_FILES: Final = 4
BUSY_TIMEOUT_S: Final = 1800.0
"""Timeout for a gateway that is busy and accepts no event: derivers that slow stand still."""

_WAV: Final = "audio/wav"


@dataclass(frozen=True, slots=True)
class CallPlayback:
    """``speed``: factor of real time; None: as fast as the gateway accepts. ``chunk_s``: length of a chunk."""

    speed: float | None = None
    chunk_s: float = 5.0


class Uploader:
    """Uploads a plan. ``advance`` is called with the bytes of files as they are processed, accepted or rejected."""

    def __init__(
        self,
        client: AsyncGatewayClient,
        defaults: UploadDefaults,
        split: SplitAudio,
        *,
        playback: CallPlayback | None = None,
        advance: Callable[[float], None] = lambda _: None,
        busy_timeout_s: float = BUSY_TIMEOUT_S,
    ) -> None:
        self._client = client
        self._defaults = defaults
        self._split = split
        self._playback = playback or CallPlayback()
        self._advance = advance
        self._busy_timeout_s = busy_timeout_s
        self._accepted_at = 0.0
        self._report = UploadReport()
        self._gateway_error: PlatformError | None = None
        self._call_count = 0

    async def upload(self, plan: UploadPlan) -> UploadReport:
        """Upload all files; errors of a file or the gateway become rejections and are never raised."""
        self._report.rejected += [(None, rejection) for rejection in plan.rejected]
        self._call_count = sum(file.kind == "call" for file in plan.files)
        slots = asyncio.Semaphore(MAX_CONCURRENT_FILES)

        async def upload_within_limit(file: SourceFile) -> None:
            if self._playback.speed is not None and file.kind == "call":
                await self._upload_file(file)
                return
            async with slots:
                await self._upload_file(file)

        await asyncio.gather(*(upload_within_limit(file) for file in plan.files))
        return self._report

    async def _upload_file(self, file: SourceFile) -> None:
        by_kind = {"chats": self._upload_chats, "screenshot": self._upload_screenshot, "call": self._upload_call}
        progress = FileProgress(file.size, self._advance)
        try:
            if self._gateway_error is not None:
                self._reject(file, None, f"not sent: {self._gateway_error}")
                return
            await by_kind[file.kind](file, progress)
        except Rejected as error:
            self._reject(file, None, str(error))
        except OSError as error:
            self._reject(file, None, f"it cannot be read: {error.strerror}")
        except Permanent as error:
            self._reject(file, None, str(error))
        except PlatformError as error:
            self._gateway_error = error
            self._reject(file, None, f"not sent, or not all of it: {error}")
        finally:
            progress.advance_to(file.size)

    async def _retry_while_busy(self, post: Callable[[], Awaitable[A]]) -> A:
        """Post, and repeat while the gateway is busy: backpressure is no failure."""
        started_at = time.monotonic()
        while True:
            try:
                answer = await post()
            except Busy as busy:
                if time.monotonic() - max(started_at, self._accepted_at) > self._busy_timeout_s:
                    raise
                await asyncio.sleep(busy.retry_after)
            else:
                self._accepted_at = time.monotonic()
                return answer

    async def _upload_chats(self, file: SourceFile, progress: FileProgress) -> None:
        chat_file = ChatFile(file, self._defaults)
        lines = iter(chat_file)
        while batch := await asyncio.to_thread(lambda: list(islice(lines, CHAT_BATCH_SIZE))):
            self._report.rejected += [(file.kind, found) for found in batch if isinstance(found, Rejection)]
            await self._send_messages(file, [found for found in batch if isinstance(found, ChatRecord)])
            progress.advance_to(chat_file.bytes_read)
        if chat_file.remark:
            self._report.remarks.append((file.path, chat_file.remark))

    async def _send_messages(self, file: SourceFile, lines: list[ChatRecord]) -> None:
        if not lines:
            return
        try:
            bodies = [line.body for line in lines]
            self._report.record(file.kind, await self._retry_while_busy(lambda: self._client.chats(bodies)))
        except Rejected as error:
            if len(lines) == 1:
                self._reject(file, lines[0].line, str(error))
                return
            # One invalid message rejects its batch: halve it until the message is alone.
            middle = len(lines) // 2
            await self._send_messages(file, lines[:middle])
            await self._send_messages(file, lines[middle:])

    async def _upload_screenshot(self, file: SourceFile, _: FileProgress) -> None:
        subject_id = self._subject()
        event_time = self._event_time(file)
        data = await asyncio.to_thread(file.path.read_bytes)
        conversation_id = self._defaults.conversation_id or content_id("screenshot", subject_id, data)
        answer = await self._retry_while_busy(
            lambda: self._client.screenshot(
                data,
                file.media_type,
                conversation_id=conversation_id,
                subject_id=subject_id,
                event_id=content_id("screenshot", conversation_id, subject_id, data),
                event_time=event_time,
                source=self._defaults.source,
            )
        )
        self._report.record(file.kind, [answer])

    async def _upload_call(self, file: SourceFile, progress: FileProgress) -> None:
        subject_id = self._subject()
        call_id = await self._call_id(file, subject_id)
        length_s = await asyncio.to_thread(self._audio_length_s, file.path)
        started_at = self._call_started_at(file, length_s)
        chunks = self._split(file.path, self._playback.chunk_s)
        playback_started, sent = time.monotonic(), 0
        end_s = 0.0
        while (chunk := await asyncio.to_thread(next, chunks, None)) is not None:
            index, start_s, wav = chunk
            end_s = start_s + _wav_seconds(wav)
            if self._playback.speed is not None:
                await asyncio.sleep(max(0.0, playback_started + end_s / self._playback.speed - time.monotonic()))
            await self._send_chunk(file, call_id, subject_id, index, start_s, wav, _after(started_at, end_s))
            progress.advance_to(file.size * end_s / max(length_s, end_s))
            sent += 1
        event_time, source = _after(started_at, end_s), self._defaults.source
        answer = await self._retry_while_busy(
            lambda: self._client.end_call(
                call_id, subject_id=subject_id, chunks=sent, event_time=event_time, source=source
            )
        )
        self._report.record(file.kind, [answer])

    async def _send_chunk(
        self,
        file: SourceFile,
        call_id: str,
        subject_id: str,
        index: int,
        start_s: float,
        wav: bytes,
        event_time: datetime,
    ) -> None:
        try:
            answer = await self._retry_while_busy(
                lambda: self._client.chunk(
                    call_id,
                    wav,
                    _WAV,
                    index=index,
                    start_s=start_s,
                    subject_id=subject_id,
                    event_time=event_time,
                    source=self._defaults.source,
                )
            )
        except Rejected as error:
            self._reject(file, None, f"the chunk at {start_s:.0f} s: {error}")
        else:
            self._report.record(file.kind, [answer])

    async def _call_id(self, file: SourceFile, subject_id: str) -> str:
        if self._defaults.conversation_id is None:
            # Chunks of another length are other events: the length is part of the call's id.
            chunk_length = f"{self._playback.chunk_s:g}"
            return content_id("call", subject_id, chunk_length, await asyncio.to_thread(file_digest, file.path))
        if self._call_count > 1:
            raise Rejected("a conversation has one call, and several are named: omit --conversation")
        return self._defaults.conversation_id

    def _audio_length_s(self, path: Path) -> float:
        """Seconds of audio in a file, up to its first damage, which is reported after the audio before it is sent."""
        end_s = 0.0
        with suppress(Rejected):
            for _, start_s, wav in self._split(path, self._playback.chunk_s):
                end_s = start_s + _wav_seconds(wav)
        return end_s

    def _call_started_at(self, file: SourceFile, length_s: float) -> datetime | None:
        """Start of a call: the given time, or the modification time minus its length; None: the call is live."""
        if self._defaults.event_time is not None:
            return self._defaults.event_time
        if self._playback.speed is not None:
            return None
        return self._event_time(file) - timedelta(seconds=length_s)

    def _event_time(self, file: SourceFile) -> datetime:
        event_time = self._defaults.event_time or file.written_at
        if event_time is None:
            raise Rejected(UNKNOWN_TIME)
        return event_time

    def _subject(self) -> str:
        if self._defaults.subject_id is None:
            raise Rejected("its subject is unknown: add --subject")
        return self._defaults.subject_id

    def _reject(self, file: SourceFile, line: int | None, reason: str) -> None:
        self._report.rejected.append((file.kind, Rejection(file.path, line, reason)))


def _after(started_at: datetime | None, seconds: float) -> datetime:
    return utc_now() if started_at is None else started_at + timedelta(seconds=seconds)


def _wav_seconds(wav: bytes) -> float:
    with wave.open(BytesIO(wav)) as audio:
        return float(audio.getnframes() / audio.getframerate())
