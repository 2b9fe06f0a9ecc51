"""The typer application. Each module with verbs registers them here."""

from __future__ import annotations

import typer

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)


@app.callback()
def root() -> None:
    """mmplatform: live calls, chats and screenshots, retrievable within seconds."""
