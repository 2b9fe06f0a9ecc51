"""Environment of a child process: the supervisor's settings as ``MMPLATFORM_*`` variables of one worker.

Pure: reads nothing from the environment. The supervisor merges the result into its own environment, so that a user's
variables (AWS keys, proxies) reach the workers too.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

from mmplatform.settings import DETECT_LANGUAGE, Settings
from mmplatform.settings.environment import secret_text

_SINGLE_THREADED: Final = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "POLARS_MAX_THREADS": "1"}
"""Libraries that would each start a thread per core. A model that gains by threads has its own setting."""

FEW_ARENAS: Final = {"MALLOC_ARENA_MAX": "2"}
"""glibc gives nearly every thread its own arena, which never shrinks: memory grew for an hour."""

_PATHS: Final = ("data_dir", "models_dir", "redaction_policy")
_FILE: Final = "file:"


@dataclass(frozen=True, slots=True)
class Addresses:
    """Addresses of the stack's servers: as the user configured them, or as the supervisor picked them.

    Attributes:
        kafka: bootstrap servers, ``host:port,…``.
        chroma: ``http://host:port``.
        gateway_port: the gateway's port, on ``settings.gateway_host``.
    """

    kafka: str
    chroma: str
    gateway_port: int


def worker_environment(
    settings: Settings, addresses: Addresses, *, instance: str = "0", metrics_port: int = 0
) -> dict[str, str]:
    """Return all variables of one worker, with absolute paths."""
    overrides = {
        "kafka_bootstrap_servers": addresses.kafka,
        "chroma_url": addresses.chroma,
        "gateway_port": addresses.gateway_port,
        "metrics_port": metrics_port,
        "worker_instance_id": instance,
    }
    values = {setting.name: setting.value for setting in settings.flattened()} | overrides
    # Unbuffered: otherwise a worker's last lines before a crash stay in its buffer.
    return {"PYTHONUNBUFFERED": "1", **_SINGLE_THREADED, **FEW_ARENAS} | {
        f"MMPLATFORM_{name.upper()}": _text(name, value) for name, value in values.items() if value is not None
    }


def _text(name: str, value: object) -> str:
    value = secret_text(value)
    if name in _PATHS and isinstance(value, Path):
        return str(value.absolute())
    if name == "openlineage_url" and str(value).startswith(_FILE):  # Dagster runs in its own folder
        return f"{_FILE}{Path(str(value).removeprefix(_FILE)).absolute()}"
    if name == "asr_language" and not value:
        return DETECT_LANGUAGE  # an empty variable is an unset one
    return str(value)
