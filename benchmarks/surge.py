"""Monday morning: chats come ten times as fast for a minute, and what becomes of the gap, the sources and the chats.

    python -m benchmarks.surge [--chats 20] [--times 10] [--seconds 60] [--high-water 2000] [--out FOLDER]

Starts a stack of its own, whose marks are so low that a minute reaches them. Each of the sources is a chat system: it
has a queue, sends what is due in batches, and obeys a 429 with its Retry-After. An event's time is when it was due, so
that its wait in a source that is slowed is part of its gap.

At the end every acknowledged chat is looked for through the public search. *Recovered* is when the last chat that
missed its budget became findable.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import tempfile
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Final

import numpy as np

from benchmarks.arrived import Outcome, Watch, poll
from benchmarks.load import chat_texts
from benchmarks.machine import describe
from benchmarks.pictures import surge as draw
from mmplatform.client.client import AsyncGatewayClient
from mmplatform.errors import Busy, PlatformError
from mmplatform.events import utc_now
from mmplatform.ingest.schemas import MAX_BATCH, ChatBody
from mmplatform.local import run_file
from mmplatform.local.launch import run_detached, stop_stack
from mmplatform.settings import load
from mmplatform.telemetry.freshness import Quantiles
from quality.slas import MODALITY_SLAS

SOURCES: Final = 20
MAX_ATTEMPTS: Final = 1000


@dataclass(frozen=True, slots=True)
class Surge:
    """So many chats a second, ``times`` as many for ``seconds``, with some calm before and behind."""

    chats_per_s: float = 20.0
    times: float = 10.0
    seconds: float = 60.0
    before_s: float = 20.0
    after_s: float = 60.0
    name: str = "monday"

    @property
    def ends_s(self) -> float:
        """Time at which the surge is over."""
        return self.before_s + self.seconds

    def subject(self, source: int) -> str:
        """Whom the chats of a source are about."""
        return f"{self.name}-{source}"

    def due(self, seed: int) -> list[float]:
        """Seconds after the start at which chats come, by a Poisson process."""
        found: list[float] = []
        chooser, now = random.Random(seed), 0.0
        while True:
            fast = self.before_s <= now < self.ends_s
            now += chooser.expovariate(self.chats_per_s * (self.times if fast else 1.0))
            if now > self.ends_s + self.after_s:
                return found
            found.append(now)


class Source:
    """One chat system: a queue of what fell due, sent in order, as fast as the gateway takes it."""

    def __init__(self, gateway: str, number: int, surge: Surge, outcome: Outcome) -> None:
        self._number, self._surge, self._outcome = number, surge, outcome
        self._client = AsyncGatewayClient(gateway, max_attempts=MAX_ATTEMPTS, on_retry=self._slowed)

    async def run(self, started: float, mine: list[tuple[int, float]], texts: list[str]) -> None:
        """Send its share, ``(number, seconds after the start)``, until all of it was answered."""
        loop, index = asyncio.get_running_loop(), 0
        try:
            while index < len(mine):
                await asyncio.sleep(max(0.0, started + mine[index][1] - loop.time()))
                now = loop.time() - started
                batch = [message for message in mine[index : index + MAX_BATCH] if message[1] <= now] or [mine[index]]
                await self._send(batch, texts, started)
                index += len(batch)
        finally:
            await self._client.close()

    async def _send(self, batch: list[tuple[int, float]], texts: list[str], started: float) -> None:
        bodies = [self._body(number, due, texts) for number, due in batch]
        try:
            answers = await self._client.chats(bodies)
        except PlatformError:
            self._outcome.failed += len(batch)
            return
        now = asyncio.get_running_loop().time() - started
        for (_, due), answer in zip(batch, answers, strict=True):
            self._outcome.due[answer.event_id] = due
            self._outcome.accepted[answer.event_id] = now
            if answer.shed:
                self._outcome.shed.add(answer.event_id)

    def _body(self, number: int, due: float, texts: list[str]) -> ChatBody:
        return ChatBody(
            event_id=f"{self._surge.name}-{number}",
            conversation_id=self.subject,
            subject_id=self.subject,
            role="customer",
            text=f"{texts[number % len(texts)]} (ticket {self._surge.name} {number})",
            event_time=self._outcome.began + timedelta(seconds=due),
        )

    @property
    def subject(self) -> str:
        """Whom its chats are about."""
        return self._surge.subject(self._number)

    def _slowed(self, error: PlatformError, _: float) -> None:
        self._outcome.slowed += isinstance(error, Busy)


def run_surge(
    gateway: str, surge: Surge, *, seed: int = 1, drain_s: float = 600.0, sent: Callable[[], None] = lambda: None
) -> Outcome:
    """Send it all, wait until the derivers are done, and look for every acknowledged chat.

    ``sent`` is called when all is acknowledged and nothing has been searched for yet.
    """
    due = list(enumerate(surge.due(seed)))
    texts = chat_texts()
    outcome = Outcome(utc_now())
    watch = Watch(gateway, outcome)
    watch.start()

    async def everybody() -> None:
        started = asyncio.get_running_loop().time()
        outcome.began = utc_now()
        async with asyncio.TaskGroup() as tasks:
            for number in range(SOURCES):
                source = Source(gateway, number, surge, outcome)
                tasks.create_task(source.run(started, due[number::SOURCES], texts))

    asyncio.run(everybody())
    sent()
    poll(gateway, [surge.subject(number) for number in range(SOURCES)], outcome, time.monotonic() + drain_s)
    watch.stop()
    return outcome


def main() -> None:
    arguments = _arguments()
    surge = Surge(arguments.chats, arguments.times, arguments.seconds, arguments.before, arguments.after)
    print(f"machine: {describe()}")
    with tempfile.TemporaryDirectory(prefix="mmplatform-surge-") as folder:
        os.environ |= {
            "MMPLATFORM_DATA_DIR": folder,
            "MMPLATFORM_GATEWAY_PORT": "0",
            "MMPLATFORM_CHAT_BACKPRESSURE_POLICY": arguments.policy,
            "MMPLATFORM_CHAT_HIGH_WATER": str(arguments.high_water),
            "MMPLATFORM_CHAT_LOW_WATER": str(arguments.high_water // 2),
        }
        counts = f"chat={arguments.derivers},call=0,screenshot=0"
        run = run_detached(load(), ["--no-dagster", "--derivers", counts], lambda _: None)
        try:
            outcome = _warm_and_run(run, surge, arguments.seed)
        finally:
            stop_stack(Path(folder), force=False, timeout_s=90)
    _print(surge, outcome)
    if arguments.out is not None:
        _write(arguments, surge, outcome)


def _warm_and_run(run: run_file.StackRun, surge: Surge, seed: int) -> Outcome:
    """The first micro-batches of a process are slow: they are not what is asked here."""
    run_surge(run.gateway, Surge(10, 1, 3, 0, 0, name="warm"), seed=seed)
    return run_surge(run.gateway, surge, seed=seed + 1)


def _phases(surge: Surge, outcome: Outcome) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {"before": [], "surge": [], "behind it": []}
    for event, due in outcome.due.items():
        phase = "before" if due < surge.before_s else "surge" if due < surge.ends_s else "behind it"
        found[phase].append(event)
    return found


def _print(surge: Surge, outcome: Outcome) -> None:
    print(f"\n{surge}")
    print(
        f"{'chats due':<12}{'count':>7}  {'gap p50':>8}{'p95':>8}{'p99':>8}{'max':>8}  {'at source p50':>14}{'p95':>8}"
    )
    for phase, events in _phases(surge, outcome).items():
        gap = Quantiles.from_seconds(outcome.gaps[event] for event in events if event in outcome.gaps)
        wait = Quantiles.from_seconds(max(0.0, outcome.accepted[event] - outcome.due[event]) for event in events)
        if gap is None or wait is None:
            continue
        print(
            f"{phase:<12}{len(events):>7}  {gap.p50:>8.2f}{gap.p95:>8.2f}{gap.p99:>8.2f}{gap.max:>8.2f}  "
            f"{wait.p50:>14.2f}{wait.p95:>8.2f}"
        )
    over = [sample for sample in outcome.samples if sample.over]
    max_lag = max((sample.lag for sample in outcome.samples), default=0.0)
    throttled = f"throttled for {len(over) / 2:.0f} s, {outcome.slowed} answers of 429 obeyed"
    print(f"maximum lag: {max_lag:.0f} events; {throttled}")
    print(f"acknowledged {len(outcome.accepted)}, shed {len(outcome.shed)}, given up by a source {outcome.failed}")
    print(f"acknowledged and lost: {len(outcome.lost)}")
    print(f"recovered {outcome.recovered_s(surge.ends_s):.0f} s after the surge")


def _write(arguments: argparse.Namespace, surge: Surge, outcome: Outcome) -> None:
    out: Path = arguments.out
    out.mkdir(parents=True, exist_ok=True)
    ends = [surge.ends_s + surge.after_s, *outcome.accepted.values()]
    ends += [outcome.due[event] + gap for event, gap in outcome.gaps.items() if event in outcome.due]
    seconds = int(max(ends)) + 1
    by_second: list[list[float]] = [[] for _ in range(seconds)]
    for event, gap in outcome.gaps.items():
        if event in outcome.due:
            by_second[min(int(outcome.due[event]), seconds - 1)].append(gap)
    figures = {
        "machine": describe(),
        "due": _per_second(outcome.due.values(), seconds),
        "accepted": _per_second(outcome.accepted.values(), seconds),
        "gap_p50": [round(float(np.median(gaps)), 2) if gaps else None for gaps in by_second],
        "gap_max": [round(max(gaps), 2) if gaps else None for gaps in by_second],
        "samples": [[round(s.elapsed_s, 1), s.lag, s.over] for s in outcome.samples if 0 <= s.elapsed_s <= seconds],
    }
    (out / "surge.json").write_text(json.dumps(figures) + "\n")
    thresholds = (arguments.high_water, arguments.high_water // 2)
    draw(figures, (surge.before_s, surge.ends_s), thresholds, MODALITY_SLAS["chat"].gap_s, out / "surge.png")
    print(f"written to {out}")


def _per_second(moments: Iterable[float], seconds: int) -> list[int]:
    counts, _ = np.histogram(np.fromiter(moments, dtype=float), bins=seconds, range=(0, seconds))
    return [int(count) for count in counts]


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--chats", type=float, default=20, help="a second, before and after the surge")
    parser.add_argument("--times", type=float, default=10, help="factor of the rate during the surge")
    parser.add_argument("--seconds", type=float, default=60, help="of the surge")
    parser.add_argument("--before", type=float, default=20, help="seconds of calm")
    parser.add_argument("--after", type=float, default=120, help="seconds after the surge")
    parser.add_argument("--policy", choices=["buffer", "throttle", "shed"], default="throttle")
    parser.add_argument("--high-water", type=int, default=2000, help="lag in chats; low water is half of it")
    parser.add_argument("--derivers", type=int, default=1, help="of chats")
    parser.add_argument("--seed", type=int, default=int(time.time()))
    parser.add_argument("--out", type=Path, help="folder for surge.json and surge.png")
    return parser.parse_args()


if __name__ == "__main__":
    main()
