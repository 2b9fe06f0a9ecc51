"""``mmplatform ingest``."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mmplatform.cli.app import app
from mmplatform.errors import Busy, Rejected

if TYPE_CHECKING:
    from collections.abc import Iterable

    from rich.console import Console

    from mmplatform.sources.files.discovery import UploadDefaults, UploadPlan
    from mmplatform.sources.files.report import UploadReport
    from mmplatform.sources.files.upload import CallPlayback

_MAX_PRINTED = 20


@app.command()
def ingest(
    paths: Annotated[list[Path], typer.Argument(help="Calls, screenshots, chats (jsonl json csv); folders.")],
    subject: Annotated[
        str | None, typer.Option(help="The person the data is about; chat lines may name their own.")
    ] = None,
    conversation: Annotated[str | None, typer.Option(help="The conversation of all files.")] = None,
    at: Annotated[
        datetime | None, typer.Option(help="Event time (of a call: its start); else the file's time.")
    ] = None,
    realtime: Annotated[bool, typer.Option("--realtime", help="Send calls at the speed of speech.")] = False,
    speed: Annotated[float | None, typer.Option(min=0.1, max=100, help="Send calls this many times as fast.")] = None,
    chunk_s: Annotated[float, typer.Option(min=0.2, max=30, help="Seconds of audio in one chunk.")] = 5.0,
    refusals: Annotated[Path | None, typer.Option(help="Write every refusal to this file, as JSON Lines.")] = None,
    url: Annotated[str, typer.Option(help="The gateway; empty: the running stack's.")] = "",
) -> None:
    """Send files and folders to the gateway; repeats are idempotent. Exit code 1 when anything is refused."""
    import asyncio
    from datetime import UTC

    from rich.console import Console

    from mmplatform.sources.files.discovery import UploadDefaults, plan_upload
    from mmplatform.sources.files.upload import CallPlayback
    from mmplatform.terminal.stack_client import gateway_url

    console = Console()
    planned = plan_upload(paths)
    if not planned.files and not planned.rejected:
        raise Rejected(
            "nothing to send: the folders hold no audio, image or chat files (wav, flac, png, jsonl, csv, …)"
        )
    if refusals is not None:
        _check_refusals_file(refusals, planned)
    when = at.replace(tzinfo=UTC) if at is not None and at.tzinfo is None else at
    defaults = UploadDefaults(subject, conversation, when)
    playback = CallPlayback(speed or (1.0 if realtime else None), chunk_s)
    report = asyncio.run(_send(gateway_url(url), planned, defaults, playback, console))
    if refusals is not None:
        _write(refusals, report.rejections_as_json_lines())
    _summary(planned, report, console, refusals)
    if report.rejected:
        raise typer.Exit(1)


async def _send(
    url: str, planned: UploadPlan, defaults: UploadDefaults, playback: CallPlayback, console: Console
) -> UploadReport:
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeElapsedColumn

    from mmplatform.client.client import AsyncGatewayClient
    from mmplatform.derive.media.audio import split
    from mmplatform.sources.files.upload import Uploader

    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TimeElapsedColumn())
    progress = Progress(*columns, console=console)
    task = progress.add_task("sending", total=planned.size)

    def waiting(error: Exception, seconds: float) -> None:
        hint = getattr(error, "hint", {})
        why = f"{hint['lag']:.0f} behind" if "lag" in hint else _waiting_reason(error)
        progress.update(task, description=f"waiting {seconds:.0f} s ({why})")

    def advance(size: float) -> None:
        progress.update(task, advance=size, description="sending")

    async with AsyncGatewayClient(url, on_retry=waiting) as client:
        await client.check_reachable()  # a wrong address fails at once; a gateway that stops later is retried
        with progress:
            return await Uploader(client, defaults, split, playback=playback, advance=advance).upload(planned)


def _waiting_reason(error: Exception) -> str:
    return "the gateway is busy" if isinstance(error, Busy) else "the gateway does not answer"


def _check_refusals_file(refusals: Path, planned: UploadPlan) -> None:
    """Check before sending that the file is writable and is none of the files to send."""
    if any(work.path.resolve() == refusals.resolve() for work in planned.files):
        raise Rejected(f"--refusals {refusals} is one of the files to send: name another")
    _write(refusals, [], mode="a")


def _write(path: Path, lines: Iterable[str], mode: str = "w") -> None:
    try:
        with path.open(mode, encoding="utf-8") as file:
            file.writelines(lines)
    except OSError as error:
        raise Rejected(f"--refusals {path} cannot be written: {error.strerror}") from None


def _summary(planned: UploadPlan, report: UploadReport, console: Console, refusals: Path | None) -> None:
    from rich.markup import escape
    from rich.table import Table

    from mmplatform.terminal.printable import printable

    table = Table("kind", "accepted", "duplicate", "refused")
    for kind in ("chats", "screenshot", "call"):
        refused = report.count_rejected(kind)
        table.add_row(kind, str(report.accepted[kind]), str(report.duplicate[kind]), str(refused))
    unknown = report.count_rejected(None)
    if unknown:
        table.add_row("other", "", "", str(unknown))
    console.print(table)
    for _, refusal in report.rejected[:_MAX_PRINTED]:
        line = f", line {refusal.line}" if refusal.line is not None else ""
        where = f"{escape(printable(str(refusal.path)))}{line}"
        reason = escape(printable(refusal.reason))
        console.print(f"[red]refused[/red] {where}: {reason}", highlight=False, soft_wrap=True)
    if len(report.rejected) > _MAX_PRINTED:
        hint = f"all of them are in {refusals}" if refusals is not None else "say --refusals FILE to have all of them"
        console.print(
            f"… and {len(report.rejected) - _MAX_PRINTED} more refusals: {hint}", highlight=False, markup=False
        )
    if shed := report.shed.total():
        hint = "were shed: they are stored, but cannot be found until their hours are reprocessed"
        console.print(f"{shed} of the accepted events {hint}", style="yellow")
    for path, remark in report.remarks[:_MAX_PRINTED]:
        text = f"{escape(printable(str(path)))}: {escape(printable(remark))}"
        console.print(text, style="dim", highlight=False, soft_wrap=True)
    if planned.skipped:
        console.print(f"{len(planned.skipped)} other files in the folders were skipped", style="dim")
