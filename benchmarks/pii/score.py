"""Counts of one redactor over one set: what is removed, what survives, what is lost without need.

A value counts as removed when none of its letters and digits survives, whatever the entity that replaces it; the share
that got its own entity is counted beside it. A redacted span is false when it touches no personal value, and too long
when it also takes a digit, or more than one word, of harmless text.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final

from benchmarks.pii.samples import EITHER, Label, Sample
from mmplatform.ports import Redacted

_WORD: Final = re.compile(r"\w+")
_MAX_HARMLESS_WORDS: Final = 1


@dataclass(slots=True)
class Counts:
    """Counts of one group of values.

    Attributes:
        values: personal values.
        removed: of them, those of which nothing survives.
        named: of the removed ones, those that are replaced by their own entity.
        right: redacted spans that touch a personal value.
        false: redacted spans that touch none, or take more than the value.
    """

    values: int = 0
    removed: int = 0
    named: int = 0
    right: int = 0
    false: int = 0

    @property
    def recall(self) -> float:
        """Share of the values that are removed; 1 without any value."""
        return self.removed / self.values if self.values else 1.0

    @property
    def precision(self) -> float:
        """Share of the redacted spans that are right; 1 without any span."""
        spans = self.right + self.false
        return self.right / spans if spans else 1.0

    @property
    def f2(self) -> float:
        """Mean of precision and recall in which recall counts four times."""
        recall, precision = self.recall, self.precision
        return 5 * precision * recall / (4 * precision + recall) if precision and recall else 0.0

    def add(self, counts: Counts) -> None:
        """Add the counts of another group."""
        self.values += counts.values
        self.removed += counts.removed
        self.named += counts.named
        self.right += counts.right
        self.false += counts.false


@dataclass(frozen=True, slots=True)
class Failure:
    """A value that survives (``kind`` "miss"), or text that is lost ("false")."""

    kind: str
    entity: str
    modality: str
    style: str
    language: str
    unseen: bool
    value: str
    before: str
    after: str


@dataclass(slots=True)
class Score:
    """Counts of one modality by entity, by style, by language, and on unseen templates; and every failure."""

    modality: str
    by_entity: dict[str, Counts] = field(default_factory=dict)
    unseen: dict[str, Counts] = field(default_factory=dict)
    by_style: dict[str, Counts] = field(default_factory=dict)
    by_language: dict[str, Counts] = field(default_factory=dict)
    people_by_language: dict[str, Counts] = field(default_factory=dict)
    failures: list[Failure] = field(default_factory=list)
    texts: int = 0
    cpu_s: float = 0.0
    real_s: float = 0.0

    def count(self, sample: Sample, entity: str, counts: Counts) -> None:
        """Add counts to every group of a sample."""
        self.count_group(entity, sample.style, sample.language, counts)
        if sample.unseen:
            self.unseen.setdefault(entity, Counts()).add(counts)

    def count_group(self, entity: str, style: str, language: str, counts: Counts) -> None:
        """Add counts to an entity, a style and a language."""
        tables = [(self.by_entity, entity), (self.by_style, style), (self.by_language, language)]
        tables += [(self.people_by_language, language)] if entity == "PERSON" else []
        for table, key in tables:
            table.setdefault(key, Counts()).add(counts)

    def total(self) -> Counts:
        """Counts of all entities."""
        total = Counts()
        for counts in self.by_entity.values():
            total.add(counts)
        return total


def score_texts(
    modality: str, samples: Sequence[Sample], results: Iterable[Redacted], *, min_survivors: int = 1
) -> Score:
    """Score redacted texts against their labels.

    Args:
        modality: of the report.
        samples: the texts.
        results: their redaction, in the same order.
        min_survivors: letters and digits of a value that must survive for a miss.
    """
    score = Score(modality)
    for sample, result in zip(samples, results, strict=True):
        score.texts += 1
        spans = [(*span, entity) for span, entity in zip(result.spans, result.entities, strict=True)]
        for label in sample.values():
            survivors, entities = _survivors(sample.text, label, spans)
            removed = len(survivors) < min_survivors
            named = removed and label.entity in entities
            score.count(sample, label.entity, Counts(values=1, removed=removed, named=named))
            if not removed:
                value = sample.text[label.start : label.end]
                score.failures.append(_failure("miss", label.entity, score.modality, sample, value, result.text))
        for start, end, entity in spans:
            verdict = _is_right(sample, start, end)
            if verdict is None:
                continue
            score.count(sample, entity, Counts(right=verdict, false=not verdict))
            if not verdict:
                lost = sample.text[start:end]
                score.failures.append(_failure("false", entity, score.modality, sample, lost, result.text))
    return score


def _failure(kind: str, entity: str, modality: str, sample: Sample, value: str, after: str) -> Failure:
    return Failure(kind, entity, modality, sample.style, sample.language, sample.unseen, value, sample.text, after)


def _survivors(text: str, label: Label, spans: Sequence[tuple[int, int, str]]) -> tuple[str, set[str]]:
    """Letters and digits of a value outside of all spans, and the entities of the spans that touch it."""
    survivors = [
        text[index]
        for start, end in label.parts
        for index in range(start, end)
        if text[index].isalnum() and not any(first <= index < last for first, last, _ in spans)
    ]
    touching = {entity for first, last, entity in spans if first < label.end and label.start < last}
    return "".join(survivors), touching


def _is_right(sample: Sample, start: int, end: int) -> bool | None:
    """Decide whether a redacted span is right; None for text that may be redacted or not."""
    touched = [label for label in sample.labels if label.start < end and start < label.end]
    if not touched:
        return False
    harmless = [
        word
        for word in _WORD.finditer(sample.text, start, end)
        if not any(label.start < word.end() and word.start() < label.end for label in sample.labels)
    ]
    if any(any(map(str.isdigit, word[0])) for word in harmless) or len(harmless) > _MAX_HARMLESS_WORDS:
        return False
    return None if all(label.entity == EITHER for label in touched) else True
