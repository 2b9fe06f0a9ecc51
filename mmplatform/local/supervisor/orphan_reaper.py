"""``python -m mmplatform.local.supervisor.orphan_reaper COOKIE``: ends the stack's processes when the supervisor dies.

It is the portable net under the parent-death signal of Linux, and reaches grandchildren too. The supervisor holds the
other end of its standard input and writes ``+PID`` when a child starts and ``-PID`` when its group is gone. When that
input ends, it ends the groups still listed and every process that carries the cookie. After a clean stop there is none.
"""

from __future__ import annotations

import signal
import subprocess
import sys
from contextlib import suppress
from typing import IO, Final

import psutil

from mmplatform.local.supervisor.processes import groups_of, release, sweep, with_cookie

GRACE_S: Final = 3.0


class Leash:
    """The supervisor's end: keeps the leash process alive and informed."""

    def __init__(self, cookie: str) -> None:
        self._cookie = cookie
        self._process: subprocess.Popen[bytes] | None = None
        self._groups: set[int] = set()

    @property
    def pid(self) -> int | None:
        """The leash process."""
        return self._process.pid if self._process else None

    def hold(self) -> None:
        """Start it, or start it again when it died."""
        if self._process is not None:
            if self._process.poll() is None:
                return
            release(self._process)
        self._process = subprocess.Popen(
            [sys.executable, "-m", "mmplatform.local.supervisor.orphan_reaper", self._cookie],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        for group in self._groups:
            self._tell(f"+{group}")

    def add(self, group: int) -> None:
        """A child was started."""
        self._groups.add(group)
        self._tell(f"+{group}")

    def drop(self, group: int) -> None:
        """A child and its group are gone: its number may belong to another soon."""
        self._groups.discard(group)
        self._tell(f"-{group}")

    def let_go(self) -> None:
        """Close it; it looks once whether anything is left, and ends."""
        process, self._process = self._process, None
        if process is None:
            return
        if process.stdin is not None:
            with suppress(OSError):
                process.stdin.close()
        try:
            process.wait(timeout=GRACE_S + 12)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def _tell(self, line: str) -> None:
        # A broken pipe: it died; the next hold() starts it again and repeats all groups.
        with suppress(OSError):
            if self._process is not None and self._process.stdin is not None:
                self._process.stdin.write(f"{line}\n".encode())
                self._process.stdin.flush()


def groups_at_end(lines: IO[bytes]) -> set[int]:
    """Read until the supervisor is gone; return the groups that it had not dropped."""
    groups: set[int] = set()
    for line in lines:
        word = line.strip().decode(errors="replace")
        if not word[1:].isdigit():
            continue  # half a line: the supervisor died while writing it
        if word.startswith("+"):
            groups.add(int(word[1:]))
        elif word.startswith("-"):
            groups.discard(int(word[1:]))
    return groups


def main() -> None:
    """Wait for the end of standard input, then sweep."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    cookie = sys.argv[1]
    groups = groups_at_end(sys.stdin.buffer)

    def left() -> list[psutil.Process]:
        carriers = with_cookie(lambda found: found == cookie)
        known = {process.pid for process in carriers}
        return carriers + [process for process in groups_of(groups) if process.pid not in known]

    sweep(left, grace_s=GRACE_S)


if __name__ == "__main__":
    main()
