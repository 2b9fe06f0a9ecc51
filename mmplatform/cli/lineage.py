"""``mmplatform lineage``: jobs, runs and datasets of the lineage file, in the form in which Marquez shows them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from mmplatform.cli.app import app


@app.command()
def lineage(
    name: Annotated[
        str, typer.Argument(help="A job or a dataset, for example `archive.messages`, or `messages` for both.")
    ] = "",
    file: Annotated[Path | None, typer.Option("--file", help="Another file of OpenLineage events.")] = None,
    *,
    json_output: Annotated[bool, typer.Option("--json", help="Marquez' form of jobs and datasets, as JSON.")] = False,
) -> None:
    """Show jobs and datasets from the file of lineage events; with a name its runs, columns and facets."""
    from mmplatform.errors import Unavailable
    from mmplatform.lineage.history import LineageHistory
    from mmplatform.lineage.rotated_file import lineage_file, lineage_files, read_lineage_lines
    from mmplatform.settings import load
    from mmplatform.terminal import lineage as output

    settings = load()
    configured = settings.openlineage_url.removeprefix("file:") if settings.openlineage_url.startswith("file:") else ""
    newest = file or (Path(configured) if configured else lineage_file(settings.data_dir))
    single = bool(file or configured)
    if not (newest.exists() if single else lineage_files(newest)):
        raise Unavailable(
            f"{newest} does not exist: no event was written yet, or MMPLATFORM_OPENLINEAGE_URL sends them elsewhere"
        )
    history = LineageHistory.read(read_lineage_lines(lambda: [newest] if single else lineage_files(newest), newest))
    console = Console(markup=False, highlight=False)
    if json_output:
        console.print_json(data=output.as_marquez(history, name))
    elif name:
        output.print_named(history, name, console)
    else:
        output.print_history(history, console)
