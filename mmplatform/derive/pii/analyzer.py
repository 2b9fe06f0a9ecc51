"""Presidio's analyzer with explicit parts: the finders of this package as recognizers, names by a local model.

Nothing is downloaded. By default Presidio fetches a spaCy model, and its e-mail recognizer a list of suffixes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from typing import Any

from mmplatform.derive.pii.cards import find_cards
from mmplatform.derive.pii.emails import find_emails
from mmplatform.derive.pii.handles import find_handles
from mmplatform.derive.pii.ibans import find_ibans
from mmplatform.derive.pii.identifiers import find_ip_addresses, find_ssns
from mmplatform.derive.pii.labels import Found
from mmplatform.derive.pii.name_models import LANGUAGE, rule_names
from mmplatform.derive.pii.names import find_names
from mmplatform.derive.pii.phones import find_phones
from mmplatform.derive.pii.recognizers import make_recognizers
from mmplatform.derive.pii.special import special_recognizers

FindSpans = Callable[[str], Iterable[tuple[int, int]]]


def make_analyzer(engine: Any, dictionary: frozenset[str], *, spoken: bool) -> Any:
    """Build an ``AnalyzerEngine`` over the NLP engine; ``spoken``: for texts from speech recognition."""
    from presidio_analyzer import AnalyzerEngine, RecognizerRegistry

    registry = RecognizerRegistry(recognizers=_recognizers(dictionary, spoken=spoken), supported_languages=[LANGUAGE])
    return AnalyzerEngine(registry=registry, nlp_engine=engine, supported_languages=[LANGUAGE])


def _recognizers(dictionary: frozenset[str], *, spoken: bool) -> list[Any]:
    finders: tuple[tuple[str, FindSpans], ...] = (
        ("CARD", partial(find_cards, spoken=spoken)),
        ("PHONE", partial(find_phones, spoken=spoken)),
        ("EMAIL", partial(find_emails, spoken=spoken)),
        ("SSN", find_ssns),
        ("IP", find_ip_addresses),
        ("IBAN", find_ibans),
        ("HANDLE", find_handles),
    )
    return [
        *make_recognizers((partial(_find_entity, entity, find), (entity,)) for entity, find in finders),
        _names_recognizer(dictionary),
        *special_recognizers(),
    ]


def _find_entity(entity: str, find: FindSpans, plain: str) -> Iterator[Found]:
    for start, end in find(plain):
        yield start, end, entity


def _names_recognizer(dictionary: frozenset[str]) -> Any:
    from presidio_analyzer import EntityRecognizer, RecognizerResult

    class Names(EntityRecognizer):
        """Finds names by rule, and among the entities of the NLP engine."""

        def __init__(self) -> None:
            super().__init__(supported_entities=["PERSON"], name="find PERSON", supported_language=LANGUAGE)

        def load(self) -> None:
            """Nothing to load."""

        def analyze(self, text: str, entities: Sequence[str], nlp_artifacts: Any = None) -> list[Any]:
            del entities
            people = [(span.start_char, span.end_char) for span in nlp_artifacts.entities if span.label_ == "PERSON"]
            return [
                RecognizerResult(entity_type="PERSON", start=start, end=end, score=1.0)
                for start, end in find_names(text, people, dictionary, rule_names(nlp_artifacts))
            ]

    return Names()
