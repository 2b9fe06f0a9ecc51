"""The machine of the figures: printed beside every result."""

from __future__ import annotations

import os
import platform
from collections.abc import Iterable
from pathlib import Path

import psutil

from mmplatform.local.run_file import StackRun


def describe() -> str:
    """One line: processor, cores, memory, Python, load before the run."""
    load = ", ".join(f"{value:.1f}" for value in psutil.getloadavg())
    return (
        f"{_processor()}, {os.cpu_count()} cores, {psutil.virtual_memory().total / 2**30:.0f} GiB, "
        f"{platform.system()} {platform.release().split('-')[0]}, Python {platform.python_version()}, load {load}"
    )


def resident_bytes(pids: Iterable[int]) -> int:
    """Memory of processes and all that they started; shared pages count once for each (proportional set size)."""
    total = 0
    for pid in pids:
        try:
            process = psutil.Process(pid)
            family = [process, *process.children(recursive=True)]
        except psutil.NoSuchProcess:
            continue
        for member in family:
            try:
                total += member.memory_full_info().pss
            except (psutil.NoSuchProcess, psutil.AccessDenied):
                continue
    return total


def peak_bytes(pid: int | str) -> tuple[int, int]:
    """Resident memory of a process now, and its peak since :func:`reset_peak`, or since its start."""
    lines = Path(f"/proc/{pid}/status").read_text(encoding="utf-8").splitlines()
    fields = dict(line.split(":", 1) for line in lines)
    return int(fields["VmRSS"].split()[0]) * 1024, int(fields["VmHWM"].split()[0]) * 1024


def reset_peak(pid: int | str) -> None:
    """Begin a new peak of a process's memory."""
    Path(f"/proc/{pid}/clear_refs").write_text("5", encoding="ascii")


def cpu_seconds(pid: int) -> float:
    """Processor time that a process has used so far."""
    try:
        times = psutil.Process(pid).cpu_times()
    except psutil.NoSuchProcess:
        return 0.0
    return float(times.user + times.system)


def cpu_by_service(run: StackRun) -> dict[str, float]:
    """That of each process of a stack."""
    return {name: cpu_seconds(service.pid or 0) for name, service in run.services.items()}


def _processor() -> str:
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as lines:  # noqa: PTH123 - a kernel file
            return next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()
