"""``mmplatform index rebuild`` and ``mmplatform lakehouse rebuild``: rebuild a lost store."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import typer

from mmplatform.cli.app import app

index = typer.Typer(no_args_is_help=True, help="The hot index.")
app.add_typer(index, name="index")
lakehouse = typer.Typer(no_args_is_help=True, help="The lakehouse.")
app.add_typer(lakehouse, name="lakehouse")


@index.command("rebuild")
def rebuild_index() -> None:
    """Fill a lost index from the lakehouse with its archived vectors, while the stream goes on."""
    from contextlib import closing

    from mmplatform.consumers.rebuild_index import IndexRebuild
    from mmplatform.kafka.reader import ReplayLog
    from mmplatform.land.index.store import ChromaIndex
    from mmplatform.land.lakehouse.store import Lakehouse
    from mmplatform.local.run_file import with_chroma_address, with_kafka_address
    from mmplatform.settings import load

    settings = with_kafka_address(with_chroma_address(load()))
    with closing(ChromaIndex.open(settings)) as chroma, ReplayLog(settings) as log, progress_display() as show:
        work = IndexRebuild(settings, Lakehouse.open(settings), chroma, log)
        done = work.run(lambda written, total: show("passages", written, total))
        findable = chroma.count()
    typer.echo(f"{done.passages} passages from the lakehouse, {done.from_log} records from the log since")
    typer.echo(f"model calls: {done.embedded} texts embedded")
    typer.echo(f"{findable} passages are findable")
    if done.refused:
        typer.echo(f"{done.refused} passages were refused: their vectors do not fit their embedder", err=True)
        raise typer.Exit(1)


@lakehouse.command("rebuild")
def rebuild_lakehouse() -> None:
    """Land records from the log again that the archiver had landed and the lakehouse has lost; no model runs."""
    from mmplatform.consumers.rebuild_lakehouse import rebuild_from_log
    from mmplatform.kafka.reader import ReplayLog
    from mmplatform.land.lakehouse.store import Lakehouse
    from mmplatform.local.run_file import with_kafka_address
    from mmplatform.settings import load

    settings = with_kafka_address(load())
    with ReplayLog(settings) as log, progress_display() as show:
        done = rebuild_from_log(settings, Lakehouse.open(settings), log, show)
    typer.echo(f"{done.read} records read from the log, {done.rows} rows landed")
    if done.expired:
        typer.echo(f"{done.expired} records have expired from the log and cannot be rebuilt")


@contextmanager
def progress_display() -> Iterator[Callable[[str, int, int], None]]:
    """Progress bars on standard error."""
    from rich.console import Console
    from rich.progress import Progress as Display
    from rich.progress import TaskID

    with Display(console=Console(stderr=True), transient=True) as display:
        tasks: dict[str, TaskID] = {}

        def show(name: str, done: int, total: int) -> None:
            if name not in tasks:
                tasks[name] = display.add_task(name)
            display.update(tasks[name], completed=done, total=total)

        yield show
