"""Measures what one chat, one minute of a call and one screenshot cost each process, in one run of the whole stack.

    python -m benchmarks.unit_costs [--rounds 12] [--out docs/benchmarks/unit-costs.json]

A stack of its own in a temporary folder, without Dagster. Round after round the same number of units of one modality is
sent through the gateway, and waited for until nothing is behind, the archiver included. A round's cost is what each
process used of the processor in it, less what it uses when idle, by unit; the quantiles are over rounds. Bytes and rows
are counted in the stores. What the archiver takes for a commit and a row, and the indexer for a
passage, is measured by itself (``benchmarks/backlogs.py``): in rounds this small a row costs what is the commit's.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final

import httpx
import numpy as np

from benchmarks.backlogs import archiver_costs, index_costs
from benchmarks.load import CHUNK_S, call_chunks, chat_texts, screenshots
from benchmarks.machine import cpu_by_service, describe, resident_bytes
from mmplatform.client.client import AsyncGatewayClient
from mmplatform.events import utc_now
from mmplatform.land.lakehouse.store import Lakehouse
from mmplatform.local import run_file
from mmplatform.modalities import TABLES
from mmplatform.settings import Settings, load

UNITS: Final = {"chat": 60, "call": 1, "screenshot": 2}
"""Units of one round: a second of processor or so, so that what is idle weighs little. A call's unit is a minute."""

AT_ONCE: Final = 10
IDLE_S: Final = 15.0
PATIENCE_S: Final = 600.0
COMMIT_S: Final = 3.0
"""The archiver's interval here: shorter than the default, so that a round need not wait for it."""


@dataclass(frozen=True, slots=True)
class Moment:
    """Resources used and stored by one time. ``snapshots``: each commit's rows and bytes, by its id."""

    monotonic_s: float
    cpu: dict[str, float]
    log_bytes: int
    blob_bytes: int
    snapshots: dict[int, tuple[int, int]]
    passages: int


@dataclass(slots=True)
class Round:
    """One round, by unit; ``commits`` are those of the whole round."""

    units: int
    cpu_s: dict[str, float]
    log_bytes: float
    blob_bytes: float
    lake_bytes: float
    rows: float
    passages: float
    commits: int


@dataclass(slots=True)
class Stack:
    """The running stack, and its measurements."""

    run: run_file.StackRun
    settings: Settings
    idle: dict[str, float] = field(default_factory=dict)

    def measure_now(self) -> Moment:
        """Read every meter once."""
        lakehouse = Lakehouse.open(self.settings)
        snapshots: dict[int, tuple[int, int]] = {}
        for table in TABLES:
            for snapshot in lakehouse.table(table).metadata.snapshots:
                properties = snapshot.summary.additional_properties if snapshot.summary else {}
                added = (int(properties.get("added-records", 0)), int(properties.get("added-files-size", 0)))
                snapshots[snapshot.snapshot_id] = added
        return Moment(
            monotonic_s=time.monotonic(),
            cpu=cpu_by_service(self.run),
            log_bytes=size_of(self.settings.data_dir / "broker"),
            blob_bytes=size_of(self.settings.blobs_dir),
            snapshots=snapshots,
            passages=sum(bucket["upserted"] for bucket in self._status("index")["buckets"].values()),
        )

    def drained(self) -> None:
        """Return when no worker is behind, twice in a row."""
        names = [name for name in self.run.services if name.startswith(("derive-", "index", "archive"))]
        deadline, quiet = time.monotonic() + PATIENCE_S, 0
        while quiet < 2:
            time.sleep(2.1)
            quiet = quiet + 1 if not any(self._status(name)["lag"] for name in names) else 0
            if time.monotonic() > deadline:
                raise SystemExit("the stack did not finish in time: nothing was measured")

    def _status(self, name: str) -> dict[str, Any]:
        answer: dict[str, Any] = httpx.get(f"{self.run.services[name].metrics_url}/status", trust_env=False).json()
        return answer

    def warm_up(self, modality: str) -> None:
        """A few units of which nothing is counted."""
        asyncio.run(send(self.run.gateway, modality, UNITS[modality], 0, call_s=10.0))
        self.drained()

    def round(self, modality: str, number: int) -> Round:
        """Send, wait, and say what it took."""
        before = self.measure_now()
        asyncio.run(send(self.run.gateway, modality, UNITS[modality], number))
        self.drained()
        after = self.measure_now()
        units, seconds = UNITS[modality], after.monotonic_s - before.monotonic_s
        cpu = {
            name: max(after.cpu[name] - before.cpu[name] - self.idle.get(name, 0.0) * seconds, 0.0)
            for name in after.cpu
        }
        news = [after.snapshots[number] for number in after.snapshots.keys() - before.snapshots.keys()]
        return Round(
            units=units,
            cpu_s={name: used / units for name, used in cpu.items()},
            log_bytes=(after.log_bytes - before.log_bytes) / units,
            blob_bytes=(after.blob_bytes - before.blob_bytes) / units,
            lake_bytes=sum(size for _, size in news) / units,
            rows=sum(rows for rows, _ in news) / units,
            passages=(after.passages - before.passages) / units,
            commits=len(news),
        )


