"""Versions: of several records with one id the highest version counts, in whatever order they are written.

A version grows for its id in this order: the revision of the source's event; the generation of the log and the offset
of the event that completed the artifact; the derivation, which is 0 in the stream and the start of a reprocessing run.
So a later event wins over an earlier one, and a run over the stream, until a later event comes.
"""

from __future__ import annotations

from typing import Final, NamedTuple

_WIDTHS: Final = (10, 16, 19, 16)
"""Digits of each part; the fields of the records allow no more."""


class Version(NamedTuple):
    """Version of a record for its id; compared part by part."""

    revision: int = 0
    generation: int = 0
    offset: int = 0
    derivation: int = 0

    @property
    def sortable(self) -> str:
        """Text of fixed width, in the order of the versions: how stores hold it."""
        return ".".join(f"{part:0{width}d}" for part, width in zip(self, _WIDTHS, strict=True))

    @classmethod
    def from_sortable(cls, text: str) -> Version:
        """The reverse of :attr:`sortable`. Raises ValueError."""
        revision, generation, offset, derivation = (int(part) for part in text.split("."))
        return cls(revision, generation, offset, derivation)


NO_VERSION: Final = ""
"""Sortable text below every version: nothing is stored."""
