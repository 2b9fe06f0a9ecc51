"""Presidio's analyzer with explicit parts: the finders of this package as recognizers, a spaCy model from a directory.

Nothing is downloaded. By default Presidio fetches a spaCy model, and its e-mail recognizer a list of suffixes.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Final

from mmplatform.derive.adapters.model_files import silence_torch_warning
from mmplatform.derive.pii.cards import find_cards
from mmplatform.derive.pii.emails import find_emails
from mmplatform.derive.pii.handles import find_handles
from mmplatform.derive.pii.ibans import find_ibans
from mmplatform.derive.pii.identifiers import find_ip_addresses, find_ssns
from mmplatform.derive.pii.names import find_names
from mmplatform.derive.pii.normalise import to_plain
from mmplatform.derive.pii.phones import find_phones
from mmplatform.derive.pii.special import special_recognizers
from mmplatform.errors import Misconfigured

LANGUAGE: Final = "en"
_UNUSED_PARTS: Final = ("tok2vec", "tagger", "parser", "lemmatizer", "attribute_ruler", "senter")
_UNUSED_LABELS: Final = (
    *("CARDINAL", "DATE", "EVENT", "FAC", "LAW", "LOC", "MONEY", "ORDINAL", "ORG", "PERCENT", "PRODUCT", "QUANTITY"),
    *("TIME", "WORK_OF_ART"),
)
_MAX_TEXT_CHARS: Final = 100_000_000

FindSpans = Callable[[str], Iterable[tuple[int, int]]]


def load_nlp_engine(directory: Path) -> Any:
    """Load Presidio's NLP engine over the spaCy model in ``directory``, name finder only (twice as fast).

    Raises:
        Misconfigured: the directory holds no spaCy model.
    """
    silence_torch_warning()
    import spacy
    from presidio_analyzer.nlp_engine import NerModelConfiguration, SpacyNlpEngine
    from thinc.api import use_ops

    # Presidio's log messages quote texts.
    logging.getLogger("presidio-analyzer").setLevel(logging.CRITICAL)
    engine: Any = SpacyNlpEngine(
        models=[{"lang_code": LANGUAGE, "model_name": str(directory)}],
        ner_model_configuration=NerModelConfiguration(
            model_to_presidio_entity_mapping={"PERSON": "PERSON", "NORP": "NRP", "GPE": "LOCATION", "LANGUAGE": "NRP"},
            labels_to_ignore=list(_UNUSED_LABELS),
        ),
    )
    try:
        # For matrices this small, numpy's OpenBLAS is faster than BLIS, thinc's default.
        with use_ops("numpy", use_blis=False):
            language = spacy.load(directory, exclude=list(_UNUSED_PARTS))
    except (OSError, ValueError) as error:
        raise Misconfigured(f"cannot load the spaCy model in {directory}: {error}; pull it again") from error
    language.max_length = _MAX_TEXT_CHARS  # the limit protects the parser, which is excluded
    engine.nlp = {LANGUAGE: language}
    return engine


def dictionary_words(directory: Path) -> frozenset[str]:
    """Read the lemmatizer's dictionary of a spaCy model (83,000 English words); empty when it has none."""
    from spacy.lookups import Lookups

    path = directory / "lemmatizer" / "lookups"
    if not path.is_dir():
        return frozenset()
    lookups = Lookups().from_disk(path)
    by_kind = lookups.get_table("lemma_index") if lookups.has_table("lemma_index") else {}
    return frozenset(word for words in by_kind.values() for word in words)


def make_analyzer(engine: Any, dictionary: frozenset[str], *, spoken: bool) -> Any:
    """Build an ``AnalyzerEngine`` over the NLP engine; ``spoken``: for texts from speech recognition."""
    from presidio_analyzer import AnalyzerEngine, RecognizerRegistry

    registry = RecognizerRegistry(recognizers=_recognizers(dictionary, spoken=spoken), supported_languages=[LANGUAGE])
    return AnalyzerEngine(registry=registry, nlp_engine=engine, supported_languages=[LANGUAGE])


def empty_nlp_artifacts(engine: Any) -> Any:
    """NLP artifacts of an empty text, for analyses that find numbers only."""
    return next(engine.process_batch([""], language=LANGUAGE))[1]


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
