"""The typer application. Each module with verbs registers them here."""

from __future__ import annotations

from typing import Final

import typer

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)


_PUBLIC_FILES: Final = frozenset({"models", "schemas"})
"""Verbs that write what is no customer's: an image is built with the models of another user."""


@app.callback()
def root(context: typer.Context) -> None:
    """mmplatform: live calls, chats and screenshots, retrievable within seconds."""
    from mmplatform.settings.private_files import use_private_umask

    if context.invoked_subcommand not in _PUBLIC_FILES:
        use_private_umask()
