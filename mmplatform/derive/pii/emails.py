"""E-mail addresses: written, disguised, dictated, and as speech recognition leaves them (``name.atexample.com``)."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

_MAX_LOCAL_CHARS: Final = 80  # 64 by the standard, and room for what is invisible; a bound keeps the search linear
_TLD: Final = (
    r"(?:com|org|net|edu|gov|mil|info|biz|io|co|ai|app|dev|me|us|uk|de|fr|es|it|nl|be|ch|at|pl|se|no|dk|fi|ie|eu|ca|au|nz|"
    r"in|jp|cn|br|mx|ru|za|online|shop|store|tech|cloud|email|mail|test|example|invalid|local)"
)
# Anything with an @ between two names: broader than the standard, since an address that is no address is no loss.
_WRITTEN: Final = re.compile(
    rf"[^\s@<>()\[\]{{}},;:\"|\\]{{1,{_MAX_LOCAL_CHARS}}}(?:@|%40|&#64;)"
    r"(?:[^\W_][\w\-]*(?:[.\u3002][\w\-]+)*|\[(?:IPv6:)?[\da-f.:]{2,45}\])"
    r"|\"[^\"\n@]{1,64}\"@[^\W_][\w\-]*(?:\.[\w\-]+)*",
    re.IGNORECASE,
)
# After a full stop with a space a new sentence may begin ("… at checkout. It …"): then only these end a domain.
_SURE_TLD: Final = r"(?:com|org|net|edu|gov|io|co|uk|de|fr|eu|ca|au)"
_SPACED: Final = re.compile(
    rf"[\w.+\-]{{1,{_MAX_LOCAL_CHARS}}}\s{{0,2}}@\s{{0,2}}[\w\-]{{1,63}}"
    rf"(?:\s?\.(?:[\w\-]{{2,63}}|\s{_SURE_TLD}(?!\w)))+"
)
_SPELLED: Final = re.compile(r"(?<!\w)(?:[\w.+\-] ){1,40}@(?: [\w.\-]){3,60}(?!\w)")
_DOT_WORD: Final = r"\s{0,2}[\[({]?\b(?:dot|point)\b[\])}]?\s{0,2}"
_END: Final = rf"(?:(?:{_DOT_WORD}|\s{{0,2}}\.){_TLD}|\s{{0,2}}\.\s{{1,2}}{_SURE_TLD})(?!\w)"
_JOINT: Final = r"(?:\s{0,2}[.\-_+]\s{0,2}|\s{1,2}(?:dot|point|underscore|dash|hyphen|minus|plus)\s{1,2})"
_AT: Final = r"(?:\s{1,2}at\s{1,2}|\s{0,2}[\[({]\s?at\s?[\])}]\s{0,2}|\s{0,2}@\s{0,2})"
_LETTERS: Final = r"(?:(?<!\w)[a-z0-9][\s\-.,]{1,2}){0,30}"
_DICTATED: Final = re.compile(
    rf"(?P<local>{_LETTERS}(?<!\w)[a-z0-9]{{1,40}}(?:{_JOINT}[a-z0-9]{{1,40}}){{0,5}}){_AT}"
    rf"(?!(?:com|org|net|io|java|javax|sun|www)\b)[a-z0-9\-]{{1,40}}(?:\s{{1,2}}(?!at\b)[a-z0-9\-]{{1,40}}){{0,2}}?"
    rf"(?:(?:{_DOT_WORD}|\.)[a-z0-9\-]{{2,40}}){{0,2}}?{_END}(?:{_END})?",
    re.IGNORECASE,
)
_PROVIDER: Final = r"(?:gmail|googlemail|yahoo|hotmail|outlook|icloud|aol|proton|protonmail|live|msn|gmx|example)"
_RUN_TOGETHER: Final = re.compile(
    rf"(?<!\w)[\w.+\-]{{2,40}}?at{_PROVIDER}{_END}|(?<!\w)[\w.+\-]{{2,40}}\sat\s{_PROVIDER}\scom(?!\w)", re.IGNORECASE
)
_RUN_TOGETHER_IN_SPEECH: Final = re.compile(
    rf"(?<![\w/])(?!www\.)[a-z0-9][\w+\-]{{0,40}}(?:[.\-_][\w+\-]{{1,40}}){{0,3}}[.\s]at[a-z0-9\-]{{2,40}}{_END}",
    re.IGNORECASE,
)
_GARBLED_AT: Final = r"(?:\sand)?\s(?:and|at)(?:\s?\.\s?|\s)"
# Speech recognition garbles "at" ("faith.vescazadmail.com"): after a word for e-mail a domain is an address.
_ANNOUNCED_IN_SPEECH: Final = re.compile(
    r"\b(?:e|c|g)?-?mail(?: address| id)?(?:,? (?:is|it's|it is|as|to|at|of|would be)| address)?[\s:,]{1,3}"
    rf"(?P<address>(?!www\.|our |the )[a-z0-9][\w+\-]{{0,40}}"
    rf"(?:(?:\.|{_GARBLED_AT})[\w+\-]{{1,40}}){{0,4}}?{_END}(?:{_END}){{0,2}})",
    re.IGNORECASE,
)
# Without such a word, names before a provider of mailboxes: "Diane.Petersonegmail.com", "Lisa.Walker at .mail.com".
_GARBLED_PROVIDER: Final = rf"\w{{0,30}}(?:mail|yahoo|yahu|icloud|outlook|proton|gmx)\.{_SURE_TLD}(?!\w)"
_GARBLED_IN_SPEECH: Final = re.compile(
    r"(?<![\w/.])(?!(?:www|m|mail|webmail|login|accounts?|support|help|my|smtp|imap|pop3?)\.)"
    rf"(?!{_GARBLED_PROVIDER}\s)[a-z][\w+\-]{{0,40}}(?:\.[\w+\-]{{1,40}}){{0,4}}?"
    rf"(?:\.|(?<=[\w+\-])\.[\w+\-]{{1,40}}{_GARBLED_AT})\.?{_GARBLED_PROVIDER}",
    re.IGNORECASE,
)
_MAY_BE_SPOKEN: Final = re.compile(r"mail|yahoo|yahu|icloud|outlook|proton|gmx", re.IGNORECASE)
_BRACKETED_AT: Final = (
    r"(?:\s?[\[({<]\s?(?:at|@|a|ät|arroba)\s?[\])}>]\s?|\s?[\-_*]\s?at\s?[\-_*]\s?|(?<=\w)[©®](?=\w)"
    r"|\s(?:arroba|arobase|klammeraffe|chiocciola|apenstaartje|собака|ma[łl]pa|snabel-?a)\s)"
)
_ANY_DOT: Final = (
    r"(?:\s?[\[({<]\s?(?:dot|\.|punkt|punto|point|d|dt)\s?[\])}>]\s?|\s?[\-_*]\s?dot\s?[\-_*]\s?"
    r"|\s(?:dot|punto|punkt|ponto|point|точка|kropka|punt)\s|\.)"
)
_DISGUISED: Final = re.compile(
    rf"(?<![\w.+\-])[\w+\-]{{1,40}}?(?:{_ANY_DOT}[\w+\-]{{1,40}}?){{0,4}}{_BRACKETED_AT}"
    rf"[^\W_][\w\-]{{0,62}}?(?:{_ANY_DOT}[^\W_][\w\-]{{0,40}}?){{0,3}}{_ANY_DOT}[^\W\d_]{{2,24}}(?!\w)",
    re.IGNORECASE,
)
_DISGUISED_END: Final = re.compile(
    rf"(?<![\w.+\-])[\w.+\-]{{1,64}}\s?@\s?[^\W_][\w\-]{{0,62}}(?:(?!\.){_ANY_DOT}[^\W_][\w\-]{{0,40}}){{0,2}}"
    rf"(?!\.){_ANY_DOT}{_TLD}(?!\w)",
    re.IGNORECASE,
)
_MAY_BE_DISGUISED: Final = re.compile(_BRACKETED_AT, re.IGNORECASE)
_LETTER_OR_DIGIT: Final = re.compile(r"[^\W_]")
_NO_DOMAIN: Final = re.compile(r"\d+(?:\.\d+){0,2}|(?=[a-f]*\d)[0-9a-f]{5,8}", re.IGNORECASE)
"""A version, a price or an object's hash: ``lodash@4.17.21``, ``2 @ 5.99``, ``Foo@1b2c3d4``."""

