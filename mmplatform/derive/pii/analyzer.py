"""Presidio's analyzer, given everything explicitly: our finders as its recognizers, and a spaCy model from a directory.

Nothing is downloaded: presidio would fetch a spaCy model by default, and its own e-mail recognizer a list of suffixes.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Final

from mmplatform.derive.adapters.model_files import quiet_transformers
from mmplatform.derive.pii.cards import find_cards
from mmplatform.derive.pii.emails import find_emails
from mmplatform.derive.pii.identifiers import find_addresses, find_socials
from mmplatform.derive.pii.names import find_names
from mmplatform.derive.pii.normalise import plain
from mmplatform.derive.pii.phones import find_phones
from mmplatform.errors import Misconfigured

ENTITIES: Final = ("CARD", "IBAN", "SSN", "EMAIL", "PHONE", "IP", "PERSON")
"""What is looked for; where spans overlap, the kind that stands first here gives its name."""

NUMBERS: Final = ("CARD", "SSN", "EMAIL", "PHONE")
"""What is looked for once more where number words were written as digits."""

LANGUAGE: Final = "en"
_UNUSED_PARTS: Final = ("tok2vec", "tagger", "parser", "lemmatizer", "attribute_ruler", "senter")
_UNUSED_LABELS: Final = (
    *("CARDINAL", "DATE", "EVENT", "FAC", "LAW", "LOC", "MONEY", "ORDINAL", "ORG", "PERCENT", "PRODUCT", "QUANTITY"),
    *("TIME", "WORK_OF_ART"),
)
_LONGEST_TEXT: Final = 100_000_000

Find = Callable[[str], Iterable[tuple[int, int]]]


def load_language_engine(directory: Path) -> Any:
    """Presidio's NLP engine over the spaCy model in ``directory``, with its name finder alone (twice as fast).

    Raises:
        Misconfigured: there is no such model in it.
    """
    quiet_transformers()
    import spacy
    from presidio_analyzer.nlp_engine import NerModelConfiguration, SpacyNlpEngine
    from thinc.api import use_ops

    # Presidio's own messages quote texts.
    logging.getLogger("presidio-analyzer").setLevel(logging.CRITICAL)
    engine: Any = SpacyNlpEngine(
        models=[{"lang_code": LANGUAGE, "model_name": str(directory)}],
        ner_model_configuration=NerModelConfiguration(
            model_to_presidio_entity_mapping={"PERSON": "PERSON", "NORP": "NRP", "GPE": "LOCATION", "LANGUAGE": "NRP"},
            labels_to_ignore=list(_UNUSED_LABELS),
        ),
    )
    try:
        # numpy's OpenBLAS multiplies as small a matrix as these in less time than BLIS, thinc's default.
        with use_ops("numpy", use_blis=False):
            language = spacy.load(directory, exclude=list(_UNUSED_PARTS))
    except (OSError, ValueError) as error:
        raise Misconfigured(f"cannot load the spaCy model in {directory}: {error}; pull it again") from error
    language.max_length = _LONGEST_TEXT  # the limit guards the parser, which we leave out
    engine.nlp = {LANGUAGE: language}
    return engine


def ordinary_words(directory: Path) -> frozenset[str]:
    """The dictionary that lies beside the lemmatizer of a spaCy model (83,000 English words); empty without one."""
    from spacy.lookups import Lookups

    path = directory / "lemmatizer" / "lookups"
    if not path.is_dir():
        return frozenset()
    lookups = Lookups().from_disk(path)
    by_kind = lookups.get_table("lemma_index") if lookups.has_table("lemma_index") else {}
    return frozenset(word for words in by_kind.values() for word in words)


def make_analyzer(engine: Any, ordinary: frozenset[str], *, spoken: bool) -> Any:
    """An ``AnalyzerEngine`` over the language engine; ``spoken`` is for texts from speech recognition."""
    from presidio_analyzer import AnalyzerEngine, RecognizerRegistry

    registry = RecognizerRegistry(recognizers=_recognizers(ordinary, spoken=spoken), supported_languages=[LANGUAGE])
    return AnalyzerEngine(registry=registry, nlp_engine=engine, supported_languages=[LANGUAGE])


def no_language(engine: Any) -> Any:
    """What presidio wants to know about a text's language where we look for numbers alone: nothing."""
    return next(engine.process_batch([""], language=LANGUAGE))[1]


def _recognizers(ordinary: frozenset[str], *, spoken: bool) -> list[Any]:
    from presidio_analyzer import EntityRecognizer, RecognizerResult
    from presidio_analyzer.predefined_recognizers import IbanRecognizer

    def results(entity: str, spans: Iterable[tuple[int, int]]) -> list[Any]:
        return [RecognizerResult(entity_type=entity, start=start, end=end, score=1.0) for start, end in spans]

    class Finder(EntityRecognizer):
        """One of our finders, seen by presidio."""

        def __init__(self, entity: str, find: Find) -> None:
            self._entity, self._find = entity, find
            super().__init__(supported_entities=[entity], name=f"find {entity}", supported_language=LANGUAGE)

        def load(self) -> None:
            """Nothing to load."""

        def analyze(self, text: str, entities: Sequence[str], nlp_artifacts: Any = None) -> list[Any]:
            del entities, nlp_artifacts
            return results(self._entity, self._find(plain(text)))

    class Names(EntityRecognizer):
        """Names, from what the language engine found."""

        def __init__(self) -> None:
            super().__init__(supported_entities=["PERSON"], name="find PERSON", supported_language=LANGUAGE)

        def load(self) -> None:
            """Nothing to load."""

        def analyze(self, text: str, entities: Sequence[str], nlp_artifacts: Any = None) -> list[Any]:
            del entities
            found = [(span.label_, (span.start_char, span.end_char)) for span in nlp_artifacts.entities]
            people = [span for label, span in found if label == "PERSON"]
            others = [span for label, span in found if label != "PERSON"]
            return results("PERSON", find_names(text, people, others, ordinary))

    class Iban(IbanRecognizer):
        """Presidio's, which knows every country's form and the checksum, for any letter case and spacing."""

        def analyze(
            self, text: str, entities: list[str], nlp_artifacts: Any = None, regex_flags: int | None = None
        ) -> list[Any]:
            del regex_flags
            return super().analyze(_capitals(plain(text)), entities, nlp_artifacts)

    return [
        Finder("CARD", partial(find_cards, spoken=spoken)),
        Finder("PHONE", partial(find_phones, spoken=spoken)),
        Finder("EMAIL", find_emails),
        Finder("SSN", find_socials),
        Finder("IP", find_addresses),
        Iban(supported_entity="IBAN", supported_language=LANGUAGE),
        Names(),
    ]


def _capitals(text: str) -> str:
    """ASCII letters as capitals; unlike ``str.upper`` it keeps the length."""
    return text.translate({small: small - 32 for small in range(ord("a"), ord("z") + 1)})
