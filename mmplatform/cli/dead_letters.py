"""``mmplatform dead-letters``: list records that could not be parsed, and redrive them to their topics."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager
from typing import TYPE_CHECKING, Annotated

import typer

from mmplatform.cli.app import app
from mmplatform.errors import Rejected, Unavailable

if TYPE_CHECKING:
    from mmplatform.kafka.dead_letters import DeadLetters, RedriveStatus
    from mmplatform.refusals import DeadLetter
    from mmplatform.settings import Settings

letters = typer.Typer(no_args_is_help=True, help="Records of the log that cannot be parsed.")
app.add_typer(letters, name="dead-letters")


@letters.command("list")
def list_letters(as_json: Annotated[bool, typer.Option("--json", help="For programs.")] = False) -> None:
    """Show each with its place, its reason and its size, never its content."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    from mmplatform.terminal.printable import printable

    with _open() as (_, store):
        letters_found = store.read_all()
        standing = store.statuses(letters_found)
    if as_json:
        typer.echo(json.dumps([_fields(letter, standing) for letter in letters_found], indent=2))
        return
    table = Table(box=None, pad_edge=False)
    table.add_column("place", no_wrap=True)  # it is copied to `redrive`
    for name in ("since", "bytes", "reason", "redriven"):
        table.add_column(name)
    for letter in letters_found:
        fields = _fields(letter, standing)
        columns = ("place", "since", "bytes", "reason", "redriven")
        table.add_row(*(Text(printable(str(fields[name]))) for name in columns))
    Console().print(table if letters_found else "no dead letters")


@letters.command("redrive")
def redrive(
    positions: Annotated[
        list[str] | None, typer.Argument(metavar="[PLACES]...", help="Places, as shown by `list`.")
    ] = None,
    everything: Annotated[bool, typer.Option("--all", help="All that can be redriven and were not yet.")] = False,
) -> None:
    """Write records to their topics again, each once; exit code 1 when one could not be written."""
    from mmplatform.kafka.dead_letters import RedriveStatus, format_position
    from mmplatform.kafka.producer import LogProducer

    with _open() as (settings, store), _exclusive(settings), closing(LogProducer(settings)) as producer:
        found = {format_position(letter.position): letter for letter in store.read_all()}
        chosen = _select(found, positions or [], everything=everything)
        if everything:
            standing = store.statuses(chosen)
            passed = {RedriveStatus.YES, RedriveStatus.NEVER}
            chosen = [letter for letter in chosen if standing[format_position(letter.position)] not in passed]
        done = store.redrive(chosen, producer)
    for result in done:
        typer.echo(
            f"{result.position}: "
            + (result.skip_reason or f"redriven to {format_position(result.redriven_to) if result.redriven_to else ''}")
        )
    if not done:
        typer.echo("nothing to redrive")
    if any(result.skip_reason for result in done):
        raise typer.Exit(1)


@contextmanager
def _exclusive(settings: Settings) -> Iterator[None]:
    """Lock against a second redrive, which would write the same records again."""
    from mmplatform.land.file_lock import LockTimeout, file_lock

    path = settings.data_dir / "redrive.lock"
    with ExitStack() as lock:
        try:
            lock.enter_context(file_lock(path, timeout_s=0.0))
        except LockTimeout:
            raise Unavailable(f"another redrive is under way (`fuser {path}` names it): wait for its end") from None
        yield


def _select(by_position: dict[str, DeadLetter], positions: Sequence[str], *, everything: bool) -> list[DeadLetter]:
    if everything == bool(positions):
        raise Rejected("name the places that `mmplatform dead-letters list` shows, or --all")
    if unknown := [position for position in positions if position not in by_position]:
        raise Rejected(f"no dead letter is about {', '.join(unknown)}: see `mmplatform dead-letters list`")
    return [by_position[position] for position in dict.fromkeys(positions)] if positions else list(by_position.values())


def _fields(letter: DeadLetter, standing: Mapping[str, RedriveStatus]) -> dict[str, object]:
    from mmplatform.kafka.dead_letters import format_position

    position = format_position(letter.position)
    return {
        "place": position,
        "since": letter.dead_at.isoformat(timespec="seconds"),
        "bytes": letter.size,
        "reason": letter.reason,
        "redriven": standing[position].value,
    }


@contextmanager
def _open() -> Iterator[tuple[Settings, DeadLetters]]:
    """The settings and the dead letters of the running stack, closed at the end of the block."""
    from mmplatform.kafka.dead_letters import DeadLetters
    from mmplatform.kafka.reader import ReplayLog
    from mmplatform.local.run_file import with_kafka_address
    from mmplatform.settings import load

    settings = with_kafka_address(load())
    with ReplayLog(settings) as log:
        yield settings, DeadLetters(settings, log)
