"""`mmplatform doctor`: checks the requirements of the stack on this machine, each finding with its fix."""

from __future__ import annotations

import importlib.util
import os
import resource
import shutil
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

import psutil

from mmplatform.derive.adapters.model_files import is_hub_name
from mmplatform.errors import Misconfigured, PlatformError
from mmplatform.events import utc_now
from mmplatform.kafka.connection import client_config
from mmplatform.land.blobs.open import open_blobs
from mmplatform.land.lakehouse.catalog import catalog_properties
from mmplatform.local import run_file
from mmplatform.local.doctor import idle_derivers
from mmplatform.local.doctor.cgroups import memory_left
from mmplatform.local.doctor.clock import is_synchronised
from mmplatform.local.doctor.connectivity import probe_external_servers
from mmplatform.local.doctor.finding import Finding
from mmplatform.local.doctor.models import check_models
from mmplatform.local.launch import OPEN_FILES_TARGET
from mmplatform.local.services import dagster_home, port_leases
from mmplatform.local.services.services import CHROMA_PORT, HOST, KAFKA_PORT
from mmplatform.local.status.worker_status import ProcessMeter
from mmplatform.settings import Settings
from mmplatform.settings.private_files import loose_mode

_MIN_DISK_BYTES: Final = 2_000_000_000
_GOOD_DISK_BYTES: Final = 10_000_000_000
_MIN_MEMORY_BYTES: Final = 2_000_000_000
_GOOD_MEMORY_BYTES: Final = 4_000_000_000
_MIN_OPEN_FILES: Final = 1_024
_GOOD_OPEN_FILES: Final = 4_096
_CLOCK_SAMPLE_S: Final = 0.3
_MAX_CLOCK_JUMP_S: Final = 0.05
_PLAUSIBLE_YEARS: Final = range(2025, 2100)
_SUPPORTED_PYTHONS: Final = ((3, 11), (3, 12))


def run_checks(settings: Settings) -> list[Finding]:
    """Run every check; none raises."""
    checks: tuple[Callable[[Settings], list[Finding]], ...] = (
        _python, _packages, _data_dir, _disk, _memory, _open_files, _ports, check_models, _clock,
        _stores, _dagster, _derivers, external_servers
    )  # fmt: skip
    return [finding for check in checks for finding in check(settings)]


def external_servers(settings: Settings) -> list[Finding]:
    """Check the connection to every configured server."""
    return [
        Finding(
            f"reach {service.setting}",
            "failed" if service.error else "ok",
            ": ".join(filter(None, (service.address, service.error or "answers"))),
            f"start it, or correct MMPLATFORM_{service.setting.upper()} (unset: the embedded one)"
            if service.error
            else "",
        )
        for service in probe_external_servers(settings)
    ]


def _python(_: Settings) -> list[Finding]:
    found = sys.version_info[:2]
    detail = f"{sys.version.split()[0]} at {sys.executable}"
    if found in _SUPPORTED_PYTHONS:
        return [Finding("python", "ok", detail)]
    return [Finding("python", "failed", detail, "install Python 3.11 or 3.12 and make a new environment with it")]


def _packages(settings: Settings) -> list[Finding]:
    wanted = {"quixstreams": "mmplatform", "pyiceberg": "mmplatform", "faster_whisper": "mmplatform"}
    if not settings.kafka_bootstrap_servers:
        wanted["kio"] = "mmplatform[local]"
    if not settings.chroma_url:
        wanted["chromadb_rust_bindings"] = "mmplatform"
    if settings.dagster_postgres_url.get_secret_value():
        wanted["dagster_postgres"] = "mmplatform[postgres]"
    missing = [name for name in wanted if importlib.util.find_spec(name) is None]
    if not missing:
        return [Finding("packages", "ok", ", ".join(wanted))]
    fix = "pip install " + " ".join(sorted({f"'{wanted[name]}'" for name in missing}))
    return [Finding("packages", "failed", f"missing: {', '.join(missing)}", fix)]


