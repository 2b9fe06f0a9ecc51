"""Presidio's analyzer with explicit parts: the finders of this package as recognizers, names by a local model.

Nothing is downloaded. By default Presidio fetches a spaCy model, and its e-mail recognizer a list of suffixes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Any

from mmplatform.derive.pii.cards import find_cards
from mmplatform.derive.pii.emails import find_emails
from mmplatform.derive.pii.handles import find_handles
from mmplatform.derive.pii.ibans import find_ibans
from mmplatform.derive.pii.identifiers import find_ip_addresses, find_ssns
from mmplatform.derive.pii.name_models import LANGUAGE
from mmplatform.derive.pii.names import find_names
from mmplatform.derive.pii.normalise import to_plain
from mmplatform.derive.pii.phones import find_phones
from mmplatform.derive.pii.special import special_recognizers

FindSpans = Callable[[str], Iterable[tuple[int, int]]]


def make_analyzer(engine: Any, dictionary: frozenset[str], *, spoken: bool) -> Any:
    """Build an ``AnalyzerEngine`` over the NLP engine; ``spoken``: for texts from speech recognition."""
    from presidio_analyzer import AnalyzerEngine, RecognizerRegistry

    registry = RecognizerRegistry(recognizers=_recognizers(dictionary, spoken=spoken), supported_languages=[LANGUAGE])
    return AnalyzerEngine(registry=registry, nlp_engine=engine, supported_languages=[LANGUAGE])


def _recognizers(dictionary: frozenset[str], *, spoken: bool) -> list[Any]:
    from presidio_analyzer import EntityRecognizer, RecognizerResult

    def results(entity: str, spans: Iterable[tuple[int, int]]) -> list[Any]:
        return [RecognizerResult(entity_type=entity, start=start, end=end, score=1.0) for start, end in spans]

    class Finder(EntityRecognizer):
        """Adapts a finder to Presidio's recognizer interface."""

        def __init__(self, entity: str, find: FindSpans) -> None:
            self._entity, self._find = entity, find
            super().__init__(supported_entities=[entity], name=f"find {entity}", supported_language=LANGUAGE)

        def load(self) -> None:
            """Nothing to load."""

        def analyze(self, text: str, entities: Sequence[str], nlp_artifacts: Any = None) -> list[Any]:
            del entities, nlp_artifacts
            return results(self._entity, self._find(to_plain(text)))

    class Names(EntityRecognizer):
        """Finds names among the entities of the NLP engine."""

        def __init__(self) -> None:
            super().__init__(supported_entities=["PERSON"], name="find PERSON", supported_language=LANGUAGE)

        def load(self) -> None:
            """Nothing to load."""

        def analyze(self, text: str, entities: Sequence[str], nlp_artifacts: Any = None) -> list[Any]:
            del entities
            found = [(span.label_, (span.start_char, span.end_char)) for span in nlp_artifacts.entities]
            people = [span for label, span in found if label == "PERSON"]
            others = [span for label, span in found if label != "PERSON"]
            return results("PERSON", find_names(text, people, others, dictionary))

    return [
        Finder("CARD", partial(find_cards, spoken=spoken)),
        Finder("PHONE", partial(find_phones, spoken=spoken)),
        Finder("EMAIL", partial(find_emails, spoken=spoken)),
        Finder("SSN", find_ssns),
        Finder("IP", find_ip_addresses),
        Finder("IBAN", find_ibans),
        Finder("HANDLE", find_handles),
        Names(),
        *special_recognizers(),
    ]
