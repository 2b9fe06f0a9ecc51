"""A plan carried out on a running stack. What lasts goes on while the next faults come."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Final

from benchmarks.faults.ledger import Ledger
from benchmarks.faults.plan import Fault
from benchmarks.faults.stack import Broken

STEP: Final = 3
"""Chats that are acknowledged between two faults: under load means that something is on its way."""

PATIENCE_S: Final = 1200.0
"""On a machine with a load of 45 a killed deriver took five minutes to load its models again."""


class Attack:
    """Carries out one fault after the other; at the end nothing is held, slowed, wrong or one too many any more.

    ``begun`` are the faults so far. All in one thread: a guest that another thread started would be told to end with
    that thread.
    """

    def __init__(self, stack: Broken, ledger: Ledger, report: Callable[[str], None]) -> None:
        self._stack = stack
        self._ledger = ledger
        self._report = report
        self._later: list[tuple[float, Callable[[], None]]] = []
        self._joined = 0
        self.begun: list[Fault] = []

    def run(self, plan: Sequence[Fault]) -> None:
        """All of it, or until Ctrl-C. Raises TimeoutError when the load or a process does not come back."""
        try:
            for number, fault in enumerate(plan, start=1):
                self._pass(fault.wait_s)
                self._report(f"{number:3}/{len(plan)}  {fault}  ({len(self._ledger.chats)} chats so far)")
                self._begin(fault)
                self.begun.append(fault)
                self._under_load()
            self._until(lambda: not self._later, "what lasts is over")
        except KeyboardInterrupt:
            self._report(f"interrupted after {len(self.begun)} faults: what they did is compared")
        finally:
            for _, undo in self._later:
                undo()

    def _begin(self, fault: Fault) -> None:
        stack, target = self._stack, fault.target
        if fault.kind == "join":
            self._invite(fault)
        elif fault.kind == "clock":
            self._turn(f"clock-{target}", fault)
        elif fault.kind == "slow disk":
            self._turn("disk", fault)
        else:
            self._until(lambda: stack.is_ready(target), f"{target} is ready")
            if fault.kind == "zombie":
                self._invite(fault)
            self._end(fault)

    def _invite(self, fault: Fault) -> None:
        self._joined += 1
        guest = self._stack.join(fault.target, f"guest{self._joined}")
        try:
            self._until(guest.is_settled, f"another {fault.target} is ready")
        except BaseException:
            guest.leave()
            raise
        if guest.process.poll() is not None:
            raise RuntimeError(f"another {fault.target} ended by itself, with {guest.process.returncode}")
        self._in(fault.seconds, guest.leave)

    def _end(self, fault: Fault) -> None:
        stack, target = self._stack, fault.target
        if fault.kind == "kill":
            stack.kill(target)
        elif fault.kind in {"freeze", "zombie"}:
            pid = stack.signal(target, signal.SIGSTOP)
            self._in(fault.seconds, lambda: _go_on(pid))
        else:
            stack.retire(target)
            self._in(fault.seconds, lambda: stack.board.let_go(target))

    def _turn(self, dial: str, fault: Fault) -> None:
        self._stack.board.set(dial, fault.amount)
        self._in(fault.seconds, lambda: self._stack.board.set(dial, 0.0))

    def _under_load(self) -> None:
        wanted = len(self._ledger.chats) + STEP
        self._until(lambda: len(self._ledger.chats) >= wanted, "the load goes on")

    def _in(self, seconds: float, undo: Callable[[], None]) -> None:
        self._later.append((time.monotonic() + seconds, undo))

    def _pass(self, seconds: float) -> None:
        over = time.monotonic() + seconds
        self._until(lambda: time.monotonic() >= over, "time goes by")

    def _until(self, check: Callable[[], bool], what: str) -> None:
        """Wait; what is due meanwhile is undone."""
        give_up = time.monotonic() + PATIENCE_S
        while not check():
            now = time.monotonic()
            due = [undo for due_at, undo in self._later if due_at <= now]
            self._later = [(due_at, undo) for due_at, undo in self._later if due_at > now]
            for undo in due:
                undo()
            if now > give_up:
                raise TimeoutError(f"not within {PATIENCE_S:.0f} s: {what}")
            time.sleep(0.1)


def _go_on(pid: int) -> None:
    with suppress(ProcessLookupError):  # killed meanwhile
        os.kill(pid, signal.SIGCONT)
