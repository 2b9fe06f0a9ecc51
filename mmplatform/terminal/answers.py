"""Search and freshness answers as text on a terminal."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final

from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from mmplatform.events import utc_now
from mmplatform.local.status.freshness_table import CAPTION, format_seconds, freshness_table
from mmplatform.local.status.worker_status import CanaryPayload, FreshnessPayload
from mmplatform.telemetry.freshness import WINDOW_S
from mmplatform.terminal.printable import printable
from quality.slas import MODALITY_SLAS

__all__ = ["format_seconds", "format_time", "print_canaries", "print_freshness", "print_hit", "print_hits", "shorten"]

_WINDOW: Final = f"{WINDOW_S / 60:.0f} minutes"


INCOMPLETE_TAILS: Final = {
    "catching_up": "the newest passages may be missing: the gateway still reads the log",
    "full": "the newest passages may be missing: the index is far behind, and the gateway's memory for them is full",
    "unavailable": "the newest passages may be missing: the log does not answer",
}
"""Words on the part that may be missing, by the state of the tail."""


def print_hits(answer: Mapping[str, Any], console: Console | None = None) -> None:
    """Print each hit with its source; say so when there is none."""
    console = console or Console()
    if not answer["hits"]:
        console.print("nothing found", style="yellow")
    for hit in answer["hits"]:
        print_hit(hit, console)
    if answer["hits"]:
        console.print(f"{len(answer['hits'])} passages in {answer['took_ms']:.0f} ms", style="dim")
    print_coverage(answer["coverage"], console)
    print_receipt(answer, console)


def print_coverage(coverage: Mapping[str, str], console: Console) -> None:
    """Print what an answer may be missing; nothing when it has everything that was derived."""
    if coverage["index"] == "unavailable":
        console.print("the index does not answer: these are only passages that it does not have yet", style="yellow")
    if coverage["tail"] in INCOMPLETE_TAILS:
        console.print(INCOMPLETE_TAILS[coverage["tail"]], style="yellow")


def print_receipt(answer: Mapping[str, Any], console: Console) -> None:
    """Print what is pending, open or refused, and a wait that was in vain; nothing when there is no such thing."""
    fence, receipt = answer.get("fence"), answer.get("receipt")
    if fence and not fence["reached"]:
        console.print(f"not in reach after {fence['waited_ms']:.0f} ms: an answer without it", style="yellow")
    if not receipt:
        return
    for modality in receipt["modalities"]:
        name = modality["modality"]
        if modality["stalled"]:
            console.print(f"{name}: no deriver has reported for ten seconds", style="yellow")
        if modality["pending"]:
            console.print(f"{name}: {modality['pending']} events are not derived yet", style="yellow")
    subject = receipt["subject"] or {"pending": 0, "open_calls": [], "refused": {}}
    if subject["open_calls"]:
        console.print(f"{len(subject['open_calls'])} calls of the subject are being spoken", style="yellow")
    if subject["refused"]:
        console.print(f"{sum(subject['refused'].values())} events of the subject were refused", style="yellow")


def print_hit(hit: Mapping[str, Any], console: Console) -> None:
    """Print the passage, and under it its source, its event time, and since when it could be found."""
    console.print(Text(f"{hit['score']:.2f}  ", style="cyan").append(shorten(hit["text"], 160), style="default"))
    happened = f"{format_time(hit['event_time'])}, {format_seconds(hit['age_s'])} ago"
    where = "found" if hit["found_in"] == "tail" else "indexed"
    found = f"{where} {format_time(hit['retrievable_at'])}, after {format_seconds(hit['gap_s'])}"
    console.print(Padding(Text(f"{printable(hit['source'])} · {happened} · {found}", style="dim"), (0, 0, 0, 6)))


def print_freshness(
    freshness: Mapping[str, Any], console: Console | None = None, *, measured_since: str | None = None
) -> None:
    """Print the freshness gap of each modality by stage, then its budget and its newest event.

    ``measured_since`` is the start of the indexer: earlier measurements were lost with its process.
    """
    console = console or Console()
    if not freshness:
        console.print(
            f"no passage became retrievable {_describe_window(measured_since)}: nothing to measure", style="yellow"
        )
        return
    rows = {modality: FreshnessPayload.model_validate(row) for modality, row in freshness.items()}
    console.print(f"measured {_describe_window(measured_since)}", style="dim")
    console.print(CAPTION, style="dim")
    console.print(freshness_table(rows))
    console.print()
    console.print(_budget_table(rows))


def print_canaries(figures: Mapping[str, Any], console: Console | None = None) -> None:
    """Print the gap of the canaries of each modality, and in red a receipt that claimed too much; nothing for none."""
    if not figures:
        return
    console = console or Console()
    table = Table(
        "canaries",
        "found",
        "others",
        "p50",
        "p99",
        "max",
        "false receipts",
        box=None,
        pad_edge=False,
        header_style="bold",
    )
    for modality, row in sorted((name, CanaryPayload.model_validate(row)) for name, row in figures.items()):
        found = row.outcomes.get("found", 0)
        gaps = [format_seconds(value) if value is not None else "" for value in (row.gap.p50, row.gap.p99, row.gap.max)]
        false = Text(str(row.false_receipts), style="bold red" if row.false_receipts else "")
        table.add_row(modality, str(found), str(sum(row.outcomes.values()) - found), *gaps, false)
    console.print()
    console.print("canaries: from the acknowledgement to the search that has them, over a day", style="dim")
    console.print(table)


def format_time(value: str | datetime, now: datetime | None = None) -> str:
    """Format a time in UTC; with the day only when it is not today."""
    utc = _to_utc(value)
    today = utc.date() == (now or utc_now()).date()
    return f"{utc:%H:%M:%S} UTC" if today else f"{utc:%Y-%m-%d %H:%M:%S} UTC"


def shorten(text: str, width: int = 110) -> str:
    """Shorten a passage to one printable line."""
    line = printable(" ".join(text.split()))
    return line if len(line) <= width else f"{line[: width - 1]}…"


def _describe_window(measured_since: str | None) -> str:
    """Period of the figures: the window, or the age of an indexer that is younger than the window."""
    if measured_since is None:
        return "while this indexer was measuring"
    measured_s = (utc_now() - _to_utc(measured_since)).total_seconds()
    if measured_s >= WINDOW_S:
        return f"in the last {_WINDOW}"
    return f"in the {format_seconds(measured_s)} since this indexer started, at {format_time(measured_since)}"


def _budget_table(rows: Mapping[str, FreshnessPayload]) -> Table:
    table = Table(
        "modality", "passages", "shed", "budget", "newest event", box=None, pad_edge=False, header_style="bold"
    )
    for modality, row in sorted(rows.items()):
        sla = MODALITY_SLAS.get(modality)
        budget = f"{sla.gap_s:g} s" if sla else ""
        newest = format_time(row.watermark) if row.watermark else ""
        table.add_row(modality, str(row.gap.count), str(row.shed), budget, newest)
    return table


def _to_utc(value: str | datetime) -> datetime:
    parsed = datetime.fromisoformat(value) if isinstance(value, str) else value
    return parsed.astimezone(UTC)