def size_of(folder: Path) -> int:
    """Bytes of all files below."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


async def send(gateway: str, modality: str, units: int, number: int, *, call_s: float = 60.0) -> None:
    """One round's events, each of which no memo knows; chats ten at a time, as they come from many customers."""
    client = AsyncGatewayClient(gateway)
    own = f"unit-{modality}-{number}"
    try:
        if modality == "chat":
            texts = chat_texts()
            posts = [
                client.chat(
                    event_id=f"{own}-{n}",
                    conversation_id=f"{own}-{n % 7}",
                    subject_id=f"customer-{n % 20}",
                    role="customer",
                    text=f"{texts[(number * units + n) % len(texts)]} (ticket {number}-{n})",
                    event_time=utc_now(),
                )
                for n in range(units)
            ]
            for start in range(0, units, AT_ONCE):
                await asyncio.gather(*posts[start : start + AT_ONCE])
        elif modality == "screenshot":
            images = screenshots(1_000 + number)
            for n in range(units):
                image = [next(images) for _ in range(1 + (number * units + n) % 4)][-1]
                await client.screenshot(
                    image,
                    "image/png",
                    event_id=f"{own}-{n}",
                    conversation_id=own,
                    subject_id=f"customer-{n}",
                    event_time=utc_now(),
                )
        else:
            chunks = call_chunks(2_000 + number)[: round(call_s / CHUNK_S)]
            for index, start_s, wav in chunks:
                await client.chunk(
                    own,
                    wav,
                    "audio/wav",
                    index=index,
                    start_s=start_s,
                    subject_id="caller",
                    speakers=("agent", "customer"),
                    event_time=utc_now(),
                )
            await client.end_call(own, subject_id="caller", chunks=len(chunks))
    finally:
        await client.close()


def quantiles(values: list[float]) -> dict[str, float]:
    """Over rounds; with few of them p99 is the worst one."""
    p50, p95, p99 = np.percentile(values, [50, 95, 99])
    return {name: float(f"{value:.4g}") for name, value in
            {"mean": float(np.mean(values)), "p50": p50, "p95": p95, "p99": p99}.items()}  # fmt: skip


def summary(rounds: dict[str, list[Round]]) -> dict[str, Any]:
    """The record of the rounds."""
    units = {
        modality: {
            "rounds": len(found),
            "units_in_a_round": found[0].units,
            "cpu_s": {name: quantiles([round_.cpu_s[name] for round_ in found]) for name in found[0].cpu_s},
            **{
                name: float(f"{np.mean([getattr(round_, name) for round_ in found]):.4g}")
                for name in ("log_bytes", "blob_bytes", "lake_bytes", "rows", "passages")
            },
        }
        for modality, found in rounds.items()
    }
    return {
        "units": units,
        "rounds": {modality: [asdict(round_) for round_ in found] for modality, found in rounds.items()},
    }


def keep(out: Path | None, rounds: dict[str, list[Round]]) -> None:
    """Write down the rounds so far: an hour of measuring must not go with its last one."""
    if out:
        rounds_json = {modality: [asdict(round_) for round_ in found] for modality, found in rounds.items()}
        out.with_suffix(".part").write_text(json.dumps(rounds_json), encoding="utf-8")


