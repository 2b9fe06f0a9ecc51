"""Load for the benchmarks: open-loop Poisson arrivals of chats, screenshots and live calls, sent through the gateway.

Open loop: an event's time is when it was *due*, not when the sender got round to it, so that a slow platform cannot
slow its own measurement down (coordinated omission; Tene, "How NOT to Measure Latency", 2013).
"""

from __future__ import annotations

import asyncio
import io
import json
import random
from collections.abc import AsyncIterator, Awaitable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import numpy as np
from PIL import Image, ImageDraw

from mmplatform.client.client import AsyncGatewayClient
from mmplatform.derive.media.audio import split
from mmplatform.errors import PlatformError
from mmplatform.events import utc_now
from mmplatform.ingest.schemas import Accepted

EXAMPLES: Final = Path(__file__).parents[1] / "examples"
CHUNK_S: Final = 1.0


@dataclass(frozen=True, slots=True)
class Rates:
    """The load that arrives: chats a second (Poisson), seconds between screenshots (Poisson), calls at once (live)."""

    chats_per_s: float
    screenshot_every_s: float
    calls: int
    seconds: float

    @property
    def modalities(self) -> tuple[str, ...]:
        """Those of which anything arrives."""
        some = {"chat": self.chats_per_s, "call": self.calls, "screenshot": self.screenshot_every_s}
        return tuple(modality for modality, rate in some.items() if rate)


@dataclass(slots=True)
class Sent:
    """Events that the gateway acknowledged, and those that it did not."""

    acknowledged: dict[str, list[str]] = field(default_factory=lambda: {"chat": [], "screenshot": [], "call": []})
    failed: int = 0


def chat_texts() -> list[str]:
    """Synthetic support messages (examples/others.jsonl and the sample chat)."""
    files = (EXAMPLES / "others.jsonl", EXAMPLES / "payment-failed" / "chat.jsonl")
    return [json.loads(line)["text"] for path in files for line in path.read_text().splitlines()]


def screenshots(seed: int) -> Iterator[bytes]:
    """The sample screenshots without end, each with a line of its own painted in: no memo can answer for it."""
    pages = [
        Image.open(path).convert("RGB") for path in sorted((EXAMPLES / "payment-failed" / "screenshots").glob("*.png"))
    ]
    chooser = random.Random(seed)
    number = 0
    while True:
        page = pages[number % len(pages)].copy()
        ImageDraw.Draw(page).text((12, page.height - 24), f"session {chooser.getrandbits(40):x}", fill=(90, 90, 90))
        out = io.BytesIO()
        page.save(out, "PNG")
        yield out.getvalue()
        number += 1


def call_chunks(seed: int) -> list[tuple[int, float, bytes]]:
    """The sample call in chunks, with a faint noise of its own: no memo can answer for it."""
    noise = np.random.default_rng(seed)
    chunks = []
    for index, start_s, wav in split(EXAMPLES / "payment-failed" / "call.flac", CHUNK_S):
        samples = np.frombuffer(wav, dtype="<i2", offset=44).astype(np.int32)
        samples = np.clip(samples + noise.integers(-3, 4, samples.size), -32768, 32767)
        chunks.append((index, start_s, wav[:44] + samples.astype("<i2").tobytes()))
    return chunks


class Load:
    """Sends for a while. ``subject`` is the person whom the reader watches, ``canaries`` their share of the chats."""

    def __init__(self, gateway: str, rates: Rates, subject: str, *, canaries: float, seed: int) -> None:
        self._gateway = gateway
        self._rates = rates
        self._subject = subject
        self._canaries = canaries
        self._seed = seed
        self.sent = Sent()

    async def run(self) -> Sent:
        """Send until the time is over and every answer is there."""
        client = AsyncGatewayClient(self._gateway)
        loop = asyncio.get_running_loop()
        started = loop.time()
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._chats(client, started))
                tasks.create_task(self._screenshots(client, started))
                for number in range(self._rates.calls):
                    tasks.create_task(self._call(client, started, number))
        finally:
            await client.close()
        return self.sent

    async def _chats(self, client: AsyncGatewayClient, started: float) -> None:
        chooser, texts, number = random.Random(self._seed), chat_texts(), 0
        async with asyncio.TaskGroup() as posts:
            async for due in self._arrivals(
                chooser, 1 / self._rates.chats_per_s if self._rates.chats_per_s else 0, started
            ):
                canary = chooser.random() < self._canaries
                subject = self._subject if canary else f"customer-{chooser.randrange(200)}"
                answer = client.chat(
                    event_id=f"{self._subject}-chat-{number}",
                    conversation_id=f"{subject}-conversation",
                    subject_id=subject,
                    role="customer",
                    text=f"{chooser.choice(texts)} (ticket {number})",
                    event_time=due,
                )
                posts.create_task(self._count(answer, "chat", canary=canary))
                number += 1

    async def _screenshots(self, client: AsyncGatewayClient, started: float) -> None:
        chooser, images, number = random.Random(self._seed + 1), screenshots(self._seed), 0
        async with asyncio.TaskGroup() as posts:
            async for due in self._arrivals(chooser, self._rates.screenshot_every_s, started):
                image = await asyncio.to_thread(next, images)
                answer = client.screenshot(
                    image,
                    "image/png",
                    event_id=f"{self._subject}-shot-{number}",
                    conversation_id=f"{self._subject}-shots",
                    subject_id=self._subject,
                    event_time=due,
                )
                posts.create_task(self._count(answer, "screenshot", canary=True))
                number += 1

    async def _call(self, client: AsyncGatewayClient, started: float, number: int) -> None:
        """Live: each chunk is sent when its last sample would have been spoken."""
        loop = asyncio.get_running_loop()
        chunks = await asyncio.to_thread(call_chunks, self._seed + number)
        call_id = f"{self._subject}-call-{number}"
        begin = max(started, loop.time()) + number * 1.7  # two calls do not breathe in step
        count = 0
        for index, start_s, wav in chunks:
            due = begin + start_s + CHUNK_S
            if due - started > self._rates.seconds:
                break
            await asyncio.sleep(max(0.0, due - loop.time()))
            moment = datetime.fromtimestamp(utc_now().timestamp() - (loop.time() - due), UTC)
            answer = client.chunk(
                call_id,
                wav,
                "audio/wav",
                index=index,
                start_s=start_s,
                subject_id=self._subject,
                speakers=("agent", "customer"),
                event_time=moment,
            )
            await self._count(answer, "call", canary=True)
            count += 1
        end = client.end_call(call_id, subject_id=self._subject, chunks=count)
        await self._count(end, "call", canary=False)

    async def _arrivals(self, chooser: random.Random, every_s: float, started: float) -> AsyncIterator[datetime]:
        loop = asyncio.get_running_loop()
        due = started
        while every_s:
            due += chooser.expovariate(1 / every_s)
            if due - started > self._rates.seconds:
                return
            await asyncio.sleep(max(0.0, due - loop.time()))
            yield datetime.fromtimestamp(utc_now().timestamp() - (loop.time() - due), UTC)

    async def _count(self, answer: Awaitable[Accepted], modality: str, *, canary: bool) -> None:
        try:
            accepted = await answer
        except PlatformError:
            self.sent.failed += 1
            return
        if canary:
            self.sent.acknowledged[modality].append(accepted.event_id)
