"""Sources that send without pause and write down what was acknowledged, and only that."""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

from benchmarks.faults.stack import Broken
from mmplatform.client.client import GatewayClient
from mmplatform.derive.media.audio import split
from mmplatform.errors import PlatformError
from mmplatform.events import Modality

CASE: Final = Path(__file__).parents[2] / "examples" / "payment-failed"
MESSAGES_PER_ROUND: Final = 40
"""Chats of one person: few enough that one search returns them all."""

AT_ONCE: Final = 4
"""Conversations whose messages come in turn."""

_REFUSED: Final = (PlatformError, RuntimeError)
"""Not acknowledged; the second is a client that was closed under its call."""


@dataclass(frozen=True, slots=True)
class Pace:
    """Seconds between two events of one kind; a piece of a call is a second of it."""

    chat_s: float = 0.2
    shot_s: float = 3.0
    chunk_s: float = 0.5
    calls: int = 1


class Ledger:
    """Three sources, each in a thread of its own: one waits, the others go on.

    Attributes:
        chats: event id → person, who has one conversation; in the order of the acknowledgements.
        shots: event id → person, of whom it is the only one: one search returns all its passages.
        chunks: event id → call and index in it.
        ended: calls, with how many pieces of them were sent.
        refused: what was not acknowledged, with the reason.
    """

    def __init__(self, stack: Broken, pace: Pace = Pace()) -> None:
        self._stack = stack
        self._pace = pace
        self._stop = threading.Event()
        self._abandoned = False
        self._clients: list[GatewayClient] = []
        sources = (self._send_chats, self._show, self._call)
        self._threads = [threading.Thread(target=source, daemon=True) for source in sources]
        self.chats: dict[str, str] = {}
        self.shots: dict[str, str] = {}
        self.chunks: dict[str, tuple[str, int]] = {}
        self.ended: dict[str, int] = {}
        self.refused: dict[str, str] = {}

    @property
    def sent(self) -> dict[Modality, list[str]]:
        """Event ids that were acknowledged, in order."""
        return {"chat": list(self.chats), "screenshot": list(self.shots), "call": list(self.chunks)}

    @property
    def people(self) -> list[str]:
        """Everybody of whom something was sent."""
        return sorted({*self.chats.values(), *self.shots.values(), *(call for call, _ in self.chunks.values())})

    def start(self) -> None:
        """Let them send."""
        for thread in self._threads:
            thread.start()

    def stop(self, within_s: float = 1200.0) -> None:
        """Send no more; what is on its way is waited for."""
        self._stop.set()
        for thread in self._threads:
            thread.join(timeout=within_s)
        if any(thread.is_alive() for thread in self._threads):
            raise TimeoutError("a source still waits for its acknowledgement")

    def abandon(self) -> None:
        """The platform is gone for good: what is on its way fails, and counts as never acknowledged."""
        self._abandoned = True
        self._stop.set()
        for client in self._clients:
            client.close()
        self.stop()

    def _opened(self) -> GatewayClient:
        client = self._stack.client()
        self._clients.append(client)
        return client

    def _send_chats(self) -> None:
        with self._opened() as client:
            for number in itertools.count():
                # Message n of a conversation is sent once n-1 is acknowledged; between them come the others'.
                subject = f"person-{number // (MESSAGES_PER_ROUND * AT_ONCE)}-{number % AT_ONCE}"
                event = f"chat-{number}"
                send = partial(client.chat, conversation_id=subject, subject_id=subject, role="customer")
                if self._acknowledged(event, partial(send, text=f"ticket {number}", event_id=event)):
                    self.chats[event] = subject
                if self._stop.wait(self._pace.chat_s):
                    return

    def _show(self) -> None:
        pictures = [path.read_bytes() for path in sorted((CASE / "screenshots").glob("*.png"))]
        with self._opened() as client:
            for number in itertools.count():
                event = subject = f"shot-{number}"
                show = partial(client.screenshot, pictures[number % len(pictures)], "image/png", event_id=event)
                if self._acknowledged(event, partial(show, conversation_id=subject, subject_id=subject)):
                    self.shots[event] = subject
                if self._stop.wait(self._pace.shot_s):
                    return

    def _call(self) -> None:
        with self._opened() as client:
            for number in range(self._pace.calls):
                self._one_call(client, f"call-{number}")
                if self._stop.is_set():
                    return

    def _one_call(self, client: GatewayClient, call: str) -> None:
        sent = 0
        for index, start_s, wav in split(CASE / "call.flac", 1.0):
            post = partial(client.chunk, call, wav, "audio/wav", index=index, start_s=start_s, subject_id=call)
            event = f"{call}-{index}"
            if self._acknowledged(event, partial(post, speakers=("agent", "customer"), event_id=event)):
                self.chunks[event] = (call, index)
            sent = index + 1
            if self._stop.wait(self._pace.chunk_s):
                break
        self.ended[call] = sent
        if not self._abandoned:
            # If it is refused the platform ends the call itself, when nothing came for a while.
            self._acknowledged(f"{call}-end", partial(client.end_call, call, subject_id=call, chunks=sent))

    def _acknowledged(self, event: str, post: Callable[[], object]) -> bool:
        try:
            post()
        except _REFUSED as error:
            self.refused[event] = f"{type(error).__name__}: {error}"
            return False
        return True

    def wait_for(self, chats: int, within_s: float = 1200.0) -> None:
        """Until so many more chats were acknowledged: the load is on."""
        wanted, give_up = len(self.chats) + chats, time.monotonic() + within_s
        while len(self.chats) < wanted:
            if time.monotonic() > give_up:
                raise TimeoutError(f"{wanted - len(self.chats)} chats are not acknowledged after {within_s:.0f} s")
            time.sleep(0.1)
