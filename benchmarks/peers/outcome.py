"""Measurements of each contestant, and their report."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from benchmarks.load import chat_texts


@dataclass(slots=True)
class Outcome:
    """Seconds, unless said otherwise; None: it cannot do that, or was not asked to."""

    name: str
    settings: str
    chats: int
    until_all: float | None = None
    cpu: float | None = None
    memory_mb: float | None = None
    changes: str = ""
    gaps: dict[int, list[float]] = field(default_factory=dict)
    killed: str = ""
    trouble: str = ""

    def row(self) -> str:
        """A line of the table."""
        if self.trouble:
            return f"| {self.name} | {self.trouble} | | | | | | |"
        speed = f"{self.chats / self.until_all:.0f}" if self.until_all else "-"
        cpu = f"{1000 * self.cpu / self.chats:.1f}" if self.cpu is not None else "-"
        gaps = [_format_gaps(self.gaps.get(rate, [])) for rate in (20, 100)]
        memory = f"{self.memory_mb:.0f}" if self.memory_mb else "-"
        return f"| {self.name} | {speed} | {cpu} | {memory} | {gaps[0]} | {gaps[1]} | {self.changes} | {self.killed} |"


HEAD = (
    "| what | chats/s until all are retrievable | CPU s per 1,000 | MB | gap at 20/s, p50 / p99 | at 100/s |"
    " 1% edits, 1% deletes | kill -9 at 60% |\n|---|---|---|---|---|---|---|---|"
)


def _format_gaps(gaps: Sequence[float]) -> str:
    if not gaps:
        return "-"
    p50, p99 = np.percentile(gaps, [50, 99])
    return f"{p50:.2f} / {p99:.2f}"


def format_changes(edited_s: float, deleted_s: float, ledger: Ledger) -> str:
    """Report seconds until the edits were retrievable and the deleted chats were not, and all that is there then."""
    return f"{edited_s:.1f} s, deleted after {deleted_s:.1f} s; {ledger}"


def texts(count: int, seed: int) -> list[str]:
    """Chats, none like another, so that no memo answers for one."""
    chooser, corpus = random.Random(seed), chat_texts()
    return [f"{chooser.choice(corpus)} (ticket {seed}-{n})" for n in range(count)]


@dataclass(frozen=True, slots=True)
class Ledger:
    """Compares what was acknowledged with what is stored."""

    lost: int
    doubled: int
    stale: int
    undead: int

    @classmethod
    def from_rows(cls, wanted: dict[str, int], present: Sequence[tuple[str, int]]) -> Ledger:
        """``wanted``: the version of each id; ``there``: id and version of each row."""
        found = Counter(name for name, _ in present)
        newest = (
            {name: max(version for row_id, version in present if row_id == name) for name in found}
            if (len(found) < len(present))
            else dict(present)
        )
        return cls(
            lost=sum(name not in found for name in wanted),
            doubled=sum(times > 1 for times in found.values()),
            stale=sum(newest[name] != version for name, version in wanted.items() if name in newest),
            undead=sum(name not in wanted for name in found),
        )

    def __str__(self) -> str:
        return f"{self.lost} lost, {self.doubled} duplicated, {self.stale} stale, {self.undead} not deleted"
