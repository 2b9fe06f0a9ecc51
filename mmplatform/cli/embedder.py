"""``mmplatform embedder``: build a candidate embedder's index, swap, roll back, retire."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated

import typer

from mmplatform.cli.app import app

if TYPE_CHECKING:
    from rich.console import Console

    from mmplatform.land.index.embedder_registry import EmbedderRevision
    from mmplatform.pipeline.embedder_swap.copy import CopyResult
    from mmplatform.pipeline.embedder_swap.swap import EmbedderSwap, SwapProgressCallback
    from mmplatform.settings import Settings

embedder = typer.Typer(no_args_is_help=True, help="The serving embedder, and swaps to another one.")
app.add_typer(embedder, name="embedder")


@embedder.command("status")
def status() -> None:
    """Show the serving and the secondary embedders, and the passages of each."""
    from rich.console import Console
    from rich.table import Table

    with _open() as (swapping, _):
        state = swapping.latest()
        table = Table("embedder", "is", "passages", box=None, pad_edge=False)
        for name, role in _rows(swapping, state):
            table.add_row(name, role, str(swapping.index.count(embedder=name)))
    console = Console()
    console.print(table)
    if state is None:
        console.print("nothing is recorded yet: the settings' embedder serves", style="dim", highlight=False)
        return
    console.print(
        f"since {state.changed_at:%Y-%m-%d %H:%M:%S} UTC, revision {state.revision}", style="dim", highlight=False
    )
    if state.lacking:
        console.print("an indexer could not write to the secondary embedder: see its log", style="yellow")


def _rows(swapping: EmbedderSwap, state: EmbedderRevision | None) -> list[tuple[str, str]]:
    """Names and roles of the embedders."""
    if state is None:
        serving = swapping.default.name
        return [(serving, "serving"), *((name, "unused") for name in sorted(swapping.index.embedders() - {serving}))]
    roles = (("serving", state.serving), ("candidate", state.candidate), ("previous", state.previous))
    return [
        *((space.name, role) for role, space in roles if space),
        *(
            (name, "being deleted" if name in state.retiring else "left behind")
            for name in swapping.unused_spaces(state)
        ),
    ]


@embedder.command("build")
def build(
    name: Annotated[str, typer.Argument(help="A pulled embedder, or a directory.")],
    swap_then: Annotated[
        bool, typer.Option("--swap/--no-swap", help="Let it serve when the build is complete.")
    ] = True,
) -> None:
    """Build a candidate's index and swap when it is complete; run again, it continues."""
    from mmplatform.pipeline.factories import resolve_space

    with _open() as (swapping, settings), _progress_display() as (console, progress):
        wanted = resolve_space(settings, name)
        done = swapping.build(wanted, swap=swap_then, progress=progress)
        _print_copy(done, console)
        if swap_then:
            _print_serving(swapping, console)
        else:
            console.print(f"{wanted.name} is built: `mmplatform embedder swap` lets it serve", highlight=False)


@embedder.command("swap")
def swap() -> None:
    """Let the candidate serve, after a last comparison; the old one stays for a rollback."""
    with _open() as (swapping, _), _progress_display() as (console, progress):
        swapping.swap(progress=progress)
        _print_serving(swapping, console)


@embedder.command("rollback")
def rollback() -> None:
    """Let the previous embedder serve again. It received all writes: nothing is lost."""
    with _open() as (swapping, _), _progress_display() as (console, progress):
        swapping.roll_back(progress=progress)
        _print_serving(swapping, console)


@embedder.command("retire")
def retire(
    candidate: Annotated[
        bool, typer.Option("--candidate", help="Delete the candidate instead of the previous one.")
    ] = False,
) -> None:
    """Delete the previous embedder's index. A rollback to it is not possible afterwards."""
    from rich.console import Console

    with _open() as (swapping, _):
        for name in swapping.retire(candidate=candidate):
            Console().print(f"deleted: the index of {name}", highlight=False)


@contextmanager
def _open() -> Iterator[tuple[EmbedderSwap, Settings]]:
    from mmplatform.local.run_file import with_chroma_address
    from mmplatform.pipeline.factories import open_embedder_swap
    from mmplatform.settings import load

    settings = with_chroma_address(load())
    with open_embedder_swap(settings) as swapping:
        yield swapping, settings


@contextmanager
def _progress_display() -> Iterator[tuple[Console, SwapProgressCallback]]:
    """Console, and progress bars by bucket."""
    from rich.console import Console
    from rich.progress import Progress as Display
    from rich.progress import TaskID

    with Display(console=Console(stderr=True), transient=True) as display:
        tasks: dict[str, TaskID] = {}

        def show(bucket: str, done: int, total: int) -> None:
            if bucket not in tasks:
                tasks[bucket] = display.add_task(f"bucket {bucket}")
            display.update(tasks[bucket], completed=done, total=total)

        yield Console(), show


def _print_copy(done: CopyResult, console: Console) -> None:
    console.print(
        f"{done.passages} passages: {done.written} written, {done.embedded} of them by the model, "
        f"{done.removed} deleted",
        highlight=False,
    )


def _print_serving(swapping: EmbedderSwap, console: Console) -> None:
    state = swapping.latest()
    if state is None:
        return
    console.print(f"{state.serving.name} serves; running gateways see it within seconds", highlight=False)
    if state.previous is not None:
        console.print(f"{state.previous.name} receives all writes for a rollback", style="dim", highlight=False)
