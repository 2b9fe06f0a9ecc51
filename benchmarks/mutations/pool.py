"""Judges mutants in processes of their own: a decoder may hang, crash, or take all memory."""

from __future__ import annotations

import multiprocessing
import os
import time
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import Any, Final

from benchmarks.machine import peak_bytes, reset_peak
from benchmarks.mutations.mutate import mutant
from benchmarks.mutations.samples import samples
from benchmarks.mutations.verdict import LOST, Judge, open_judge

MAX_SECONDS: Final = 300.0
"""Wall-clock time of a file, on a machine that has other work; what ends later hangs."""

MAX_BYTES: Final = 1_500_000_000
"""Memory of a file over that of the process: an image of the largest accepted size takes 7 bytes a pixel."""

_READY: Final = "ready"


@dataclass(frozen=True, slots=True)
class Result:
    """Verdict of one mutant, and what it cost."""

    number: int
    format: str
    mutation: str
    end: str
    reason: str
    seconds: float
    bytes: int


@dataclass(slots=True)
class _Worker:
    process: BaseProcess
    connection: Connection
    number: int = -1
    since: float = 0.0


def judge_all(numbers: list[int], seed: int, workers: int) -> Iterator[Result]:
    """Judge mutants by number; results come in the order in which they are done."""
    pool = [_start(seed) for _ in range(workers)]
    for worker in pool:
        _await_ready(worker)
    left = iter(numbers)
    try:
        busy = [worker for worker in pool if _give(worker, left)]
        while busy:
            ready = wait([worker.connection for worker in busy], timeout=1.0)
            for worker in [worker for worker in busy if worker.connection in ready or _is_late(worker)]:
                busy.remove(worker)
                result = _receive(worker, seed)
                yield result
                if _give(worker, left):
                    busy.append(worker)
    finally:
        for worker in pool:
            worker.process.kill()
            worker.process.join()


def _is_late(worker: _Worker) -> bool:
    return time.monotonic() - worker.since > MAX_SECONDS


def _give(worker: _Worker, left: Iterator[int]) -> bool:
    number = next(left, None)
    if number is None:
        return False
    worker.number, worker.since = number, time.monotonic()
    worker.connection.send(number)
    return True


def _receive(worker: _Worker, seed: int) -> Result:
    """Receive a result; a worker that hangs or crashed is replaced."""
    try:
        if worker.connection.poll():
            result: Result = worker.connection.recv()
            return result
        reason = f"no end after {MAX_SECONDS:.0f} s"
    except (EOFError, ConnectionError):
        worker.process.join()
        reason = f"the process ended with code {worker.process.exitcode}"
    worker.process.kill()
    worker.process.join()
    fresh = _start(seed)
    _await_ready(fresh)
    worker.process, worker.connection = fresh.process, fresh.connection
    changed = mutant(worker.number, seed, samples())
    return Result(worker.number, changed.format, changed.mutation, LOST, reason, time.monotonic() - worker.since, 0)


def _start(seed: int) -> _Worker:
    context = multiprocessing.get_context("spawn")
    parent, child = context.Pipe()
    process = context.Process(target=_serve, args=(child, seed), daemon=True)
    process.start()
    child.close()
    return _Worker(process, parent)


def _await_ready(worker: _Worker) -> None:
    """Wait until a process has loaded its libraries: that time counts for no file."""
    assert worker.connection.recv() == _READY


def _serve(connection: Any, seed: int) -> None:
    """Judge numbers until the parent ends."""
    warnings.simplefilter("ignore")  # Pillow's, one for each damaged EXIF field
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)  # libtiff's messages
    with open_judge() as judge:
        _serve_numbers(connection, seed, judge)


def _serve_numbers(connection: Any, seed: int, judge: Judge) -> None:
    sound = samples()
    judge.judge(mutant(0, seed, sound))
    connection.send(_READY)
    while True:
        number = connection.recv()
        changed = mutant(number, seed, sound)
        reset_peak("self")
        before, started = peak_bytes("self")[0], time.process_time()
        verdict = judge.judge(changed)
        used = peak_bytes("self")[1] - before
        end, reason = (verdict.end, verdict.reason) if used <= MAX_BYTES else (LOST, f"{used / 1e6:.0f} MB of memory")
        seconds = time.process_time() - started
        connection.send(Result(number, changed.format, changed.mutation, end, reason, seconds, used))
