"""Measures whether memory stays flat: the running stack under a steady load, and the slope of each process's memory.

    mmplatform up --detach --no-dagster
    python -m benchmarks.soak [--minutes 60] [--chats 5] [--screenshot-every 20] [--calls 1]

Every few seconds the memory of each process and its children (shared pages shared out) is noted. What the first fifth
of the time shows is left out: models are loaded and caches filled then. The slope is that of the line through the rest,
in MB an hour, with its 95% confidence: a slope whose interval holds 0 is none that these minutes can tell.
"""

from __future__ import annotations

import argparse
import asyncio
import secrets
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np

from benchmarks.load import Load, Rates
from benchmarks.machine import describe, resident_bytes
from mmplatform.local import run_file
from mmplatform.settings import load

EVERY_S: Final = 5.0
_WARM: Final = 0.2
_BLOCKS: Final = 12
_NEGLIGIBLE: Final = 2.0
"""MB an hour: less than 50 MB a day is not called growth, however surely it is measured."""
_STUDENT: Final = 2.23
"""Student's factor of the 95% interval with as many degrees of freedom as twelve blocks leave."""


@dataclass(frozen=True, slots=True)
class Slope:
    """MB an hour, with half the width of the 95% interval; the least and most MB."""

    per_hour: float
    error: float
    lower: float
    upper: float

    @classmethod
    def from_samples(cls, samples: Sequence[tuple[float, float]]) -> Slope | None:
        """Fit the slope to ``(seconds, bytes)``; None for too few.

        Samples a few seconds apart are no independent witnesses of a trend, so the line goes through the means of
        twelve stretches of time.
        """
        points = np.array([(moment, size / 2**20) for moment, size in samples[int(_WARM * len(samples)) :]])
        if len(points) < 2 * _BLOCKS:
            return None
        hours, sizes = (np.array([part[:, side].mean() for part in np.array_split(points, _BLOCKS)]) for side in (0, 1))
        hours = hours / 3600
        per_hour, level = np.polyfit(hours, sizes, 1)
        left = sizes - (per_hour * hours + level)
        spread = float(np.sqrt((left @ left) / (_BLOCKS - 2) / ((hours - hours.mean()) ** 2).sum()))
        return cls(float(per_hour), _STUDENT * spread, float(points[:, 1].min()), float(points[:, 1].max()))

    @property
    def summary(self) -> str:
        """In words."""
        flat = abs(self.per_hour) <= max(self.error, _NEGLIGIBLE)
        verdict = "flat" if flat else "grows" if self.per_hour > 0 else "shrinks"
        return f"{self.per_hour:+.1f} ± {self.error:.1f} | {self.lower:.0f} to {self.upper:.0f} | {verdict}"


class Watch(threading.Thread):
    """Notes the memory of each service until it is told to stop."""

    def __init__(self, run: run_file.StackRun) -> None:
        super().__init__(daemon=True)
        self._data_dir = run.data_dir
        self._done = threading.Event()
        self.samples: dict[str, list[tuple[float, float]]] = {}
        self.restarted: set[str] = set()
        self._pids = {name: service.pid for name, service in run.services.items()}

    def run(self) -> None:
        """Every few seconds; a process that was restarted begins anew."""
        while not self._done.wait(EVERY_S):
            now = run_file.read_running(Path(self._data_dir))
            for name, service in now.services.items() if now is not None else ():
                if service.pid != self._pids.get(name):
                    self._pids[name] = service.pid
                    self.restarted.add(name)
                    self.samples.pop(name, None)
                if service.pid is not None:
                    size = resident_bytes([service.pid])
                    self.samples.setdefault(name, []).append((time.monotonic(), size))

    def stop(self) -> None:
        """No more samples."""
        self._done.set()
        self.join()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=60)
    parser.add_argument("--chats", type=float, default=5, help="a second")
    parser.add_argument("--screenshot-every", type=float, default=20, help="seconds; 0 for none")
    parser.add_argument("--calls", type=int, default=1, help="live, one after the other; 0 for none")
    arguments = parser.parse_args()
    run = run_file.read_running(load().data_dir.absolute())
    if run is None:
        raise SystemExit("start the stack first: mmplatform up --detach --no-dagster")
    print(f"machine: {describe()}", flush=True)
    watch = Watch(run)
    watch.start()
    sent = failed = 0
    until = time.monotonic() + 60 * arguments.minutes
    while (left := until - time.monotonic()) > 0:
        # A call lasts 90 s: a load of that length, again and again, each with its own seed.
        rates = Rates(arguments.chats, arguments.screenshot_every, arguments.calls, min(left, 95.0))
        subject = f"soak-{secrets.token_hex(3)}"
        done = asyncio.run(Load(run.gateway, rates, subject, canaries=1.0, seed=secrets.randbits(30)).run())
        sent += sum(map(len, done.acknowledged.values()))
        failed += done.failed
    watch.stop()
    print(f"{arguments.minutes:g} minutes, {sent} events acknowledged, {failed} refused")
    print("| process | MB an hour | MB | |\n|---|---|---|---|")
    for name, samples in sorted(watch.samples.items()):
        slope = Slope.from_samples(samples)
        slope_text = slope.summary if slope else "too short to tell | | "
        print(f"| {name} | {slope_text}{', restarted' if name in watch.restarted else ''} |")


if __name__ == "__main__":
    main()
