"""Language models that find names, behind Presidio's NLP engine: a spaCy pipeline or a token classifier."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from copy import copy
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Protocol

from mmplatform.derive.adapters.model_files import weights_fingerprint
from mmplatform.derive.adapters.token_classifier import WEIGHTS, TokenClassifier
from mmplatform.derive.pii.presidio_imports import import_presidio
from mmplatform.errors import Misconfigured

LANGUAGE: Final = "en"
_UNUSED_PARTS: Final = ("tok2vec", "tagger", "parser", "lemmatizer", "attribute_ruler", "senter")
_UNUSED_LABELS: Final = (
    *("CARDINAL", "DATE", "EVENT", "FAC", "LAW", "LOC", "MONEY", "ORDINAL", "ORG", "PERCENT", "PRODUCT", "QUANTITY"),
    *("TIME", "WORK_OF_ART"),
)
_MAX_TEXT_CHARS: Final = 100_000_000
_SPACY_BATCH: Final = 64
_OVERLONG_WORD: Final = re.compile(r"\S{65,}")
"""No name is this long, yet spaCy's tokenizer takes half a minute for one word of 20,000 characters."""


class NameModel(Protocol):
    """Model that reads texts as Presidio's NLP artifacts, with the names in them as entities."""

    engine: Any
    version: str
    uncased: bool
    """The model does not see capitals."""

    def read(self, texts: Sequence[str]) -> list[Any]:
        """NLP artifacts of each text, in order."""

    @contextmanager
    def forget_words(self) -> Iterator[None]:
        """Keep no word that is read within, when the block ends."""


@dataclass(frozen=True, slots=True)
class PersonSpan:
    """A person as an entity of NLP artifacts."""

    start_char: int
    end_char: int
    label_: str = "PERSON"


def load_name_model(directory: Path) -> NameModel:
    """Load the model in ``directory``: a token classifier where it has one's weights, else a spaCy pipeline.

    Raises:
        Misconfigured: the directory holds neither.
    """
    # Presidio's log messages quote texts.
    logging.getLogger("presidio-analyzer").setLevel(logging.CRITICAL)
    import_presidio()
    return ClassifierNames(directory) if (directory / WEIGHTS).is_file() else SpacyNames(directory)


class SpacyNames:
    """Names by the name finder of a spaCy pipeline, the other parts left out (twice as fast)."""

    uncased = False

    def __init__(self, directory: Path) -> None:
        """Load the pipeline. Raises Misconfigured when the directory holds none."""
        self.version = weights_fingerprint(directory / "ner" / "model")
        import spacy
        from thinc.api import use_ops

        try:
            # For matrices this small, numpy's OpenBLAS is faster than BLIS, thinc's default.
            with use_ops("numpy", use_blis=False):
                language = spacy.load(directory, exclude=list(_UNUSED_PARTS))
        except (OSError, ValueError) as error:
            raise Misconfigured(f"cannot load the spaCy model in {directory}: {error}; pull it again") from error
        language.max_length = _MAX_TEXT_CHARS  # the limit protects the parser, which is excluded
        self.engine = _nlp_engine(language, directory)

    def read(self, texts: Sequence[str]) -> list[Any]:
        """NLP artifacts of each text, in order."""
        batch = [_OVERLONG_WORD.sub(_blank, text) for text in texts]
        return [
            artifacts for _, artifacts in self.engine.process_batch(batch, language=LANGUAGE, batch_size=_SPACY_BATCH)
        ]

    @contextmanager
    def forget_words(self) -> Iterator[None]:
        """Free the words that spaCy would store: each number ever sent would stay."""
        with self.engine.nlp[LANGUAGE].memory_zone():
            yield


class ClassifierNames:
    """Names by a token classifier; spaCy's blank pipeline only gives Presidio the engine that it asks for."""

    uncased = True

    def __init__(self, directory: Path) -> None:
        """Load the classifier. Raises Misconfigured when the directory holds none."""
        self.version = weights_fingerprint(directory / WEIGHTS)
        import spacy

        self._classifier = TokenClassifier(directory)
        self.engine = _nlp_engine(spacy.blank(LANGUAGE), directory)
        self._empty = empty_nlp_artifacts(self.engine)

    def read(self, texts: Sequence[str]) -> list[Any]:
        """NLP artifacts of each text, in order."""
        from presidio_analyzer.nlp_engine import NlpArtifacts

        batch = [_OVERLONG_WORD.sub(_blank, text) for text in texts]
        entities: list[list[Any]] = [
            [PersonSpan(start, end) for start, end in people] for people in self._classifier.find_people(batch)
        ]
        return [
            NlpArtifacts(
                entities=people,
                tokens=self._empty.tokens,
                tokens_indices=[],
                lemmas=[],
                nlp_engine=self.engine,
                language=LANGUAGE,
                scores=[1.0] * len(people),
            )
            for people in entities
        ]

    @contextmanager
    def forget_words(self) -> Iterator[None]:
        """Keep nothing: the classifier stores no words."""
        yield


def empty_nlp_artifacts(engine: Any) -> Any:
    """NLP artifacts of an empty text, for analyses that find numbers only."""
    return next(engine.process_batch([""], language=LANGUAGE))[1]


def with_rule_names(artifacts: Any, names: list[tuple[int, int]]) -> Any:
    """Copy NLP artifacts, with the names that the rules found in their text: they are searched for once a text."""
    annotated = copy(artifacts)
    annotated.rule_names = names
    return annotated


def rule_names(artifacts: Any) -> list[tuple[int, int]] | None:
    """Return the names of :func:`with_rule_names`; None where the rules were not asked."""
    names: list[tuple[int, int]] | None = getattr(artifacts, "rule_names", None)
    return names


def _nlp_engine(language: Any, directory: Path) -> Any:
    from presidio_analyzer.nlp_engine import NerModelConfiguration, SpacyNlpEngine

    engine: Any = SpacyNlpEngine(
        models=[{"lang_code": LANGUAGE, "model_name": str(directory)}],
        ner_model_configuration=NerModelConfiguration(
            model_to_presidio_entity_mapping={"PERSON": "PERSON", "NORP": "NRP", "GPE": "LOCATION", "LANGUAGE": "NRP"},
            labels_to_ignore=list(_UNUSED_LABELS),
        ),
    )
    engine.nlp = {LANGUAGE: language}
    return engine


def _blank(run: re.Match[str]) -> str:
    return "x" * len(run[0])
