"""Removes personal data from texts before anything but the raw vault stores them.

1. The names model reads those texts of a batch that can hold a name which no rule finds. Presidio's analyzer runs the
   finders of this package on each.
2. A text with number words is analysed again with digits (``four one`` → ``4 1``), a text with markup without it,
   a table with the header before each value, a mistyped label put right, and lines that a mail program broke in one.
   The spans of all readings are united, so that none can hide what another shows.
3. Overlapping spans become one, and each is replaced by its entity: ``[CARD]``, ``[EMAIL]``, … Where the policy
   has something else in its place, the derivers write that, from the same spans.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Final, NamedTuple

from mmplatform.derive.pii.analyzer import make_analyzer
from mmplatform.derive.pii.coverage import written_coverage
from mmplatform.derive.pii.entities import (
    ENTITIES_BY_PRIORITY,
    LABELLED_ENTITIES,
    NUMBER_ENTITIES,
    TABLE_ENTITIES,
    WORDED_ENTITIES,
)
from mmplatform.derive.pii.foreign_number_words import foreign_words_to_digits
from mmplatform.derive.pii.markup import without_markup
from mmplatform.derive.pii.mistyped import with_labels_put_right
from mmplatform.derive.pii.name_lists import ordinary_words
from mmplatform.derive.pii.name_models import LANGUAGE, empty_nlp_artifacts, load_name_model, with_rule_names
from mmplatform.derive.pii.names import find_names_by_rule, may_hold_name
from mmplatform.derive.pii.normalise import replace_surrogates, to_plain, words_to_digits
from mmplatform.derive.pii.policy import ModalityPolicy
from mmplatform.derive.pii.replacement import Span, replace_spans
from mmplatform.derive.pii.tables import find_thing_cells, with_headers
from mmplatform.derive.pii.unwrapped import without_line_breaks
from mmplatform.ports import LanguageDetector, Redacted

_DIGIT: Final = re.compile(r"\d", re.ASCII)
_RULES_VERSION: Final = "4"
"""Increased whenever a finder changes, so that memoised redactions are computed again."""


class Detection(NamedTuple):
    """Personal data that one recognizer found in one reading of a text; it has no value."""

    start: int
    end: int
    entity: str
    recognizer: str
    score: float
    reading: str

    @property
    def span(self) -> Span:
        """Span and entity."""
        return self.start, self.end, self.entity


class PresidioRedactor:
    """Redactor on Presidio's analyzer with the finders of this package and a local names model."""

    name = "presidio"

    def __init__(
        self, directory: Path, policy: ModalityPolicy | None = None, languages: LanguageDetector | None = None
    ) -> None:
        """Load the names model in ``directory`` and warm up.

        Args:
            directory: of the names model.
            policy: entities that it keeps are not redacted.
            languages: detector of a text's language; without it no language is known.

        Raises:
            Misconfigured: the directory holds no such model.
        """
        self._model = load_name_model(directory)
        self._languages = languages
        self.version: str = f"{_RULES_VERSION}-{self._model.version}"
        if languages is not None:
            self.version += f"-{languages.name}-{languages.version}"
        self._retained: frozenset[str] = frozenset()
        if policy is not None:
            self.version += f"-{policy.version}"
            self._retained = policy.retained_entities
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
            spans = [
                self._merge_redacted(self._find_spans(text, artifacts, self._analyzers[spoken]))
                for text, artifacts in zip(clean, analysed, strict=True)
            ]
        if spoken:
            return [_replace(text, found) for text, found in zip(clean, spans, strict=True)]
        return [self._with_language(text, _replace(text, found)) for text, found in zip(clean, spans, strict=True)]

    def explain(self, text: str, *, spoken: bool = False) -> list[Detection]:
        """List what each recognizer finds in a text, in each reading; also what the policy keeps, and no value."""
        clean = replace_surrogates(text)
        with self._zone_lock, self._model.forget_words():
            [artifacts] = self._analyse_language([clean])
            return sorted(self._find_spans(clean, artifacts, self._analyzers[spoken]))

    def _with_language(self, text: str, redacted: Redacted) -> Redacted:
        """Add the language of what is left of a text: a name belongs to any language."""
        if self._languages is None:
            return replace(redacted, coverage="unknown")
        pieces, copied_to = [], 0
        for start, end in redacted.spans:
            pieces.append(text[copied_to:start])
            copied_to = end
        language = self._languages.detect(" ".join([*pieces, text[copied_to:]]))
        return replace(redacted, language=language, coverage=written_coverage(language))

    def _merge_redacted(self, findings: Sequence[Detection]) -> list[Span]:
        # Before they are merged: a value to redact that overlaps a kept one must not be kept with it.
        return _merge([finding.span for finding in findings if finding.entity not in self._retained])

    def _analyse_language(self, texts: Sequence[str]) -> list[Any]:
        """Compute Presidio's NLP artifacts of each text; empty ones where no name is left for the model to find."""
        artifacts = [self._empty_artifacts] * len(texts)
        by_rule = [find_names_by_rule(text, self._words) for text in texts]
        with_names = [
            index
            for index, text in enumerate(texts)
            if may_hold_name(text, by_rule[index], self._words, uncased=self._model.uncased)
        ]
        for index, found in zip(with_names, self._model.read([texts[index] for index in with_names]), strict=True):
            artifacts[index] = found
        return [with_rule_names(found, names) for found, names in zip(artifacts, by_rule, strict=True)]

    def _find_spans(self, text: str, artifacts: Any, analyzer: Any) -> list[Detection]:
        plain = to_plain(text)
        entities = None if _DIGIT.search(plain) else list(WORDED_ENTITIES)
        found = analyzer.analyze(text, LANGUAGE, entities=entities, nlp_artifacts=artifacts)
        spans = [_detection(result, (result.start, result.end), "as written") for result in found]
        for reading, rewritten, sought in (
            ("number words as digits", words_to_digits(plain), NUMBER_ENTITIES),
            ("number words of other languages as digits", foreign_words_to_digits(plain), NUMBER_ENTITIES),
            ("without markup", without_markup(text), NUMBER_ENTITIES),
            ("table cells with their headers", with_headers(text), TABLE_ENTITIES),
            ("mistyped labels put right", with_labels_put_right(plain), LABELLED_ENTITIES),
            ("broken lines joined", without_line_breaks(text), LABELLED_ENTITIES),
        ):
            if rewritten is None:
                continue
            found = analyzer.analyze(
                rewritten.text, LANGUAGE, entities=list(sought), nlp_artifacts=self._empty_artifacts
            )
            spans += [
                _detection(result, rewritten.original_span(result.start, result.end), reading) for result in found
            ]
        things = find_thing_cells(text) if any(found.entity == "PHONE" for found in spans) else ()
        return [found for found in spans if found.entity != "PHONE" or not _lies_in(found, things)]


def _lies_in(found: Detection, cells: Sequence[tuple[int, int]]) -> bool:
    return any(start <= found.start and found.end <= end for start, end in cells)


def _detection(result: Any, span: tuple[int, int], reading: str) -> Detection:
    metadata = result.recognition_metadata or {}
    recognizer = str(metadata.get(result.RECOGNIZER_NAME_KEY, ""))
    return Detection(*span, result.entity_type, recognizer, float(result.score), reading)


def _merge(spans: Sequence[Span]) -> list[Span]:
    """Sort spans and merge overlapping ones, named after the entity of the highest priority."""
    merged: list[Span] = []
    for start, end, entity in sorted(spans):
        if end <= start:
            continue
        if merged and start < merged[-1][1]:
            before = merged[-1]
            merged[-1] = (before[0], max(before[1], end), min(before[2], entity, key=ENTITIES_BY_PRIORITY.index))
        else:
            merged.append((start, end, entity))
    return merged


def _replace(text: str, spans: Sequence[Span]) -> Redacted:
    return Redacted(
        text=replace_spans(text, spans),
        entities=tuple(entity for _, _, entity in spans),
        spans=tuple((start, end) for start, end, _ in spans),
    )
