"""What a commit and a row cost the archiver: it works backlogs of several sizes off, and a line is laid through them.

A process of its own on a broker of its own, so that no model is in the way. Rows are pieces of calls of fifty people,
so that each commit writes a file into each of the table's 16 buckets, as it does under load. A commit costs the same for a
hundred rows as for ten thousand: rows that were counted in small batches would seem to cost fifty times as much.
"""

from __future__ import annotations

import re
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import httpx
import numpy as np

from benchmarks.efficiency import running
from benchmarks.machine import cpu_seconds
from mmplatform.events import BlobRef, CallChunk, encode, utc_now
from mmplatform.ingest.producer import LogProducer, LogRecord
from mmplatform.ingest.topics import ensure_topics
from mmplatform.land.lakehouse import Lakehouse
from mmplatform.local.ports import any_free
from mmplatform.modalities import CALL
from mmplatform.settings import Settings, load

SIZES: Final = (100, 100, 1_000, 1_000, 5_000, 10_000)
PEOPLE: Final = 50
COMMIT_S: Final = 5.0
IDLE_S: Final = 10.0
PATIENCE_S: Final = 600.0


@dataclass(frozen=True, slots=True)
class Backlog:
    """One of them, worked off."""

    rows: int
    commits: int
    cpu_s: float


def archiver_costs(folder: Path) -> dict[str, float]:
    """Seconds of processor for a commit and for a row."""
    folder.mkdir(parents=True)
    port = any_free()
    settings = load(
        data_dir=folder, kafka=f"127.0.0.1:{port}", archive_commit_s=COMMIT_S, metrics_port=any_free(), chroma="unused"
    )
    broker = [sys.executable, "-m", "mmplatform.local.broker", "--data", str(folder / "broker"), "--port", str(port)]
    with running(broker, settings):
        ensure_topics(settings)
        with running([sys.executable, "-m", "mmplatform.worker", "archive"], settings) as worker:
            _until(lambda: _page(settings, "healthz") == "running")
            _worked_off(worker.pid, settings, 0, PEOPLE, idle=0.0)
            before = cpu_seconds(worker.pid)
            time.sleep(IDLE_S)
            idle = (cpu_seconds(worker.pid) - before) / IDLE_S
            found, sent = [], PEOPLE
            for rows in SIZES:
                found.append(_worked_off(worker.pid, settings, sent, rows, idle=idle))
                print(f"archiver: {found[-1]}", flush=True)
                sent += rows
    commit, row = fitted([(each.commits, each.rows) for each in found], [each.cpu_s for each in found])
    return {"commit_cpu_s": round(commit, 4), "row_cpu_s": round(row, 6)}


def fitted(amounts: Sequence[tuple[float, float]], seconds: Sequence[float]) -> tuple[float, float]:
    """Seconds for a commit and for a row: least squares, neither below nought."""
    table = np.array(amounts, dtype=float)
    (commit, row), *_ = np.linalg.lstsq(table, np.array(seconds), rcond=None)
    if row < 0:
        commit, row = sum(seconds) / table[:, 0].sum(), 0.0
    elif commit < 0:
        commit, row = 0.0, sum(seconds) / table[:, 1].sum()
    return float(commit), float(row)


def _worked_off(pid: int, settings: Settings, first: int, rows: int, *, idle: float) -> Backlog:
    there, began, used = _commits(settings), time.monotonic(), cpu_seconds(pid)
    producer = LogProducer(settings)
    producer.send_all(LogRecord(CALL.topic, key, value) for key, value in _pieces(first, rows))
    producer.close()
    _until(lambda: _taken(settings) >= first + rows)
    seconds = time.monotonic() - began
    return Backlog(rows, _commits(settings) - there, cpu_seconds(pid) - used - idle * seconds)


def _pieces(first: int, rows: int) -> Iterator[tuple[str, bytes]]:
    now = utc_now()
    blob = BlobRef(key="calls/piece.wav", sha256="0" * 64, size=32_044, media_type="audio/wav")
    for number in range(first, first + rows):
        call = f"call-{number % PEOPLE}"
        piece = CallChunk(
            event_id=f"{call}:{number}",
            conversation_id=call,
            subject_id=f"customer-{number % PEOPLE}",
            event_time=now,
            ingested_at=now,
            chunk_index=number // PEOPLE,
            start_s=float(number // PEOPLE),
            duration_s=1.0,
            sample_rate=8000,
            channels=2,
            speakers=("agent", "customer"),
            blob=blob,
        )
        yield call, encode(piece)


def _commits(settings: Settings) -> int:
    return len(Lakehouse.open(settings).table(CALL.raw_table).metadata.snapshots)


def _taken(settings: Settings) -> int:
    """Rows that landed since the worker started, as it counts them behind each commit."""
    pattern = r'^mmplatform_outcomes_total\{[^}]*outcome="rows"[^}]*\} (\S+)$'
    found = re.search(pattern, _page(settings, "metrics"), re.MULTILINE)
    return int(float(found[1])) if found else 0


def _page(settings: Settings, name: str) -> str:
    try:
        return httpx.get(f"http://127.0.0.1:{settings.metrics_port}/{name}", trust_env=False, timeout=30).text
    except httpx.TransportError:
        return ""


def _until(check: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not check():
        if time.monotonic() > deadline:
            raise SystemExit("the archiver is not done in time: nothing was measured")
        time.sleep(0.5)
