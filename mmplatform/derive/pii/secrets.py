"""Keys and tokens of programs, by the prefixes that their issuers print, and generic ones beside their name."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import chain
from typing import Final

from mmplatform.derive.pii.labels import Found, Page, find_overlapping

_WORD_START: Final = r"(?<![A-Za-z0-9])"

# Issuers print a prefix so that scanners find their keys; a space or line break may split a pasted one at no place.
_ISSUED: Final = (
    r"(?:sk|rk|pk|whsec|rpa)[-_](?:live|test|ant|proj|svcacct|admin|or)?[-_]?[A-Za-z0-9_\-]{16,}",  # OpenAI, Stripe
    r"whsec_[A-Za-z0-9+/=]{16,}",
    r"(?:AKIA|ASIA|AGPA|AIDA|AROA|ANPA|ABIA|ACCA)[A-Z0-9]{12,20}",  # AWS
    r"(?:ghp|gho|ghu|ghs|ghr)_[A-Za-z0-9]{20,}|github_pat_[A-Za-z0-9_]{20,}|gl(?:pat|dt|rt|ptt|oas|cbt)-[\w\-]{16,}",
    r"xox[abeoprs]-[A-Za-z0-9\-]{10,}|xapp-[A-Za-z0-9\-]{10,}|hooks\.slack\.com/services/[\w/]{20,}",
    r"AIza[\w\-]{30,}|ya29\.[\w\-]{20,}|GOCSPX-[\w\-]{20,}",  # Google
    r"npm_[A-Za-z0-9]{30,}|pypi-[\w\-]{30,}|dckr_pat_[\w\-]{20,}|rubygems_[a-f0-9]{40,}",
    r"SG\.[\w\-]{16,}\.[\w\-]{16,}|key-[a-f0-9]{32}|SK[a-f0-9]{32}|AC[a-f0-9]{32}",  # SendGrid, Mailgun, Twilio
    r"hf_[A-Za-z0-9]{20,}|gsk_[A-Za-z0-9]{20,}|xai-[\w\-]{20,}|r8_[A-Za-z0-9]{20,}|pplx-[a-f0-9]{30,}",
    r"shp(?:at|ca|pa|ss)_[a-fA-F0-9]{20,}|sq0(?:atp|csp|idp)-[\w\-]{20,}|EAAA[\w\-]{50,}|EAACEdEose0cBA\w+",
    r"dop_v1_[a-f0-9]{40,}|hvs\.[\w\-]{20,}|atlasv1\.[\w\-]{40,}|nvapi-[\w\-]{20,}|lin_api_\w{20,}|ntn_\w{20,}|secret_\w{30,}",
    r"\d{8,10}:AA[\w\-]{32,34}|[MNO][\w\-]{23,25}\.[\w\-]{6}\.[\w\-]{27,}",  # Telegram, Discord
    r"eyJ[\w\-]{4,}\.[\w\-]{2,}(?:\.[\w\-]*){0,3}",  # JWT, signed or encrypted
    r"AGE-SECRET-KEY-1[A-Z0-9]{20,}|ops_eyJ[\w\-]{20,}|glsa_\w{20,}|sntrys_[\w=+/\-]{20,}|sbp_[a-f0-9]{30,}|rnd_\w{20,}",
)
_ISSUED_KEY: Final = re.compile(rf"{_WORD_START}(?:{'|'.join(_ISSUED)})")
_ISSUED_HINTS: Final = (
    *(
        "sk-",
        "sk_",
        "rk_",
        "pk_",
        "rk-",
        "whsec_",
        "rpa_",
        "akia",
        "asia",
        "agpa",
        "aida",
        "aroa",
        "anpa",
        "abia",
        "acca",
    ),
    *("ghp_", "gho_", "ghu_", "ghs_", "ghr_", "github_pat_", "glpat", "gldt", "glrt", "glptt", "gloas", "glcbt", "xox"),
    *("xapp-", "hooks.slack", "aiza", "ya29.", "gocspx", "npm_", "pypi-", "dckr_pat_", "rubygems_", "sg.", "key-"),
    *("hf_", "gsk_", "xai-", "r8_", "pplx-", "shpat", "shpca", "shppa", "shpss", "sq0", "eaa", "dop_v1", "hvs."),
    *(
        "atlasv1",
        "nvapi-",
        "lin_api",
        "ntn_",
        "secret_",
        ":aa",
        "eyj",
        "age-secret",
        "ops_",
        "glsa_",
        "sntrys_",
        "sbp_",
    ),
    *("rnd_", "pk-"),
)

_PEM: Final = re.compile(
    r"-{2,5}\s?BEGIN [A-Z0-9 ]{0,30}(?:PRIVATE KEY|MESSAGE)[A-Z ]{0,12}-{2,5}"
    r"(?:.*?-{2,5}\s?END [A-Z0-9 ]{3,60}-{2,5}|(?:[\s\\nr\"',+]{0,12}[A-Za-z0-9+/=:,\-]{1,200}){0,400})",
    re.DOTALL,
)
_PUTTY: Final = re.compile(
    r"(?:PuTTY-User-Key-File-\d:.{0,4000}|(?<=Private-Lines: )\d+\s[A-Za-z0-9+/=\s]{40,8000})", re.DOTALL
)

_SCHEME: Final = re.compile(
    r"\b(?:bearer|basic|token|apikey|digest|negotiate)\s+(?:[\"'])?(?P<value>[\w\-.~+/]{8,}={0,2})", re.IGNORECASE
)
_NAME: Final = (
    r"(?:api|app|access|account|auth\w{0,12}|client|consumer|private|public|secret|security|service|session|shared|signing|"
    r"encryption|license|licence|subscription|storage|master|admin|webhook|deploy|bot|refresh|id|csrf|xsrf|oauth\d?|jwt|"
    r"sas|x|ssh|aws|db|bearer|personal|user|login|reset|security|device|push|fcm|stripe|openai|github|slack|google|azure)"
)
_KEY: Final = (
    rf"(?:(?:{_NAME}[\s_\-.]?){{0,4}}(?:key(?:[\s_\-]?id)?|secrets?|tokens?|credentials?|signature|cookie|sessionid|sid|jwt)"
    r"|authorization|x-amz-signature|connection[\s_\-]?string|accountkey|sharedaccesskey|sig|sessid|phpsessid|jsessionid|session|"
    r"schlüssel|api[\s\-]?schlüssel|clé (?:api|secrète)|clave (?:api|secreta)|jeton|chiave (?:api|segreta)|"
    r"токен|密钥|令牌|トークン|apiキー)"
)
_ASSIGNED: Final = re.compile(
    rf"(?:(?<![^\W_])|(?-i:(?<=[a-z])(?=[A-Z])))(?P<name>{_KEY})(?P<join>(?:[\"'`*\])}}\\]|&quot;|</\w{{1,10}}>){{0,4}}\s{{0,40}}"
    r"(?:(?:is|was|ist|est|es|set to|equals|是|为)\s?:?\s|[:=|]|=>|->|\u2192|:=|<t[dh]>|<\w{1,10}>|,\s?(?=[\"']))"
    r"(?:[\s\"'`*|=:>\[({\\]|&quot;|<\w{1,10}>){0,40})"
    r"(?P<value>[A-Za-z0-9_\-./+~!@#$%^&*]{6,}={0,2})",
    re.IGNORECASE,
)
_NAMED: Final = re.compile(
    r"\b(?:api|secret|access|private|auth|bearer|client|signing)[\s_\-]?(?:key|token|secret|id)\s(?P<value>[\w\-./+]{16,}={0,2})",
    re.IGNORECASE,
)
_KEY_HINTS: Final = (
    *(
        "key",
        "secret",
        "token",
        "credential",
        "signature",
        "cookie",
        "sid",
        "jwt",
        "authorization",
        "connection",
        "sig",
    ),
    *("sess", "schlüssel", "clé", "clave", "jeton", "chiave", "токен", "密钥", "令牌", "トークン", "apiキー"),
)
_STRICT_NAME: Final = re.compile(
    r"api|secret|access|private|client|auth|bearer|refresh|token|password|signing|webhook", re.IGNORECASE
)
_PATH: Final = re.compile(r"[a-z0-9_\-/]{1,80}/[a-z0-9_\-/]{1,80}\.[a-z]{2,5}")
_SEED: Final = re.compile(
    r"(?:seed|recovery|mnemonic|wallet|backup)[\s_\-]?(?:phrase|words?)?(?:\s(?:is|are))?\s?[:=]?[\s\"']{0,4}"
    r"(?P<value>(?:\d{1,2}[.)]\s?)?[a-z]{3,8}(?:[\s,]{1,3}(?:\d{1,2}[.)]\s?)?[a-z]{3,8}){11,23})(?![a-z])",
    re.IGNORECASE,
)
_SENTENCE_WORD: Final = re.compile(r"(?i)\b(?:the|and|was|not|you|your|with|for|have|this|that|but|can|when|will)\b")
_MIN_RANDOM_CHARS: Final = 12
_MIXED: Final = re.compile(
    r"(?<![A-Za-z0-9_/.\-+=#@%])(?=[\w\-]{0,99}[A-Z])(?=[\w\-]{0,99}[a-z])[A-Za-z0-9_\-]{20,200}(?![\w/.@])"
)
_KEY_NEAR: Final = re.compile(
    r"(?<![^\W_])(?:api|keys?|tokens?|secrets?|credentials?|bearer|schlüssel|clés?|claves?|chiave|jeton|ключ\w{0,2})"
    r"(?![^\W_])"
    r"|密钥|令牌|金鑰|トークン|キー|토큰|مفتاح",
    re.IGNORECASE,
)
_NEAR_CHARS: Final = 60
_MIN_MIXED_DIGITS: Final = 3


def find_secrets(page: Page) -> Iterator[Found]:
    """Find keys, tokens and private keys, each as a whole."""
    for start, end in chain(
        *(_issued_keys(page), _private_keys(page), _scheme_values(page)),
        *(_assigned(page), _seeds(page), _spoken_of(page)),
    ):
        yield start, end, "SECRET"


def _issued_keys(page: Page) -> Iterator[tuple[int, int]]:
    if page.holds_any(_ISSUED_HINTS):
        for match in _ISSUED_KEY.finditer(page.text):
            if any(character.isdigit() or character.isupper() for character in match[0]):
                yield match.span()


def _private_keys(page: Page) -> Iterator[tuple[int, int]]:
    if page.holds_any(("-begin ", "- begin ", "putty")):
        for match in chain(_PEM.finditer(page.text), _PUTTY.finditer(page.text)):
            yield match.span()


def _scheme_values(page: Page) -> Iterator[tuple[int, int]]:
    if page.holds_any(("bearer", "basic", "token", "apikey", "digest", "negotiate")):
        for match in _SCHEME.finditer(page.text):
            if _is_random(match["value"]):
                yield match.span("value")


def _assigned(page: Page) -> Iterator[tuple[int, int]]:
    if not page.holds_any(_KEY_HINTS):
        return
    for match in find_overlapping(_ASSIGNED, page.text):
        start, value = match.start("value"), match["value"]
        if "&" in value and "=" in match["join"]:  # the next parameter of a URL
            value = value.split("&")[0]
        value = value.rstrip(".!*")
        is_strict = _STRICT_NAME.search(match["name"]) is not None
        is_assigned = is_strict and "=" in match["join"] and _is_assigned_word(value)
        if is_assigned or (_is_random(value, strict=is_strict) and not _PATH.fullmatch(value)):
            yield start, start + len(value)
    for match in _NAMED.finditer(page.text):
        if any(map(str.isdigit, match["value"])) and _is_random(match["value"]):
            yield match.span("value")


def _seeds(page: Page) -> Iterator[tuple[int, int]]:
    if page.holds_any(("seed", "recovery", "mnemonic")):
        for match in _SEED.finditer(page.text):
            if not _SENTENCE_WORD.search(match["value"]):
                yield match.span("value")


def _spoken_of(page: Page) -> Iterator[tuple[int, int]]:
    """Find long tokens of digits and both letter cases, with a word for a key near them: "calls with … return 401"."""
    for match in _MIXED.finditer(page.text):
        start, end = match.span()
        if sum(map(str.isdigit, match[0])) < _MIN_MIXED_DIGITS:
            continue
        before, after = page.text[max(0, start - _NEAR_CHARS) : start], page.text[end : end + _NEAR_CHARS]
        if _KEY_NEAR.search(before) or _KEY_NEAR.search(after):
            yield start, end


def _is_assigned_word(value: str) -> bool:
    return len(value) >= 8 and value.lower() not in {  # noqa: PLR2004 (shorter ones are words of a program)
        "required",
        "undefined",
        "disabled",
        "optional",
        "redacted",
        "expected",
        "received",
        "unchanged",
        "provided",
    }


def _is_random(value: str, *, strict: bool = True) -> bool:
    """Check that a value is no word: digits among letters, or both cases within, or long without a vowel."""
    core = value.rstrip("=")
    letters = sum(character.isalpha() for character in core)
    digits = sum(character.isdigit() for character in core)
    if letters and digits and len(core) >= 8:  # noqa: PLR2004
        return True
    if digits >= _MIN_RANDOM_CHARS and not letters:
        return True
    if not strict:
        return False
    inner_case = re.search(r"[a-z][A-Z]", core) is not None and re.search(r"[A-Z].*[A-Z]", core) is not None
    return (
        len(core) >= _MIN_RANDOM_CHARS
        and letters > 0
        and (inner_case or re.search(r"[+/=~!@#$%^*]", value) is not None)
    )
