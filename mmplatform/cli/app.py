"""The typer application: verbs are registered by the modules that declare them."""

from __future__ import annotations

import typer

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)


@app.callback()
def root() -> None:
    """mmplatform: live calls, chats and screenshots, retrievable within seconds."""


# Importing a module registers its verbs.
from mmplatform.cli import dead_letters as _dead_letters  # noqa: E402, F401
from mmplatform.cli import demo as _demo  # noqa: E402, F401
from mmplatform.cli import embedder as _embedder  # noqa: E402, F401
from mmplatform.cli import ingest as _ingest  # noqa: E402, F401
from mmplatform.cli import models as _models  # noqa: E402, F401
from mmplatform.cli import rebuild as _rebuild  # noqa: E402, F401
from mmplatform.cli import reprocess as _reprocess  # noqa: E402, F401
from mmplatform.cli import schemas as _schemas  # noqa: E402, F401
from mmplatform.cli import search as _search  # noqa: E402, F401
from mmplatform.cli import stack as _stack  # noqa: E402, F401
from mmplatform.cli import topics as _topics  # noqa: E402, F401
