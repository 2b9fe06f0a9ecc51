"""A reading of a text without markup: entities and escapes are decoded, tags, table bars and quote marks are left out.

``4111&nbsp;1111<br>1111%201111`` reads ``4111 1111 1111 1111``, and spans of the reading map back to the text.
"""

from __future__ import annotations

import re
from html import unescape
from typing import Final
from urllib.parse import unquote

from mmplatform.derive.pii.normalise import RewrittenText, to_plain

_INLINE: Final = r"(?:a|abbr|b|bdi|bdo|big|code|em|font|i|ins|del|kbd|mark|q|s|small|span|strong|sub|sup|tt|u|var|wbr)"
_MARKUP: Final = re.compile(
    r"(?P<wrap>(?<=[\d)])[ \t]*\r?\n(?:[ \t]{2,16}|[ \t]*(?:[>|][ \t]*){1,4})(?=[(\d]))"
    r"|(?P<comment><!--.{0,200}?-->|<!\[CDATA\[|\]\]>)"
    rf"|(?P<inline></?{_INLINE}(?:\s[^<>]{{0,400}})?/?>)"
    r"|(?P<tag></?[a-z][\w:-]{0,30}(?:\s[^<>]{0,400})?/?>|\[/?(?:b|i|u|br|code|color|size|url|quote)(?:=[^\]\n]{0,80})?\])"
    r"|(?P<entity>&(?:amp;){0,3}(?:\#\d{1,7}|\#x[0-9a-f]{1,6}|[a-z][a-z0-9]{1,30});)"
    r"|(?P<percent>(?:%(?:25){0,3}[0-9a-f]{2})+)"
    r"|(?P<unicode>\\{1,2}(?:u[0-9a-f]{4}|x[0-9a-f]{2}))"
    r"|(?P<escape>\\{1,2}[nrt])"
    r"|(?P<literal>\\(?=[^\w\s]))"
    r"|(?P<emphasis>(?<=[\w.@])(?:\*{1,3}|__|~~|`{1,3})(?=[\w.@]))"
    r"|(?P<bars>\s?\|[\s|:-]*)",
    re.IGNORECASE,
)
_HINT: Final = re.compile(
    r"[\d)][ \t]*\r?\n[ \t>|]{1,16}[(\d]|"
    r"<[a-z/!]|&(?:\#|[a-z])\w{1,30};|%[0-9a-f]{2}|\\[^\w\s]|\\[nrtux]|[\w.@](?:\*|__|~~|`)[\w.@]|\[/?[a-z]|\d\s?\|",
    re.IGNORECASE,
)
_CELL: Final = re.compile(r"</?t[dhr]\b", re.IGNORECASE)
"""Cells of a table stay apart: numbers of two cells may be one card, never one telephone number."""

_REST: Final = re.compile(r"[\s\S]+")
_MAX_ROUNDS: Final = 3
"""Escapes of escapes: ``&amp;#52;`` in a URL, ``%2520``."""


def without_markup(text: str) -> RewrittenText | None:
    """Decode and remove the markup of a text; ``None`` when it has none."""
    if not _HINT.search(text):
        return None
    reading = _decode(text)
    for _ in range(_MAX_ROUNDS - 1):
        inner = reading.text
        again = _decode(inner) if _HINT.search(inner) else None
        if again is None or again.text == inner:
            break
        reading = _compose(reading, again)
    reading.pieces = [to_plain(reading.text)]
    return reading if reading.text != to_plain(text) else None


def _decode(text: str) -> RewrittenText:
    decoded, copied_to = RewrittenText(), 0
    for match in _MARKUP.finditer(text):
        _copy(decoded, text, copied_to, match.start())
        decoded.write(_plain_form(match), *match.span())
        copied_to = match.end()
    _copy(decoded, text, copied_to, len(text))
    return decoded


def _copy(decoded: RewrittenText, text: str, start: int, end: int) -> None:
    rest = _REST.match(text, start, end) if start < end else None
    if rest:
        decoded.copy(rest)


def _plain_form(match: re.Match[str]) -> str:
    markup = match[0]
    if match["entity"]:
        return unescape(re.sub(r"(?<=&)(?:amp;)+", "", markup, flags=re.IGNORECASE))
    if match["percent"]:
        return unquote(re.sub(r"%(?:25)+(?=[0-9a-f]{2})", "%", markup, flags=re.IGNORECASE), errors="replace")
    if match["unicode"]:
        character = chr(int(markup.lstrip("\\")[1:], 16))
        return "\ufffd" if "\ud800" <= character <= "\udfff" else character
    if match["wrap"]:
        return " "  # a number that a mail program has broken and indented or quoted
    if match["bars"] or (match["tag"] and _CELL.match(markup)):
        return "|"
    joins = match["inline"] or match["comment"] or match["literal"] or match["emphasis"]
    return "" if joins else " "


def _compose(outer: RewrittenText, inner: RewrittenText) -> RewrittenText:
    """Map a reading of a reading back to the text."""
    composed = RewrittenText(pieces=list(inner.pieces))
    composed.starts = [outer.starts[start] for start in inner.starts]
    composed.ends = [outer.ends[end - 1] for end in inner.ends]
    return composed
