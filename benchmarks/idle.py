"""Measures what a stack costs before it does anything: its start, its memory, and its processor time when idle.

    python -m benchmarks.idle [--minutes 2] [--settle 10] [--with-dagster] [--before CHECKOUT --times 3] [--data DIR]

Starts a stack of its own on a new data directory and free ports. Printed for each process: the processor seconds until
the whole stack was up, the memory then (shared pages divided among their processes), and the share of a core over the
idle minutes, with what it started and what ended meanwhile: runs that checks start are in it. ``--data`` measures the
stack that runs on that directory: the first column is then what each process used since its start. ``--before`` starts
the stack of another checkout too, in turn with this one, so that a slow moment of the machine hits both, and prints the
ratio of the two starts.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Final

import psutil

from benchmarks.machine import describe

_HERE: Final = Path(__file__).parents[1]
_CLI: Final = (sys.executable, "-m", "mmplatform")


@dataclass(frozen=True, slots=True)
class ProcessCost:
    """Processor seconds until the stack was up, proportional memory, threads, and the share of a core when idle."""

    start_cpu_s: float
    memory: int
    threads: int
    idle: float


@dataclass(frozen=True, slots=True)
class StackCost:
    """Seconds from the command until the stack was up, and the cost of each process."""

    start_s: float
    processes: dict[str, ProcessCost]

    @property
    def start_cpu_s(self) -> float:
        """Processor seconds of all processes."""
        return sum(cost.start_cpu_s for cost in self.processes.values())


@contextmanager
def running_stack(checkout: Path, *, dagster: bool) -> Iterator[tuple[float, dict[str, int]]]:
    """Run a checkout's stack on an empty data directory; yields the seconds of its start, and its pids by name."""
    with tempfile.TemporaryDirectory(prefix="idle-") as folder:
        environment = {
            **os.environ,
            "PYTHONPATH": str(checkout),
            "MMPLATFORM_DATA_DIR": folder,
            "MMPLATFORM_GATEWAY_PORT": "0",
            "MMPLATFORM_DAGSTER_PORT": "0",
        }

        def call(*arguments: str) -> None:
            command = [*_CLI, *arguments]
            subprocess.run(command, cwd=checkout, env=environment, check=True, stdout=subprocess.DEVNULL)

        try:
            started = time.monotonic()
            call("up", "--detach", *([] if dagster else ["--no-dagster"]))
            seconds = time.monotonic() - started
            yield seconds, pids_of(Path(folder))
        finally:
            call("down")


def pids_of(data_dir: Path) -> dict[str, int]:
    """Process ids of the stack that runs on a data directory, by service."""
    file = data_dir / "run" / "stack.json"
    if not file.exists():
        raise SystemExit(f"no stack runs on {data_dir}")
    run = json.loads(file.read_text())
    services = {name: row["pid"] for name, row in run["services"].items() if row["pid"]}
    return {"supervisor": run["pid"]} | services


def measure(checkout: Path, idle_s: float, settle_s: float, *, dagster: bool) -> StackCost:
    """Measure one start, and the idle time after it."""
    with running_stack(checkout, dagster=dagster) as (seconds, pids):
        return StackCost(seconds, measure_processes(pids, idle_s, settle_s))


def measure_processes(pids: dict[str, int], idle_s: float, settle_s: float) -> dict[str, ProcessCost]:
    """Measure what each process has used so far, and over ``idle_s`` seconds after ``settle_s`` more.

    Caches that the first requests fill, and garbage of the start, are no idle cost.
    """
    families = {name: _members(pid, pids) for name, pid in pids.items()}
    start = {name: _cpu_s(family) for name, family in families.items()}
    if idle_s:
        time.sleep(settle_s)
    before, since = {name: _cpu_s(_members(pid, pids)) for name, pid in pids.items()}, time.monotonic()
    time.sleep(idle_s)
    passed_s = time.monotonic() - since
    found = {}
    for name, pid in pids.items():
        family = _members(pid, pids)
        found[name] = ProcessCost(
            start_cpu_s=start[name],
            memory=sum(_memory(member) for member in family),
            threads=sum(_threads(member) for member in family),
            idle=(_cpu_s(family) - before[name]) / passed_s if idle_s else 0.0,
        )
    return found


