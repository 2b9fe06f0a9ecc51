"""Run file ``<data_dir>/run/stack.json``: services and addresses of the running stack, and its supervisor's lock.

The lock is a kernel file lock and ends with its process. A run file without a locked lock file was left behind by a
crash: :func:`read_running` then returns None, and the next ``up`` overwrites it.
"""

from __future__ import annotations

import fcntl
import os
import time
from pathlib import Path
from typing import Final

from pydantic import AwareDatetime, BaseModel, ConfigDict, ValidationError

from mmplatform.errors import Permanent, Unavailable
from mmplatform.settings import Settings

DAGSTER: Final = "dagster"
"""Name of the service that starts last."""

CANARY: Final = "canary"
"""Name of the service of the canaries."""

_DOWN_STATES: Final = {"crash-loop": "given up", "blocked": "blocked by that"}
_LOCK_TIMEOUT_S: Final = 1.0


class ServiceRun(BaseModel):
    """One process of the stack in the run file.

    ``state`` is one of ``waiting``, ``starting``, ``ready``, ``restarting``, ``crash-loop``, ``blocked`` (a
    service that it needs was given up), ``stopping``, ``stopped``.
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
    """Progress of a rolling restart: the request's token, the services left, and the seconds in which each was paused.

    ``failed`` is the reason for an early end.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    asked: str
    todo: tuple[str, ...] = ()
    paused_s: dict[str, float] = {}
    failed: str = ""

    @property
    def in_progress(self) -> bool:
        """True while services are left to restart."""
        return bool(self.todo) and not self.failed


class StackRun(BaseModel):
    """One run of the stack. The address of a server that is not part of it is empty."""

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
        """True when every service is ready or down."""
        return not self.pending_services

    @property
    def pending_services(self) -> dict[str, ServiceRun]:
        """Services that are neither ready nor down: they wait, start or restart."""
        return {name: run for name, run in self.services.items() if run.state not in {"ready", *_DOWN_STATES}}

    @property
    def down_services(self) -> dict[str, ServiceRun]:
        """Services that were given up, and those blocked by one of them."""
        return {name: run for name, run in self.services.items() if run.state in _DOWN_STATES}

    @property
    def down_summary(self) -> str:
        """Services that are down, as text; empty when none is."""
        groups = [
            f"{label}: {', '.join(names)}"
            for state, label in _DOWN_STATES.items()
            if (names := [name for name, run in self.services.items() if run.state == state])
        ]
        return "; ".join(groups)


def run_dir(data_dir: Path) -> Path:
    """Directory of the run file and the lock file."""
    return data_dir / "run"


def write(data_dir: Path, run: StackRun) -> None:
    """Replace the run file atomically: a reader sees the old or the new one, never a part."""
    path = run_dir(data_dir) / "stack.json"
    draft = path.with_suffix(".json.tmp")
    draft.write_text(run.model_dump_json(indent=2) + "\n", encoding="utf-8")
    draft.replace(path)


def remove(data_dir: Path) -> None:
    """Remove the run file: the stack stopped cleanly."""
    (run_dir(data_dir) / "stack.json").unlink(missing_ok=True)


def read(data_dir: Path) -> StackRun | None:
    """Read the run file, also one left behind by a crash; None when there is none."""
    try:
        return StackRun.model_validate_json((run_dir(data_dir) / "stack.json").read_bytes())
    except (OSError, ValidationError):
        return None


def read_running(data_dir: Path) -> StackRun | None:
    """Read the run file of the stack that runs now; None when none runs, or before it has written its run file."""
    run = read(data_dir)
    # The pid in the lock file distinguishes this run's file from one left behind by a crash.
    return run if run is not None and is_locked(data_dir) and _owner_pid(data_dir) == run.pid else None


def with_chroma_address(settings: Settings) -> Settings:
    """Fill in the address of the running stack's Chroma server where none is configured.

    Raises:
        Unavailable: none is configured, and no stack runs.
    """
    if settings.chroma_url:
        return settings
    run = read_running(settings.data_dir)
    return settings.model_copy(update={"chroma_url": _present(run.chroma if run else "", "index", settings)})


def with_kafka_address(settings: Settings) -> Settings:
    """Fill in the address of the running stack's broker where none is configured.

    Raises:
        Unavailable: none is configured, and no stack runs.
    """
    if settings.kafka_bootstrap_servers:
        return settings
    run = read_running(settings.data_dir)
    return settings.model_copy(update={"kafka_bootstrap_servers": _present(run.kafka if run else "", "log", settings)})


def _present(address: str, server: str, settings: Settings) -> str:
    if not address:
        raise Unavailable(f"no {server} is running on {settings.data_dir}: start the stack with `mmplatform up`")
    return address


def is_locked(data_dir: Path) -> bool:
    """Check whether a supervisor runs on this data directory.

    By a shared lock on a descriptor for reading, so that asking for the status needs no right to write.
    """
    try:
        descriptor = os.open(run_dir(data_dir) / "stack.lock", os.O_RDONLY)
    except OSError:  # missing, or not readable by this user
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:
        return True
    finally:
        os.close(descriptor)
    return False


def _owner_pid(data_dir: Path) -> int | None:
    """Pid that the last owner wrote into the lock file."""
    try:
        text = (run_dir(data_dir) / "stack.lock").read_text()
    except OSError:
        return None
    return int(text) if text.isdigit() else None


class StackLock:
    """Lock that lets one supervisor run the stack of a data directory.

    ``flock`` by hand: the file carries the owner's pid, and :func:`is_locked` needs a shared lock for reading.
    """

    def __init__(self, data_dir: Path) -> None:
        self._data_dir = data_dir
        self._descriptor: int | None = None

    def acquire(self) -> None:
        """Lock the data directory.

        Raises:
            Permanent: another supervisor runs this data directory, or the directory cannot be written.
        """
        path = run_dir(self._data_dir) / "stack.lock"
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        except OSError as error:
            raise Permanent(
                f"cannot write {path.parent}: {error.strerror}; set MMPLATFORM_DATA_DIR to a writable directory"
            ) from None
        # Wait up to 1 s: `mmplatform status` holds a shared lock for an instant while it checks.
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
        """Release the lock."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def _owner_message(self) -> str:
        run = read_running(self._data_dir)
        owner = f"pid {_owner_pid(self._data_dir)}, starting"
        if run is not None:
            owner = f"pid {run.pid} since {run.started_at:%Y-%m-%d %H:%M:%S} UTC, gateway {run.gateway}"
        return (
            f"a stack already runs on {self._data_dir} ({owner}): see `mmplatform status`, stop it with"
            " `mmplatform down`, or set MMPLATFORM_DATA_DIR to run a second one"
        )
