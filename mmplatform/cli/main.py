"""The program ``mmplatform``: registers all verbs, and prints a platform error as one line on standard error."""

from __future__ import annotations

import sys

# Importing a module registers its verbs.
from mmplatform.cli import canary as _canary  # noqa: F401
from mmplatform.cli import chat as _chat  # noqa: F401
from mmplatform.cli import dead_letters as _dead_letters  # noqa: F401
from mmplatform.cli import demo as _demo  # noqa: F401
from mmplatform.cli import embedder as _embedder  # noqa: F401
from mmplatform.cli import ingest as _ingest  # noqa: F401
from mmplatform.cli import lineage as _lineage  # noqa: F401
from mmplatform.cli import migrate as _migrate  # noqa: F401
from mmplatform.cli import models as _models  # noqa: F401
from mmplatform.cli import rebuild as _rebuild  # noqa: F401
from mmplatform.cli import redact as _redact  # noqa: F401
from mmplatform.cli import renamed as _renamed  # noqa: F401
from mmplatform.cli import replay as _replay  # noqa: F401
from mmplatform.cli import reprocess as _reprocess  # noqa: F401
from mmplatform.cli import schemas as _schemas  # noqa: F401
from mmplatform.cli import search as _search  # noqa: F401
from mmplatform.cli import stack as _stack  # noqa: F401
from mmplatform.cli import topics as _topics  # noqa: F401
from mmplatform.cli.app import app


def main() -> None:
    """Run the command line; a platform error becomes one clear line and exit code 1."""
    from rich.console import Console
    from rich.text import Text

    from mmplatform.errors import PlatformError
    from mmplatform.settings import load
    from mmplatform.telemetry.logs import configure_logging
    from mmplatform.terminal.printable import printable

    try:
        configure_logging(load())
        app()
    except PlatformError as error:
        # Text, not markup: a message may contain brackets. A server's message may contain escape sequences.
        message = "\n".join(map(printable, str(error).split("\n")))
        Console(stderr=True).print(Text.assemble((type(error).__name__, "red"), f": {message}"), soft_wrap=True)
        sys.exit(1)
