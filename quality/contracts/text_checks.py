"""Checks of redacted text that Pandera does not have: no card number, no e-mail address.

Pandera's own patterns state only what a text must match, and its engine has no look-around to negate one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from quality.card_numbers import CARD_CANDIDATE, contains_card

if TYPE_CHECKING:
    import polars as pl

EMAIL_PATTERN: Final = r"[A-Za-z0-9._%+-]+@[A-Za-z0-9-]+(?:\.[A-Za-z0-9-]+)*\.[A-Za-z]{2,}"


def without_email(column: str) -> pl.Expr:
    """True where the text has no e-mail address."""
    import polars as pl

    return ~pl.col(column).str.contains(EMAIL_PATTERN)


def without_card(column: str) -> pl.Expr:
    """True where the text has no card number."""
    import polars as pl

    return pl.col(column).map_batches(_without_cards, pl.Boolean)


def _without_cards(texts: pl.Series) -> pl.Series:
    """Checks row by row only texts with 16 digits that could be a card's."""
    import polars as pl

    candidates = texts.str.contains(CARD_CANDIDATE).fill_null(value=False)
    if not candidates.any():
        return ~candidates
    passed = [not (candidate and contains_card(text)) for text, candidate in zip(texts, candidates, strict=True)]
    return pl.Series(texts.name, passed, pl.Boolean)
