"""Scores, from texts and rankings alone."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

_WORD = re.compile(r"[^\W_]+")


@dataclass(frozen=True, slots=True)
class Errors:
    """Words that were said, and how many of them were heard wrong, not at all, or never said."""

    words: int
    wrong: int
    missed: int
    invented: int

    @property
    def rate(self) -> float:
        """Word error rate in percent; of nothing said, that of what was invented."""
        return 100 * (self.wrong + self.missed + self.invented) / max(self.words, 1)

    def __add__(self, other: Errors) -> Errors:
        return Errors(
            self.words + other.words,
            self.wrong + other.wrong,
            self.missed + other.missed,
            self.invented + other.invented,
        )


NONE = Errors(0, 0, 0, 0)


def word_errors(reference: str, heard: str) -> Errors:
    """Count the errors between two normalised texts, by the alignment with the fewest errors."""
    import jiwer

    if not reference.split():
        return Errors(0, 0, 0, len(heard.split()))
    found = jiwer.process_words(reference, heard)
    return Errors(len(reference.split()), found.substitutions, found.deletions, found.insertions)


def words(text: str) -> list[str]:
    """Lower case; letters and digits in a row are a word."""
    return _WORD.findall(text.casefold())


def word_recall(expected: str, read: str) -> tuple[int, int]:
    """Count the expected words that were read, each as often as it occurs, and all expected words."""
    wanted, got = Counter(words(expected)), Counter(words(read))
    return sum((wanted & got).values()), sum(wanted.values())


def rank_of(wanted: str, ranked: Iterable[str]) -> int | None:
    """The place, from 1, of what is wanted, each thing counted where it comes first; None when it never comes."""
    for rank, name in enumerate(dict.fromkeys(ranked), start=1):
        if name == wanted:
            return rank
    return None


def recall_at(ranks: Sequence[int | None], k: int) -> float:
    """The share of queries whose answer is among the first ``k``."""
    return sum(rank is not None and rank <= k for rank in ranks) / len(ranks) if ranks else 0.0
