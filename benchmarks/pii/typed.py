"""The typed set: templates and records, filled and styled from a seed."""

from __future__ import annotations

import string
from collections.abc import Iterator
from random import Random
from typing import Final

from benchmarks.pii import harmless, open_templates, read_templates, unseen_templates
from benchmarks.pii.facts import Facts
from benchmarks.pii.fields import FIELDS, LAYOUTS, field_sample
from benchmarks.pii.samples import Piece, Sample, join
from benchmarks.pii.styles import ODD, STYLES
from benchmarks.pii.values import Values

SEED: Final = 20261130
DEFAULT_SIZE: Final = 4000
_HARMLESS_SHARE, _RECORD_SHARE = 0.3, 0.2
_ENGLISH_SHARE: Final = 0.6


def typed_samples(size: int, seed: int) -> list[Sample]:
    """Build the set; a smaller size is another set, from the same templates."""
    random = Random(seed)
    harmless_count, record_count = round(size * _HARMLESS_SHARE), round(size * _RECORD_SHARE)
    samples = list(_personal(random, size - harmless_count - record_count))
    samples += _records(random, record_count)
    samples += _harmless(random, harmless_count)
    return samples


def fill(template: str, random: Random, language: str, *, odd: bool = False, misread: bool = False) -> list[Piece]:
    """Fill the slots of a template with personal values and facts."""
    values, facts = Values(random, language, odd=odd, misread=misread), Facts(random)
    pieces: list[Piece] = []
    for text, slot, _, _ in string.Formatter().parse(template):
        pieces += [Piece(text)] if text else []
        if slot:
            pieces += values.make(slot) if hasattr(values, f"_{slot}") else facts.make(slot)
    return pieces


def _personal(random: Random, count: int) -> Iterator[Sample]:
    """Every template of English in turn, and of every other language, each time in another style."""
    english = _in_turn(random, ("en",), int(count * _ENGLISH_SHARE))
    foreign = _in_turn(random, sorted(set(open_templates.TEMPLATES) - {"en"}), count - int(count * _ENGLISH_SHARE))
    yield from english
    yield from foreign


def _in_turn(random: Random, languages: tuple[str, ...] | list[str], count: int) -> Iterator[Sample]:
    rows = [
        (language, template, unseen)
        for unseen, templates in (
            (False, open_templates.TEMPLATES),
            (False, read_templates.TEMPLATES),
            (True, unseen_templates.TEMPLATES),
        )
        for language in languages
        for template in templates[language]
    ]
    for number in range(count):
        if number % len(rows) == 0:
            random.shuffle(rows)
        language, template, unseen = rows[number % len(rows)]
        yield _styled(random, template, language, unseen=unseen)


def _styled(random: Random, template: str, language: str, *, unseen: bool) -> Sample:
    style = random.choice(list(STYLES)) if random.random() < 0.7 else "plain"
    pieces = fill(template, random, language, odd=style == ODD)
    return join(STYLES[style](random, pieces), style=style, language=language, unseen=unseen)


def _records(random: Random, count: int) -> Iterator[Sample]:
    for number in range(count):
        language = "en" if random.random() < _ENGLISH_SHARE else random.choice(list(FIELDS))
        yield field_sample(random, list(LAYOUTS)[number % len(LAYOUTS)], language, personal=random.randint(1, 4))


def _harmless(random: Random, count: int) -> Iterator[Sample]:
    rows = [
        (language, template, unseen)
        for unseen, templates in ((False, harmless.TEMPLATES), (True, harmless.UNSEEN))
        for language in templates
        for template in templates[language]
    ]
    layouts = list(LAYOUTS)
    for number in range(count):
        if number % len(rows) == 0:
            random.shuffle(rows)
        if number % 6 == 5:
            yield field_sample(random, layouts[number // 6 % len(layouts)], "en", personal=0)
            continue
        language, template, unseen = rows[number % len(rows)]
        yield _styled(random, template, language, unseen=unseen)
