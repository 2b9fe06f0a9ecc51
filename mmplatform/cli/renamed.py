"""Renamed verbs and options: the old name is hidden and refused with the new one, where typer would only guess."""

from __future__ import annotations

from collections.abc import Callable

import typer

from mmplatform.cli.app import app
from mmplatform.errors import Misconfigured

_RENAMED_VERBS = {"retry": "start-failed", "start": "start-failed"}


def refuse_old_option(new: str) -> Callable[[typer.CallbackParam, str | None], None]:
    """The callback of a hidden option: it raises ``Misconfigured`` when the option is given."""

    def refuse(option: typer.CallbackParam, value: str | None) -> None:
        if value is not None:
            raise Misconfigured(f"{option.opts[0]} is now {new} (see docs/explanation/renames.md)")

    return refuse


def _refuse_verb(old: str, new: str) -> None:
    @app.command(old, hidden=True)
    def refuse() -> None:
        """Refuse the old verb."""
        raise Misconfigured(f"`mmplatform {old}` is now `mmplatform {new}` (see docs/explanation/renames.md)")


for _old, _new in _RENAMED_VERBS.items():
    _refuse_verb(_old, _new)
