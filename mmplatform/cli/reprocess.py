"""``mmplatform reprocess``: derive one hour again and replace its rows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from mmplatform.cli.app import app

if TYPE_CHECKING:
    from rich.console import Console

    from mmplatform.pipeline.reprocess.reprocess import ReprocessSummary


@app.command("reprocess")
def reprocess_hour(
    table: Annotated[str, typer.Argument(help="messages, transcripts or captions; its passages too.")],
    hour: Annotated[str, typer.Argument(help="The hour of event time, UTC, like 2026-08-01-10:00.")],
    asr_model: Annotated[str, typer.Option(help="Another speech model, for transcripts.")] = "",
    caption_model: Annotated[str, typer.Option(help="Another caption model, for captions.")] = "",
    ner_model: Annotated[str, typer.Option(help="Another names model, of the redactor.")] = "",
) -> None:
    """Derive an hour again from its raw rows, and replace rows that differ; exit code 1 when blobs are missing."""
    from rich.console import Console
    from rich.progress import Progress

    from mmplatform.events import utc_now
    from mmplatform.local.run_file import with_chroma_address, with_kafka_address
    from mmplatform.pipeline.reprocess.inputs import open_inputs, override_models
    from mmplatform.pipeline.reprocess.reprocess import check_hour, modality_for_table, parse_hour, reprocess
    from mmplatform.settings import load

    spec, start = modality_for_table(table), parse_hour(hour)
    check_hour(start, utc_now())
    models = {"asr_model": asr_model, "caption_model": caption_model, "ner_model": ner_model}
    chosen = with_kafka_address(with_chroma_address(override_models(load(), spec, models)))
    console = Console(stderr=True)
    with open_inputs(chosen, spec) as parts, Progress(console=console) as display:
        task = display.add_task(f"{table} {hour}", total=None)
        summary = reprocess(
            table, start, parts, progress=lambda done, total: display.update(task, completed=done, total=total)
        )
        display.update(task, visible=False)
    print_summary(summary, Console())
    if summary.lost:
        console.print(f"bytes are missing or damaged of: {', '.join(summary.lost)}", style="red", soft_wrap=True)
        raise typer.Exit(1)


def print_summary(summary: ReprocessSummary, console: Console) -> None:
    """Print the counts of each table and of the index."""
    from rich.table import Table

    if not summary.read:
        console.print("no raw rows in that hour: nothing to derive", style="yellow")
    shown = Table("table", "unchanged", "replaced", "added", "vanished", "overtaken", "left", box=None, pad_edge=False)
    for name, counts in summary.tables.items():
        figures = (counts.unchanged, counts.replaced, counts.added, counts.vanished, counts.overtaken, counts.left)
        shown.add_row(name, *map(str, figures))
    console.print(shown)
    console.print(
        f"{summary.read} events read, {summary.quarantined} quarantined; "
        f"index: {summary.upserted} upserted, {summary.deleted} deleted",
        style="dim",
        highlight=False,
    )
    if not summary.indexed:
        console.print("the indexer makes no progress: it applies the changes when it runs", style="yellow")