def _data_dir(settings: Settings) -> list[Finding]:
    data_dir = settings.data_dir.absolute()
    probe = data_dir / f".doctor-{os.getpid()}"
    try:
        data_dir.mkdir(parents=True, exist_ok=True)
        with probe.open("wb") as file:
            file.write(b"written")
            file.flush()
            os.fsync(file.fileno())
        probe.unlink()
    except OSError as error:
        fix = "allow this user to write there (chown, chmod), or set MMPLATFORM_DATA_DIR to a writable directory"
        return [Finding("data directory", "failed", f"{data_dir}: {error.strerror}", fix)]
    if mode := loose_mode(data_dir):
        fix = f"chmod 700 {data_dir}; no action needed for a volume that only these processes mount"
        return [Finding("data directory", "warning", f"{data_dir}: other users may read it (mode {mode:04o})", fix)]
    run = run_file.read_running(data_dir)
    return [Finding("data directory", "ok", f"{data_dir}" + (f", in use by pid {run.pid}" if run else ""))]


def _existing(path: Path) -> Path:
    path = path.absolute()
    while not path.exists():
        path = path.parent
    return path


def _disk(settings: Settings) -> list[Finding]:
    findings = []
    for name, path in (("disk for data", settings.data_dir), ("disk for models", settings.models_path)):
        free = shutil.disk_usage(_existing(path)).free
        detail = f"{free / 1e9:.1f} GB free for {path.absolute()}"
        fix = f"make room, or put {path.name} on a larger disk (MMPLATFORM_DATA_DIR, MMPLATFORM_MODELS_DIR)"
        findings.append(_graded_finding(name, free, _MIN_DISK_BYTES, _GOOD_DISK_BYTES, detail, fix))
    return findings


def _memory(settings: Settings) -> list[Finding]:
    free, left = psutil.virtual_memory().available, memory_left()
    detail = f"{free / 1e9:.1f} GB available"
    if left is not None and left < free:
        free, detail = (
            left,
            f"{left / 1e9:.1f} GB available under the limit of the control group (of a container, for example)",
        )
    # Memory that a running stack uses is available to a stack.
    run = run_file.read_running(settings.data_dir.absolute())
    used = _used_by(run) if run else 0
    if run:
        detail += f", {used / 1e9:.1f} GB in use by the running stack"
    fix = "stop other programs, or start fewer services: `mmplatform up --no-dagster --derivers call=0`"
    return [_graded_finding("memory", free + used, _MIN_MEMORY_BYTES, _GOOD_MEMORY_BYTES, detail, fix)]


def _used_by(run: run_file.StackRun) -> int:
    meter = ProcessMeter()
    found = (
        meter.measure(service.pid, include_children=True)
        for service in run.services.values()
        if service.pid is not None
    )
    return sum(usage.rss for usage in found if usage is not None)


def _open_files(_: Settings) -> list[Finding]:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    # `up` raises the soft limit itself, so the hard one counts.
    reachable = OPEN_FILES_TARGET if hard == resource.RLIM_INFINITY else hard
    detail = f"{soft} now, up to {reachable}"
    fix = "raise the hard limit: `ulimit -Hn 65536` as root, or nofile in /etc/security/limits.conf"
    return [_graded_finding("open files", reachable, _MIN_OPEN_FILES, _GOOD_OPEN_FILES, detail, fix)]


def _graded_finding(check: str, value: int, minimum: int, good: int, detail: str, fix: str) -> Finding:
    if value < minimum:
        return Finding(check, "failed", detail, fix)
    return Finding(check, "warning", detail, fix) if value < good else Finding(check, "ok", detail)


def _ports(settings: Settings) -> list[Finding]:
    if run_file.read_running(settings.data_dir.absolute()) is not None:
        return [Finding("ports", "ok", "used by the running stack, see `mmplatform status`")]
    wanted = [("gateway", settings.gateway_port, settings.gateway_host), ("dagster", settings.dagster_port, HOST)]
    wanted += [] if settings.kafka_bootstrap_servers else [("broker", KAFKA_PORT, HOST)]
    wanted += [] if settings.chroma_url else [("chroma", CHROMA_PORT, HOST)]
    occupied = [f"{name} {port}" for name, port, host in wanted if port and not port_leases.is_free(port, host)]
    if not occupied:
        return [Finding("ports", "ok", ", ".join(f"{name} {port or 'any'}" for name, port, _ in wanted))]
    fix = "no action needed: `mmplatform up` uses the next free port; or stop the program that listens there"
    return [Finding("ports", "warning", f"in use: {', '.join(occupied)}", fix)]


