"""The freshness gap under load, measured by a separate process that polls the public search.

    python -m benchmarks.freshness --seconds 90 --chats 20 --screenshot-every 4 --calls 2

Runs against the running stack (``mmplatform up``). Chats and screenshots arrive by a Poisson process, calls are live.
The reader polls for one subject, the canary, which a share of the chats and all screenshots and calls belong to: a
passage's gap is the moment at which the reader first got it, less its event time (a call: the end of the utterance).
Beside it stands the passive measure, from the stamps that the indexer sees, over all events and by stage.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import json
import multiprocessing
import secrets
import threading
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import numpy as np

from benchmarks.load import Load, Rates
from benchmarks.machine import cpu_seconds, describe, resident_bytes
from mmplatform.local import runfile
from mmplatform.retrieve.freshness import Quantiles
from mmplatform.settings import load
from quality.slas import MODALITY_SLAS

POLL_S = 0.08
SELDOM = 5
LOOK_BACK_S = {"chat": 8.0, "call": 60.0, "screenshot": 60.0}
DRAIN_S = 60.0


def read(gateway: str, subject: str, stop: Any, results: Any) -> None:
    """The reader process: poll each modality in turn, note when each passage is first got."""
    seen: dict[str, tuple[str, float, list[str]]] = {}
    with httpx.Client(base_url=gateway, timeout=30) as client:
        for turn in itertools.count():
            if stop.is_set():
                break
            started = time.monotonic()
            for modality in MODALITY_SLAS:
                if modality != "chat" and turn % SELDOM:
                    continue  # their gaps are in seconds: a coarser look leaves the machine to what is measured
                since = (datetime.now(UTC) - timedelta(seconds=LOOK_BACK_S[modality])).isoformat()
                body = {"query": "payment", "subject_id": subject, "modalities": [modality], "since": since, "k": 100}
                answer = client.post("/v1/search", json=body)
                now = datetime.now(UTC)
                if answer.status_code != 200:
                    continue
                for hit in answer.json()["hits"]:
                    if hit["passage_id"] not in seen:
                        gap = (now - datetime.fromisoformat(hit["event_time"])).total_seconds()
                        seen[hit["passage_id"]] = (modality, gap, hit["event_ids"])
            time.sleep(max(0.0, POLL_S - (time.monotonic() - started)))
    results.put(list(seen.values()))


def main() -> None:
    arguments = _arguments()
    run = runfile.running(load().data_dir.absolute())
    if run is None:
        raise SystemExit("start the stack first: mmplatform up --detach")
    subject = f"canary-{secrets.token_hex(3)}"
    rates = Rates(arguments.chats, arguments.screenshot_every, arguments.calls, arguments.seconds)
    print(f"machine: {describe()}")
    print(f"load: {rates}")
    context = multiprocessing.get_context("spawn")
    stop, results = context.Event(), context.Queue()
    reader = context.Process(target=read, args=(run.gateway, subject, stop, results))
    reader.start()
    memory = _MemoryPeak([service.pid for service in run.services.values() if service.pid])
    sender = Load(run.gateway, rates, subject, canaries=arguments.canaries, seed=arguments.seed)
    before = {name: cpu_seconds(service.pid or 0) for name, service in run.services.items()}
    sent = asyncio.run(sender.run())
    _drain(run)
    used = {name: cpu_seconds(service.pid or 0) - before[name] for name, service in run.services.items()}
    print("cpu seconds:", ", ".join(f"{name} {seconds:.1f}" for name, seconds in used.items()))
    stop.set()
    seen = results.get(timeout=60)
    reader.join()
    _report(seen, sent.acknowledged, sent.failed, memory.stop(), run, arguments.out)


def _drain(run: runfile.StackRun) -> None:
    deadline, quiet = time.monotonic() + DRAIN_S, 0
    names = [name for name in run.services if name.startswith("derive-") or name == "index"]
    while quiet < 2 and time.monotonic() < deadline:
        lags = [httpx.get(f"{run.services[name].metrics_url}/status").json()["lag"] for name in names]
        quiet = quiet + 1 if not any(lags) else 0
        time.sleep(2.1)


def _report(
    seen: list[tuple[str, float, list[str]]],
    acknowledged: dict[str, list[str]],
    failed: int,
    memory: int,
    run: runfile.StackRun,
    out: Path | None,
) -> None:
    passive = httpx.get(f"{run.services['index'].metrics_url}/status").json()["freshness"]
    got = {event for _, _, events in seen for event in events}
    print(f"\n{'modality':<11}{'measure':<9}{'passages':>9}{'p50':>8}{'p95':>8}{'p99':>8}{'max':>8}   stages p95")
    figures: dict[str, Any] = {"machine": describe(), "failed_posts": failed, "memory_bytes": memory, "active": {}}
    for modality in MODALITY_SLAS:
        gaps = [gap for kind, gap, _ in seen if kind == modality]
        if (found := Quantiles.of(gaps)) is None:
            continue
        figures["active"][modality] = sorted(round(gap, 4) for gap in gaps)
        _row(modality, "active", found.count, [found.p50, found.p95, found.p99, found.max], "")
        if modality in passive:
            stamps = passive[modality]
            stages = ", ".join(f"{name} {values['p95']:.2f}" for name, values in stamps["stages"].items())
            figures.setdefault("passive", {})[modality] = stamps
            _row(
                modality,
                "passive",
                stamps["gap"]["count"],
                [stamps["gap"][q] for q in ("p50", "p95", "p99", "max")],
                stages,
            )
    missing = {kind: len(set(ids) - got) for kind, ids in acknowledged.items() if kind != "call"}
    print(f"\nacknowledged canaries that the reader never got: {missing}; posts that failed: {failed}")
    print(f"memory of the whole stack at its peak: {memory / 2**30:.2f} GiB")
    if out is not None:
        out.mkdir(parents=True, exist_ok=True)
        (out / "freshness.json").write_text(json.dumps(figures, indent=1) + "\n")
        _picture(figures["active"], out / "freshness.png")
        print(f"written to {out}")


def _row(modality: str, measure: str, count: int, values: list[float], stages: str) -> None:
    print(f"{modality:<11}{measure:<9}{count:>9}" + "".join(f"{value:>8.3f}" for value in values) + f"   {stages}")


def _picture(active: dict[str, list[float]], path: Path) -> None:
    """The complementary CDF: the share of passages that took longer than a gap, on two logarithmic axes."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(figsize=(7, 4), dpi=90)
    for colour, (modality, gaps) in zip(("tab:blue", "tab:orange", "tab:green"), active.items(), strict=False):
        shares = 1 - np.arange(len(gaps)) / len(gaps)
        axes.step(gaps, shares, where="post", color=colour, label=f"{modality} ({len(gaps)})")
        axes.axvline(MODALITY_SLAS[modality].gap_s, color=colour, linestyle=":", linewidth=1)
    axes.set(
        xscale="log", yscale="log", xlabel="freshness gap, seconds (dotted: budget)", ylabel="share that took longer"
    )
    axes.grid(visible=True, which="both", alpha=0.25)
    axes.legend()
    figure.tight_layout()
    figure.savefig(path)


class _MemoryPeak:
    """Samples the stack's memory every few seconds on a thread."""

    def __init__(self, pids: list[int]) -> None:
        self._pids = pids
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
            self._peak = max(self._peak, resident_bytes(self._pids))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=90)
    parser.add_argument("--chats", type=float, default=20, help="a second; 0 for none")
    parser.add_argument("--screenshot-every", type=float, default=4, help="seconds; 0 for none")
    parser.add_argument("--calls", type=int, default=2, help="live at once")
    parser.add_argument("--canaries", type=float, default=0.15, help="share of the chats that the reader watches")
    parser.add_argument("--seed", type=int, default=int(time.time()))
    parser.add_argument("--out", type=Path, help="folder for freshness.json and freshness.png")
    return parser.parse_args()


if __name__ == "__main__":
    main()
