"""Names of persons at messengers and social networks, after the word that names the service or in a profile's URL."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from mmplatform.derive.pii.name_lists import ordinary_words

_SERVICE: Final = (
    r"(?:skype|telegram|whats ?app|discord|instagram|insta|ig|snapchat|we ?chat|weixin|viber|tik ?tok|twitter|"
    r"facebook|fb|mastodon|bluesky|linkedin|kik|kakao(?: ?talk)?|qq|zalo|twitch|psn|gamertag|xbox(?: live)?|venmo|"
    r"cash ?app|onlyfans|reddit|pinterest|tumblr|icq|скайп|телеграмм?|телега|инстаграмм?|вотсап|ватсап)"
)
_COMMON_WORD: Final = r"(?:line|signal|snap|messenger|threads|matrix|steam|slack|teams|xing|youtube|vk|imo)"
"""Services whose names are words too: these need ``id`` or ``@`` before the handle."""

_HANDLE: Final = r"@?(?:live:)?[^\W_][\w.\-]{1,38}\w(?:#\d{4}\b)?"
_WORD: Final = r"\b(?:id|name|user ?name|user|handle|account|nick(?:name)?|contact|tag|login|profile|ник|логин)\b\s?"
_LINK: Final = r"(?:[\"']?[:=|][\s\"'|]{0,80}|\.{3,80}\s{0,3}|\s{3,80}|\bis\s(?:called\s)?|\b(?:as|under)\s|[-→]\s|\()"
_NAMED: Final = re.compile(
    rf"(?:(?<!\w)(?:{_SERVICE}|(?P<common>{_COMMON_WORD}))(?:'s)?(?!\w)|微信号?|微博|抖音)\s?(?P<word>{_WORD})?"
    rf"(?P<link>{_LINK})?(?P<handle>{_HANDLE})(?![\w@])",
    re.IGNORECASE,
)
_SHARED: Final = re.compile(
    rf"(?<![\w.@/])(?P<handle>@[^\W_][\w.\-]{{1,38}}\w)(?=\s(?:on|at|in|via)\s{_SERVICE}\b)", re.IGNORECASE
)
_ON_SERVICE: Final = re.compile(
    rf"\b(?:on|via|at|in)\s{_SERVICE},?\s(?:(?:i'm|i am|it's|is|as|my handle is|find me as|under)\s)?"
    rf"(?P<handle>@[^\W_][\w.\-]{{1,38}}\w|(?=[^\W_][\w\-]{{0,38}}[._\d])[^\W\d_][\w.\-]{{1,38}}\w)(?![\w@])",
    re.IGNORECASE,
)
_OWN_HANDLE: Final = re.compile(
    r"\b(?:my|our|his|her|their)\s(?:\w+\s)?(?:handle|nick|nickname|gamertag|screen ?name|user ?name)\s"
    r"(?:there\s|on there\s)?(?:is|=|:)\s?"
    r"(?P<handle>@?[^\W_][\w.\-]{1,38}\w)(?![\w@])",
    re.IGNORECASE,
)
_DISCORD: Final = re.compile(r"(?<![\w#])(?P<handle>[^\W\d_][\w.]{1,31}#\d{4})(?![\w#])")
_URL: Final = re.compile(
    r"\b(?:(?:t|telegram)\.me/(?!joinchat|share|addstickers|s/)|wa\.me/|(?:m\.me|fb\.me)/|"
    r"(?:instagram|threads)\.(?:com|net)/@?(?!p/|reel|explore|stories|accounts|about|tv/)|"
    r"(?:facebook|fb)\.com/(?!pages|groups|events|sharer|share|help|policies|login|watch|marketplace|photo|story|tr\b|dialog|"
    r"business|ads|legal|privacy)|"
    r"(?:twitter|x)\.com/(?!i/|home|share|intent|hashtag|search|login|settings|explore|tos|privacy)|"
    r"tiktok\.com/@|snapchat\.com/add/|linkedin\.com/(?:in|pub)/|(?:www\.)?reddit\.com/u(?:ser)?/|"
    r"vk\.com/(?!feed|app)|line\.me/ti/p/~?|join\.skype\.com/|u\.wechat\.com/|discord(?:app)?\.com/users/|"
    r"paypal\.me/|venmo\.com/(?:u/)?|cash\.app/\$|bsky\.app/profile/|"
    r"keybase\.io/|about\.me/|steamcommunity\.com/id/|xing\.com/profile/)(?P<handle>[\w.%\-+~]{2,60}[\w])",
    re.IGNORECASE,
)
_HINT: Final = re.compile(
    rf"(?<!\w)(?:{_SERVICE}|{_COMMON_WORD})(?!\w)|微信|微博|抖音|\.(?:me|com|app|io|net)/", re.IGNORECASE
)
_COMPANY: Final = re.compile(r"\b(?:follow us|our|official|find us|like us)\b[^.!?]{0,30}$", re.IGNORECASE)
_STYLED: Final = re.compile(r"[\d_.@#]|[a-z][A-Z]")
_VERSION: Final = re.compile(r"v?\d+(?:\.\w+)*", re.IGNORECASE)
_ENDS_HERE: Final = re.compile(r"\s{0,3}(?:$|[\n,;|)\"']|[.!?](?:\s|$))")
_NO_HANDLE: Final = re.compile(
    r"(?:is|was|as|id|name|user|username|handle|account|on|at|the|and|or|not|yes|no|none|error|failed|failure|fails|"
    r"broken|down|works?|working|ok|okay|login|logout|connected|disconnected|unknown|missing|private|blocked|app|web|link|"
    r"call|video|chat|message|messages|support|business|api|ads|page|post|profile|https?|www\..*)",
    re.IGNORECASE,
)
_CONTEXT_CHARS: Final = 48


def find_handles(text: str) -> Iterator[tuple[int, int]]:
    """Find handles in a plain text; a word counts as one after a colon or ``id``, or with the signs of a handle."""
    for match in _OWN_HANDLE.finditer(text):
        if match["handle"].startswith("@") or _is_no_word(match["handle"]):
            yield match.span("handle")
    if not _HINT.search(text):
        return
    patterns = [_SHARED, _ON_SERVICE, _URL, *([_DISCORD] if "discord" in text.lower() else [])]
    for match in _NAMED.finditer(text):
        if _is_handle(match) and not _is_company(text, match.start()):
            yield match.span("handle")
    for pattern in patterns:
        for match in pattern.finditer(text):
            if not _is_company(text, match.start()):
                yield match.span("handle")


def _is_handle(match: re.Match[str]) -> bool:
    handle, link, word = match["handle"], (match["link"] or "").strip().lower(), match["word"]
    if _NO_HANDLE.fullmatch(handle) or _VERSION.fullmatch(handle):
        return False
    if handle.startswith("@"):
        return True
    if match["common"] and not word:
        return False
    if _STYLED.search(handle):
        return True
    separated = bool(match["link"]) and link[:1] in {"", *":=|.\"'"}
    named = separated or bool(word and link) or (word or "").strip().lower() in {"id", "handle", "username"}
    named = named or (link == "is" and _is_no_word(handle))
    return named and bool(_ENDS_HERE.match(match.string, match.end()))


def _is_no_word(handle: str) -> bool:
    """Check for letters that are no word of a language: ``my skype is pward``, but not ``… is broken``."""
    return handle.lower().lstrip("@") not in ordinary_words()


def _is_company(text: str, start: int) -> bool:
    return bool(_COMPANY.search(text[max(0, start - _CONTEXT_CHARS) : start]))
