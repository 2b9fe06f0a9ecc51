"""Imports Presidio without two packages that it imports and that nothing here uses.

Measured with presidio-analyzer 2.2.366 and spaCy 3.8.18: 5.3 s of processor and 139 MB become 2.2 s and 94 MB in each
deriver.

- transformers, for Presidio's ``TransformersNlpEngine``. Presidio works without it: it catches the ``ImportError``.
- ``spacy.cli``, from which spaCy itself offers one function, ``info``. It brings typer and weasel.

Both can be imported as usual afterwards.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from types import ModuleType
from typing import Final

_CLI_MODULES: Final = ("spacy.cli", "spacy.cli.info")


def import_presidio() -> None:
    """Import spaCy and ``presidio_analyzer``; what is imported already is left as it is.

    A release of spaCy that wants more of its command line is imported as it is, which takes three seconds more.
    """
    before = set(sys.modules)
    try:
        with _without_transformers(), _without_spacy_cli():
            import_module("presidio_analyzer")
    except ImportError:
        for name in set(sys.modules) - before:
            if name.partition(".")[0] in {"spacy", "presidio_analyzer"}:
                del sys.modules[name]
        import_module("presidio_analyzer")


@contextmanager
def _without_transformers() -> Iterator[None]:
    """Let an import of transformers fail in the block: ``None`` in ``sys.modules`` is Python's way."""
    if "transformers" in sys.modules:
        yield
        return
    sys.modules["transformers"] = None  # type: ignore[assignment]
    try:
        yield
    finally:
        if sys.modules.get("transformers") is None:
            sys.modules.pop("transformers", None)


@contextmanager
def _without_spacy_cli() -> Iterator[None]:
    """Offer an empty ``spacy.cli.info`` in the block, unless spaCy is imported already."""
    if "spacy" in sys.modules:
        yield
        return
    placeholders = {name: ModuleType(name) for name in _CLI_MODULES}
    for module in placeholders.values():
        module.info = None  # type: ignore[attr-defined]
    sys.modules.update(placeholders)
    try:
        yield
    finally:
        for name, module in placeholders.items():
            if sys.modules.get(name) is module:
                del sys.modules[name]
        spacy = sys.modules.get("spacy")
        if spacy is not None and vars(spacy).get("cli") is placeholders["spacy.cli"]:
            del spacy.cli
