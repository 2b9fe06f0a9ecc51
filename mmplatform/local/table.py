"""The live table: one row for each service, the addresses under it, and what is wrong in red."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from mmplatform.local.statuses import Quantiles, Usage, WorkerStatus

_STYLES: Final = {
    "ready": "green",
    "starting": "yellow",
    "restarting": "yellow",
    "waiting": "dim",
    "stopping": "dim",
    "stopped": "dim",
    "crash-loop": "bold red",
    "gone": "bold red",
}
_GAP: Final = "gap p50 / p99 (s)"
_COLUMNS: Final = ("service", "state", "restarts", "pid", "CPU", "memory", "lag", "rate/s", _GAP)
_LEFT: Final = ("service", "state", _GAP)
_WIDE: Final = 100
_ORDINARY: Final = {"", "ready", "running", "ok"}


@dataclass(frozen=True, slots=True)
class Row:
    """What is known of one service."""

    name: str
    state: str
    restarts: int
    pid: int | None
    usage: Usage | None = None
    status: WorkerStatus | None = None
    trouble: str = ""

    @property
    def shown_state(self) -> str:
        """The supervisor's word, and the worker's own where it says more (``paused``, ``loading`` …)."""
        own = self.status.state if self.status and self.state == "ready" else ""
        return self.state if own in _ORDINARY else f"{self.state} ({own})"


@dataclass(frozen=True, slots=True)
class Picture:
    """The stack at one moment. ``urls``: what to call, by name; ``notes``: what happened last."""

    rows: Sequence[Row]
    urls: Mapping[str, str]
    notes: Sequence[str] = field(default_factory=tuple)


def render(picture: Picture, width: int = 120) -> RenderableType:
    """The whole picture for a terminal of ``width`` columns; a narrow one goes without pid and rate."""
    columns = [column for column in _COLUMNS if width >= _WIDE or column not in {"pid", "rate/s"}]
    table = Table(box=None, pad_edge=False, header_style="bold")
    for title in columns:
        table.add_column(title, justify="left" if title in _LEFT else "right", no_wrap=True)
    for row in picture.rows:
        cells = _cells(row)
        table.add_row(*(cells[column] for column in columns))
    parts: list[RenderableType] = [table, Text()]
    parts += [Text.assemble((f"{name:<8} ", "bold"), url, no_wrap=True) for name, url in picture.urls.items() if url]
    parts += [_trouble(row) for row in picture.rows if row.trouble]
    if picture.notes:
        parts += [Text(), *(Text(note, style="dim", overflow="ellipsis", no_wrap=True) for note in picture.notes)]
    return Group(*parts)


def line(picture: Picture) -> str:
    """The picture in one line, for output that is no terminal."""
    ready = sum(row.state == "ready" for row in picture.rows)
    words = [f"{ready}/{len(picture.rows)} ready"]
    words += [f"{row.name}: {row.shown_state}" for row in picture.rows if row.shown_state != "ready"]
    for row in picture.rows:
        if row.status is None:
            continue
        if row.status.lag:
            words.append(f"{row.name} lag {row.status.lag}")
        words += [f"{row.name} gap {gap}" for gap in _gaps(row.status)]
    memory = sum(row.usage.rss for row in picture.rows if row.usage)
    return " · ".join([*words, f"{memory / 1e6:.0f} MB"])


def _cells(row: Row) -> dict[str, RenderableType]:
    status = row.status or WorkerStatus()
    return {
        "service": row.name,
        "state": Text(row.shown_state, style=_STYLES.get(row.state, "")),
        "restarts": Text(str(row.restarts), style="yellow" if row.restarts else ""),
        "pid": "" if row.pid is None else str(row.pid),
        "CPU": "" if row.usage is None else f"{row.usage.cpu * 100:.0f}%",
        "memory": "" if row.usage is None else f"{row.usage.rss / 1e6:.0f} MB",
        "lag": "" if status.lag is None else str(status.lag),
        "rate/s": "" if status.rate is None else f"{status.rate:.1f}",
        _GAP: Text("\n".join(_gaps(status))),
    }


def _gaps(status: WorkerStatus) -> list[str]:
    return [
        f"{modality} {_seconds(gap.p50)} / {_seconds(gap.p99)}"
        for modality, gap in status.gap.items()
        if gap != Quantiles()
    ]


def _seconds(value: float | None) -> str:
    return "–" if value is None else f"{value:.2f}"  # noqa: RUF001 - a dash for what was not measured


def _trouble(row: Row) -> Text:
    style = "red" if row.state in {"crash-loop", "gone"} else "yellow"
    return Text(f"\n{row.name}: {row.trouble}", style=style)
