"""Sends the case to the gateway: chats and screenshots in order, then the call at the given speed."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable
from typing import Final

from mmplatform.client import ChatBody
from mmplatform.client.client import GatewayClient
from mmplatform.demo.case import Case, DemoMessage, DemoScreenshot
from mmplatform.derive.media.audio import split
from mmplatform.events import utc_now
from mmplatform.terminal.printable import printable

SOURCE: Final = "demo"
CHUNK_S: Final = 1.0
PAUSE_S: Final = 0.4
"""Pause between two events of the time-lapse."""


class CaseStream:
    """Sends one case. Retries are idempotent: the client repeats the same event ids."""

    def __init__(self, gateway: str, case: Case, speed: float, *, live: Callable[[float], None] | None = None) -> None:
        """``live`` is called once, on a thread of its own, at ``question_at_s`` of the call, with that second."""
        self._case = case
        self._live = live
        self._speed = speed
        self._client = GatewayClient(gateway)
        self._sent: Counter[str] = Counter()

    def run(self, show: Callable[[str], None]) -> dict[str, int]:
        """Send everything; return the counts of acknowledged items. Raises the errors of :class:`GatewayClient`."""
        with self._client:
            self._send_others(show)
            for event in self._case.story:
                self._send(event, show)
                time.sleep(PAUSE_S)
            self._send_call(show)
        return dict(self._sent)

    def _send_others(self, show: Callable[[str], None]) -> None:
        show(f"{len(self._case.others)} messages of other customers")
        bodies = [self._body(line) for line in self._case.others]
        self._sent["messages of other customers"] += len(self._client.chats(bodies))

    def _send(self, event: DemoMessage | DemoScreenshot, show: Callable[[str], None]) -> None:
        if isinstance(event, DemoMessage):
            show(f"chat, {event.role}: {printable(event.text[:60])}")
            self._client.chats([self._body(event)])
            self._sent["chat messages"] += 1
            return
        show(f"screenshot {event.path.name}")
        self._client.screenshot(
            event.path.read_bytes(),
            event.media_type,
            conversation_id=event.conversation_id,
            subject_id=event.subject_id,
            event_id=event.event_id,
            source=SOURCE,
        )
        self._sent["screenshots"] += 1

    def _send_call(self, show: Callable[[str], None]) -> None:
        """A phone sends a second of audio every second; at speed 4, every quarter of a second."""
        call = self._case.call
        started = time.monotonic()
        chunks = 0
        live_thread: threading.Thread | None = None
        for index, start_s, wav in split(call.path, CHUNK_S):
            due = started + (start_s + CHUNK_S) / self._speed
            time.sleep(max(0.0, due - time.monotonic()))
            show(f"call, {start_s:.0f} s at {self._speed:g}x")
            self._client.chunk(
                call.call_id,
                wav,
                "audio/wav",
                index=index,
                start_s=start_s,
                subject_id=call.subject_id,
                speakers=call.speakers,
                source=SOURCE,
            )
            chunks += 1
            if self._live is not None and live_thread is None and start_s >= call.question_at_s:
                live_thread = threading.Thread(target=self._live, args=(start_s + CHUNK_S,), name="live")
                live_thread.start()
        self._client.end_call(call.call_id, subject_id=call.subject_id, chunks=chunks, source=SOURCE)
        self._sent["seconds of a call"] += round(chunks * CHUNK_S)
        if live_thread is not None:
            live_thread.join()

    def _body(self, line: DemoMessage) -> ChatBody:
        return ChatBody.model_validate(
            {
                "event_id": line.event_id,
                "conversation_id": line.conversation_id,
                "subject_id": line.subject_id,
                "role": line.role,
                "text": line.text,
                "event_time": utc_now(),
                "source": SOURCE,
            }
        )
