"""Sends planned files through the gateway and keeps the ledger of what became of each event.

Within a file everything goes in order; files go side by side, a few at a time, and in real time all calls at once, as
telephones do. What the gateway refuses is noted and the rest goes on. A gateway that is busy is waited for as long as
it takes something now and then; when it is away for good, nothing more is tried.

Sent again, everything has the same ids and the same times: what the file or the one who sends says, or when the file
was last written. Only calls in real time that are given no time happen now.
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
from mmplatform.sources.files.chat_records import ChatFile, ChatLine
from mmplatform.sources.files.discovery import NO_TIME, Origin, Plan, Refusal, Work, content_id, file_digest
from mmplatform.sources.files.report import Done, Ledger

A = TypeVar("A")

Split = Callable[[Path, float], Iterator[tuple[int, float, bytes]]]
"""(file, seconds) → (index, start in seconds, WAV); raises Rejected for what cannot be decoded."""

BATCH: Final = 100
SIDE_BY_SIDE: Final = 4
PATIENCE_S: Final = 1800.0
"""How long a gateway may be busy without taking anything: derivers that are so slow stand still."""

_WAV: Final = "audio/wav"


@dataclass(frozen=True, slots=True)
class Pace:
    """``speed``: how fast calls are played, 1 is real time; None: as fast as the gateway takes them."""

    speed: float | None = None
    chunk_s: float = 5.0


class Sender:
    """Sends a plan. ``advance`` is told bytes of files as they are done with, taken or refused."""

    def __init__(
        self,
        client: AsyncGatewayClient,
        origin: Origin,
        split: Split,
        *,
        pace: Pace | None = None,
        advance: Callable[[float], None] = lambda _: None,
        patience_s: float = PATIENCE_S,
    ) -> None:
        self._client = client
        self._origin = origin
        self._split = split
        self._pace = pace or Pace()
        self._advance = advance
        self._patience_s = patience_s
        self._taken_at = 0.0
        self._ledger = Ledger()
        self._down: PlatformError | None = None
        self._calls = 0

    async def send(self, plan: Plan) -> Ledger:
        """Send all of it; never raises for what a file or the gateway does."""
        self._ledger.refused += [(None, refusal) for refusal in plan.refused]
        self._calls = sum(work.kind == "call" for work in plan.work)
        few = asyncio.Semaphore(SIDE_BY_SIDE)

        async def one(work: Work) -> None:
            if self._pace.speed is not None and work.kind == "call":
                await self._file(work)
                return
            async with few:
                await self._file(work)

        await asyncio.gather(*(one(work) for work in plan.work))
        return self._ledger

    async def _file(self, work: Work) -> None:
        by_kind = {"chats": self._chats, "screenshot": self._screenshot, "call": self._call}
        done = Done(work.size, self._advance)
        try:
            if self._down is not None:
                self._refuse(work, None, f"not sent: {self._down}")
                return
            await by_kind[work.kind](work, done)
        except Rejected as error:
            self._refuse(work, None, str(error))
        except OSError as error:
            self._refuse(work, None, f"it cannot be read: {error.strerror}")
        except Permanent as error:
            self._refuse(work, None, str(error))
        except PlatformError as error:
            self._down = error
            self._refuse(work, None, f"not sent, or not all of it: {error}")
        finally:
            done.up_to(work.size)

    async def _posted(self, post: Callable[[], Awaitable[A]]) -> A:
        """Post; again while the gateway is busy: to be slowed is no failure."""
        began = time.monotonic()
        while True:
            try:
                answer = await post()
            except Busy as busy:
                if time.monotonic() - max(began, self._taken_at) > self._patience_s:
                    raise
                await asyncio.sleep(busy.retry_after)
            else:
                self._taken_at = time.monotonic()
                return answer

    async def _chats(self, work: Work, done: Done) -> None:
        file = ChatFile(work, self._origin)
        lines = iter(file)
        while batch := await asyncio.to_thread(lambda: list(islice(lines, BATCH))):
            for refusal in (each for each in batch if isinstance(each, Refusal)):
                self._ledger.refused.append((work.kind, refusal))
            await self._messages(work, [each for each in batch if isinstance(each, ChatLine)])
            done.up_to(file.bytes_read)

    async def _messages(self, work: Work, lines: list[ChatLine]) -> None:
        if not lines:
            return
        try:
            bodies = [line.body for line in lines]
            self._ledger.note(work.kind, await self._posted(lambda: self._client.chats(bodies)))
        except Rejected as error:
            if len(lines) == 1:
                self._refuse(work, lines[0].line, str(error))
                return
            # One bad message refuses its batch: halve until it stands alone.
            middle = len(lines) // 2
            await self._messages(work, lines[:middle])
            await self._messages(work, lines[middle:])

    async def _screenshot(self, work: Work, _: Done) -> None:
        subject_id = self._subject()
        at = self._moment(work)
        data = await asyncio.to_thread(work.path.read_bytes)
        conversation_id = self._origin.conversation_id or content_id("screenshot", subject_id, data)
        answer = await self._posted(
            lambda: self._client.screenshot(
                data,
                work.media_type,
                conversation_id=conversation_id,
                subject_id=subject_id,
                event_id=content_id("screenshot", conversation_id, subject_id, data),
                event_time=at,
                source=self._origin.source,
            )
        )
        self._ledger.note(work.kind, [answer])

    async def _call(self, work: Work, done: Done) -> None:
        subject_id = self._subject()
        call_id = await self._call_id(work, subject_id)
        length_s = await asyncio.to_thread(self._length, work.path)
        began = self._began(work, length_s)
        pieces = self._split(work.path, self._pace.chunk_s)
        started, sent = time.monotonic(), 0
        end_s = 0.0
        while (piece := await asyncio.to_thread(next, pieces, None)) is not None:
            index, start_s, wav = piece
            end_s = start_s + _seconds(wav)
            if self._pace.speed is not None:
                await asyncio.sleep(max(0.0, started + end_s / self._pace.speed - time.monotonic()))
            await self._chunk(work, call_id, subject_id, index, start_s, wav, _after(began, end_s))
            done.up_to(work.size * end_s / max(length_s, end_s))
            sent += 1
        at, source = _after(began, end_s), self._origin.source
        answer = await self._posted(
            lambda: self._client.end_call(call_id, subject_id=subject_id, chunks=sent, event_time=at, source=source)
        )
        self._ledger.note(work.kind, [answer])

    async def _chunk(
        self, work: Work, call_id: str, subject_id: str, index: int, start_s: float, wav: bytes, at: datetime
    ) -> None:
        try:
            answer = await self._posted(
                lambda: self._client.chunk(
                    call_id,
                    wav,
                    _WAV,
                    index=index,
                    start_s=start_s,
                    subject_id=subject_id,
                    event_time=at,
                    source=self._origin.source,
                )
            )
        except Rejected as error:
            self._refuse(work, None, f"the chunk at {start_s:.0f} s: {error}")
        else:
            self._ledger.note(work.kind, [answer])

    async def _call_id(self, work: Work, subject_id: str) -> str:
        if self._origin.conversation_id is None:
            # Cut otherwise, its chunks are other events: the cut is part of the call's name.
            cut = f"{self._pace.chunk_s:g}"
            return content_id("call", subject_id, cut, await asyncio.to_thread(file_digest, work.path))
        if self._calls > 1:
            raise Rejected("a conversation holds one call, and several are named: leave --conversation out")
        return self._origin.conversation_id

    def _length(self, path: Path) -> float:
        """Seconds of audio in a file, up to where it is damaged: that is told when what stands before it was sent."""
        end_s = 0.0
        with suppress(Rejected):
            for _, start_s, wav in self._split(path, self._pace.chunk_s):
                end_s = start_s + _seconds(wav)
        return end_s

    def _began(self, work: Work, length_s: float) -> datetime | None:
        """When a call began: as it is said, or so long before its file was last written; None: it is live."""
        if self._origin.at is not None:
            return self._origin.at
        if self._pace.speed is not None:
            return None
        return self._moment(work) - timedelta(seconds=length_s)

    def _moment(self, work: Work) -> datetime:
        at = self._origin.at or work.written_at
        if at is None:
            raise Rejected(NO_TIME)
        return at

    def _subject(self) -> str:
        if self._origin.subject_id is None:
            raise Rejected("whom it is about is not known: say --subject")
        return self._origin.subject_id

    def _refuse(self, work: Work, line: int | None, reason: str) -> None:
        self._ledger.refused.append((work.kind, Refusal(work.path, line, reason)))


def _after(began: datetime | None, seconds: float) -> datetime:
    return utc_now() if began is None else began + timedelta(seconds=seconds)


def _seconds(wav: bytes) -> float:
    with wave.open(BytesIO(wav)) as audio:
        return float(audio.getnframes() / audio.getframerate())
