"""A source that sends without pause and writes down what was acknowledged, and only that."""

from __future__ import annotations

import itertools
import threading
import time
from pathlib import Path

from mmplatform.derive.audio import split
from mmplatform.errors import PlatformError
from tests.integration.stack import Stack

CASE = Path(__file__).parents[2] / "examples" / "payment-failed"
CALL = "ledger-call"
EACH = 40
"""Chats of one subject: few enough that one search returns them all."""

_REFUSED = (PlatformError, RuntimeError)
"""Not acknowledged; the second is a client that was closed under its call."""


class Ledger(threading.Thread):
    """Chats, screenshots and a call.

    Attributes:
        chats: event id → subject.
        shots: event id → subject, of whom it is the only one: one search returns all its passages.
        chunks: event id → index in the call; each is a second of it.
    """

    def __init__(self, stack: Stack) -> None:
        super().__init__(daemon=True)
        self._client = stack.client()
        self._stop_it = threading.Event()
        self._abandoned = False
        self.chats: dict[str, str] = {}
        self.shots: dict[str, str] = {}
        self.chunks: dict[str, int] = {}

    def run(self) -> None:
        pictures = itertools.cycle(sorted((CASE / "screenshots").glob("*.png")))
        audio = split(CASE / "call.flac", 1.0)
        for number in itertools.count():
            if self._stop_it.is_set():
                break
            self._chat(number)
            if number % 30 == 0:
                self._shot(number, next(pictures))
            if number % 5 == 0 and (piece := next(audio, None)):
                self._chunk(*piece)
            time.sleep(0.05)
        if not self._abandoned:
            self._end()
            self._client.close()

    def stop(self) -> None:
        self._stop_it.set()
        self.join(timeout=120)
        assert not self.is_alive()

    def abandon(self) -> None:
        """The platform is gone for good: what is on its way fails, and counts as never acknowledged."""
        self._abandoned = True
        self._stop_it.set()
        self._client.close()
        self.join(timeout=120)
        assert not self.is_alive()

    def _chat(self, number: int) -> None:
        subject, event = f"ledger-{number // EACH}", f"ledger-chat-{number}"
        try:
            self._client.chat(
                conversation_id=subject, subject_id=subject, role="customer", text=f"ticket {number}", event_id=event
            )
        except _REFUSED:
            return
        self.chats[event] = subject

    def _shot(self, number: int, path: Path) -> None:
        event = subject = f"ledger-shot-{number}"
        try:
            self._client.screenshot(
                path.read_bytes(), "image/png", conversation_id=subject, subject_id=subject, event_id=event
            )
        except _REFUSED:
            return
        self.shots[event] = subject

    def _chunk(self, index: int, start_s: float, wav: bytes) -> None:
        try:
            accepted = self._client.chunk(
                CALL, wav, "audio/wav", index=index, start_s=start_s, subject_id=CALL, speakers=("agent", "customer")
            )
        except _REFUSED:
            return
        self.chunks[accepted.event_id] = index

    def _end(self) -> None:
        """If it is refused the platform ends the call itself, when nothing came for a while."""
        try:
            self._client.end_call(CALL, subject_id=CALL, chunks=len(self.chunks))
        except _REFUSED:
            return
