"""Styles of writing: the same pieces shouted, in small letters, mistyped, wrapped, quoted, with markup."""

from __future__ import annotations

import html
import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from random import Random
from typing import Final

from benchmarks.pii.samples import Piece, change_texts

_WORD: Final = re.compile(r"[a-z]{5,}")
_WRAP_CHARS: Final = 24


def plain(random: Random, pieces: Sequence[Piece]) -> list[Piece]:
    """As the template has it."""
    del random
    return list(pieces)


def shouting(random: Random, pieces: Sequence[Piece]) -> list[Piece]:
    """Capitals only."""
    del random
    return change_texts(pieces, str.upper)


def small_letters(random: Random, pieces: Sequence[Piece]) -> list[Piece]:
    """Small letters only."""
    del random
    return change_texts(pieces, str.lower)


def typos(random: Random, pieces: Sequence[Piece]) -> list[Piece]:
    """Two neighbouring letters of a harmless word change their order."""
    candidates = [
        (number, word) for number, piece in enumerate(pieces) if not piece.entity for word in _WORD.finditer(piece.text)
    ]
    changed = list(pieces)
    if candidates:
        number, word = random.choice(candidates)
        index = word.start() + random.randint(1, len(word[0]) - 2)
        text = pieces[number].text
        changed[number] = replace(pieces[number], text=text[:index] + text[index + 1] + text[index] + text[index + 2 :])
    return changed


def wrapped(random: Random, pieces: Sequence[Piece]) -> list[Piece]:
    """Quoted mail: lines are broken at every so many characters, within values too."""
    break_line, column = random.choice(("\n", "\n> ", "\r\n", "\n    ")), 0

    def wrap(text: str) -> str:
        nonlocal column
        words = re.split(r"( )", text)
        written = ""
        for word in words:
            if word == " " and column > _WRAP_CHARS:
                written, column = written + break_line, 0
            else:
                written, column = written + word, column + len(word)
        return written

    return [replace(piece, text=wrap(piece.text)) for piece in pieces]


def markup(random: Random, pieces: Sequence[Piece]) -> list[Piece]:
    """HTML of a mail: escaped, with tags around values and non-breaking spaces."""
    tag = random.choice(("b", "strong", "span", "td", "code", "a"))

    def escape(text: str) -> str:
        return html.escape(text).replace("  ", " &nbsp;").replace("\n", "<br>\n")

    tagged: list[Piece] = [Piece(random.choice(("<p>", "<div>", "<html><body>")))]
    last = 0
    for piece in pieces:
        if piece.group != last and last > 0:
            tagged.append(Piece(f"</{tag}>"))
        if piece.group != last and piece.group > 0:
            tagged.append(Piece(f"<{tag}>"))
        last = piece.group
        tagged.append(piece if piece.filler else replace(piece, text=escape(piece.text)))
    return [*tagged, Piece(f"</{tag}>" if last > 0 else ""), Piece("</p>")]


STYLES: Final[dict[str, Callable[[Random, Sequence[Piece]], list[Piece]]]] = {
    "plain": plain,
    "shouting": shouting,
    "small letters": small_letters,
    "typos": typos,
    "wrapped": wrapped,
    "markup": markup,
    "odd separators": plain,
}
"""Styles by name; values have odd separators in the last one, which changes nothing else."""

ODD: Final = "odd separators"
