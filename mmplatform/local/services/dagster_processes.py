"""``python -m mmplatform.local.services.dagster_processes --host H --port N (-w FILE | -m MODULE)``: runs Dagster.

It starts a code server, the webserver and the daemon, and ends all when one of them ends or a signal comes. ``dagster
dev`` has two processes more: itself with all of Dagster imported, and a proxy of the code server, which reloads code.
Together they are 180 MB and a hundredth of a core. Dagster is not imported here.

A workspace that is more than files and modules of Python is left to ``dagster dev``.
"""

from __future__ import annotations

import argparse
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any, Final

_POLL_S: Final = 0.5
_START_S: Final = 240.0
"""A code server imports Dagster before it listens: 4 s on a free core, much more on one that is shared."""

_GRACE_S: Final = 10.0
_PROGRAM: Final = (sys.executable, "-m", "dagster")
_LOADABLE: Final = {"python_file": "-f", "python_module": "-m", "python_package": "--package-name"}
_TARGETS: Final = {"python_file": "relative_path", "python_module": "module_name", "python_package": "package_name"}


@dataclass(frozen=True, slots=True)
class CodeLocation:
    """A code location of a workspace: its name, and the arguments that load it."""

    name: str
    arguments: tuple[str, ...]


def read_workspace(file: Path) -> list[CodeLocation] | None:
    """Read the code locations of a workspace file; ``None`` where one is no file, module or package of Python."""
    from yaml import YAMLError, safe_load

    try:
        entries = (safe_load(file.read_text(encoding="utf-8")) or {}).get("load_from", [])
    except (YAMLError, OSError, AttributeError, UnicodeDecodeError):
        entries = None
    if not isinstance(entries, list):
        return None  # Dagster's own message names the error
    locations = [_parse_location(entry, file.parent) for entry in entries]
    found = [location for location in locations if location is not None]
    return found if found and len(found) == len(locations) else None


def _parse_location(entry: Any, folder: Path) -> CodeLocation | None:
    if not isinstance(entry, dict) or len(entry) != 1:
        return None
    [(kind, given)] = entry.items()
    if kind not in _LOADABLE or not isinstance(given, dict):
        return None
    fields = {name: str(value) for name, value in given.items()}
    target = fields.pop(_TARGETS[kind], "")
    working_directory = str(folder / fields.pop("working_directory", "."))
    name, attribute = fields.pop("location_name", ""), fields.pop("attribute", "")
    if not target or fields:
        return None
    loaded = str(folder / target) if kind == "python_file" else target
    arguments = [_LOADABLE[kind], loaded, "-d", working_directory, *(["-a", attribute] if attribute else [])]
    return CodeLocation(name or Path(target).name, tuple(arguments))


def run(host: str, port: int, locations: Sequence[CodeLocation]) -> int:
    """Run all processes until one ends or a signal comes; return the exit code of the one that ended."""
    stopped = False

    def stop(_number: int, _frame: FrameType | None) -> None:
        nonlocal stopped
        stopped = True

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, stop)
    with ExitStack() as stack:
        # Not in the data directory: the path of a socket has at most 107 characters.
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="dagster-")))
        children: list[subprocess.Popen[bytes]] = []
        stack.callback(_end, children)
        sockets = [folder / f"{number}.sock" for number in range(len(locations))]
        for location, path in zip(locations, sockets, strict=True):
            children.append(_start_code_server(location, path))
        workspace = folder / "workspace.yaml"
        workspace.write_text(_workspace_yaml(locations, sockets), encoding="utf-8")

        def first_ended() -> int | None:
            return 0 if stopped else next((code for child in children if (code := child.poll()) is not None), None)

        if (code := _wait_until(lambda: all(map(_listens, sockets)), first_ended)) is not None:
            return code
        options = ["-w", str(workspace), "--log-format", "colored"]
        webserver = ["-h", host, "-p", str(port), "--dagster-log-level", "info"]
        children.append(subprocess.Popen([sys.executable, "-m", "dagster_webserver", *options, *webserver]))
        children.append(subprocess.Popen([sys.executable, "-m", "dagster._daemon", "run", *options]))
        while (code := first_ended()) is None:
            time.sleep(_POLL_S)
        return code


def _start_code_server(location: CodeLocation, path: Path) -> subprocess.Popen[bytes]:
    command = [*_PROGRAM, "api", "grpc", "--socket", str(path), "--location-name", location.name]
    # Lazily: the webserver and the daemon are imported while the definitions load.
    options = ["--lazy-load-user-code", "--log-level", "warning", "--use-python-environment-entry-point"]
    return subprocess.Popen([*command, *options, *location.arguments])


def _workspace_yaml(locations: Sequence[CodeLocation], sockets: Sequence[Path]) -> str:
    from yaml import safe_dump

    servers = [
        {"grpc_server": {"host": "localhost", "socket": str(path), "location_name": location.name}}
        for location, path in zip(locations, sockets, strict=True)
    ]
    return str(safe_dump({"load_from": servers}))


def _listens(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX) as client, suppress(OSError):
        client.connect(str(path))
        return True
    return False


def _wait_until(condition: Callable[[], bool], ended: Callable[[], int | None]) -> int | None:
    """Wait for a condition; return an exit code when a process has ended, a signal came, or the time is over."""
    give_up = time.monotonic() + _START_S
    while not condition():
        if (code := ended()) is not None:
            return code
        if time.monotonic() > give_up:
            sys.stderr.write(f"the code server does not listen after {_START_S:.0f} s\n")
            return 1
        time.sleep(_POLL_S)
    return None


def _end(children: Sequence[subprocess.Popen[bytes]]) -> None:
    """End the children, the last first: the daemon launches runs in the code server."""
    for child in reversed(children):
        if child.poll() is None:
            child.terminate()
    give_up = time.monotonic() + _GRACE_S
    for child in reversed(children):
        try:
            child.wait(timeout=max(give_up - time.monotonic(), 0.1))
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()


def main() -> int:
    """Run Dagster until a signal comes."""
    parser = argparse.ArgumentParser(prog="python -m mmplatform.local.services.dagster_processes")
    parser.add_argument("--host", required=True)
    parser.add_argument("--port", type=int, required=True)
    code = parser.add_mutually_exclusive_group(required=True)
    code.add_argument("-w", "--workspace", type=Path)
    code.add_argument("-m", "--module")
    given = parser.parse_args()
    if given.module:
        locations: list[CodeLocation] | None = [CodeLocation(given.module, ("-m", given.module, "-d", str(Path.cwd())))]
    else:
        locations = read_workspace(given.workspace)
    if locations is None:
        command = [*_PROGRAM, "dev", "--host", given.host, "--port", str(given.port), "-w", str(given.workspace)]
        os.execv(command[0], command)  # noqa: S606 - no shell, and the program is this Python
    return run(given.host, given.port, locations)


if __name__ == "__main__":
    sys.exit(main())
