"""Measures what the archiver pays for a commit and a row, and the indexer for a passage, when there is enough to do.

Each works backlogs off: a process of its own on a broker of its own, so that no model is in the way. In small batches a
row seems to cost what is the commit's, fifty times as much, and a passage what is the upsert's. The archiver's rows are
pieces of calls of fifty people, so that each commit writes a file into each of the table's 16 buckets, as under load.
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
from mmplatform.artifacts import Passage, Provenance, Stamps, artifact_id, pack_vector
from mmplatform.events import BlobRef, CallChunk, Position, encode, utc_now
from mmplatform.identity import DEFAULT_TENANT, event_uid
from mmplatform.kafka.headers import open_pseudonyms, output_headers
from mmplatform.kafka.producer import LogProducer, LogRecord
from mmplatform.kafka.topics import ensure_topics
from mmplatform.land.lakehouse.store import Lakehouse
from mmplatform.local.services.port_leases import any_free_port
from mmplatform.locators import ChatLocator
from mmplatform.modalities import ARTIFACTS_TOPIC, CALL
from mmplatform.pipeline.factories import resolve_space
from mmplatform.settings import Settings, load

SIZES: Final = (100, 100, 1_000, 1_000, 5_000, 10_000)
PEOPLE: Final = 50
PASSAGES: Final = 3_000
DIMENSIONS: Final = 384
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
    port = any_free_port()
    settings = load(
        data_dir=folder,
        kafka_bootstrap_servers=f"127.0.0.1:{port}",
        archive_commit_interval_s=COMMIT_S,
        metrics_port=any_free_port(),
        chroma_url="unused",
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
    commit, row = fitted([(run.commits, run.rows) for run in found], [run.cpu_s for run in found])
    return {"commit_cpu_s": round(commit, 4), "row_cpu_s": round(row, 6)}


def index_costs(folder: Path) -> dict[str, float]:
    """Seconds of processor for a passage in full batches: of the indexer, and of Chroma behind it."""
    folder.mkdir(parents=True)
    ports = [any_free_port() for _ in range(3)]
    settings = load(
        data_dir=folder,
        kafka_bootstrap_servers=f"127.0.0.1:{ports[0]}",
        chroma_url=f"http://127.0.0.1:{ports[1]}",
        metrics_port=ports[2],
    )
    where = ["--host", "127.0.0.1", "--port", str(ports[1])]
    broker = [sys.executable, "-m", "mmplatform.local.broker", "--data", str(folder / "broker")]
    chroma = [sys.executable, "-m", "mmplatform.local.services.chroma_server", "--path", str(folder / "chroma"), *where]
    with running([*broker, "--port", str(ports[0])], settings), running(chroma, settings) as server:
        ensure_topics(settings)
        with running([sys.executable, "-m", "mmplatform.worker", "index"], settings) as worker:
            _until(lambda: _page(settings, "healthz") == "running")
            _indexed(settings, 0, PEOPLE)
            before = cpu_seconds(worker.pid), cpu_seconds(server.pid)
            _indexed(settings, PEOPLE, PASSAGES)
            used = [cpu_seconds(pid) - was for pid, was in zip((worker.pid, server.pid), before, strict=True)]
    print(f"indexer: {PASSAGES} passages: worker {used[0]:.2f} s, Chroma {used[1]:.2f} s", flush=True)
    return {"passage_cpu_s": round(used[0] / PASSAGES, 6), "chroma_passage_cpu_s": round(used[1] / PASSAGES, 6)}


def _indexed(settings: Settings, first: int, passages: int) -> None:
    producer = LogProducer(settings)
    passages_forged = forged(first, passages, resolve_space(settings).name)
    pseudonyms = open_pseudonyms(settings)
    producer.send_all(
        LogRecord(
            ARTIFACTS_TOPIC, passage.conversation_key, encode(passage), headers=output_headers(passage, pseudonyms)
        )
        for passage in passages_forged
    )
    producer.close()
    _until(lambda: _counted(settings, "passages") >= first + passages)


def forged(first: int, passages: int, embedder: str) -> Iterator[Passage]:
    """So many passages of chats, from a number on, with vectors that no model made."""
    now = utc_now()
    chance = np.random.default_rng(first)
    for number in range(first, first + passages):
        vector = chance.normal(size=DIMENSIONS).astype(np.float32)
        subject, event = f"customer-{number % PEOPLE}", f"event-{number}"
        source_id = artifact_id("message", event_uid(DEFAULT_TENANT, "", f"conversation-{subject}", event), 0)
        yield Passage(
            artifact_id=artifact_id("passage", source_id, 0),
            conversation_id=f"conversation-{subject}",
            subject_id=subject,
            modality="chat",
            provenance=Provenance(
                event_ids=(event,),
                position=Position(topic="interactions.chat", topic_partition=0, offset=number),
                deriver="text",
                deriver_version="1",
                seconds=0.01,
            ),
            stamps=Stamps(event_time=now, ingested_at=now, taken_at=now, derived_at=now),
            source_artifact_id=source_id,
            source_kind="message",
            ordinal=0,
            text=f"My payment failed again at checkout, the page of the bank spins and nothing comes back ({number})",
            locator=ChatLocator(event_id=event, role="customer", start=0, end=90),
            embedder=embedder,
            vector_f32=pack_vector(vector / np.linalg.norm(vector)),
        )


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
    commits_before, began, used = _commits(settings), time.monotonic(), cpu_seconds(pid)
    producer = LogProducer(settings)
    producer.send_all(LogRecord(CALL.topic, piece.conversation_key, encode(piece)) for piece in _pieces(first, rows))
    producer.close()
    _until(lambda: _counted(settings, "rows") >= first + rows)
    seconds = time.monotonic() - began
    return Backlog(rows, _commits(settings) - commits_before, cpu_seconds(pid) - used - idle * seconds)


def _pieces(first: int, rows: int) -> Iterator[CallChunk]:
    now = utc_now()
    blob = BlobRef(key="calls/piece.wav", sha256="0" * 64, size=32_044, media_type="audio/wav")
    for number in range(first, first + rows):
        call = f"call-{number % PEOPLE}"
        yield CallChunk(
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


def _commits(settings: Settings) -> int:
    return len(Lakehouse.open(settings).table(CALL.raw_table).metadata.snapshots)


def _counted(settings: Settings, outcome: str) -> int:
    """Number that the worker reports since it started."""
    pattern = rf'^mmplatform_outcomes_total\{{[^}}]*outcome="{outcome}"[^}}]*\}} (\S+)$'
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
            raise SystemExit("the archiver or the indexer did not finish in time: nothing was measured")
        time.sleep(0.5)
