"""Presidio's recognizer interface around the finders of this package."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from mmplatform.derive.pii.labels import Found
from mmplatform.derive.pii.name_models import LANGUAGE
from mmplatform.derive.pii.normalise import to_plain

FindEntities = Callable[[str], Iterable[Found]]
"""Plain text → spans and their entities."""


def make_recognizers(finders: Iterable[tuple[FindEntities, tuple[str, ...]]]) -> list[Any]:
    """Build a recognizer for each finder and the entities that it finds; what it finds has the score 1."""
    from presidio_analyzer import EntityRecognizer, RecognizerResult

    class Finder(EntityRecognizer):
        """Adapts a finder to Presidio's recognizer interface."""

        def __init__(self, find: FindEntities, entities: tuple[str, ...]) -> None:
            self._find = find
            name = f"find {', '.join(entities)}"
            super().__init__(supported_entities=list(entities), name=name, supported_language=LANGUAGE)

        def load(self) -> None:
            """Nothing to load."""

        def analyze(self, text: str, entities: Sequence[str], nlp_artifacts: Any = None) -> list[Any]:
            del nlp_artifacts
            return [
                RecognizerResult(entity_type=entity, start=start, end=end, score=1.0)
                for start, end, entity in self._find(to_plain(text))
                if entity in entities
            ]

    return [Finder(find, entities) for find, entities in finders]
