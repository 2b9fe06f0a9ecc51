"""SIGKILL of each process under load: what was acknowledged is retrievable and in the lakehouse, once, and no more."""

from __future__ import annotations

import itertools
import os
import signal
import threading
import time
from collections import Counter
from pathlib import Path

import pytest

from mmplatform.derive.audio import split
from mmplatform.errors import PlatformError
from mmplatform.local import runfile
from tests.integration.conftest import running_stack
from tests.integration.stack import Stack, index_hits
from tests.waiting import eventually

pytestmark = [pytest.mark.stack, pytest.mark.models, pytest.mark.slow, pytest.mark.timeout(600)]
CASE = Path(__file__).parents[2] / "examples" / "payment-failed"
SERVICES = ("derive-chat", "index", "gateway", "archive", "derive-screenshot", "derive-call", "chroma", "broker")
EACH = 40
"""Events of one subject: few enough that one search returns them all."""


class Ledger(threading.Thread):
    """Sends chats, screenshots and a call without pause, and writes down what was acknowledged, and only that."""

    def __init__(self, stack: Stack) -> None:
        super().__init__(daemon=True)
        self._client = stack.client()
        self._stop_it = threading.Event()
        self._abandoned = False
        self.chats: dict[str, str] = {}
        self.shots: dict[str, str] = {}
        self.chunks: set[str] = set()

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
            self._client.end_call("ledger-call", subject_id="ledger-call", chunks=len(self.chunks))
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
        except (PlatformError, RuntimeError):
            return
        self.chats[event] = subject

    def _shot(self, number: int, path: Path) -> None:
        subject, event = f"ledger-shots-{number % 3}", f"ledger-shot-{number}"
        try:
            self._client.screenshot(
                path.read_bytes(), "image/png", conversation_id=subject, subject_id=subject, event_id=event
            )
        except (PlatformError, RuntimeError):
            return
        self.shots[event] = subject

    def _chunk(self, index: int, start_s: float, wav: bytes) -> None:
        call = "ledger-call"
        try:
            accepted = self._client.chunk(
                call, wav, "audio/wav", index=index, start_s=start_s, subject_id=call, speakers=("agent", "customer")
            )
        except (PlatformError, RuntimeError):
            return
        self.chunks.add(accepted.event_id)


def test_killing_each_process_under_load_loses_and_doubles_nothing(tmp_path):
    with running_stack(tmp_path / "data") as stack:
        ledger = Ledger(stack)
        ledger.start()
        time.sleep(3)
        for service in SERVICES:
            before = stack.now().services[service].restarts
            stack.kill(service)
            stack.wait_ready(service, restarts=before + 1)
            time.sleep(1)
        ledger.stop()
        assert len(ledger.chats) > 100
        _compare(stack, ledger)


def test_killing_the_whole_stack_loses_nothing(tmp_path):
    with running_stack(tmp_path / "data") as stack:
        ledger = Ledger(stack)
        ledger.start()
        time.sleep(6)
        pids = [service.pid for service in stack.now().services.values() if service.pid]
        for pid in (stack.run.pid, *pids):
            _kill(pid)
        eventually(lambda: not runfile.is_locked(stack.settings.data_dir), within_s=20)
        eventually(lambda: not any(_alive(pid) for pid in pids), within_s=20)
        ledger.abandon()
        assert len(ledger.chats) > 20
        with running_stack(tmp_path / "data") as again:
            _compare(again, ledger, exact=False)


def _compare(stack: Stack, ledger: Ledger, *, exact: bool = True) -> None:
    """Sets, both ways; ``exact`` is False where a post whose answer was lost may have landed unacknowledged."""
    found: dict[str, set[str]] = {}

    def complete() -> bool:
        for modality, wanted in (("chat", ledger.chats), ("screenshot", ledger.shots)):
            subjects = sorted(set(wanted.values()))
            hits = [index_hits(stack, subject) for subject in subjects]
            found[modality] = {event for each in hits for events in each.values() for event in events}
        return set(ledger.chats) <= found["chat"] and set(ledger.shots) <= found["screenshot"]

    eventually(complete, within_s=90, every_s=2)
    if exact:
        assert found["chat"] == set(ledger.chats)
        assert found["screenshot"] == set(ledger.shots)
    for table, wanted in (("raw_chats", ledger.chats), ("raw_screenshots", ledger.shots)):
        counts = _landed(stack, table, wanted)
        assert set(wanted) <= set(counts)
        assert set(counts.values()) == {1}
    if ledger.chunks:
        assert set(_landed(stack, "raw_calls", dict.fromkeys(ledger.chunks, "ledger-call"))) >= ledger.chunks


def _landed(stack: Stack, table: str, wanted: dict[str, str]) -> Counter[str]:
    """Rows by event, once every wanted one is there."""
    subjects = sorted(set(wanted.values()))

    def count() -> Counter[str]:
        return sum((stack.count_by_event(table, subject) for subject in subjects), Counter())

    eventually(lambda: set(wanted) <= set(count()), within_s=60, every_s=2)
    return count()


def _kill(pid: int) -> None:
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        return


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return Path(f"/proc/{pid}/stat").read_text().split()[2] != "Z" if Path(f"/proc/{pid}").exists() else False
