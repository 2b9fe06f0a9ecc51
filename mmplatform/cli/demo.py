"""``mmplatform demo``."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

from mmplatform.cli.app import app


@app.command()
def demo(
    case: Annotated[Path | None, typer.Option(help="A folder like examples/payment-failed.")] = None,
    speed: Annotated[float, typer.Option(min=0.1, max=20, help="Speed of the call; 1 is real time.")] = 1.0,
    leave: Annotated[bool, typer.Option("--exit", help="Stop the stack and return at the end.")] = False,
    dagster: Annotated[bool, typer.Option(help="Start the Dagster UI too.")] = True,
) -> None:
    """Stream a call, a chat and screenshots into the platform and ask about them; then stay up."""
    from rich.console import Console

    from mmplatform.demo.story import DemoOptions, DemoRun
    from mmplatform.settings import load

    folder = case or Path(__file__).parents[2] / "examples" / "payment-failed"
    story = DemoRun(load(), DemoOptions(folder, speed, dagster), Console())
    complete: bool | None = None
    with _signals_as_interrupts():
        try:
            complete = story.run()
            if not leave:
                story.wait()
        except KeyboardInterrupt:
            if complete is None:  # during the run; after it, Ctrl-C is the normal end
                raise typer.Exit(130) from None
        finally:
            story.stop()
    if not complete:
        raise typer.Exit(1)


@contextmanager
def _signals_as_interrupts() -> Iterator[None]:
    """Turn signals into interrupts, so that the stack that the demo started is stopped."""

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    names = (signal.SIGTERM, signal.SIGHUP)
    before = {name: signal.signal(name, interrupt) for name in names}
    try:
        yield
    finally:
        for name, handler in before.items():
            signal.signal(name, handler)
