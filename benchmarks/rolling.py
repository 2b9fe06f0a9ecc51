"""Measures what clients see of a rolling restart: the longest time in which nothing was taken, found or fresh.

    python -m benchmarks.rolling [--derivers chat=2] [--rate 20]

Starts a stack of its own, sends chats at a steady rate (each with the time at which it was due), searches all the time,
and runs `mmplatform restart` in the middle. A client here does not repeat anything: what fails is counted.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import os
import tempfile
import threading
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path

import httpx

from benchmarks.machine import describe
from benchmarks.reader import sweep
from mmplatform.events import utc_now
from mmplatform.local import run_file
from mmplatform.local.launch import run_detached, stop_stack
from mmplatform.local.supervisor.rolling_restart import request_restart
from mmplatform.settings import load
from mmplatform.telemetry.freshness import Quantiles

CALM_S = 10.0


@dataclass(slots=True)
class Seen:
    """Moments (seconds of the monotonic clock) of answers, and what failed; chats by id, when each was due."""

    accepted: list[float] = field(default_factory=list)
    searched: list[float] = field(default_factory=list)
    due: dict[str, datetime] = field(default_factory=dict)
    failed_posts: int = 0
    failed_searches: int = 0


async def _send(gateway: str, rate: float, seen: Seen, over: threading.Event) -> None:
    async with httpx.AsyncClient(base_url=gateway, timeout=30, trust_env=False) as client, asyncio.TaskGroup() as tasks:
        started, number = asyncio.get_running_loop().time(), 0
        while not over.is_set():
            number += 1
            await asyncio.sleep(max(0.0, started + number / rate - asyncio.get_running_loop().time()))
            tasks.create_task(_send_one(client, number, seen))


async def _send_one(client: httpx.AsyncClient, number: int, seen: Seen) -> None:
    event, now = f"rolling-{number}", utc_now()
    body = {"event_id": event, "conversation_id": f"c{number % 20}", "subject_id": "rolling", "role": "customer"}
    body = body | {"text": f"the payment of order {number} failed", "event_time": now.isoformat()}
    try:
        answer = await client.post("/v1/events/chat", json=body)
    except httpx.HTTPError:
        seen.failed_posts += 1
        return
    if answer.is_success:
        seen.accepted.append(time.monotonic())
        seen.due[event] = now
    else:
        seen.failed_posts += 1


def _search(gateway: str, seen: Seen, over: threading.Event) -> None:
    with httpx.Client(base_url=gateway, timeout=30, trust_env=False) as client:
        while not over.is_set():
            try:
                client.post("/v1/search", json={"query": "payment", "subject_id": "rolling"}).raise_for_status()
                seen.searched.append(time.monotonic())
            except httpx.HTTPError:
                seen.failed_searches += 1
            time.sleep(0.1)


def max_pause(moments: Iterable[float]) -> float:
    """The longest time between two neighbours."""
    return max((after - before for before, after in itertools.pairwise(sorted(moments))), default=0.0)


def measure(run: run_file.StackRun, rate: float) -> tuple[Seen, dict[str, float], dict[str, float]]:
    """Restart under load: what was seen, the pause of each worker, and the gap of each chat."""
    seen, over = Seen(), threading.Event()
    paused: dict[str, float] = {}
    threads = [
        threading.Thread(target=lambda: asyncio.run(_send(run.gateway, rate, seen, over))),
        threading.Thread(target=_search, args=(run.gateway, seen, over)),
    ]
    for thread in threads:
        thread.start()
    time.sleep(CALM_S)
    request_restart(Path(run.data_dir), [], paused.__setitem__)
    time.sleep(CALM_S)
    over.set()
    for thread in threads:
        thread.join()
    gaps: dict[str, float] = {}
    since, give_up = utc_now() - timedelta(hours=1), time.monotonic() + 300
    with httpx.Client(base_url=run.gateway, timeout=60, trust_env=False) as client:
        while set(seen.due) - set(gaps) and time.monotonic() < give_up:
            hits = sweep(client, "rolling", "chat", since, utc_now())
            gaps |= {event: hit["gap_s"] for hit in hits for event in hit["event_ids"]}
            time.sleep(0.5)
    return seen, paused, gaps


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--derivers", default="chat=1,call=1,screenshot=1")
    parser.add_argument("--rate", type=float, default=20, help="chats a second")
    arguments = parser.parse_args()
    print(f"machine: {describe()}")
    with tempfile.TemporaryDirectory(prefix="mmplatform-rolling-") as folder:
        os.environ |= {"MMPLATFORM_DATA_DIR": folder, "MMPLATFORM_GATEWAY_PORT": "0"}
        run = run_detached(load(), ["--no-dagster", "--derivers", arguments.derivers], lambda _: None)
        try:
            seen, paused, gaps = measure(run, arguments.rate)
        finally:
            stop_stack(Path(folder), force=False, timeout_s=90)
    for name, seconds in paused.items():
        print(f"{name:<20} without a running process for {seconds:.2f} s")
    print(f"longest time without an accepted chat: {max_pause(seen.accepted):.2f} s ({seen.failed_posts} posts failed)")
    print(f"longest time without an answered search: {max_pause(seen.searched):.2f} s ({seen.failed_searches} failed)")
    if (gap := Quantiles.from_seconds(gaps.values())) is not None:
        print(f"gap of {gap.count} chats: p50 {gap.p50:.2f}, p95 {gap.p95:.2f}, p99 {gap.p99:.2f}, max {gap.max:.2f} s")
    print(f"acknowledged {len(seen.due)}, lost {len(set(seen.due) - set(gaps))}")


if __name__ == "__main__":
    main()
