"""Answers on a terminal."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from mmplatform.retrieve.freshness import STAGES
from quality.slas import MODALITY_SLAS


def print_hits(answer: Mapping[str, Any], console: Console | None = None) -> None:
    """Each hit with its place; an empty answer says so."""
    console = console or Console()
    if not answer["hits"]:
        console.print("nothing found", style="yellow")
        return
    for hit in answer["hits"]:
        print_hit(hit, console)
    console.print(f"{len(answer['hits'])} passages in {answer['took_ms']:.0f} ms", style="dim")


def print_hit(hit: Mapping[str, Any], console: Console) -> None:
    """The passage, and under it where it comes from, how old it is, and how long it took to become retrievable."""
    console.print(Text(f"{hit['score']:.2f}  ", style="cyan").append(shorten(hit["text"], 160), style="default"))
    told = f"{hit['source']}, {seconds(hit['age_s'])} ago, indexed {seconds(hit['gap_s'])} after it happened"
    console.print(Padding(Text(told, style="dim"), (0, 0, 0, 6)))


def print_freshness(found: Mapping[str, Any], console: Console | None = None) -> None:
    """The gap of each modality against its budget, and below it where the time goes."""
    console = console or Console()
    if not found:
        console.print("no passage became retrievable in the last 15 minutes: nothing to measure", style="yellow")
        return
    gaps = Table("modality", "passages", "p50", "p95", "p99", "max", "budget", box=None, header_style="dim")
    shares = Table("p95 of", *STAGES, "newest event", box=None, header_style="dim")
    for modality, row in sorted(found.items()):
        gap, budget = row["gap"], MODALITY_SLAS[modality].gap_s
        style = "red" if gap["p99"] > budget else "green"
        figures = [Text(seconds(gap[name]), style=style) for name in ("p50", "p95", "p99", "max")]
        gaps.add_row(modality, str(gap["count"]), *figures, f"{budget:g} s")
        parts = [
            Text(seconds(row["stages"][stage]["p95"]), style="bold" if stage == row["slowest"] else "")
            for stage in STAGES
        ]
        shares.add_row(modality, *parts, row["watermark"][11:19])
    console.print(gaps)
    console.print(shares)


def seconds(value: float) -> str:
    """A duration that is read at a glance."""
    if value < 0.9995:  # noqa: PLR2004 - below this, three digits of milliseconds say more
        return f"{value * 1000:.0f} ms"
    if value < 120:  # noqa: PLR2004 - two minutes
        return f"{value:.1f} s"
    minutes, rest = divmod(int(value), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s"


def shorten(text: str, width: int = 110) -> str:
    """One line of a passage."""
    line = " ".join(text.split())
    return line if len(line) <= width else f"{line[: width - 1]}…"
