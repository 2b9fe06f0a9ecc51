"""``mmplatform index rebuild`` and ``mmplatform lakehouse rebuild``: rebuild a lost store."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated

import typer

from mmplatform.cli.app import app

if TYPE_CHECKING:
    from mmplatform.kafka.reader import ReplayLog
    from mmplatform.land.index.store import ChromaIndex
    from mmplatform.land.lakehouse.store import Lakehouse
    from mmplatform.settings import Settings

    Stores = tuple[Settings, Lakehouse, ChromaIndex, ReplayLog]

index = typer.Typer(no_args_is_help=True, help="The hot index.")
app.add_typer(index, name="index")
lakehouse = typer.Typer(no_args_is_help=True, help="The lakehouse.")
app.add_typer(lakehouse, name="lakehouse")


@index.command("rebuild")
def rebuild_index(
    buckets: Annotated[
        list[str] | None,
        typer.Option("--bucket", help="Rebuild this bucket as a candidate and exchange it; may be repeated."),
    ] = None,
    drop_unknown: Annotated[
        bool,
        typer.Option(
            "--drop-unknown", help="With --bucket: drop passages that neither tables nor log have, instead of failing."
        ),
    ] = False,
) -> None:
    """Fill a lost index from the lakehouse with its archived vectors, while the stream goes on.

    With --bucket, rebuild buckets from lakehouse and log while they are searched and written.
    """
    from contextlib import closing

    from mmplatform.errors import Misconfigured
    from mmplatform.kafka.reader import ReplayLog
    from mmplatform.land.index.store import ChromaIndex
    from mmplatform.land.lakehouse.store import Lakehouse
    from mmplatform.local.run_file import with_chroma_address, with_kafka_address
    from mmplatform.settings import load

    if drop_unknown and not buckets:
        raise Misconfigured("--drop-unknown needs --bucket: without it no passage is dropped")
    settings = with_kafka_address(with_chroma_address(load()))
    with closing(ChromaIndex.open(settings)) as chroma, ReplayLog(settings) as log:
        stores = (settings, Lakehouse.open(settings), chroma, log)
        refused = _rebuild_buckets(stores, buckets, drop_unknown=drop_unknown) if buckets else _fill_index(stores)
    if refused:
        typer.echo(f"{refused} passages were refused: their vectors do not fit their embedder", err=True)
        raise typer.Exit(1)


def _fill_index(stores: Stores) -> int:
    """Fill a lost index; returns the number of refused passages."""
    from mmplatform.consumers.rebuild_index import IndexRebuild

    with progress_display() as show:
        done = IndexRebuild(*stores).run(lambda written, total: show("passages", written, total))
    typer.echo(f"{done.passages} passages from the lakehouse, {done.from_log} records from the log since")
    typer.echo(f"model calls: {done.embedded} texts embedded")
    typer.echo(f"{stores[2].count()} passages are findable")
    return done.refused


def _rebuild_buckets(stores: Stores, buckets: Sequence[str], *, drop_unknown: bool) -> int:
    """Rebuild and exchange buckets; returns the number of refused passages."""
    from functools import partial

    from mmplatform.consumers.rebuild_bucket import BucketRebuild

    rebuild = BucketRebuild(*stores, drop_unknown=drop_unknown)
    refused = 0
    with progress_display() as show:
        for bucket in dict.fromkeys(buckets):
            done = rebuild.run(bucket, partial(show, bucket))
            refused += done.refused
            counts = f"{done.passages} passages, {done.added} added, {done.removed} removed"
            typer.echo(f"{bucket}: {counts}, {done.embedded} texts embedded")
    return refused


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
