"""The freshness gap as a table: under the live table, in ``mmplatform status`` and in ``mmplatform freshness``.

Drawn from what the indexer's status page says alone. The supervisor draws it too, and a process that forks must have no
threads: so nothing here loads numpy, and with it the room that measures.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from rich.table import Table
from rich.text import Text

from mmplatform.local.status.worker_status import Freshness, Quantiles
from quality.slas import MODALITY_SLAS

_QUANTILES: Final = ("p50", "p95", "p99", "max")
CAPTION: Final = "freshness gap, and on the right the p95 of each stage, * the slowest"


def gap_table(found: Mapping[str, Freshness]) -> Table:
    """A row for each modality, within 80 columns: its gap, red when over its budget, and where the time goes."""
    stages = list(dict.fromkeys(stage for row in found.values() for stage in row.stages))
    # One column of space, not two: nine columns of figures and the mark must fit into 80.
    table = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0), header_style="bold")
    table.add_column("modality", no_wrap=True)
    for title in (*_QUANTILES, *(f"{stage} " for stage in stages)):
        table.add_column(title, justify="right", no_wrap=True)
    for modality, row in sorted(found.items()):
        style = "red" if _over(modality, row.gap) else "green"
        gap = [Text(_told(getattr(row.gap, name)), style=style) for name in _QUANTILES]
        table.add_row(modality, *gap, *(_share(row, stage) for stage in stages))
    return table


def seconds(value: float) -> str:
    """A duration that is read at a glance, in at most seven characters up to a hundred days."""
    if value < 0:
        return f"-{seconds(-value)}"
    if value < 0.9995:  # noqa: PLR2004 - below this, three digits of milliseconds say more
        return f"{value * 1000:.0f} ms"
    if value < 119.95:  # noqa: PLR2004 - two minutes
        return f"{value:.1f} s"
    minutes, rest = divmod(round(value), 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    if days:
        return f"{days}d {hours:02d}h" if days < 100 else f"{days} d"  # noqa: PLR2004 - then hours say nothing
    return f"{hours}h {minutes:02d}m" if hours else f"{minutes}m {rest:02d}s"


def _share(row: Freshness, stage: str) -> Text:
    slowest = stage == row.slowest
    told = _told(row.stages.get(stage, Quantiles()).p95)
    return Text(f"{told}{'*' if slowest else ' '}", style="bold" if slowest else "")


def _told(value: float | None) -> str:
    return "–" if value is None else seconds(value)  # noqa: RUF001 - a dash for what was not measured


def _over(modality: str, gap: Quantiles) -> bool:
    promised = MODALITY_SLAS.get(modality)
    return promised is not None and gap.p99 is not None and gap.p99 > promised.gap_s
