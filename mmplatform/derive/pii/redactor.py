"""Removes personal data from texts before anything but the raw vault stores them.

1. The names model reads those texts of a batch that can hold a name which no rule finds. Presidio's analyzer runs the
   finders of this package on each.
2. A text with number words is analysed again with digits (``four one`` → ``4 1``), and a text with markup without it.
   The spans of all readings are united, so that none can hide what another shows.
3. Overlapping spans become one, and each is replaced by its entity: ``[CARD]``, ``[EMAIL]``, …
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from mmplatform.derive.pii.analyzer import make_analyzer
from mmplatform.derive.pii.entities import ENTITIES_BY_PRIORITY, NUMBER_ENTITIES
from mmplatform.derive.pii.markup import without_markup
from mmplatform.derive.pii.name_lists import ordinary_words
from mmplatform.derive.pii.name_models import LANGUAGE, empty_nlp_artifacts, load_name_model
from mmplatform.derive.pii.names import find_names_by_rule, may_hold_name
from mmplatform.derive.pii.normalise import replace_surrogates, to_plain, words_to_digits
from mmplatform.ports import Redacted

_RULES_VERSION: Final = "2"
"""Increased whenever a finder changes, so that memoised redactions are computed again."""

_Span = tuple[int, int, str]


class PresidioRedactor:
    """Redactor on Presidio's analyzer with the finders of this package and a local names model."""

    name = "presidio"

    def __init__(self, directory: Path) -> None:
        """Load the names model in ``directory`` and warm up.

        Raises:
            Misconfigured: the directory holds no such model.
        """
        self._model = load_name_model(directory)
        self.version: str = f"{_RULES_VERSION}-{self._model.version}"
        self._words = ordinary_words()
        engine = self._model.engine
        self._analyzers = {spoken: make_analyzer(engine, self._words, spoken=spoken) for spoken in (False, True)}
        self._empty_artifacts = empty_nlp_artifacts(engine)
        self._zone_lock = threading.Lock()
        self.redact(["warm up", "Is Zorblatine back?"])  # only the second runs the names model

    def redact(self, texts: Sequence[str], *, spoken: bool = False) -> list[Redacted]:
        """Redact each text; one result for each, in order.

        Spans are offsets into the given text. Lone surrogates become U+FFFD, so that the result can be encoded.
        """
        clean = [replace_surrogates(text) for text in texts]
        with self._zone_lock, self._model.forget_words():
            analysed = self._analyse_language(clean)
            return [
                _replace(text, _merge(self._find_spans(text, artifacts, self._analyzers[spoken])))
                for text, artifacts in zip(clean, analysed, strict=True)
            ]

    def _analyse_language(self, texts: Sequence[str]) -> list[Any]:
        """Compute Presidio's NLP artifacts of each text; empty ones where no name is left for the model to find."""
        artifacts = [self._empty_artifacts] * len(texts)
        with_names = [
            index
            for index, text in enumerate(texts)
            if may_hold_name(text, find_names_by_rule(text, self._words), self._words, uncased=self._model.uncased)
        ]
        for index, found in zip(with_names, self._model.read([texts[index] for index in with_names]), strict=True):
            artifacts[index] = found
        return artifacts

    def _find_spans(self, text: str, artifacts: Any, analyzer: Any) -> list[_Span]:
        found = analyzer.analyze(text, LANGUAGE, nlp_artifacts=artifacts)
        spans = [(result.start, result.end, result.entity_type) for result in found]
        for rewritten in (words_to_digits(to_plain(text)), without_markup(text)):
            if rewritten is None:
                continue
            numbers = analyzer.analyze(
                rewritten.text, LANGUAGE, entities=list(NUMBER_ENTITIES), nlp_artifacts=self._empty_artifacts
            )
            spans += [(*rewritten.original_span(result.start, result.end), result.entity_type) for result in numbers]
        return spans


def _merge(spans: Sequence[_Span]) -> list[_Span]:
    """Sort spans and merge overlapping ones, named after the entity of the highest priority."""
    merged: list[_Span] = []
    for start, end, entity in sorted(spans):
        if end <= start:
            continue
        if merged and start < merged[-1][1]:
            before = merged[-1]
            merged[-1] = (before[0], max(before[1], end), min(before[2], entity, key=ENTITIES_BY_PRIORITY.index))
        else:
            merged.append((start, end, entity))
    return merged


def _replace(text: str, spans: Sequence[_Span]) -> Redacted:
    pieces, copied_to = [], 0
    for start, end, entity in spans:
        pieces += [text[copied_to:start], f"[{entity}]"]
        copied_to = end
    return Redacted(
        text="".join([*pieces, text[copied_to:]]),
        entities=tuple(entity for _, _, entity in spans),
        spans=tuple((start, end) for start, end, _ in spans),
    )
