"""Measures how long a worker takes from its start until it is ready, with the models on the disk and in the page cache.

    python -m benchmarks.startup [--times 10] [--workers derive-chat,derive-call,derive-screenshot,index,archive]

Against a broker and a Chroma server of its own; ready is what its ``/healthz`` says. The first start of each is not
counted: it brings the models into the page cache.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path

import httpx
import numpy as np

from benchmarks.efficiency import running
from benchmarks.machine import describe
from benchmarks.reprocess import wait_for_answer
from mmplatform.kafka.topics import ensure_topics
from mmplatform.local.services.port_leases import any_free_port
from mmplatform.settings import Settings, load

AIM_S = 3.0
PATIENCE_S = 180.0


def seconds_until_ready(worker: str, settings: Settings) -> float:
    """Seconds of one start."""
    settings = settings.model_copy(update={"metrics_port": any_free_port()})
    started = time.monotonic()
    with running([sys.executable, "-m", "mmplatform.worker", worker], settings) as child:
        while time.monotonic() - started < PATIENCE_S:
            if child.poll() is not None:
                raise SystemExit(f"{worker} ended with {child.returncode}")
            try:
                if httpx.get(f"http://127.0.0.1:{settings.metrics_port}/healthz", trust_env=False).is_success:
                    return time.monotonic() - started
            except httpx.TransportError:
                pass
            time.sleep(0.02)
    raise SystemExit(f"{worker} is not ready after {PATIENCE_S:.0f} s")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--times", type=int, default=10)
    parser.add_argument("--workers", default="derive-chat,derive-call,derive-screenshot,index,archive")
    arguments = parser.parse_args()
    print(f"machine: {describe()}")
    print("| worker | starts | p50 | p95 | max | aim: max 3 |\n|---|---|---|---|---|---|", flush=True)
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        broker, chroma = any_free_port(), any_free_port()
        settings = load(
            data_dir=Path(folder),
            kafka_bootstrap_servers=f"127.0.0.1:{broker}",
            chroma_url=f"http://127.0.0.1:{chroma}",
        )
        for module, where, port in (("broker", "--data", broker), ("services.chroma_server", "--path", chroma)):
            command = [sys.executable, "-m", f"mmplatform.local.{module}", where, f"{folder}/{module}"]
            stack.enter_context(running([*command, "--host", "127.0.0.1", "--port", str(port)], settings))
        wait_for_answer(f"{settings.chroma_url}/api/v2/heartbeat")
        ensure_topics(settings)
        for worker in arguments.workers.split(","):
            seconds = [seconds_until_ready(worker, settings) for _ in range(arguments.times + 1)][1:]
            p50, p95 = np.percentile(seconds, [50, 95])
            verdict = "reached" if max(seconds) <= AIM_S else "**missed**"
            row = f"{p50:.2f} | {p95:.2f} | {max(seconds):.2f} | {verdict}"
            print(f"| {worker} | {len(seconds)} | {row} |", flush=True)


if __name__ == "__main__":
    main()
