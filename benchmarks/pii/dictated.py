"""The dictated set: cards and telephone numbers in number words of other languages, as a perfect transcript has them.

The synthesizer of the spoken set speaks English only. The words come from num2words, and the redactor reads them by
another library.
"""

from __future__ import annotations

from random import Random
from typing import Final

from num2words import num2words

from benchmarks.pii import numbers
from benchmarks.pii.samples import Piece, Sample, join

DEFAULT_SIZE: Final = 30
"""Sentences of each language and entity."""

_TEMPLATES: Final[dict[str, dict[str, tuple[str, ...]]]] = {
    "de": {
        "CARD": ("meine Kartennummer ist {}", "die Nummer auf der Karte lautet {} und sie ist noch gültig"),
        "PHONE": ("rufen Sie mich unter {} zurück", "meine Telefonnummer lautet {}"),
    },
    "es": {
        "CARD": ("el número de mi tarjeta es {}", "la tarjeta es {} y todavía no ha caducado"),
        "PHONE": ("mi teléfono es {}", "me puede llamar al {} por la tarde"),
    },
    "fr": {
        "CARD": ("mon numéro de carte est le {}", "la carte, c'est {} et elle est encore valable"),
        "PHONE": ("rappelez-moi au {}", "mon téléphone, c'est le {}"),
    },
    "it": {
        "CARD": ("il numero della mia carta è {}", "la carta è {} ed è ancora valida"),
        "PHONE": ("il mio telefono è {}", "mi può chiamare al {} nel pomeriggio"),
    },
    "nl": {
        "CARD": ("mijn kaartnummer is {}", "het nummer op de kaart is {} en die is nog geldig"),
        "PHONE": ("u kunt mij bellen op {}", "mijn telefoonnummer is {}"),
    },
    "pt": {
        "CARD": ("o número do meu cartão é {}", "o cartão é {} e ainda é válido"),
        "PHONE": ("o meu telefone é {}", "pode ligar para {} à tarde"),
    },
}
_PHONE_STARTS: Final = {"de": "01", "es": "6", "fr": "06", "it": "3", "nl": "06", "pt": "9"}
_PHONE_DIGITS: Final = {"de": 11, "es": 9, "fr": 10, "it": 10, "nl": 10, "pt": 9}
_PAIRS_SHARE: Final = {"fr": 0.8}
"""Share of numbers that are said in pairs. The French say nearly all in pairs, others now and then."""

_OTHER_PAIRS_SHARE: Final = 0.25


def dictated_samples(size: int, seed: int) -> list[Sample]:
    """Build sentences of each language and entity."""
    random = Random(seed)
    return [
        _sample(random, language, entity, template)
        for language, by_entity in _TEMPLATES.items()
        for entity, templates in by_entity.items()
        for number in range(size)
        for template in (templates[number % len(templates)],)
    ]


def _sample(random: Random, language: str, entity: str, template: str) -> Sample:
    before, after = template.split("{}")
    value = Piece(_words(_digits(random, language, entity), language, random), entity, 1)
    return join([Piece(before), value, Piece(after)], style="dictated", language=language, unseen=False)


def _digits(random: Random, language: str, entity: str) -> list[str]:
    if entity == "CARD":
        return list(numbers.card_groups(random))
    start = _PHONE_STARTS[language]
    digits = start + numbers.digits(random, _PHONE_DIGITS[language] - len(start))
    return [digits[first : first + 4] for first in range(0, len(digits), 4)]


def _words(groups: list[str], language: str, random: Random) -> str:
    in_pairs = random.random() < _PAIRS_SHARE.get(language, _OTHER_PAIRS_SHARE)
    gap = random.choice((", ", " "))
    return gap.join(
        " ".join(num2words(part, lang=language) for part in _parts(group, in_pairs=in_pairs)) for group in groups
    )


def _parts(group: str, *, in_pairs: bool) -> list[int]:
    """Split digits into numbers: pairs, but single digits where a pair begins with zero."""
    if not in_pairs:
        return [int(digit) for digit in group]
    parts: list[int] = []
    for first in range(0, len(group), 2):
        pair = group[first : first + 2]
        parts += [int(digit) for digit in pair] if pair[0] == "0" else [int(pair)]
    return parts