def _stores(settings: Settings) -> list[Finding]:
    """Check the form of store, log and model settings before a worker fails on them; nothing is contacted."""
    checks: dict[str, Callable[[Settings], object]] = {
        "blob_store_url": open_blobs,
        "iceberg_catalog": catalog_properties,
        "kafka_bootstrap_servers": client_config,
        "caption_model": _caption_model,
    }
    found = []
    for name, check in checks.items():
        if not getattr(settings, name):
            continue
        try:
            check(settings)
            found.append(Finding(f"settings {name}", "ok", "well-formed"))
        except PlatformError as error:
            found.append(Finding(f"settings {name}", "failed", str(error), f"correct MMPLATFORM_{name.upper()}"))
        except ValueError:  # of the address's parser; its message may contain a password
            found.append(Finding(f"settings {name}", "failed", "not an address", f"correct MMPLATFORM_{name.upper()}"))
    return found


def _dagster(settings: Settings) -> list[Finding]:
    """Check that the ``dagster.yaml`` of this data directory has the settings that the platform needs."""
    check, home = "dagster.yaml", settings.data_dir.absolute() / "dagster"
    if not (home / "dagster.yaml").exists():
        return [Finding(check, "ok", f"written to {home} by `mmplatform up`")]
    try:
        missing = dagster_home.missing_settings(home, settings)
    except Misconfigured as error:
        detail, _, fix = str(error).partition(": ")
        return [Finding(check, "failed", detail, fix)]
    if not missing:
        return [Finding(check, "ok", str(home))]
    fix = "delete it, and `mmplatform up` writes it again; or add this (docs/how-to/dagster.md)"
    return [Finding(check, "warning", f"{home}: {'; '.join(missing)}", fix)]


def _derivers(settings: Settings) -> list[Finding]:
    """Check that every deriver of the running stack has a topic partition to read."""
    run = run_file.read_running(settings.data_dir.absolute())
    found = idle_derivers.count_derivers_and_partitions(settings, run) if run else {}
    detail = ", ".join(f"{modality} {n} for {parts} topic partitions" for modality, (n, parts) in found.items())
    if not (spare := idle_derivers.idle_derivers(found)):
        return [Finding("derivers", "ok", detail)] if detail else []
    fix = f"start fewer of {', '.join(spare)}, or `mmplatform topics --partitions` (docs/how-to/scaling.md)"
    return [Finding("derivers", "warning", detail, fix)]


def _caption_model(settings: Settings) -> None:
    if importlib.util.find_spec("torch") is None:
        raise Misconfigured("torch is missing, which MMPLATFORM_CAPTION_MODEL needs: install the extra `caption`")
    name = settings.caption_model
    if not is_hub_name(name) and not Path(name).is_dir():
        raise Misconfigured(f"MMPLATFORM_CAPTION_MODEL={name} is neither a directory nor a hub name (owner/name)")


def _clock(_: Settings) -> list[Finding]:
    """Check that the clock is plausible, steady and synchronised; its offset cannot be measured here."""
    wall, monotonic = time.time(), time.monotonic()
    time.sleep(_CLOCK_SAMPLE_S)
    error = abs((time.time() - wall) - (time.monotonic() - monotonic))
    now = utc_now()
    fix = "set the clock: turn on time synchronisation (chrony, systemd-timesyncd); otherwise event times are refused"
    if now.year not in _PLAUSIBLE_YEARS:
        return [Finding("clock", "failed", f"it shows {now:%Y-%m-%d %H:%M} UTC", fix)]
    if error > _MAX_CLOCK_JUMP_S:
        return [Finding("clock", "failed", f"it jumped by {error:.2f} s within {_CLOCK_SAMPLE_S} s", fix)]
    detail, synchronised = f"{now:%Y-%m-%d %H:%M:%S} UTC, steady", is_synchronised()
    if synchronised is None:
        return [Finding("clock", "ok", f"{detail}; its offset is not checked on this system")]
    if not synchronised:
        detail += "; the kernel reports no synchronisation, so its offset may be of any size"
        return [Finding("clock", "warning", detail, f"{fix}; no action needed where a host keeps it (a container)")]
    return [Finding("clock", "ok", f"{detail}, synchronised")]
