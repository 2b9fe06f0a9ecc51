"""The live table: one row for each service; under it the freshness gap, the addresses, and what is wrong in red."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from mmplatform.local.status.freshness_table import CAPTION, format_seconds, freshness_table
from mmplatform.local.status.worker_status import FreshnessPayload, ProcessUsage, WorkerStatusPayload

_STYLES: Final = {
    "ready": "green",
    "starting": "yellow",
    "restarting": "yellow",
    "waiting": "dim",
    "stopping": "dim",
    "stopped": "dim",
    "blocked": "bold red",
    "crash-loop": "bold red",
    "gone": "bold red",
}
_COLUMNS: Final = ("service", "state", "restarts", "pid", "CPU", "memory", "lag", "rate/s")
_LEFT: Final = ("service", "state")
_WIDE: Final = 100
_ORDINARY: Final = {"", "ready", "running", "ok"}


@dataclass(frozen=True, slots=True)
class ServiceRow:
    """State of one service."""

    name: str
    state: str
    restarts: int
    pid: int | None
    usage: ProcessUsage | None = None
    status: WorkerStatusPayload | None = None
    problem: str = ""

    @property
    def shown_state(self) -> str:
        """State by the supervisor, and the worker's own where it adds to it (``paused``, ``loading`` …)."""
        own = self.status.state if self.status and self.state == "ready" else ""
        return self.state if own in _ORDINARY else f"{self.state} ({own})"


@dataclass(frozen=True, slots=True)
class StackSnapshot:
    """The stack at one moment. ``urls``: addresses by name; ``notes``: the last lines of the journal."""

    rows: Sequence[ServiceRow]
    urls: Mapping[str, str]
    notes: Sequence[str] = field(default_factory=tuple)

    @property
    def freshness(self) -> Mapping[str, FreshnessPayload]:
        """Measured freshness by modality; empty before the first measurement."""
        reported = (row.status.freshness for row in self.rows if row.status)
        return {modality: found for freshness in reported for modality, found in freshness.items()}


def render(snapshot: StackSnapshot, width: int = 120) -> RenderableType:
    """Render the snapshot for a terminal of ``width`` columns, 80 or more; a narrow one omits the pid."""
    columns = [column for column in _COLUMNS if width >= _WIDE or column != "pid"]
    table = Table(box=None, pad_edge=False, header_style="bold")
    for title in columns:
        table.add_column(title, justify="left" if title in _LEFT else "right", no_wrap=True)
    for row in snapshot.rows:
        cells = _cells(row)
        table.add_row(*(cells[column] for column in columns))
    parts: list[RenderableType] = [table, Text()]
    if snapshot.freshness:
        parts += [Text(CAPTION, style="dim"), freshness_table(snapshot.freshness), Text()]
    parts += [Text.assemble((f"{name:<8} ", "bold"), url, no_wrap=True) for name, url in snapshot.urls.items() if url]
    parts += [_problem_text(row) for row in snapshot.rows if row.problem]
    if snapshot.notes:
        parts += [Text(), *(Text(note, style="dim", overflow="ellipsis", no_wrap=True) for note in snapshot.notes)]
    return Group(*parts)


def summary_line(snapshot: StackSnapshot) -> str:
    """Render the snapshot in one line, for output that is not a terminal."""
    ready = sum(row.state == "ready" for row in snapshot.rows)
    parts = [f"{ready}/{len(snapshot.rows)} ready"]
    parts += [f"{row.name}: {row.shown_state}" for row in snapshot.rows if row.shown_state != "ready"]
    parts += [f"{row.name} lag {row.status.lag}" for row in snapshot.rows if row.status and row.status.lag]
    parts += [
        f"{modality} gap {format_seconds(found.gap.p50)} / {format_seconds(found.gap.p99)}"
        for modality, found in sorted(snapshot.freshness.items())
        if found.gap.p50 is not None and found.gap.p99 is not None
    ]
    memory = sum(row.usage.rss for row in snapshot.rows if row.usage)
    return " · ".join([*parts, f"{memory / 1e6:.0f} MB"])


def _cells(row: ServiceRow) -> dict[str, RenderableType]:
    status = row.status or WorkerStatusPayload()
    return {
        "service": row.name,
        "state": Text(row.shown_state, style=_STYLES.get(row.state, "")),
        "restarts": Text(str(row.restarts), style="yellow" if row.restarts else ""),
        "pid": "" if row.pid is None else str(row.pid),
        "CPU": "" if row.usage is None else f"{row.usage.cpu * 100:.0f}%",
        "memory": "" if row.usage is None else f"{row.usage.rss / 1e6:.0f} MB",
        "lag": "" if status.lag is None else str(status.lag),
        "rate/s": "" if status.rate is None else f"{status.rate:.1f}",
    }


def _problem_text(row: ServiceRow) -> Text:
    style = "red" if row.state in {"blocked", "crash-loop", "gone"} else "yellow"
    return Text(f"\n{row.name}: {row.problem}", style=style)
