"""Measures how many chats a second the whole stack sustains: steady rates, and whether the gap stays what it was.

    python -m benchmarks.throughput [--rates 50,100,150,200] [--seconds 45] [--derivers 1]

Starts a stack of its own without Dagster. Arrivals are open loop (Poisson), from twenty sources that send what is due
together; a gap is the index's own stamp less the moment at which the chat was due. *Flat*: the straight line through
the gaps, from a fifth of the time on, rises by less than a second a minute. A rate that is not flat is more than the
stack sustains. The processor of each process is printed beside it, in ms for one chat, less what it takes when nothing
comes.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np

from benchmarks.arrived import Outcome
from benchmarks.freshness import drain
from benchmarks.machine import cpu_by_service, describe
from benchmarks.surge import Surge, run_surge
from mmplatform.local import run_file
from mmplatform.local.launch import run_detached, stop_stack
from mmplatform.settings import load
from mmplatform.telemetry.freshness import Quantiles

_WARM: Final = 0.2
_FLAT_S: Final = 1.0
_FEWEST: Final = 10
_IDLE_S: Final = 10.0
_HEAD: Final = """\
| chats/s | chats | gap p50 | p95 | p99 | max | source / derive / index, p95 | rise a minute | lost | CPU ms | of it |
|---|---|---|---|---|---|---|---|---|---|---|"""


@dataclass(frozen=True, slots=True)
class Steady:
    """The result of one rate, and the processor that each process took for it."""

    rate: float
    surge: Surge
    outcome: Outcome
    cpu_s: dict[str, float]

    @property
    def rise_s(self) -> float | None:
        """Slope of the straight line through the gaps, from the first fifth on, in a minute; None of too few."""
        due = self.outcome.due
        points = [(due[event], gap) for event, gap in self.outcome.gaps.items() if event in due]
        warm = np.array([point for point in points if point[0] > _WARM * self.surge.seconds])
        if len(warm) < _FEWEST:
            return None
        slope, _ = np.polyfit(warm[:, 0], warm[:, 1], 1)
        return float(60 * slope)

    @property
    def verdict(self) -> str:
        """In words. What was lost has no gap, so that the rest may look flat."""
        if self.rise_s is None or self.outcome.lost:
            return "unknown"
        return f"{self.rise_s:+.2f}: {'flat' if self.rise_s < _FLAT_S else '**grows**'}"

    def _shares(self) -> list[Quantiles]:
        """Quantiles of the wait in the source, on the log and in the deriver, and on the log until the index has it."""
        shares = [self.outcome.shares[event] for event in self.outcome.due if event in self.outcome.shares]
        return [found for share in zip(*shares, strict=True) if (found := Quantiles.from_seconds(share)) is not None]

    def row(self) -> str:
        """Row of the table."""
        count = max(1, len(self.outcome.accepted))
        gap = Quantiles.from_seconds(
            self.outcome.gaps[event] for event in self.outcome.due if event in self.outcome.gaps
        )
        quantiles = f"{gap.p50:.2f} | {gap.p95:.2f} | {gap.p99:.2f} | {gap.max:.2f}" if gap else " | | | "
        shares = " / ".join(f"{share.p95:.2f}" for share in self._shares())
        spent = {name: 1000 * seconds / count for name, seconds in self.cpu_s.items()}
        parts = ", ".join(f"{name} {ms:.1f}" for name, ms in sorted(spent.items(), key=lambda item: -item[1]))
        total = sum(spent.values())
        lost = len(self.outcome.lost)
        return f"| {self.rate:g} | {count} | {quantiles} | {shares} | {self.verdict} | {lost} | {total:.1f} | {parts} |"


def idle_cores(run: run_file.StackRun) -> dict[str, float]:
    """Cores that each process uses when nothing comes."""
    before = cpu_by_service(run)
    time.sleep(_IDLE_S)
    return {name: (spent - before[name]) / _IDLE_S for name, spent in cpu_by_service(run).items()}


def measure(run: run_file.StackRun, rate: float, seconds: float, number: int, idle: Mapping[str, float]) -> Steady:
    """One rate."""
    surge = Surge(rate, 1, seconds, 0, 0, name=f"steady{number}")
    before, began = cpu_by_service(run), time.monotonic()
    cost: dict[str, float] = {}

    def settled() -> None:
        """Before the searches for each chat begin, which are no part of a chat's price."""
        drain(run)
        elapsed_s = time.monotonic() - began
        cost.update(
            {name: spent - before[name] - elapsed_s * idle[name] for name, spent in cpu_by_service(run).items()}
        )

    outcome = run_surge(run.gateway, surge, seed=100 + number, sent=settled)
    return Steady(rate, surge, outcome, cost)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rates", default="50,100,150,200", help="chats a second, one after the other")
    parser.add_argument("--seconds", type=float, default=45, help="of each rate")
    parser.add_argument("--derivers", type=int, default=1, help="of chats")
    arguments = parser.parse_args()
    print(f"machine: {describe()}")
    with tempfile.TemporaryDirectory(prefix="mmplatform-throughput-") as folder:
        os.environ |= {
            "MMPLATFORM_DATA_DIR": folder,
            "MMPLATFORM_GATEWAY_PORT": "0",
            "MMPLATFORM_CHAT_BACKPRESSURE_POLICY": "buffer",
        }
        counts = f"chat={arguments.derivers},call=0,screenshot=0"
        run = run_detached(load(), ["--no-dagster", "--derivers", counts], lambda _: None)
        try:
            idle = idle_cores(run)
            measure(run, 20, 5, 0, idle)  # the first micro-batches of a process are slow
            print(_HEAD, flush=True)
            for number, rate in enumerate(arguments.rates.split(","), start=1):
                print(measure(run, float(rate), arguments.seconds, number, idle).row(), flush=True)
        finally:
            stop_stack(Path(folder), force=False, timeout_s=90)


if __name__ == "__main__":
    main()
