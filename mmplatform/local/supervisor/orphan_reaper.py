"""``python -m mmplatform.local.supervisor.orphan_reaper COOKIE``: ends the stack's processes when the supervisor dies.

It is the portable fallback of Linux's parent-death signal, and reaches grandchildren too. The supervisor has the other
end of its standard input and writes ``+PID`` when a child starts and ``-PID`` when its group has ended. When that input
ends, it ends the groups still listed and every process with the cookie. After a clean stop there is none.
"""

from __future__ import annotations

import signal
import subprocess
import sys
from contextlib import suppress
from typing import IO, Final

import psutil

from mmplatform.local.supervisor.processes import collect_exit, find_by_cookie, find_in_groups, terminate_all

GRACE_S: Final = 3.0


class OrphanReaper:
    """The supervisor's side: keeps the reaper process running and informed."""

    def __init__(self, cookie: str) -> None:
        self._cookie = cookie
        self._process: subprocess.Popen[bytes] | None = None
        self._groups: set[int] = set()

    @property
    def pid(self) -> int | None:
        """Pid of the reaper process."""
        return self._process.pid if self._process else None

    def ensure_running(self) -> None:
        """Start it, also when it has ended."""
        if self._process is not None:
            if self._process.poll() is None:
                return
            collect_exit(self._process)
        self._process = subprocess.Popen(
            [sys.executable, "-m", "mmplatform.local.supervisor.orphan_reaper", self._cookie],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        for group in self._groups:
            self._send(f"+{group}")

    def add_group(self, group: int) -> None:
        """Add the process group of a child that was started."""
        self._groups.add(group)
        self._send(f"+{group}")

    def drop_group(self, group: int) -> None:
        """Remove a process group that has ended: its number may belong to another soon."""
        self._groups.discard(group)
        self._send(f"-{group}")

    def close(self) -> None:
        """Close its input: it checks once for orphans, and ends."""
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

    def _send(self, line: str) -> None:
        # A broken pipe: it has ended; the next ensure_running() starts it again and repeats all groups.
        with suppress(OSError):
            if self._process is not None and self._process.stdin is not None:
                self._process.stdin.write(f"{line}\n".encode())
                self._process.stdin.flush()


def read_groups(lines: IO[bytes]) -> set[int]:
    """Read until the supervisor has ended; return the groups that it had not removed."""
    groups: set[int] = set()
    for line in lines:
        word = line.strip().decode(errors="replace")
        if not word[1:].isdigit():
            continue  # a partial line: the supervisor was killed while writing it
        if word.startswith("+"):
            groups.add(int(word[1:]))
        elif word.startswith("-"):
            groups.discard(int(word[1:]))
    return groups


def main() -> None:
    """Wait for the end of standard input, then end the orphans."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    cookie = sys.argv[1]
    groups = read_groups(sys.stdin.buffer)

    def find_orphans() -> list[psutil.Process]:
        carriers = find_by_cookie(lambda found: found == cookie)
        pids = {process.pid for process in carriers}
        return carriers + [process for process in find_in_groups(groups) if process.pid not in pids]

    terminate_all(find_orphans, grace_s=GRACE_S)


if __name__ == "__main__":
    main()
