"""The faults and their order: chosen by a seed, so that a run can be made again."""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Final, Literal

from benchmarks.faults.stack import SERVICES, WORKERS

DERIVERS: Final = tuple(worker for worker in WORKERS if worker.startswith("derive-"))

Kind = Literal["kill", "freeze", "restart", "slow disk", "clock", "join", "zombie"]
"""SIGKILL · SIGSTOP, later SIGCONT · SIGTERM, away for a while · delays · a wrong time · a second worker · a deriver
that is frozen beyond its session, while a second one takes over, and wakes."""

SECONDARY_KINDS: Final[tuple[Kind, ...]] = ("freeze", "restart", "slow disk", "clock", "join", "zombie")
ZOMBIE_S: Final = 10.0
"""Beyond the session of a consumer (6 s): Kafka gives its topic partitions to another."""

CLOCKED: Final = ("gateway", *WORKERS)
_SLOW_S: Final = 0.3
_MAX_CLOCK_OFFSET_S: Final = 120
"""Below ``MMPLATFORM_MAX_FUTURE_S``: a clock that is further back has events refused as being of the future."""


@dataclass(frozen=True, slots=True)
class Fault:
    """One of the plan.

    Attributes:
        wait_s: after the one before it began to be over.
        seconds: for how long, or 0 for what is over at once.
        amount: seconds of delay, or by which the clock is off.
    """

    kind: Kind
    target: str
    wait_s: float
    seconds: float = 0.0
    amount: float = 0.0

    def __str__(self) -> str:
        """One line of the plan."""
        lasts = f" for {self.seconds:.0f} s" if self.seconds else ""
        by = f" by {self.amount:+.1f} s" if self.amount else ""
        return f"{self.kind} {self.target}{by}{lasts}"


def draw(kills: int, seed: int, *, long_s: float, zombies: int | None = None) -> list[Fault]:
    """So many kills, and of each other kind one for ten of them; ``long_s`` is how long what lasts lasts.

    ``zombies`` is their number, where it is another.

    Every process is killed as often as any other, give or take one.
    """
    chance = random.Random(seed)
    killed = [SERVICES[number % len(SERVICES)] for number in range(kills)]
    faults = [_kill(chance, target) for target in killed]
    counts = dict.fromkeys(SECONDARY_KINDS, max(1, kills // 10))
    counts |= {"zombie": zombies} if zombies is not None else {}
    faults += [_second_fault(chance, kind, long_s) for kind, count in counts.items() for _ in range(count)]
    chance.shuffle(faults)
    return faults


def _kill(chance: random.Random, target: str) -> Fault:
    return Fault("kill", target, _wait(chance))


def _second_fault(chance: random.Random, kind: Kind, long_s: float) -> Fault:
    wait = _wait(chance)
    if kind == "freeze":
        return Fault(kind, chance.choice(SERVICES), wait, long_s)
    if kind == "restart":
        return Fault(kind, chance.choice(("broker", "chroma")), wait, round(long_s * chance.random()))
    if kind == "slow disk":
        return Fault(kind, "blobs and lakehouse", wait, long_s, _SLOW_S)
    if kind == "clock":
        off = chance.choice((-1, 1)) * chance.randint(5, _MAX_CLOCK_OFFSET_S)
        return Fault(kind, chance.choice(CLOCKED), wait, long_s, off)
    if kind == "zombie":
        return Fault(kind, chance.choice(DERIVERS), wait, max(long_s, ZOMBIE_S))
    return Fault(kind, chance.choice(WORKERS), wait, 2 * long_s)


def _wait(chance: random.Random) -> float:
    """Now and then the next one comes while the last one is still felt."""
    return round(chance.uniform(0.2, 4.0), 1)
