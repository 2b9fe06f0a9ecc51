"""One-time codes: ``your verification code is 482913``, ``G-482913``, ``482913 is your code``."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from mmplatform.derive.pii.labels import END_OF_DIGITS, Found, Labelled, Page

_DIGITS: Final = rf"(?:[A-Z]{{1,3}}-)?\d(?:[ \-]?\d){{3,8}}{END_OF_DIGITS}"
_LETTERS_TOO: Final = r"(?-i:(?=[A-Z0-9\-]{0,9}\d)(?=[A-Z0-9\-]{0,9}[A-Z])[A-Z0-9]{2,8}(?:-[A-Z0-9]{2,5})?)(?![\w\-])"
_NAMED: Final = Labelled(
    """
    otp/otp code/one time code/one time password/one time passcode/one time pin/onetime code/single use code
    passcode/verification code/verification number/verify code/verification pin/login code/log in code
    sign in code/signin code/auth code/authentication code/authenticator code/authorization code
    authorisation code/access code/activation code/2fa code/2fa/mfa code/two factor code/two step code
    two factor authentication code/sms code/text code/texted code/security code/confirmation code/unlock code
    reset code/recovery code/backup code/pairing code/six digit code/6 digit code/code from the text
    code from the sms/code from my phone/code you sent me/code they sent me/code i got/code i received
    code that i got/code that came
    bestätigungscode/verifizierungscode/sicherheitscode/einmalcode/einmalpasswort
    einmalkennwort/freischaltcode/tan/sms tan/mtan/zugangscode/anmeldecode/bestätigungs code
    code de vérification/code de confirmation/code de sécurité/code à usage unique/code d'accès
    code d'authentification/code sms/código de verificación/código de confirmación/código de acceso
    código de seguridad/código sms/codice di verifica/codice di conferma/codice di accesso/codice otp/codice sms
    código de verificação/código de confirmação/código de acesso/verificatiecode/bevestigingscode/inlogcode
    toegangscode/kod weryfikacyjny/kod potwierdzający/kod sms/doğrulama kodu/onay kodu/sms kodu
    код подтверждения/код из смс/проверочный код/验证码/驗證碼/校验码/动态码/认证码/認証コード/確認コード
    ワンタイムパスワード/인증번호/رمز التحقق/كود التحقق/رمز التأكيد
    """,
    rf"{_DIGITS}|{_LETTERS_TOO}",
)
_OTHER_CODE: Final = (
    r"(?:error|err|status|exit|return|response|http|promo\w*|discount|coupon|voucher|gift|offer|zip|post(?:al)?|area|"
    r"country|dial(?:ling|ing)?|sort|swift|bank|branch|product|item|bar|qr|sku|model|order|tracking|booking|"
    r"reference|ref|"
    r"source|color|colour|currency|language|tax|hs|fault|reason|decline|game|cheat|dress|referral|invite|class|stock|"
    r"customer|discount-|rabatt|fehler|postleit|aktions|gutschein)"
)
_BARE: Final = re.compile(
    r"(?:^|[\n.!?:;\"(]\s{0,3}|\b(?:my|your|ur|the|this|that|mein|dein|ihr|der|votre|mon|le|tu|su|mi|el|il|tuo|mijn|"
    r"uw|je|"
    r"twój|ваш|мой)\s(?:[^\W\d_]+\s){0,2}?)(?:code|código|codigo|codice|kod|код)"
    r"(?:\s(?:reçu|recibido|ricevuto|recebido|erhalten|ontvangen))?"
    r"(?:\s(?:is|was|it's|:|=|ist|lautet|est|es|è|jest|to|это)(?:\s?:)?|\s?[:=]|'s)\s{0,4}[\"'*]{0,2}"
    rf"(?P<value>[A-Z]{{1,2}}-\d{{4,8}}|(?:\d{{3}}[ \-]\d{{3}}|\d{{4,8}}|\d(?:[ ]\d){{3,7}}){END_OF_DIGITS})",
    re.IGNORECASE,
)
_OTHER: Final = re.compile(rf"\b{_OTHER_CODE}\b", re.IGNORECASE)
_ABOUT_OTHER: Final = re.compile(rf"\b{_OTHER_CODE}\b[^\n]{{0,40}}$", re.IGNORECASE)
_PREFIXED: Final = re.compile(r"(?<![\w\-])G-\d{6}(?![\w\-])")
_BEFORE: Final = re.compile(
    r"(?<![\w.,:/\-#])(?P<value>(?:[A-Z]{1,2}-)?\d{3,4}[ \-]?\d{0,4})(?<=\d)\s(?:is|as|was|ist|est|es|è|jest|to)\s"
    r"(?:your|my|the|ur|ihr|dein|mein|der|votre|le|tu|su|il|tuo)\s(?:[\w\-]+\s){0,4}?(?:[\w\-]*code|otp|passcode|"
    r"one-time (?:password|pin|passcode)|código|codice)\b",
    re.IGNORECASE,
)
_USED: Final = re.compile(
    r"\b(?:use|enter|type|input|with|entered|typed|used)\s(?:the\s)?(?:code\s)?"
    r"(?P<value>(?:[A-Z]{1,2}-)?\d{3}[ \-]?\d{3}|\d{4,8})\s(?:to|as|for)\s(?:your\s|the\s)?(?:\w+\s){0,2}?"
    r"(?:log|sign|verif|confirm|authentic|reset|login|complete|access|2fa|continue)\w*",
    re.IGNORECASE,
)
_STATED: Final = re.compile(
    rf"\b(?:otp|(?:verification|login|security|sign-?in|authentication|confirmation) code|one[\- ]time (?:code|pin|"
    rf"pass\w+)|"
    rf"passcode)\b[^\n.!?\d]{{0,40}}(?:(?:inr|usd|eur|rs\.?|\$|€|£)\s?[\d.,]+[^\n!?\d]{{0,20}})?\s(?:is|"
    rf"was)\s?:?\s?(?P<value>\d{{4,8}})"
    rf"{END_OF_DIGITS}",
    re.IGNORECASE,
)
_RECEIVED: Final = re.compile(
    r"\b(?:received|got|sent|texted)\s(?:me\s)?(?P<value>\d{4,8})\s(?:by|via|in|as|per)\s(?:an?\s|the\s|my\s)?"
    r"(?:sms|text|e-?mail|code|login|whatsapp|verification)|\b(?:enter|type|entered|"
    r"typed)\s(?:the\s)?code\s(?P<typed>\d{4,8})(?![\d.,])"
    r"|\bauthenticator(?:\sapp)?\s(?:shows|says|showed|gave me|displays)\s(?P<shown>\d{3}\s?\d{3})(?!\d)",
    re.IGNORECASE,
)
_HINTS: Final = ("code", "otp", "código", "codigo", "codice", "kod", "код", "passcode", "one-time")


def find_one_time_codes(page: Page) -> Iterator[Found]:
    """Find one-time codes after their name, before "is your code", and in "use … to sign in"."""
    text = page.text
    for match in _NAMED.find(page):
        yield *match.span("value"), "ONE_TIME_CODE"
    if page.holds_any(_HINTS):
        yield from _near_the_word_code(text)
    if "g-" in page.lowered:
        for match in _PREFIXED.finditer(text):
            yield *match.span(), "ONE_TIME_CODE"
    if page.holds_any(("otp", "code", "one", "sms", "text", "mail", "authenticator", "whatsapp", "login")):
        for match in _STATED.finditer(text):
            yield *match.span("value"), "ONE_TIME_CODE"
        for match in _RECEIVED.finditer(text):
            yield *match.span(match.lastgroup or 0), "ONE_TIME_CODE"
    if page.holds_any((" to ", " as ", " for ")):
        for match in _USED.finditer(text):
            yield *match.span("value"), "ONE_TIME_CODE"


def _near_the_word_code(text: str) -> Iterator[Found]:
    for match in _BARE.finditer(text):
        if not _ABOUT_OTHER.search(text, max(0, match.start() - 40), match.end()):
            yield *match.span("value"), "ONE_TIME_CODE"
    for match in _BEFORE.finditer(text):
        if not _OTHER.search(match[0]):
            yield *match.span("value"), "ONE_TIME_CODE"
