"""``mmplatform models``: pull the pinned models, and list them."""

from __future__ import annotations

from typing import Annotated

import typer

from mmplatform.cli.app import app

models = typer.Typer(no_args_is_help=True, help="The models that the platform runs.")
app.add_typer(models, name="models")


@models.command("pull")
def pull_models(
    names: Annotated[list[str] | None, typer.Argument(help="Models; none: those of the settings.")] = None,
) -> None:
    """Download models, check their pinned SHA-256 and prepare them. Existing ones are left alone."""
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TaskID, TextColumn, TransferSpeedColumn

    from mmplatform.local.models import download_models, required_models
    from mmplatform.settings import load

    settings = load()
    path = settings.models_path
    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn())
    with Progress(*columns, console=console) as display:
        tasks: dict[str, TaskID] = {}

        def show(name: str, done: int, total: int) -> None:
            if name not in tasks:
                tasks[name] = display.add_task(name, total=total)
            display.update(tasks[name], completed=done)

        directories = download_models(names or required_models(settings), path, show)
    for directory in directories:
        console.print(f"ready: {directory.name}", highlight=False)
    console.print(f"models are in {path}", highlight=False)


@models.command("list")
def list_models() -> None:
    """List the available models: use, size, licence, source, packages, and whether each is on this machine."""
    from rich.console import Console
    from rich.table import Table

    from mmplatform.local.models import MODELS, is_downloaded
    from mmplatform.settings import load

    path = load().models_path
    table = Table("name", "use", "MB", "licence", "made by", "packages", "here", caption=f"in {path}")
    for spec in MODELS.values():
        here = "yes" if is_downloaded(spec, path) else "no"
        packages = "\n".join(f"{wheel.project} {wheel.version}" for wheel in spec.wheels)
        row = (spec.name, spec.use, f"{spec.bytes_on_disk / 1e6:.0f}", spec.licence, spec.source, packages, here)
        table.add_row(*row)
    Console().print(table)