def _members(pid: int, pids: dict[str, int]) -> list[psutil.Process]:
    """A process and its descendants, without those that are services themselves."""
    process = psutil.Process(pid)
    services = set(pids.values()) - {pid}
    return [process, *(child for child in process.children(recursive=True) if child.pid not in services)]


def _cpu_s(family: Sequence[psutil.Process]) -> float:
    """Processor seconds, with those of children that have ended."""
    total = 0.0
    for member in family:
        with suppress(psutil.NoSuchProcess):  # its parent counts it then
            times = member.cpu_times()
            total += times.user + times.system + times.children_user + times.children_system
    return total


def _memory(process: psutil.Process) -> int:
    """Proportional set size in bytes; 0 for one that has ended."""
    try:
        return int(process.memory_full_info().pss)
    except psutil.NoSuchProcess:
        return 0


def _threads(process: psutil.Process) -> int:
    try:
        return int(process.num_threads())
    except psutil.NoSuchProcess:
        return 0


def _print_processes(cost: StackCost) -> None:
    if cost.start_s:
        print(f"up after {cost.start_s:.1f} s")
    print("| process | processor seconds of its start | MiB | threads | % of a core when idle |\n|---|---|---|---|---|")
    for name, process in cost.processes.items():
        figures = f"{process.start_cpu_s:.1f} | {process.memory / 2**20:.0f} | {process.threads}"
        print(f"| {name} | {figures} | {100 * process.idle:.2f} |")
    memory = sum(process.memory for process in cost.processes.values()) / 2**20
    idle = 100 * sum(process.idle for process in cost.processes.values())
    threads = sum(process.threads for process in cost.processes.values())
    print(f"| all | {cost.start_cpu_s:.1f} | {memory:.0f} | {threads} | {idle:.2f} |", flush=True)


def _compare(before: Path, times: int, *, dagster: bool) -> None:
    """Start both checkouts in turn; print each and the ratio of the medians."""
    found: dict[Path, list[StackCost]] = {before: [], _HERE: []}
    print("| start | before, s | now, s | before, processor s | now, processor s |\n|---|---|---|---|---|")
    for number in range(times + 1):
        costs = {checkout: measure(checkout, 0.0, 0.0, dagster=dagster) for checkout in found}
        if number:  # the first brings files into the page cache
            for checkout, cost in costs.items():
                found[checkout].append(cost)
            old, new = costs[before], costs[_HERE]
            print(
                f"| {number} | {old.start_s:.1f} | {new.start_s:.1f} | {old.start_cpu_s:.1f} | {new.start_cpu_s:.1f} |",
                flush=True,
            )
    seconds = {checkout: median(cost.start_s for cost in costs) for checkout, costs in found.items()}
    cpu = {checkout: median(cost.start_cpu_s for cost in costs) for checkout, costs in found.items()}
    print(f"ratio of the medians: {seconds[_HERE] / seconds[before]:.2f} of the time,", end=" ")
    print(f"{cpu[_HERE] / cpu[before]:.2f} of the processor time")


def main() -> None:
    """Measure, and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=2.0, help="idle minutes; 0: the start alone")
    parser.add_argument("--settle", type=float, default=10.0, help="seconds after the start that are not counted")
    parser.add_argument("--data", type=Path, help="data directory of a running stack")
    parser.add_argument("--with-dagster", action="store_true")
    parser.add_argument("--before", type=Path, help="another checkout to start in turn with this one")
    parser.add_argument("--times", type=int, default=3, help="counted starts of both checkouts")
    arguments = parser.parse_args()
    print(f"machine: {describe()}", flush=True)
    idle_s, settle_s = 60 * arguments.minutes, arguments.settle
    if arguments.data is not None:
        _print_processes(StackCost(0.0, measure_processes(pids_of(arguments.data), idle_s, 0.0)))
        return
    if arguments.before is not None:
        _compare(arguments.before.absolute(), arguments.times, dagster=arguments.with_dagster)
    _print_processes(measure(_HERE, idle_s, settle_s, dagster=arguments.with_dagster))


if __name__ == "__main__":
    main()
