"""Verbs for the local stack: ``up``, ``down``, ``start-failed``, ``restart``, ``status``, ``logs``, ``doctor``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from mmplatform.cli.app import app
from mmplatform.cli.renamed import refuse_old_option
from mmplatform.errors import Misconfigured, Unavailable
from mmplatform.settings import load

_SIGNS = {"ok": ("ok", "green"), "warning": ("warning", "yellow"), "failed": ("failed", "bold red")}


@app.command()
def up(
    derivers: Annotated[
        str, typer.Option(help="Processes per modality, for example `chat=1,call=2`; 0 leaves one out.")
    ] = "",
    dagster: Annotated[bool, typer.Option(help="Start the Dagster UI and daemon too.")] = True,
    detach: Annotated[bool, typer.Option("--detach", "-d", help="Return when all of it answers; it runs on.")] = False,
    timeout: Annotated[float, typer.Option(help="Seconds that --detach waits.")] = 900.0,
) -> None:
    """Start the local stack; Ctrl-C stops it."""
    from mmplatform.derive.pii.policy_file import load_policy
    from mmplatform.local.launch import dagster_location, run_stack
    from mmplatform.local.services.services import StackOptions, parse_derivers
    from mmplatform.local.status.views import LiveView, PlainView, StackView

    counts = parse_derivers(derivers)
    settings = load()
    load_policy(settings.redaction_policy)  # a mistake in it shows here, not in the log of a deriver that ended
    if detach:
        _detach(derivers, dagster=dagster, timeout_s=timeout)
        return
    console = Console()
    location, cwd = dagster_location(Path.cwd()) if dagster else ((), None)
    if dagster and not location:
        console.print("no workspace.yaml here: the Dagster UI is not started", style="yellow")
    view: StackView = LiveView(console) if console.is_terminal else PlainView(console)
    run_stack(settings, StackOptions(counts, location, cwd), view)


def _detach(derivers: str, *, dagster: bool, timeout_s: float) -> None:
    from mmplatform.local.launch import run_detached
    from mmplatform.local.run_file import StackRun

    console = Console()

    shown: dict[str, str] = {}

    def show(run: StackRun) -> None:
        for name, service in run.services.items():
            note = service.note.partition("\n")[0] or service.state
            if shown.get(name) != note and (service.note or service.state == "ready"):
                console.print(f"{name}: {note}", markup=False, highlight=False)
            shown[name] = note

    def show_wait(run: StackRun, seconds: float) -> None:
        pending = ", ".join(f"{name} ({service.state})" for name, service in run.pending_services.items())
        console.print(f"{seconds:.0f} s: waits for {pending}", markup=False, highlight=False)

    arguments = [*(["--derivers", derivers] if derivers else []), *([] if dagster else ["--no-dagster"])]
    run = run_detached(load(), arguments, show, on_wait=show_wait, timeout_s=timeout_s)
    for name, address in (("gateway", run.gateway), ("dagster", run.dagster), ("kafka", run.kafka)):
        if address:
            console.print(f"{name:<8} {address}", highlight=False)
    for name, service in run.down_services.items():
        console.print(Text(f"{name}: {service.note}", style="red"))
    if run.down_services:
        raise Unavailable(
            f"the stack is not complete ({run.down_summary}): the rest runs on, `mmplatform down` stops it"
        )


@app.command()
def down(
    now: Annotated[bool, typer.Option("--now", help="Do not wait for workers to finish their micro-batch.")] = False,
    timeout: Annotated[float, typer.Option(help="Seconds to wait for the stop.")] = 90.0,
    _patience: Annotated[
        str | None, typer.Option("--patience", hidden=True, callback=refuse_old_option("--timeout"))
    ] = None,
) -> None:
    """Stop the local stack and wait until it has stopped."""
    from mmplatform.local.launch import stop_stack

    data_dir = load().data_dir.absolute()
    pid = stop_stack(data_dir, force=now, timeout_s=timeout)
    typer.echo(f"no stack runs on {data_dir}" if pid is None else f"stopped (pid {pid})")


@app.command("start-failed")
def start_failed() -> None:
    """Start the services again that were given up after repeated deaths."""
    from mmplatform.local.launch import retry_failed_services

    names = retry_failed_services(load().data_dir.absolute())
    typer.echo(f"started again: {', '.join(names)}" if names else "nothing was given up")


@app.command()
def restart(
    services: Annotated[list[str] | None, typer.Argument(help="Workers; none: all of them.")] = None,
) -> None:
    """Replace workers one by one by new processes that are warm before the old ones stop: new code, no outage."""
    from mmplatform.local.supervisor.rolling_restart import request_restart

    def show(name: str, seconds: float) -> None:
        typer.echo(f"{name}: restarted" + (f", without a worker for {seconds:.2f} s" if seconds else ""))

    request_restart(load().data_dir.absolute(), services or [], show)


@app.command()
def status(as_json: Annotated[bool, typer.Option("--json", help="For programs.")] = False) -> None:
    """Show the processes of the stack, their lag and freshness gaps; exit code 1 when one is not ready."""
    from mmplatform.local import run_file
    from mmplatform.local.status import overview
    from mmplatform.local.status.live_table import render

    data_dir = load().data_dir.absolute()
    run = run_file.read_running(data_dir)
    if run is None:
        if as_json:
            typer.echo("null")
            raise typer.Exit(1)
        hint = (
            " (one ended without stopping cleanly: `mmplatform up` goes on from there)"
            if run_file.read(data_dir)
            else ""
        )
        raise Unavailable(f"no stack runs on {data_dir}{hint}: start it with `mmplatform up`")
    snapshot = overview.collect_snapshot(run)
    if as_json:
        typer.echo(json.dumps(overview.snapshot_to_json(run, snapshot), indent=2))
    else:
        console = Console()
        console.print(render(snapshot, console.width))
    if not run.settled or run.down_services:
        raise typer.Exit(1)


@app.command()
def logs(
    name: Annotated[str, typer.Argument(help="A service, or `supervisor`; none: all.")] = "",
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Follow appended lines.")] = False,
    lines: Annotated[int, typer.Option("--lines", "-n", min=0, help="Number of last lines of each log.")] = 20,
) -> None:
    """Print the logs of the stack's processes, running or not."""
    from mmplatform.local import log_files as files
    from mmplatform.terminal.printable import printable

    folder = load().data_dir.absolute() / "logs"
    found = {path.stem: path for path in sorted(folder.glob("*.log"))}
    if name and name not in found:
        raise Misconfigured(f"no log of `{name}` in {folder}: there are {', '.join(found) or 'none yet'}")
    chosen = {name: found[name]} if name else found
    width = max(map(len, chosen), default=0)
    try:
        for owner, line in files.follow(chosen, lines, wait=follow):
            shown = printable(line, colours=True)
            typer.echo(shown if name else f"{owner:<{width}} | {shown}")
    except KeyboardInterrupt:
        return


@app.command()
def doctor(
    deep: Annotated[bool, typer.Option("--deep", help="Use every store and model too; the stack must run.")] = False,
) -> None:
    """Check this machine, and print the fix for each problem; exit code 1 when a check failed."""
    from mmplatform.local.doctor.doctor import run_checks
    from mmplatform.local.doctor.finding import Finding
    from mmplatform.local.doctor.models import check_model_files

    settings = load()
    findings = run_checks(settings)
    if deep:
        from mmplatform.local.run_file import with_chroma_address, with_kafka_address
        from mmplatform.pipeline import deep_checks

        tried = deep_checks.run_deep_checks(with_kafka_address(with_chroma_address(settings)))
        findings += check_model_files(settings)
        findings += [Finding(check.check, check.status, check.detail, check.fix) for check in tried]
    table = Table(box=None, pad_edge=False, show_header=False)
    for finding in findings:
        sign, style = _SIGNS[finding.status]
        detail = Text(finding.detail)
        if finding.fix:
            detail.append(f"\n→ {finding.fix}", style=style)
        table.add_row(Text(sign, style=style), finding.check, detail)
    Console().print(table)
    if any(finding.status == "failed" for finding in findings):
        raise typer.Exit(1)
