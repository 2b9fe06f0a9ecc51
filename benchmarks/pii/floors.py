"""Redactors to compare with: one that removes nothing, and one of Presidio's own patterns."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from mmplatform.ports import Redacted

_ENTITIES: Final = {
    "CREDIT_CARD": "CARD",
    "EMAIL_ADDRESS": "EMAIL",
    "PHONE_NUMBER": "PHONE",
    "IBAN_CODE": "IBAN",
    "US_SSN": "SSN",
    "IP_ADDRESS": "IP",
    "CRYPTO": "CRYPTO_WALLET",
    "US_BANK_NUMBER": "BANK_ACCOUNT",
    "US_PASSPORT": "PASSPORT",
    "US_DRIVER_LICENSE": "DRIVING_LICENCE",
    "US_ITIN": "TAX_ID",
}
_MIN_SCORE: Final = 0.4
"""Score that Presidio's weak patterns reach only with a word of context beside them."""


class NothingRemoved:
    """Redactor that removes nothing."""

    name, version = "nothing", "1"

    def redact(self, texts: Sequence[str], *, spoken: bool = False) -> list[Redacted]:
        """Return every text as it is."""
        del spoken
        return [Redacted(text=text, entities=(), spans=()) for text in texts]


class PatternsOnly:
    """Presidio's predefined recognizers with a blank language model: no names, no rule of this product."""

    name, version = "patterns", "1"

    def __init__(self) -> None:
        import spacy
        from presidio_analyzer import AnalyzerEngine, RecognizerRegistry
        from presidio_analyzer import predefined_recognizers as predefined
        from presidio_analyzer.nlp_engine import SpacyNlpEngine

        class Email(predefined.EmailRecognizer):
            """Presidio's pattern without its list of domains, which would be downloaded."""

            def validate_result(self, pattern_text: str) -> bool:
                return "." in pattern_text

        recognizers = [
            *(Email(), predefined.CreditCardRecognizer(), predefined.PhoneRecognizer(), predefined.IbanRecognizer()),
            *(predefined.UsSsnRecognizer(), predefined.IpRecognizer(), predefined.CryptoRecognizer()),
            *(predefined.UsBankRecognizer(), predefined.UsPassportRecognizer(), predefined.UsLicenseRecognizer()),
            predefined.UsItinRecognizer(),
        ]
        engine: Any = SpacyNlpEngine(models=[{"lang_code": "en", "model_name": "blank"}])
        engine.nlp = {"en": spacy.blank("en")}
        registry = RecognizerRegistry(recognizers=recognizers, supported_languages=["en"])
        self._analyzer = AnalyzerEngine(registry=registry, nlp_engine=engine, supported_languages=["en"])

    def redact(self, texts: Sequence[str], *, spoken: bool = False) -> list[Redacted]:
        """Replace every span of a pattern."""
        del spoken
        return [self._redact(text) for text in texts]

    def _redact(self, text: str) -> Redacted:
        found = self._analyzer.analyze(text, "en", score_threshold=_MIN_SCORE)
        spans: list[tuple[int, int, str]] = []
        for result in sorted(found, key=lambda result: (result.start, -result.end)):
            if not spans or result.start >= spans[-1][1]:
                spans.append((result.start, result.end, _ENTITIES[result.entity_type]))
        pieces, copied_to = [], 0
        for start, end, entity in spans:
            pieces += [text[copied_to:start], f"[{entity}]"]
            copied_to = end
        return Redacted(
            text="".join([*pieces, text[copied_to:]]),
            entities=tuple(entity for _, _, entity in spans),
            spans=tuple((start, end) for start, end, _ in spans),
        )
