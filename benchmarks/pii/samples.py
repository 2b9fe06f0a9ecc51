"""Labelled texts: pieces of known kind are joined, and their positions are the labels."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Final

EITHER: Final = "either"
"""A piece that is neither personal data nor a loss when it is redacted: the town of a street address."""


@dataclass(frozen=True, slots=True)
class Piece:
    """A part of a text.

    Attributes:
        text: as it stands in the text.
        entity: entity of a personal value, ``EITHER``, or empty for harmless text.
        group: number of the value; pieces of one group are one value with separators between its parts.
        filler: markup or a separator inside a value, which may stay.
        verbatim: text that a change of letter case would make another value: a password, a token.
    """

    text: str
    entity: str = ""
    group: int = 0
    filler: bool = False
    verbatim: bool = False


@dataclass(frozen=True, slots=True)
class Label:
    """A personal value in a text; ``parts`` are the spans of its characters without fillers."""

    start: int
    end: int
    entity: str
    parts: tuple[tuple[int, int], ...]


@dataclass(frozen=True, slots=True)
class Sample:
    """A labelled text; ``unseen``: from a template on which no rule is tuned."""

    text: str
    labels: tuple[Label, ...]
    style: str
    language: str
    unseen: bool

    def values(self) -> list[Label]:
        """Labels of personal data."""
        return [label for label in self.labels if label.entity != EITHER]


def join(pieces: Iterable[Piece], *, style: str, language: str, unseen: bool) -> Sample:
    """Join pieces into a sample."""
    text = ""
    spans: dict[int, list[tuple[int, int, str]]] = {}
    for number, piece in enumerate(pieces, start=1):
        start = len(text)
        text += piece.text
        if piece.entity and not piece.filler and piece.text:
            spans.setdefault(piece.group or -number, []).append((start, len(text), piece.entity))
    labels = [
        Label(parts[0][0], parts[-1][1], parts[0][2], tuple((start, end) for start, end, _ in parts))
        for parts in spans.values()
    ]
    return Sample(text, tuple(sorted(labels, key=lambda label: label.start)), style, language, unseen)


def change_texts(pieces: Iterable[Piece], change: Callable[[str], str]) -> list[Piece]:
    """Apply a function to the text of every piece that is not verbatim."""
    return [piece if piece.verbatim else replace(piece, text=change(piece.text)) for piece in pieces]