@contextmanager
def running_stack(folder: Path, derivers: str = "") -> Iterator[Stack]:
    """The embedded stack in a folder and on ports of its own, ended with the block; ``derivers`` as in ``up``."""
    settings = load(data_dir=folder, archive_commit_interval_s=COMMIT_S)
    own = {
        "MMPLATFORM_DATA_DIR": str(folder),
        "MMPLATFORM_ARCHIVE_COMMIT_INTERVAL_S": str(COMMIT_S),
        "MMPLATFORM_GATEWAY_PORT": "0",
    }
    command = [sys.executable, "-m", "mmplatform.local", "--no-dagster", "--derivers", derivers]
    with (folder / "supervisor.log").open("wb") as log:
        process = subprocess.Popen(command, env=os.environ | own, stdout=log, stderr=log)
    try:
        deadline = time.monotonic() + PATIENCE_S
        while (run := run_file.read_running(folder)) is None or not run.settled:
            if process.poll() is not None or time.monotonic() > deadline:
                raise SystemExit(f"the stack did not start: see {folder / 'supervisor.log'}")
            time.sleep(0.5)
        yield Stack(run, settings)
    finally:
        process.terminate()
        process.wait(90)


def measure(stack: Stack, rounds: dict[str, int], report: Callable[[dict[str, list[Round]]], None]) -> dict[str, Any]:
    """Warm up, see what idling takes, then every round; ``tell`` is called with all of them after each."""
    for modality in rounds:
        stack.warm_up(modality)
    first = stack.measure_now()
    time.sleep(IDLE_S)
    second = stack.measure_now()
    # What looking takes is in it; it is in each round too.
    stack.idle = {
        name: (second.cpu[name] - first.cpu[name]) / (second.monotonic_s - first.monotonic_s) for name in second.cpu
    }
    found: dict[str, list[Round]] = {}
    for modality, count in rounds.items():
        for number in range(1, count + 1):
            found.setdefault(modality, []).append(stack.round(modality, number))
            last = found[modality][-1]
            parts = ", ".join(f"{name} {used:.4f}" for name, used in last.cpu_s.items())
            print(f"{modality} {number}: {parts}; {last.commits} commits, {last.rows:.1f} rows", flush=True)
            report(found)
    passages = stack.measure_now().passages
    return {
        **summary(found),
        "idle_cores": {name: round(cores, 4) for name, cores in stack.idle.items()},
        "memory_bytes": {n: resident_bytes([s.pid]) for n, s in stack.run.services.items() if s.pid},
        "index_bytes_per_passage": round(size_of(stack.settings.data_dir / "chroma") / max(passages, 1)),
        "settings": {
            "asr_model": stack.settings.asr_model,
            "asr_threads": stack.settings.asr_threads,
            "ocr_threads": stack.settings.ocr_threads,
            "chunk_s": CHUNK_S,
            "archive_commit_interval_s": stack.settings.archive_commit_interval_s,
        },
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=12, help="of chats and of screenshots; of calls half as many")
    parser.add_argument("--out", type=Path, help="where the JSON goes that benchmarks.sizing reads")
    arguments = parser.parse_args()
    machine = describe()
    print(f"machine: {machine}")
    with tempfile.TemporaryDirectory() as folder, running_stack(Path(folder)) as stack:
        half = max(arguments.rounds // 2, 1)
        wanted = {"chat": arguments.rounds, "screenshot": arguments.rounds, "call": half}
        found = measure(stack, wanted, lambda rounds: keep(arguments.out, rounds))
    with tempfile.TemporaryDirectory() as folder:
        found["archive"] = archiver_costs(Path(folder) / "archiver")
        found["index"] = index_costs(Path(folder) / "indexer")
    print(f"\n{'CPU seconds of unit':<22}{'process':<20}{'mean':>9}{'p50':>9}{'p95':>9}{'p99':>9}")
    for modality, costs in found["units"].items():
        for name, q in costs["cpu_s"].items():
            unit = "minute of a call" if modality == "call" else modality
            print(f"{unit:<22}{name:<20}" + "".join(f"{q[key]:>9.4f}" for key in ("mean", "p50", "p95", "p99")))
    print("archiver:", found["archive"], "indexer:", found["index"])
    if arguments.out:
        arguments.out.write_text(json.dumps({"machine": machine, **found}, indent=1) + "\n", encoding="utf-8")
        arguments.out.with_suffix(".part").unlink(missing_ok=True)


if __name__ == "__main__":
    main()
