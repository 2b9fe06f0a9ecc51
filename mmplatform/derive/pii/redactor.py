"""Takes personal data out of texts before anything but the raw vault sees them.

1. spaCy reads all texts of a batch, and looks for names in those that can hold one; presidio's analyzer runs our
   finders on each (``pii``);
2. where a text has number words, the finders run once more over a reading with digits (``four one`` → ``4 1``), and
   what they find is mapped back: a union, so that neither reading can hide what the other shows;
3. overlapping spans become one, and each is replaced by its kind: ``[CARD]``, ``[EMAIL]``, …
"""

from __future__ import annotations

import re
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from mmplatform.derive.adapters.model_files import fingerprint
from mmplatform.derive.pii.analyzer import (
    ENTITIES,
    LANGUAGE,
    NUMBERS,
    load_language_engine,
    make_analyzer,
    no_language,
    ordinary_words,
)
from mmplatform.derive.pii.names import may_hold_name
from mmplatform.derive.pii.normalise import plain, without_surrogates, words_to_digits
from mmplatform.ports import Redacted

_RULES: Final = "1"
"""Raised whenever a finder changes, so that remembered redactions are made again."""

_PIPE: Final = 64
_LONG_RUN: Final = re.compile(r"\S{65,}")
"""No name is this long, yet spaCy's tokenizer takes half a minute for 20,000 characters of one run."""

_Span = tuple[int, int, str]


class PresidioRedactor:
    """Presidio's analyzer with our recognizers and a local spaCy model."""

    name = "presidio"

    def __init__(self, directory: Path) -> None:
        """Load the spaCy model in ``directory`` and warm up.

        Raises:
            Misconfigured: the directory holds no spaCy model.
        """
        self.version: str = f"{_RULES}-{fingerprint(directory / 'ner' / 'model')}"
        self._engine = load_language_engine(directory)
        words = ordinary_words(directory)
        self._analyzers = {spoken: make_analyzer(self._engine, words, spoken=spoken) for spoken in (False, True)}
        self._no_language = no_language(self._engine)
        self._one_zone = threading.Lock()
        self.redact(["warm up", "This is Dana Whitfield calling"])  # the names model is asked about the second only

    def redact(self, texts: Sequence[str], *, spoken: bool = False) -> list[Redacted]:
        """One result for each text, whatever is in it.

        Spans are characters of the given text. Lone surrogates come back as U+FFFD, so that the result can be encoded.
        """
        clean = [without_surrogates(text) for text in texts]
        # spaCy keeps every word that it ever saw: without a zone it would remember each number that was ever sent.
        with self._one_zone, self._engine.nlp[LANGUAGE].memory_zone():
            read = self._read(clean)
            return [
                _replaced(text, _merged(self._find(text, artifacts, self._analyzers[spoken])))
                for text, artifacts in zip(clean, read, strict=True)
            ]

    def _read(self, texts: Sequence[str]) -> list[Any]:
        """What presidio wants to know about each text's language: its words, and names where it can hold any."""
        places: tuple[list[int], list[int]] = ([], [])
        for place, text in enumerate(texts):
            places[may_hold_name(text)].append(place)
        without, named = places
        read = dict(zip(named, self._read_batch([texts[place] for place in named]), strict=True))
        with self._engine.nlp[LANGUAGE].select_pipes(disable="ner"):
            read |= zip(without, self._read_batch([texts[place] for place in without]), strict=True)
        return [read[place] for place in range(len(texts))]

    def _read_batch(self, texts: Sequence[str]) -> list[Any]:
        batch = [_LONG_RUN.sub(_blank, text) for text in texts]
        return [found for _, found in self._engine.process_batch(batch, language=LANGUAGE, batch_size=_PIPE)]

    def _find(self, text: str, artifacts: Any, analyzer: Any) -> list[_Span]:
        found = analyzer.analyze(text, LANGUAGE, nlp_artifacts=artifacts)
        spans = [(result.start, result.end, result.entity_type) for result in found]
        view = words_to_digits(plain(text))
        if view is not None:
            said = analyzer.analyze(view.text, LANGUAGE, entities=list(NUMBERS), nlp_artifacts=self._no_language)
            spans += [(*view.original(result.start, result.end), result.entity_type) for result in said]
        return spans


def _blank(run: re.Match[str]) -> str:
    return "x" * len(run[0])


def _merged(spans: Sequence[_Span]) -> list[_Span]:
    """Sorted and disjoint; overlapping spans become one, named after the kind that matters most."""
    merged: list[_Span] = []
    for start, end, entity in sorted(spans):
        if end <= start:
            continue
        if merged and start < merged[-1][1]:
            before = merged[-1]
            merged[-1] = (before[0], max(before[1], end), min(before[2], entity, key=ENTITIES.index))
        else:
            merged.append((start, end, entity))
    return merged


def _replaced(text: str, spans: Sequence[_Span]) -> Redacted:
    pieces, behind = [], 0
    for start, end, entity in spans:
        pieces += [text[behind:start], f"[{entity}]"]
        behind = end
    return Redacted(
        text="".join([*pieces, text[behind:]]),
        entities=tuple(entity for _, _, entity in spans),
        spans=tuple((start, end) for start, end, _ in spans),
    )
