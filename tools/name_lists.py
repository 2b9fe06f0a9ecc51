"""Builds the lists of names that the redactor ships, out of three packages that only this program needs.

    pip install faker==40.54.0
    python -m tools.name_lists DIRECTORY DICTIONARY
    # of spacy-lookups-data 1.0.5: spacy_lookups_data/data; of jieba 0.42.1: jieba/dict.txt

Names come from faker's person providers (MIT). The tables of spacy-lookups-data (MIT) show which of them are ordinary
words too: a name is strong where its capitalised form is far more frequent than its small one. The dictionary of jieba
(MIT) has the Chinese words that a name may be cut out of.
"""

from __future__ import annotations

import gzip
import importlib
import json
import lzma
import pkgutil
import re
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from mmplatform.derive.pii.name_lists import FILE, PARTICLES, WORDS_FILE, fold

MIN_RATIO: Final = 1.8
"""Natural logarithm of capitalised to small, from which a name is strong: john 2.9, priya 2.5, mark -0.8, may -2.7."""

MIN_LETTERS: Final = 3
"""Shorter names (Al, Jo, Li) are words of many languages."""

MIN_FOREIGN_RATIO: Final = 0.5
MAX_SMALL: Final = -9.0
"""Small form as frequent as ``long``, ``best``, ``day``: never a family name in small letters."""

MIN_FAMILIAR: Final = -17.5
"""Capitalised form frequent enough in English that the name may stand alone in small letters."""

MIN_WORD: Final = {"en": -16.5, "de": -14.0, "es": -14.0}
"""Small form frequent enough to be an ordinary word, by language."""

MAX_WORD_RATIO: Final = {"en": 1.0, "de": 0.0, "es": 0.0}
MIN_CHINESE: Final = 5
"""Occurrences from which a Chinese word counts; rarer ones are names of places and books."""

LEMMA_LANGUAGES: Final = ("de", "fr", "es", "it", "pt", "nl", "sv", "da", "ru", "ro", "id")
GIVEN: Final = re.compile(
    r"first_(romanized_)?names?(_female|_male|_unisex|_nonbinary)?$|.*_first_names.*|first_kana_names"
)
FAMILY: Final = re.compile(r"(.*_)?last_(romanized_)?names?(_.*)?$|last_kana_names|middle_names.*")
ORDINARY: Final = re.compile(r"[a-zà-ÿ]{2,}(?:['-][a-zà-ÿ]+)*")
IN_EAST_ASIA: Final = {"zh_CN": "zh", "zh_TW": "zh", "ja_JP": "ja", "ko_KR": "ko"}


class WordTables:
    """Frequencies of words as written, and the words of other languages."""

    def __init__(self, directory: Path) -> None:
        self._probabilities = {
            language: _read(directory / f"{language}_lexeme_prob.json.gz") for language in ("en", "de", "es", "el")
        }
        self._lemmas: set[str] = set()
        for language in LEMMA_LANGUAGES:
            table = _read(directory / f"{language}_lemma_lookup.json.gz")
            for word, lemmas in table.items():
                self._lemmas |= {word, *(lemmas if isinstance(lemmas, list) else [lemmas])}
        self._turkish = set(_read(directory / "tr_lemma_lookup.json.gz"))

    def ordinary_words(self) -> set[str]:
        """Words that texts write small, inflections included."""
        return {
            word
            for language, minimum in MIN_WORD.items()
            for word, probability in self._probabilities[language].items()
            if float(str(probability)) > minimum
            and ORDINARY.fullmatch(word)
            and self.ratio(word, language) < MAX_WORD_RATIO[language]
        }

    def ratio(self, name: str, language: str) -> float:
        """Logarithm of how much more frequent a name is with a capital."""
        table = self._probabilities[language]
        return float(table.get(name.title(), -20.0)) - float(table.get(name.lower(), -22.0))

    def is_strong(self, name: str, locales: set[str]) -> bool:
        """Check that a name is no ordinary word of a language that the tables hold."""
        small = name.lower()
        latin = small[0] < "\u0370"
        if latin and len(name) < MIN_LETTERS:
            return False
        if latin and self.ratio(name, "en") < MIN_RATIO and {small, name.title()} & self._probabilities["en"].keys():
            return False
        languages = ("el",) if "\u0370" <= small[0] <= "\u03ff" else ("de", "es")
        if any(
            small in self._probabilities[language] and self.ratio(name, language) < MIN_FOREIGN_RATIO
            for language in languages
        ):
            return False
        if small in self._lemmas or name.title() in self._lemmas:
            return self.ratio(name, "en") >= MIN_RATIO and name.title() in self._probabilities["en"]
        return not (locales <= {"tr_TR", "az_AZ", "uz_UZ"} and small in self._turkish)

    def is_familiar(self, name: str) -> bool:
        """Check that English texts name such persons often."""
        return float(self._probabilities["en"].get(name.title(), -20.0)) >= MIN_FAMILIAR

    def is_too_common(self, name: str) -> bool:
        """Check for a word so frequent that it never counts as a family name in small letters."""
        return float(self._probabilities["en"].get(name.lower(), -20.0)) > MAX_SMALL


