"""Passwords beside their user: in URLs, in command lines, and in pairs (``login: dana / hunter2``)."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from mmplatform.derive.pii.labels import Found, Page

_PAIR: Final = re.compile(
    r"\b(?:credentials|creds|log ?in details|log ?in|user(?:name)?\s?[/&+]\s?pass\w*|zugangsdaten|identifiants|"
    r"credenciales)"
    r"(?:\s(?:is|are|sind|sont|son)\s?:?|\s?[:=])\s{0,5}"
    r"(?P<value>[^\s/|:,\x01]{2,60}\s{0,2}[/|:]\s{0,2}[^\s/|\x01]{3,60})",
    re.IGNORECASE,
)
_URL_LOGIN: Final = re.compile(
    r"[a-z][a-z0-9+.\-]{1,20}://(?P<value>[^\s/@:\x01]{0,80}:[^\s/\x01]{1,120})@", re.IGNORECASE
)
_OPTION: Final = re.compile(
    r"(?:(?<!\S)(?:-u|--user|--proxy-user)[ =]?[\"']?[^\s:\"']{1,80}:(?P<value>[^\s\"'\x01]{1,80})"
    r"|(?<!\S)(?:--?pass(?:word|phrase|wd)?|--?pw)[ =][\"']?(?P<option>[^\s\"'\x01]{1,80})"
    r"|\b(?:sshpass\s-p\s?|net user \S{1,40} )[\"']?(?P<tool>[^\s\"'\x01/]{3,80})"
    r"|\b(?:mysql|psql|mysqldump)\b[^\n]{0,80}?\s-p(?P<mysql>[^\s\"'\x01]{3,80}))"
)


def find_logins(page: Page) -> Iterator[Found]:
    """Find pairs of user and password, as a whole where no label tells which is which."""
    text = page.text
    if "://" in text:
        for match in _URL_LOGIN.finditer(text):
            yield *match.span("value"), "PASSWORD"
    if "-" in text:
        for match in _OPTION.finditer(text):
            yield *match.span(match.lastgroup or 0), "PASSWORD"
    if page.holds_any(("cred", "login", "log in", "user", "zugangsdaten", "identifiants")):
        for match in _PAIR.finditer(text):
            if "://" not in match["value"]:
                yield *match.span("value"), "PASSWORD"
