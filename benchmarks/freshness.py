"""The freshness gap under load, measured by a separate process that polls the public search.

    python -m benchmarks.freshness [--seconds 90] [--chats 20] [--screenshot-every 4] [--calls 2] [--out FOLDER]

Runs against the running stack (``mmplatform up``): each modality by itself, then all at once. Chats and screenshots
arrive by a Poisson process, calls are live. The reader (``benchmarks/reader.py``) polls for one subject, the canary,
which a share of the chats and all screenshots and calls belong to.

Active: the moment at which the reader first got a passage, less its event time (a call: the end of the utterance).
Passive: for the same passages, the gateway's own stamp (``retrievable_at``) less the event time. The hops are the index
worker's rolling figures over all customers: p50 and p99 of each, in seconds, up to the passage's place on the log.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import multiprocessing
import secrets
import threading
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx

from benchmarks.load import Load, Rates, Sent
from benchmarks.machine import cpu_by_service, describe, resident_bytes
from benchmarks.pictures import exceedance
from benchmarks.reader import Seen, read, sweep
from mmplatform.local import run_file
from mmplatform.settings import load
from mmplatform.telemetry.freshness import Quantiles
from quality.slas import MODALITY_SLAS

DRAIN_S = 120.0
READER_S = 60.0


@dataclass(frozen=True, slots=True)
class Outcome:
    """The result of one load; gaps in seconds, by modality."""

    active: dict[str, list[float]]
    passive: dict[str, list[float]]
    stages: dict[str, dict[str, tuple[float, float]]]
    lost: dict[str, int]
    unseen: int
    failed_posts: int
    failed_reads: int
    memory_bytes: int
    cpu_seconds: dict[str, float]


def main() -> None:
    arguments = _arguments()
    run = run_file.read_running(load().data_dir.absolute())
    if run is None:
        raise SystemExit("start the stack first: mmplatform up --detach")
    print(f"machine: {describe()}")
    found: dict[str, Outcome] = {}
    for number, (name, rates) in enumerate(_loads(arguments).items()):
        # A seed of its own: what an earlier load paid for, the memo would answer.
        found[name] = _measure(run, rates, arguments, seed=arguments.seed + 1000 * number)
        _print(name, rates, found[name])
    if arguments.out is not None:
        _write(found, arguments)


def _loads(arguments: argparse.Namespace) -> dict[str, Rates]:
    """Each modality that is asked for by itself, then all of them."""
    combined = Rates(arguments.chats, arguments.screenshot_every, arguments.calls, arguments.seconds)
    alone = {
        "chats alone": Rates(combined.chats_per_s, 0, 0, combined.seconds),
        "screenshots alone": Rates(0, combined.screenshot_every_s, 0, combined.seconds),
        "calls alone": Rates(0, 0, combined.calls, combined.seconds),
    }
    some = {
        name: rates for name, rates in alone.items() if any((rates.chats_per_s, rates.screenshot_every_s, rates.calls))
    }
    return {**some, "all at once": combined} if len(some) > 1 else some


def _measure(run: run_file.StackRun, rates: Rates, arguments: argparse.Namespace, *, seed: int) -> Outcome:
    subject = f"canary-{secrets.token_hex(3)}"
    context = multiprocessing.get_context("spawn")
    started, stop, results = context.Event(), context.Event(), context.Queue()
    reader = context.Process(target=read, args=(run.gateway, subject, rates.modalities, started, stop, results))
    reader.start()
    if not started.wait(READER_S):
        raise SystemExit("the reader did not start")
    begin = datetime.now(UTC)
    memory = _MemoryPeak(run.pid)
    before = cpu_by_service(run)
    sender = Load(run.gateway, rates, subject, canaries=arguments.canaries, seed=seed)
    sent = asyncio.run(sender.run())
    drain(run)
    used = {name: spent - before[name] for name, spent in cpu_by_service(run).items()}
    time.sleep(1.0)  # one more look for the reader
    stop.set()
    seen: Seen = results.get(timeout=READER_S)
    reader.join()
    return _outcome(run, subject, begin, sent, seen, memory.stop(), used)


def _outcome(
    run: run_file.StackRun,
    subject: str,
    begin: datetime,
    sent: Sent,
    seen: Seen,
    memory: int,
    used: dict[str, float],
) -> Outcome:
    """Compare what the reader got with all that is there in the end, and that with what was acknowledged."""
    with httpx.Client(base_url=run.gateway, timeout=30, trust_env=False) as client:
        final = {m: sweep(client, subject, m, begin, datetime.now(UTC)) for m in MODALITY_SLAS}
    active: dict[str, list[float]] = {}
    for modality, gap in seen.gaps.values():
        active.setdefault(modality, []).append(gap)
    events = {event for hits in final.values() for hit in hits for event in hit["event_ids"]}
    rolling = httpx.get(f"{run.services['index'].metrics_url}/status", trust_env=False).json()["freshness"]
    return Outcome(
        active=active,
        passive={m: [hit["gap_s"] for hit in hits] for m, hits in final.items() if hits},
        stages={
            m: {name: (values["p50"], values["p99"]) for name, values in rolling[m]["stages"].items()}
            for m in active
            if m in rolling
        },
        # A second of a call in which nobody speaks leads to no passage: there, utterances are counted, not chunks.
        lost={m: len(set(ids) - events) for m, ids in sent.acknowledged.items() if m != "call"},
        unseen=sum(hit["passage_id"] not in seen.gaps for hits in final.values() for hit in hits),
        failed_posts=sent.failed,
        failed_reads=seen.failed,
        memory_bytes=memory,
        cpu_seconds=used,
    )


def drain(run: run_file.StackRun) -> None:
    """Wait until nothing waits for a deriver or the indexer, two minutes at most."""
    deadline, quiet = time.monotonic() + DRAIN_S, 0
    names = [name for name in run.services if name.startswith("derive-") or name == "index"]
    while quiet < 2 and time.monotonic() < deadline:
        lags = [httpx.get(f"{run.services[name].metrics_url}/status", trust_env=False).json()["lag"] for name in names]
        quiet = quiet + 1 if not any(lags) else 0
        time.sleep(2.1)


def _print(name: str, rates: Rates, found: Outcome) -> None:
    print(f"\n{name}: {rates}")
    print(f"{'modality':<11}{'measure':<9}{'passages':>9}{'p50':>8}{'p95':>8}{'p99':>8}{'max':>8}   hops p50/p99")
    for modality in MODALITY_SLAS:
        for measure, gaps in (("active", found.active), ("passive", found.passive)):
            q = Quantiles.from_seconds(gaps.get(modality, []))
            if q is None:
                continue
            stages = found.stages.get(modality, {}) if measure == "passive" else {}
            stage_text = ", ".join(f"{stage} {p50:.3f}/{p99:.3f}" for stage, (p50, p99) in stages.items())
            print(
                f"{modality:<11}{measure:<9}{q.count:>9}{q.p50:>8.2f}{q.p95:>8.2f}{q.p99:>8.2f}{q.max:>8.2f}   "
                f"{stage_text}"
            )
    print(f"acknowledged and not retrievable: {found.lost}; retrievable, but missed by the reader: {found.unseen}")
    print(f"posts that failed: {found.failed_posts}; searches that failed: {found.failed_reads}")
    print(f"memory of the whole stack, supervisor and all, at its peak: {found.memory_bytes / 2**30:.2f} GiB")
    print("cpu seconds:", ", ".join(f"{service} {seconds:.1f}" for service, seconds in found.cpu_seconds.items()))


def _write(found: dict[str, Outcome], arguments: argparse.Namespace) -> None:
    out: Path = arguments.out
    out.mkdir(parents=True, exist_ok=True)
    figures: dict[str, Any] = {"machine": describe(), "seconds": arguments.seconds, "loads": {}}
    for name, outcome in found.items():
        figures["loads"][name] = {
            "active": {m: sorted(round(gap, 3) for gap in gaps) for m, gaps in outcome.active.items()},
            "passive_p50_p95_p99_max": {
                m: [round(v, 3) for v in (q.p50, q.p95, q.p99, q.max)]
                for m, gaps in outcome.passive.items()
                if (q := Quantiles.from_seconds(gaps))
            },
            "lost": outcome.lost,
            "unseen": outcome.unseen,
            "failed_posts": outcome.failed_posts,
            "memory_bytes": outcome.memory_bytes,
            "cpu_seconds": {service: round(seconds, 1) for service, seconds in outcome.cpu_seconds.items()},
        }
    (out / "freshness.json").write_text(json.dumps(figures) + "\n")
    exceedance({name: outcome.active for name, outcome in found.items()}, out / "freshness.png")
    print(f"\nwritten to {out}")


class _MemoryPeak:
    """Samples the memory of the supervisor and all that it started every few seconds on a thread."""

    def __init__(self, supervisor: int) -> None:
        self._supervisor = supervisor
        self._peak = 0
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._loop, daemon=True)
        self._thread.start()

    def stop(self) -> int:
        self._stop.set()
        self._thread.join()
        return self._peak

    def _loop(self) -> None:
        while not self._stop.wait(3.0):
            self._peak = max(self._peak, resident_bytes([self._supervisor]))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=90, help="of each load")
    parser.add_argument("--chats", type=float, default=20, help="a second; 0 for none")
    parser.add_argument("--screenshot-every", type=float, default=4, help="seconds; 0 for none")
    parser.add_argument("--calls", type=int, default=2, help="live at once; 0 for none")
    parser.add_argument("--canaries", type=float, default=0.15, help="share of the chats that the reader watches")
    parser.add_argument("--seed", type=int, default=int(time.time()))
    parser.add_argument("--out", type=Path, help="folder for freshness.json and freshness.png")
    return parser.parse_args()


if __name__ == "__main__":
    main()