_MAY_BE_AT: Final = re.compile(r"at[^.]{0,140}?(?:\.|dot|point)", re.IGNORECASE)
_NO_NAME: Final = re.compile(
    r"(?:www|look|looking|looked|visit|shop|shopping|us|me|it|them|is|are|was|were|be|log|login|sign|pay|paid|available|"
    r"found|find|bought|buy|order|ordered|see|read|page|site|website|store|online|anything|work|works|account|"
    r"and|or|but|not|arrived?|stuck|failed|fails|checkout|error|issue|problem|started?|ended?|here|there|chat|up|out|in)",
    re.IGNORECASE,
)


def find_emails(text: str, *, spoken: bool = False) -> Iterator[tuple[int, int]]:
    """Spans of e-mail addresses in a plain text."""
    if "@" in text or "%40" in text or "&#64;" in text:
        for pattern in (_WRITTEN, _SPACED, _SPELLED):
            for match in pattern.finditer(text):
                if _is_address(match[0]):
                    yield match.start(), match.end()
        for match in _DISGUISED_END.finditer(text):
            yield match.start(), match.end()
    if _MAY_BE_DISGUISED.search(text):
        for match in _DISGUISED.finditer(text):
            yield match.start(), match.end()
    if _MAY_BE_AT.search(text) or (spoken and _MAY_BE_SPOKEN.search(text)):
        yield from _dictated(text, spoken=spoken)


def _is_address(written: str) -> bool:
    """Check that the part before ``@`` is a name and the part after it no version, price or hash."""
    local, domain = (part.strip() for part in re.split(r"@|%40|&#64;", written, maxsplit=1))
    is_name = bool(_LETTER_OR_DIGIT.search(local)) and not local.endswith("/") and local != "git"
    return is_name and not _NO_DOMAIN.fullmatch(domain.rpartition("@")[2].strip())


def _dictated(text: str, *, spoken: bool) -> Iterator[tuple[int, int]]:
    for match in _DICTATED.finditer(text):
        words = re.findall(r"[\w']+", match["local"])
        if not _NO_NAME.fullmatch(words[-1]) or len(words) > 1:
            yield match.start(), match.end()
    if spoken:
        for match in _ANNOUNCED_IN_SPEECH.finditer(text):
            yield match.span("address")
        for match in _GARBLED_IN_SPEECH.finditer(text):
            yield match.span()
    for pattern in (_RUN_TOGETHER, _RUN_TOGETHER_IN_SPEECH) if spoken else (_RUN_TOGETHER,):
        for match in pattern.finditer(text):
            if not _NO_NAME.fullmatch(re.split(r"\s", match[0])[0]):
                yield match.start(), match.end()
