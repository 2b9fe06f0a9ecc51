"""Facts made of digits that identify no person: dates, times, amounts, versions, tracking numbers, hashes.

They are masked before the search for numbers, so that their digits never count as part of one.
"""

from __future__ import annotations

import re
from typing import Final

# A date may follow the dots of a form (``Created.....2026-11-05``), never a single one.
# Only the thousands form with commas is an amount by its shape alone.
_DATE: Final = (
    r"(?<![\d\-/])(?<!(?<!\.)\.)(?:(?:19|20)\d\d(?P<d1>[-/.])(?:0?[1-9]|1[0-2])(?P=d1)(?:0?[1-9]|[12]\d|3[01])"
    r"|(?:0?[1-9]|[12]\d|3[01])(?P<d2>[-/.])(?:0?[1-9]|[12]\d|3[01])(?P=d2)(?:19|20)\d\d)(?![-/.]?\d)"
)
_COMPACT_TIME: Final = (
    r"(?<!\d)(?:19|20)\d\d(?:0[1-9]|1[0-2])(?:0[1-9]|[12]\d|3[01])(?:[T_\-]?[0-2]\d[0-5]\d(?:[0-5]\d)?)?(?!\d)"
)
_TIME: Final = r"(?<![\d:])\d{1,2}:[0-5]\d(?::[0-5]\d(?:[.,]\d{1,6})?)?(?![\d:])"
_UNIT: Final = (
    r"(?:[$€£¥%](?!\s?\d)"
    r"|(?:dollars?|euros?|pounds?|percent|USD|EUR|GBP|CHF|bytes?|[KMGT]i?B|px|ms|rows?|users?|views?)\b)"
)
_AMOUNT: Final = (
    r"(?:(?<!\d)(?<!\d\s)[$€£¥₹]|\b(?:USD|EUR|GBP|CHF|INR|JPY)\s?)\s?\d[\d.,]{0,30}"
    r"|(?<![\d.,])\d{1,3}(?:,\d{3})+(?:\.\d\d?)?(?![\d,])(?!\.\d)"
    rf"|(?<![\d.,])(?<!\d[ -])(?:\d{{1,3}}(?:\s\d{{3}}){{1,5}}|\d{{1,15}}(?:[.,]\d{{1,15}})?)\s?{_UNIT}"
)
_PROGRAM: Final = (
    r"(?:v|ver|version|build|firmware|release|driver|app|ios|android|macos|windows|linux|kernel|chrome|chromium|"
    r"firefox|safari|edge|edg|opera|opr|webkit|applewebkit|mozilla|gecko|node|python|java|php|nginx|apache|openssl|"
    r"sdk|api|os|bios|update|patch|revision|rev)"
)
_VERSION: Final = (
    rf"\b{_PROGRAM}(?:[\s:/=#v._-]|\bis\b|\bversion\b){{0,12}}"
    r"(?!\d{3}\.\d{3}\.\d{4}(?!\.?\d)|\d{4}\.\d{4}\.\d{4})\d{1,8}(?:\.\d{1,8}){1,5}(?![\w.]?\d)"
)
_IDENTIFIERS: Final = (
    r"\b[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}\b"  # a UUID
    r"|\b(?=\d{0,30}[a-f])(?=[0-9a-f]{0,10}[a-f][0-9a-f]{0,10}[a-f])[0-9a-f]{20,128}\b"  # a hash
    r"|\b(?:[0-9a-f]{2}:){5}[0-9a-f]{2}\b|\b(?=[\d-]{0,16}[a-f])(?:[0-9a-f]{2}-){5}[0-9a-f]{2}\b"  # a MAC address
    r"|\b1Z(?:\s?[0-9A-Z]){16}\b|\bTBA\d{12}\b|\bJJD\d{12,24}\b"  # UPS, Amazon, DHL
    r"|(?-i:\b[A-Z]{2}\d{9}[A-Z]{2}\b|\b[A-Z]{2} (?:\d{3} ){3}"  # the postal union's S10
    r"(?:US|GB|DE|FR|CN|NL|ES|IT|JP|SG|HK|CA|AU|CH|SE|NO|FI|DK|BE|AT|PL|IN|KR|RU|UA|LT|LV|EE|TR|BR|MX)\b)"
    r"|\b97[89](?P<isbn>[- ])\d{1,5}(?P=isbn)\d{1,7}(?P=isbn)\d{1,7}(?P=isbn)\d\b"
    r"|(?<![\w.])0x[0-9a-f]{4,64}\b"
    r"|(?<![\w.])(?:214748364[78]|4294967295|9223372036854775807)(?![\w.])"  # limits of integers
)
_MEASURES: Final = (
    r"(?<![\w.\-])(?<!\d\s[x\xd7]\s)\d{3,5}\s?[x\xd7]\s?\d{3,5}(?:\s?[x\xd7]\s?\d{1,5})?\b(?!\s?[x\xd7]\s?\d)"
    r"|(?<![\d.])-?\d{1,3}\.\d{3,15}\s?,\s?-?\d{1,3}\.\d{3,15}(?![\d.])"  # coordinates
    r"|(?<![\w.])-?(?:0\.\d{5,17}|\d{1,2}\.\d{5,8})(?![\d.]|[\s-]\d)"
)
_FACT: Final = re.compile(
    f"{_DATE}|{_COMPACT_TIME}|{_TIME}|{_IDENTIFIERS}|{_VERSION}|{_MEASURES}|{_AMOUNT}", re.IGNORECASE
)
_BEFORE_VERSION: Final = re.compile(
    rf"(?:\b(?:{_PROGRAM}|chapter|section|clause|paragraph|step|figure|table|item)\.?\s{{0,2}}"
    r"|\b(?:app|client|software|firmware|os|program)?[\s_-]?version(?:[\s\"'`:=|.,]|</?(?:t[dhr]|d[dt]|b|span)\b[^<>]{0,80}>){1,80}"
    r"|(?<![:/\s])/|[=~<>]=|[a-z]-)$",
    re.IGNORECASE,
)


def mask_facts(text: str) -> str:
    """Replace facts by ``x``; the length stays."""
    return _FACT.sub(lambda match: "x" * len(match[0]), text)


def follows_program(text: str, start: int) -> bool:
    """Check for the name of a program before ``start``: the number is a version (``chrome 120.0.0.0``)."""
    return bool(_BEFORE_VERSION.search(text[max(0, start - 110) : start]))
