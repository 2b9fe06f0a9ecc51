"""The freshness gap as a table: under the live table, in ``mmplatform status`` and in ``mmplatform freshness``.

Drawn from the indexer's status page alone. The supervisor draws it too, and a process that forks must have no threads:
so nothing here imports numpy, nor the telemetry that measures.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from rich.table import Table
from rich.text import Text

from mmplatform.local.status.worker_status import FreshnessPayload, QuantilesPayload
from quality.slas import MODALITY_SLAS

_QUANTILES: Final = ("p50", "p95", "p99", "max")
CAPTION: Final = "freshness gap, and on the right the p95 of each stage, * the slowest"


def freshness_table(found: Mapping[str, FreshnessPayload]) -> Table:
    """Table with a row for each modality, within 80 columns: its gap, red when over budget, and the stages."""
    stages = list(dict.fromkeys(stage for row in found.values() for stage in row.stages))
    # One column of space, not two: nine columns of figures and the mark must fit into 80.
    table = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0), header_style="bold")
    table.add_column("modality", no_wrap=True)
    for title in (*_QUANTILES, *(f"{stage} " for stage in stages)):
        table.add_column(title, justify="right", no_wrap=True)
    for modality, row in sorted(found.items()):
        style = "red" if _is_over_budget(modality, row.gap) else "green"
        gap = [Text(_format(getattr(row.gap, name)), style=style) for name in _QUANTILES]
        table.add_row(modality, *gap, *(_stage_cell(row, stage) for stage in stages))
    return table


def format_seconds(value: float) -> str:
    """Format a duration in at most seven characters, up to a hundred days."""
    if value < 0:
        return f"-{format_seconds(-value)}"
    if value < 0.9995:  # noqa: PLR2004 - below this, three digits of milliseconds say more
        return f"{value * 1000:.0f} ms"
    if value < 119.95:  # noqa: PLR2004 - two minutes
        return f"{value:.1f} s"
    minutes, left = divmod(round(value), 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    if days:
        return f"{days}d {hours:02d}h" if days < 100 else f"{days} d"  # noqa: PLR2004 - then hours say nothing
    return f"{hours}h {minutes:02d}m" if hours else f"{minutes}m {left:02d}s"


def _stage_cell(row: FreshnessPayload, stage: str) -> Text:
    slowest = stage == row.slowest
    text = _format(row.stages.get(stage, QuantilesPayload()).p95)
    return Text(f"{text}{'*' if slowest else ' '}", style="bold" if slowest else "")


def _format(value: float | None) -> str:
    return "–" if value is None else format_seconds(value)  # noqa: RUF001 - a dash where nothing was measured


def _is_over_budget(modality: str, gap: QuantilesPayload) -> bool:
    sla = MODALITY_SLAS.get(modality)
    return sla is not None and gap.p99 is not None and gap.p99 > sla.gap_s
