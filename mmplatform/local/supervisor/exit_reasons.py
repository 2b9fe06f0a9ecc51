"""Describes how a child process ended, and suggests a fix."""

from __future__ import annotations

import re
import signal
from collections.abc import Sequence
from typing import Final

_HINTS: Final[tuple[tuple[str, str], ...]] = (
    (r"No module named 'kio", "Install the embedded broker's package: pip install 'mmplatform[local]'."),
    (r"No module named '([\w.]+)'", "A package is missing: install mmplatform again into this Python."),
    (
        r"[Aa]ddress already in use",
        "Another program uses its port: `mmplatform down`, then `mmplatform up` picks a free one.",
    ),
    (r"No space left on device", "The disk is full: make room, see `mmplatform doctor`."),
    (r"MemoryError|Cannot allocate memory", "Memory ran out: stop other programs or start fewer derivers."),
    (r"Too many open files", "Raise the limit: ulimit -n 8192, then `mmplatform up` again."),
    (r"models? pull", "A model is missing: `mmplatform models pull`."),
)


def describe_exit(code: int) -> str:
    """Describe how a process ended, from Python's exit status (negative: a signal)."""
    if code >= 0:
        return f"ended with exit code {code}"
    try:
        name = signal.Signals(-code).name
    except ValueError:
        name = f"signal {-code}"
    if -code == signal.SIGKILL:
        return f"was killed ({name}: by a user, or by the system when memory ran out)"
    return f"was ended by {name}"


def suggest_fix(name: str, log_lines: Sequence[str]) -> str:
    """Suggest a fix from the last log lines of the process ``name`` and the way it ended."""
    text = "\n".join(log_lines)
    fix = next((remedy for pattern, remedy in _HINTS if re.search(pattern, text)), "")
    instruction = fix or f"Read `mmplatform logs {name}` and fix the cause."
    return f"{instruction} Then `mmplatform start-failed`."