def main(directory: Path, dictionary: Path) -> None:
    """Write the lists beside the module that reads them."""
    tables = WordTables(directory)
    given, family, groups = _read_providers()
    lists: dict[str, set[str]] = {key: set(names) for key, names in groups.items()}
    for kind, names in (("given", given), ("family", family)):
        for name, locales in names.items():
            spellings = {name} if name[0] > "\u0370" else {name, fold(name)}
            strong = all(tables.is_strong(spelling, locales) for spelling in spellings)
            strength = "strong" if strong else "weak"
            if kind == "family" and strength == "weak" and tables.is_too_common(name):
                strength = "common"
            lists.setdefault(f"{kind}-{strength}", set()).add(fold(name))
            if kind == "given" and strength == "strong" and tables.is_familiar(name):
                lists.setdefault("given-familiar", set()).add(fold(name))
    lists["zh-word"] = _chinese_words(dictionary, lists["zh-family"])
    lines = [f"{key}\t{' '.join(sorted(names))}" for key, names in sorted(lists.items())]
    FILE.write_bytes(lzma.compress("\n".join(lines).encode(), preset=9))
    words = tables.ordinary_words()
    WORDS_FILE.write_bytes(lzma.compress("\n".join(sorted(words)).encode(), preset=9))
    for key, names in [*sorted(lists.items()), ("words", words)]:
        print(key, len(names))
    print(FILE.stat().st_size, WORDS_FILE.stat().st_size, "bytes")


def _read(path: Path) -> dict[str, object]:
    with gzip.open(path) as file:
        table = json.load(file)
    assert isinstance(table, dict)  # noqa: S101 (the shape of these files)
    return table


def _chinese_words(dictionary: Path, families: set[str]) -> set[str]:
    """Words of two characters, one of which is a family name too, that jieba tags as no name of a person."""
    found = set()
    for line in dictionary.read_text(encoding="utf-8").splitlines():
        word, count, tag = line.split()
        if len(word) == 2 and int(count) >= MIN_CHINESE and not tag.startswith("nr") and families & set(word):  # noqa: PLR2004
            found.add(word)
    return found


def _read_providers() -> tuple[dict[str, set[str]], dict[str, set[str]], dict[str, set[str]]]:
    from faker.providers import person

    given: dict[str, set[str]] = {}
    family: dict[str, set[str]] = {}
    groups: dict[str, set[str]] = {}
    for module in pkgutil.iter_modules(person.__path__):
        provider = importlib.import_module(f"{person.__name__}.{module.name}").Provider
        for attribute in dir(provider):
            kind = "given" if GIVEN.match(attribute) else "family" if FAMILY.match(attribute) else ""
            values = getattr(provider, attribute)
            if not kind or not isinstance(values, (tuple, list, dict)):
                continue
            for word in _words(values):
                language = IN_EAST_ASIA.get(module.name, "")
                if language and not word.isascii():
                    groups.setdefault(f"{language}-{kind}", set()).add(word)
                else:
                    (given if kind == "given" else family).setdefault(word, set()).add(module.name)
    return given, family, groups


def _words(values: Iterable[object]) -> Iterable[str]:
    for value in values:
        for name in value if isinstance(value, tuple) else (str(value),):
            for word in re.split(r"[\s\u00a0]+", str(name)):
                if word and fold(word) not in PARTICLES and len(word.strip(".")) > (0 if ord(word[0]) > 0x2E80 else 1):  # noqa: PLR2004
                    yield word.strip(".")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
