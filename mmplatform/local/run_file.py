"""``<data_dir>/run/stack.json``: who runs this data directory, where everything listens, and the lock that decides it.

The lock is a kernel file lock, which goes with its process however it ends. So a run file without a held lock is what a
crash left behind: :func:`running` gives None then, and the next ``up`` overwrites it.
"""

from __future__ import annotations

import fcntl
import os
import time
from pathlib import Path
from typing import Final, Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, ValidationError

from mmplatform.errors import Permanent, Unavailable
from mmplatform.settings import Settings

DAGSTER: Final = "dagster"
"""The name of the service that comes last."""

_DOWN_STATES: Final = {"crash-loop": "given up", "blocked": "blocked by that"}
_LOCK_TIMEOUT_S: Final = 1.0


class ServiceRun(BaseModel):
    """One process of the stack, as the run file tells of it.

    ``state`` is one of ``waiting``, ``starting``, ``ready``, ``restarting``, ``crash-loop``, ``blocked`` (what it needs
    was given up), ``stopping``, ``stopped``.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    pid: int | None
    state: str
    restarts: int
    metrics_url: str
    log: str
    note: str = ""
    replaceable: bool = False


class RollingRun(BaseModel):
    """A rolling restart: who asked, who is still to come, and for how long nobody worked in each one's place.

    ``failed`` says what ended it early.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    asked: str
    todo: tuple[str, ...] = ()
    paused_s: dict[str, float] = {}
    failed: str = ""

    @property
    def in_progress(self) -> bool:
        """Whether more is to come."""
        return bool(self.todo) and not self.failed


class StackRun(BaseModel):
    """One run of the stack. Addresses are empty for what is not part of it."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    pid: int
    started_at: AwareDatetime
    data_dir: str
    gateway: str
    kafka: str
    chroma: str
    dagster: str
    services: dict[str, ServiceRun]
    rolling: RollingRun | None = None

    @property
    def settled(self) -> bool:
        """Whether every service is ready or down; the Dagster UI, for which nothing waits, may still be coming."""
        return all(run.state in {"ready", *_DOWN_STATES} for name, run in self.services.items() if name != DAGSTER)

    @property
    def down_services(self) -> dict[str, ServiceRun]:
        """The services that come back only when they are retried, and those that wait for one of them."""
        return {name: run for name, run in self.services.items() if run.state in _DOWN_STATES}

    @property
    def down_summary(self) -> str:
        """Who is down, in words; empty when nobody is."""
        words = [
            f"{told}: {', '.join(names)}"
            for state, told in _DOWN_STATES.items()
            if (names := [name for name, run in self.services.items() if run.state == state])
        ]
        return "; ".join(words)


def run_dir(data_dir: Path) -> Path:
    """Where the run file and the lock lie."""
    return data_dir / "run"


def write(data_dir: Path, run: StackRun) -> None:
    """Replace the run file atomically: a reader sees the old one or the new one, never half of one."""
    path = run_dir(data_dir) / "stack.json"
    draft = path.with_suffix(".json.tmp")
    draft.write_text(run.model_dump_json(indent=2) + "\n", encoding="utf-8")
    draft.replace(path)


def remove(data_dir: Path) -> None:
    """Remove the run file: the stack stopped cleanly."""
    (run_dir(data_dir) / "stack.json").unlink(missing_ok=True)


def read(data_dir: Path) -> StackRun | None:
    """What the run file says, be it of a running stack or left behind by a crash; None when there is none."""
    try:
        return StackRun.model_validate_json((run_dir(data_dir) / "stack.json").read_bytes())
    except (OSError, ValidationError):
        return None


def read_running(data_dir: Path) -> StackRun | None:
    """The stack that runs on this data directory now, or None, also while one is only about to write its run file."""
    run = read(data_dir)
    # The pid in the lock tells a run file of this run from one that a crash left behind.
    return run if run is not None and is_locked(data_dir) and _owner_pid(data_dir) == run.pid else None


def with_chroma_address(settings: Settings) -> Settings:
    """The settings with the address of the running stack's index, where none is configured.

    Raises:
        Unavailable: none is configured, and no stack runs.
    """
    return _with_address(settings, "chroma_url", "index")


def with_kafka_address(settings: Settings) -> Settings:
    """The settings with the address of the running stack's log, where none is configured.

    Raises:
        Unavailable: none is configured, and no stack runs.
    """
    return _with_address(settings, "kafka_bootstrap_servers", "log")


def _with_address(
    settings: Settings, setting: Literal["chroma_url", "kafka_bootstrap_servers"], server: str
) -> Settings:
    if getattr(settings, setting):
        return settings
    run = read_running(settings.data_dir)
    address = getattr(run, setting) if run is not None else ""
    if not address:
        raise Unavailable(f"no {server} is running on {settings.data_dir}: start the stack with `mmplatform up`")
    return settings.model_copy(update={setting: address})


def is_locked(data_dir: Path) -> bool:
    """Whether a supervisor holds this data directory."""
    try:
        descriptor = os.open(run_dir(data_dir) / "stack.lock", os.O_RDONLY)
    except OSError:  # there is none, or the directory is not ours to read
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:
        return True
    finally:
        os.close(descriptor)
    return False


def _owner_pid(data_dir: Path) -> int | None:
    """The pid that the last holder wrote into the lock."""
    try:
        text = (run_dir(data_dir) / "stack.lock").read_text()
    except OSError:
        return None
    return int(text) if text.isdigit() else None


class StackLock:
    """The right to run the stack of one data directory."""

    def __init__(self, data_dir: Path) -> None:
        self._data_dir = data_dir
        self._descriptor: int | None = None

    def acquire(self) -> None:
        """Take it.

        Raises:
            Permanent: another supervisor runs this data directory, or the directory cannot be written.
        """
        path = run_dir(self._data_dir) / "stack.lock"
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
        except OSError as error:
            raise Permanent(
                f"cannot write {path.parent}: {error.strerror}; set MMPLATFORM_DATA_DIR to a directory of yours"
            ) from None
        # A little patience: `mmplatform status` holds the lock for an instant when it looks whether somebody does.
        give_up = time.monotonic() + _LOCK_TIMEOUT_S
        while True:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except OSError:
                if time.monotonic() > give_up:
                    os.close(descriptor)
                    raise Permanent(self._owner_message()) from None
                time.sleep(0.05)
        try:
            os.ftruncate(descriptor, 0)
            os.write(descriptor, str(os.getpid()).encode())
        except OSError as error:
            os.close(descriptor)
            raise Permanent(f"cannot write {path}: {error.strerror}") from None
        self._descriptor = descriptor

    def release(self) -> None:
        """Let go of it."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def _owner_message(self) -> str:
        run = read_running(self._data_dir)
        who = f"pid {_owner_pid(self._data_dir)}, starting"
        if run is not None:
            who = f"pid {run.pid} since {run.started_at:%Y-%m-%d %H:%M:%S} UTC, gateway {run.gateway}"
        return (
            f"a stack already runs on {self._data_dir} ({who}): see `mmplatform status`, stop it with"
            " `mmplatform down`, or set MMPLATFORM_DATA_DIR to run a second one beside it"
        )
