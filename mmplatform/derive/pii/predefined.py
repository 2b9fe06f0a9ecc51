"""Presidio's predefined recognizers of documents, tax numbers and wallets, with their checksums and context words.

A number of digits alone passes a checksum by chance (one in ten), so it counts only near a word of the recognizer's
context. Presidio weighs these words by lemmas, which the excluded lemmatizer would compute; here they are searched in
the text around the number. Letters among the digits with a checksum, as in a Spanish NIF, count without a word.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any, Final

from mmplatform.derive.pii import context
from mmplatform.derive.pii.labels import Found, Page, split_labels

_LANGUAGE: Final = "en"
_BY_CONTEXT: Final = {
    "NATIONAL_ID": (
        *("AuMedicareRecognizer", "CaSinRecognizer", "DeHealthInsuranceRecognizer", "DeIdCardRecognizer"),
        *("DeSocialSecurityRecognizer", "EsNieRecognizer", "EsNifRecognizer", "FiPersonalIdentityCodeRecognizer"),
        *("InAadhaarRecognizer", "InVoterRecognizer", "KrFrnRecognizer", "KrRrnRecognizer", "NgNinRecognizer"),
        *("NhsRecognizer", "PhUmidRecognizer", "PlPeselRecognizer", "SePersonnummerRecognizer", "SgFinRecognizer"),
        *("ThTninRecognizer", "TrNationalIdRecognizer", "UkNinoRecognizer", "UsMbiRecognizer", "ZaIdNumberRecognizer"),
    ),
    "TAX_ID": (
        *("AuAbnRecognizer", "AuAcnRecognizer", "AuTfnRecognizer", "DeTaxIdRecognizer", "DeTaxNumberRecognizer"),
        *("InPanRecognizer", "ItFiscalCodeRecognizer", "ItVatCodeRecognizer", "PhTinRecognizer", "UsItinRecognizer"),
        "ZaIncomeTaxNumberRecognizer",
    ),
    "PASSPORT": (
        *("DePassportRecognizer", "EsPassportRecognizer", "InPassportRecognizer", "ItPassportRecognizer"),
        *("KrPassportRecognizer", "PhPassportRecognizer", "UkPassportRecognizer", "UsPassportRecognizer"),
        "ZaPassportRecognizer",
    ),
    "DRIVING_LICENCE": (
        *("DeFuehrerscheinRecognizer", "ItDriverLicenseRecognizer", "KrDriverLicenseRecognizer"),
        *("UkDrivingLicenceRecognizer", "UsLicenseRecognizer"),
    ),
    "BANK_ACCOUNT": ("AbaRoutingRecognizer",),
    "CRYPTO_WALLET": ("CryptoRecognizer",),
}
PREDEFINED_ENTITIES: Final = tuple(_BY_CONTEXT)
_BY_SHAPE: Final = frozenset(
    {
        *("EsNieRecognizer", "EsNifRecognizer", "FiPersonalIdentityCodeRecognizer", "ItFiscalCodeRecognizer"),
        *("DeSocialSecurityRecognizer", "SgFinRecognizer", "UkNinoRecognizer", "UkDrivingLicenceRecognizer"),
        *("CryptoRecognizer", "InPanRecognizer"),
    }
)
"""Recognizers whose shape needs no word before it, in capitals."""

_MIN_SHAPE_SCORE: Final = 0.5
_TOO_COMMON: Final = frozenset(
    split_labels(
        """
        license/driver/driving/licenza/dls/cdls/us/united/states/document/travel/association/identification/id/lic/lic#/permit/documento/elettronico/italiano
        viaggio/viaggiare/estero/dogana/pi/cf/pass/tax/payer/individual/crypto/sin/fin/pan/cms/mrz/provider
        licence number/license number/national id/passport#/ssn/kv-nummer/bir/sss/crn/nie
        """
    )
)
"""Context words that stand in any talk, or that :mod:`mmplatform.derive.pii.documents` reads with their number."""

_MORE_WORDS: Final = {
    "CaSinRecognizer": ("sin number", "my sin"),
    "SgFinRecognizer": ("fin number",),
    "InPanRecognizer": ("pan card", "pan number", "my pan"),
    "UsLicenseRecognizer": ("driver's license", "drivers license", "driving licence", "driver license"),
}
_HAS_SHAPE: Final = re.compile(
    r"[A-Z]\d{4}|\d{7}-?[A-Z]|\d{6}[-+A-Y]\d{3}|[A-Z]{6}\d\d[A-Z]|[A-Z]{2} ?\d\d ?\d\d ?\d\d ?[A-D]\b|"
    r"(?:bc1|[13])[a-zA-HJ-NP-Z0-9]{25}"
)
_DIGITS: Final = re.compile(r"\d.?\d.?\d.?\d|(?:bc1|[13])[a-zA-HJ-NP-Z0-9]{25}|0x[a-fA-F0-9]{40}|[A-Z]{6}\d\d")
_CHARS_BEFORE, _CHARS_AFTER = 60, 25
_ETHER: Final = re.compile(r"(?<![\w])0x[a-fA-F0-9]{40}(?![a-fA-F0-9])")
_WALLET: Final = re.compile(
    r"\b(?:wallet|btc|bitcoin|eth|ethereum|usdt|trx|tron|sol|solana|crypto|xrp|ltc|litecoin|doge)\b[^\n]{0,60}?"
    r"(?<![\w])(?P<value>[A-Za-z0-9]{26,64})(?![\w])",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class _Predefined:
    recognizer: Any
    entity: str
    words: tuple[str, ...]
    pattern: re.Pattern[str]
    by_shape: bool

    def find(self, page: Page, *, shaped: bool) -> Iterator[Found]:
        named = page.holds_any(self.words)
        if not named and not (shaped and self.by_shape):
            return
        text = page.text
        for result in self.recognizer.analyze(text, [self.entity]):
            start, end = result.start, result.end
            near = named and self.pattern.search(text, max(0, start - _CHARS_BEFORE), end + _CHARS_AFTER)
            is_shape = self.by_shape and result.score >= _MIN_SHAPE_SCORE
            if near or (is_shape and self._stands_alone(text, start, end)):
                yield start, end, self.entity

    def _stands_alone(self, text: str, start: int, end: int) -> bool:
        is_capital = text[start:end] == text[start:end].upper()
        return self.entity == "CRYPTO_WALLET" or (is_capital and not context.follows_id_word(text, start))


@cache
def _predefined() -> tuple[_Predefined, ...]:
    from presidio_analyzer import predefined_recognizers

    found = []
    for entity, names in _BY_CONTEXT.items():
        for name in names:
            recognizer = getattr(predefined_recognizers, name)(supported_entity=entity, supported_language=_LANGUAGE)
            recognizer.patterns = [pattern for pattern in recognizer.patterns if ".*" not in pattern.regex]  # quadratic
            words = {word.lower() for word in recognizer.context or ()} - _TOO_COMMON | set(_MORE_WORDS.get(name, ()))
            pattern = re.compile(rf"(?<![^\W_])(?:{'|'.join(map(re.escape, sorted(words)))})", re.IGNORECASE)
            found.append(_Predefined(recognizer, entity, tuple(sorted(words)), pattern, name in _BY_SHAPE))
    return tuple(found)


def find_predefined(page: Page) -> Iterator[Found]:
    """Find what Presidio's recognizers know, and wallets of the chains that it does not."""
    if not _DIGITS.search(page.text):
        return
    page = page.without_overlong_words()
    text = page.text
    shaped = _HAS_SHAPE.search(text) is not None
    for predefined in _predefined():
        yield from predefined.find(page, shaped=shaped)
    if "0x" in text:
        for match in _ETHER.finditer(text):
            yield *match.span(), "CRYPTO_WALLET"
    if page.holds_any(
        ("wallet", "btc", "bitcoin", "eth", "usdt", "trx", "tron", "sol", "crypto", "xrp", "ltc", "doge")
    ):
        for match in _WALLET.finditer(text):
            if any(map(str.isdigit, match["value"])) and not match["value"].isdigit():
                yield *match.span("value"), "CRYPTO_WALLET"
