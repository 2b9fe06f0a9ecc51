"""The command line: ``mmplatform VERB``. Each module here declares some verbs; none holds logic of its own."""

from __future__ import annotations

import sys


def main() -> None:
    """Run the command line; a platform error becomes one clear line and exit code 1."""
    from rich.console import Console
    from rich.text import Text

    from mmplatform.cli.app import app
    from mmplatform.errors import PlatformError
    from mmplatform.settings import load
    from mmplatform.telemetry import configure_logging

    try:
        configure_logging(load())
        app()
    except PlatformError as error:
        # Text, not markup: a message may hold brackets.
        Console(stderr=True).print(Text.assemble((type(error).__name__, "red"), f": {error}"), soft_wrap=True)
        sys.exit(1)
