"""Locales of the languages, and the regions of their telephone numbers."""

from __future__ import annotations

from typing import Final

LOCALES: Final = {
    "en": ("en_US", "en_GB"),
    "de": ("de_DE",),
    "fr": ("fr_FR",),
    "es": ("es_ES",),
    "it": ("it_IT",),
    "pt": ("pt_BR",),
    "nl": ("nl_NL",),
    "pl": ("pl_PL",),
    "ru": ("ru_RU",),
    "uk": ("uk_UA",),
    "el": ("el_GR",),
    "zh": ("zh_CN",),
    "ja": ("ja_JP",),
    "ko": ("ko_KR",),
    "ar": ("ar_AA",),
    "hi": ("hi_IN",),
}
"""Locales of faker, by language."""

REGIONS: Final = {
    "en_US": "US",
    "en_GB": "GB",
    "de_DE": "DE",
    "fr_FR": "FR",
    "es_ES": "ES",
    "it_IT": "IT",
    "pt_BR": "BR",
    "nl_NL": "NL",
    "pl_PL": "PL",
    "ru_RU": "RU",
    "uk_UA": "UA",
    "el_GR": "GR",
    "zh_CN": "CN",
    "ja_JP": "JP",
    "ko_KR": "KR",
    "ar_AA": "SA",
    "hi_IN": "IN",
}
"""Region of ``phonenumbers``, by locale."""
