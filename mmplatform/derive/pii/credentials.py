"""Passwords, whatever they look like, and one-time codes.

After ``password:`` or ``password is`` any word is a value, unless it continues a sentence about passwords ("is wrong").
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from mmplatform.derive.pii.credential_words import BOTH_WAYS, CONTINUATIONS, NO_VALUE
from mmplatform.derive.pii.labels import Found, Page, find_overlapping, label_pattern, split_labels
from mmplatform.derive.pii.vocabulary import NOT_NAMES

_LABELS: Final = split_labels(
    """
    password/passwd/pass word/pass code/passphrase/pwd/pword/pw/login pass/user pass/db pass/pin or password
    passwort/kennwort/losungswort/mot de passe/mdp/contraseña/clave/clave de acceso/parola d'ordine/parola/senha
    palavra passe/palavra chave/wachtwoord/hasło/şifre/şifrem/şifreniz/parolam/parolanız/parola/пароль/密码/密碼
    口令/パスワード/비밀번호/كلمة المرور/كلمة السر/login credentials/credentials/creds/login details
    """
)
_SHORT_LABELS: Final = split_labels("pass/pw/psw/pwd/passwd/pswd/motdepasse")
_HINTS: Final = (
    *split_labels("pass/pwd/pword/pw/psw/pswd/kennwort/losungswort/mdp/contrase/clave/parola/senha/palavra/wachtwoord"),
    *split_labels("hasło/şifre/пароль/密码/密碼/口令/パスワード/비밀번호/كلمة ال/cred/login details"),
)
_JOINED: Final = r"(?<![^\W_])[a-z]{1,12}(?:password|passwd|passphrase)(?![^\W\d_])"
_LABEL: Final = rf"(?:{label_pattern(_LABELS)}|{_JOINED})"
_ANY_LABEL: Final = rf"(?:{label_pattern((*_LABELS, *_SHORT_LABELS))}|{_JOINED})"
_QUALIFIER: Final = r"(?:\s(?:for|to|of|on|at|in|with|für|zum|zu|pour|de|para|per|voor|do)(?:\s[\w'.\-]+){1,4}?)?"
_SET_BY: Final = (
    r"(?:\s?(?:now|currently|still|simply|just|always|set to|jetzt|ab jetzt|ahora|maintenant)\s|\s?:\s?|\s)"
)
_COPULA: Final = (
    r"(?:\s(?:is|was|will be|should be|used to be|has been|equals|ist|lautet|heißt|war|est|était|es|era|è|é|jest|"
    r"(?<=[łl]o\s)to|brzmi|"
    r"это|هي|هو)(?![^\W_])|'s(?![^\W_])|\s?[-\u2013\u2014]\s?|[\u662f\u4e3a\u70ba\u306f\uc740\ub294])"
)
_QUOTED: Final = r"\"[^\"\n\x01]{1,80}\"|'[^'\n\x01]{1,80}'|`[^`\n\x01]{1,80}`"
_TOKEN: Final = rf"(?P<value>{_QUOTED}|[^\s\x01]{{1,200}})"
_MARKUP: Final = r"[\"'`*_)\]}\\]|</?[a-z][^<>]{0,60}>|&(?:nbsp|quot|#\d{1,5});"
_AFTER_SIGN: Final = re.compile(
    rf"(?P<label>{_ANY_LABEL})(?:\s?\([^()\n]{{0,30}}\)|\s(?:is|ist|was|for|für)(?:\s\w+){{0,3}}(?=\s?[:=]))?"
    rf"(?:{_MARKUP}){{0,4}}[^\S\n]{{0,60}}(?P<sign>:=|=>|->|\|{{1,2}}|[:=>\u2192]|%3[Aa]|%3[Dd]|"
    rf"</t[dh]>\s{{0,9}}<t[dh][^<>]{{0,40}}>|<br ?/?>)"
    rf"(?:[\s>:=]|\\(?=[\"'])|&(?:nbsp|quot);|</?[a-z][^<>]{{0,60}}>){{0,60}}+{_TOKEN}",
    re.IGNORECASE,
)
_IN_FORM: Final = re.compile(
    rf"(?P<label>{_LABEL})(?:{_MARKUP}){{0,4}}+(?P<sign>[^\S\n]{{0,60}}\n\s{{0,60}}|\t\s{{0,60}}| {{3,80}}){_TOKEN}"
    r"(?P<rest>[^\n]{0,40})",
    re.IGNORECASE,
)
_AFTER_VERB: Final = re.compile(
    rf"(?P<label>{_LABEL}){_QUALIFIER}{_COPULA}{_SET_BY}?(?:\s?(?:now|currently|:)\s)?\s?{_TOKEN}", re.IGNORECASE
)
_BARE: Final = re.compile(rf"(?P<label>{_ANY_LABEL})\s(?:(?:is|was|to|as|into)\s)?{_TOKEN}", re.IGNORECASE)
_IN_QUOTES: Final = re.compile(
    rf"(?<![\"'])(?P<label>{_LABEL})\s(?P<value>{_QUOTED}|\u201c[^\u201d\n\x01]{{1,80}}\u201d)", re.IGNORECASE
)
_IN_TAG: Final = re.compile(
    r"(?P<label>pass\w*)[\"'][^<>]{0,80}?\bvalue=(?P<value>\"[^\"\n\x01]{1,80}\"|'[^'\n\x01]{1,80}')", re.IGNORECASE
)
_BEFORE: Final = re.compile(
    rf"(?<![^\s\"'(:])(?P<value>{_QUOTED}|[^\s\x01\"']{{3,80}}?)(?:,?\s(?:that's|that is|which is|is|as|was|ist|est|"
    rf"es|è))\s"
    r"(?:my|the|our|your|his|her|mein|das|mon|le|mi|la)\s"
    r"(?:[a-z]+\s)?(?:password|passwd|passphrase|pwd|passwort|kennwort|mot de passe|contraseña)\b"
    r"(?!\s(?:manager|reset|app))",
    re.IGNORECASE,
)
_TO: Final = re.compile(
    rf"(?:chang\w+|set|reset|updat\w+|made)\s(?:\w+\s){{0,2}}{_LABEL}\s(?:to|as|into)\s{_TOKEN}", re.IGNORECASE
)
_PLAIN_WORD: Final = re.compile(r"[^\W\d_]+(?:[-'][^\W\d_]+)*", re.UNICODE)
_NEXT_WORD: Final = re.compile(r"[ \t]+(?P<word>[^\s,.;:!?()\"\x01]+)(?P<end>[,.;:!?)]?)")
_CLOSING: Final = ".,;:)]}'\"|>`"
_COUNTED: Final = re.compile(r"\s(?:char|digit|letter|time|attempt|zeichen|day|min|hour)")
_PHRASE: Final = re.compile(r"(?: [a-z]{3,12}){2,6}(?=\s*(?:$|[.,;!\n]))")
_SENTENCE_END: Final = re.compile(r"\s*(?:$|[.,;!\n]|(?:and|but|yesterday|today|then)\b)")
_MAX_WORDS: Final = 8
_MIN_DIGITS: Final = 3
_MIN_SHAPED: Final = 5
_SHAPED: Final = re.compile(r"(?=.*[^\W\d_])(?=.*\d)|[!@#$%^&*+=~?\\{}\[\]]|[^\W\d_]_[^\W\d_]|[a-z][A-Z]")


def find_passwords(page: Page) -> Iterator[Found]:
    """Find passwords after a sign, a verb or in a form, and before "is my password"."""
    text = page.text
    if not page.holds_any(_HINTS):
        return
    for pattern, accept in (
        (_AFTER_SIGN, _is_stated),
        (_AFTER_VERB, _is_stated),
        (_IN_FORM, _is_form_value),
        (_BARE, _is_shaped),
        (_IN_QUOTES, _is_stated),
        (_IN_TAG, _is_stated),
        (_TO, _is_set),
    ):
        for match in find_overlapping(pattern, text):
            span = _value_span(match)
            if span and accept(text, span, match.groupdict().get("rest", "")):
                yield *_extended(text, span), "PASSWORD"
    for match in _BEFORE.finditer(text):
        if _is_value_word(match["value"]) and match["value"].lower() not in NOT_NAMES:
            yield *match.span("value"), "PASSWORD"


def _value_span(match: re.Match[str]) -> tuple[int, int] | None:
    """Cut markup, the next parameter of a URL, and closing marks off a value."""
    start, end = match.span("value")
    value = match["value"]
    if value[0] in "\"'`" and value[-1] == value[0] and len(value) > 1:
        return (start + 1, end - 1) if end - start > 2 else None  # noqa: PLR2004 (two quotes)
    stripped = value.lstrip("\"'`([{<*")
    start += len(value) - len(stripped)
    cut = re.search(r"[\"'`<]|&(?:quot|nbsp)|(?<=\w)&(?=\w+=)|\\n|\\\"|[)\]}],|(?<=\S)\|", stripped)
    if cut:
        stripped = stripped[: cut.start()]
    token = stripped.rstrip(_CLOSING) or ""
    if token and not set(token) <= set("*\u2022.-_xX#?"):
        return start, start + len(token)
    return None


def _is_value_word(word: str) -> bool:
    lowered = word.lower().strip("!?")
    if lowered in NO_VALUE:
        return False
    if _SHAPED.search(word):
        return True
    return not (_PLAIN_WORD.fullmatch(word) and re.fullmatch(r"[a-z]{2,}(?:ed|ing|n't)", lowered))


def _is_stated(text: str, span: tuple[int, int], rest: str) -> bool:
    del rest
    word = text[slice(*span)]
    if word.isdigit() and (len(word) < _MIN_DIGITS or _COUNTED.match(text, span[1])):
        return False
    return _is_value_word(word) or (word.lower() in BOTH_WAYS and _is_phrase(text, span[1]))


def _is_phrase(text: str, end: int) -> bool:
    """Check for more words of a passphrase: "correct" ends a sentence, and begins "correct horse battery staple"."""
    words = _PHRASE.match(text, end)
    return words is not None and CONTINUATIONS.isdisjoint(words[0].split()) and NO_VALUE.isdisjoint(words[0].split())


def _is_form_value(text: str, span: tuple[int, int], rest: str) -> bool:
    word = text[slice(*span)]
    if _SHAPED.search(word) and not word.endswith(("?", ":")):
        return True
    alone = not rest.strip() and text[span[1] : span[1] + 1] != ":"
    return alone and _is_stated(text, span, rest) and word.lower() not in NOT_NAMES


def _is_shaped(text: str, span: tuple[int, int], rest: str) -> bool:
    del rest
    word = text[slice(*span)]
    return len(word) >= _MIN_SHAPED and bool(_SHAPED.search(word.rstrip("!?"))) and _is_value_word(word)


def _is_set(text: str, span: tuple[int, int], rest: str) -> bool:
    del rest
    word = text[slice(*span)]
    return bool(_SHAPED.search(word)) or (_SENTENCE_END.match(text, span[1]) is not None and _is_value_word(word))


def _extended(text: str, span: tuple[int, int]) -> tuple[int, int]:
    """Extend a plain first word over the words of a passphrase, or of a dictated password, up to a function word."""
    start, end = span
    word = text[start:end]
    if text[start - 1 : start] in {'"', "'", "`"} or not (_PLAIN_WORD.fullmatch(word) or len(word) <= 2):  # noqa: PLR2004
        return span
    previous, words = word, 1
    while words < _MAX_WORDS and (following := _NEXT_WORD.match(text, end)):
        token = following["word"].lower()
        letter = len(token) == 1 and len(previous) == 1
        if not letter and (token in CONTINUATIONS or (not _PLAIN_WORD.fullmatch(token) and not token.isalnum())):
            break
        previous, end = token, following.end("word")
        words += len(token) > 1
        if following["end"]:
            break
    return start, end
