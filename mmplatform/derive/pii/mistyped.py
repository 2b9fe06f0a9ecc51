"""A reading of a text in which mistyped labels are put right: ``secuirty code``, ``pasword``, ``addresss``.

Two neighbouring letters that changed their order, a letter that is missing and one that is doubled are the frequent
slips of a hand. Only words that announce personal data are put right. On the typed set of ``benchmarks.pii`` texts with
such slips had the lowest recall of all styles, .86.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
from typing import Final

from mmplatform.derive.pii.name_lists import ordinary_words
from mmplatform.derive.pii.normalise import RewrittenText


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


_LABEL_WORDS: Final = _words(
    """
    account address authenticator bearer billing birthday calling called cardholder caller certificate
    confirmation contact courier credentials credit customer deliver delivered delivery digits driver driver's
    driving expiration expires expiry insurance licence license living mailing mobile national number numbers
    passcode passphrase passport password personal phone postal postcode printed registered residence resident
    returned reverse routing savings secret security shipped shipping signature social speaking spoke street
    surname taxpayer telegram telephone token travel username verification wallet whatsapp wireless authorization
    verify lives birth skype instagram twitter handle reach avenue boulevard valid until kartennummer passwort kennwort
    geburtsdatum geburtstag geboren kontonummer bankleitzahl telefonnummer telefon adresse anschrift straße
    strasse prüfnummer prüfziffer geheimzahl reisepass führerschein ausweis steuernummer bestätigungscode
    rückseite wohne wohnhaft kunde kundin heiße carte chiffres compte naissance numéro passeport permis téléphone
    habite client cliente appelle sécurité apellido banco calle carnet contraseña cuenta código dirección dígitos
    nacimiento nombre número pasaporte permiso seguridad tarjeta teléfono nacido nacida llamo indirizzo carta
    codice conto nascita numero passaporto patente telefono chiamo cartão conta endereço nascimento passaporte
    senha telefone adres geboortedatum kaart paspoort rekeningnummer rijbewijs telefoonnummer wachtwoord klant
    пароль паспорт телефон адрес карты клиент номер
    """
)
_MIN_LETTERS: Final = 5
_WORD: Final = re.compile(rf"[^\W\d_]{{{_MIN_LETTERS},}}")
_REST: Final = re.compile(r"[\s\S]+")


@cache
def _slips() -> dict[str, str]:
    """Mistyped forms, each with its word; a form that is a word itself is none."""
    words = [word for word in _LABEL_WORDS if len(word) >= _MIN_LETTERS]
    swaps = {form: word for word in words for form in _swapped(word)}
    others = {form: word for word in words if len(word) > _MIN_LETTERS for form in _lost_or_doubled(word)}
    ordinary = ordinary_words()
    slips = {form: word for form, word in others.items() if form not in ordinary} | swaps
    return {form: word for form, word in slips.items() if form not in _LABEL_WORDS}


def _swapped(word: str) -> Iterator[str]:
    for index in range(len(word) - 1):
        yield word[:index] + word[index + 1] + word[index] + word[index + 2 :]


def _lost_or_doubled(word: str) -> Iterator[str]:
    for index in range(1, len(word)):
        yield word[:index] + word[index + 1 :]
        yield word[:index] + word[index] + word[index:]


def with_labels_put_right(text: str) -> RewrittenText | None:
    """Write mistyped labels in their right form; ``None`` when a text has none."""
    slips = _slips()
    found = [(match, slips[word]) for match in _WORD.finditer(text) if (word := match[0].lower()) in slips]
    if not found:
        return None
    reading, copied_to = RewrittenText(), 0
    for match, word in found:
        _copy(reading, text, copied_to, match.start())
        reading.write(word.upper() if match[0].isupper() else word, *match.span())
        copied_to = match.end()
    _copy(reading, text, copied_to, len(text))
    return reading


def _copy(reading: RewrittenText, text: str, start: int, end: int) -> None:
    rest = _REST.match(text, start, end) if start < end else None
    if rest:
        reading.copy(rest)
