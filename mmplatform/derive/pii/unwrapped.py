"""A reading of a text in which the lines that a mail program has broken are joined again.

A label and its value, or the parts of an address, then stand in one line. A break between lines of a form or a table,
or after the end of a sentence, stays.
"""

from __future__ import annotations

import re
from typing import Final

from mmplatform.derive.pii.normalise import RewrittenText, to_plain

_BREAK: Final = re.compile(
    r"(?<=[^\s.:;!?|=>{}])[ \t]*\r?\n(?P<quote>[ \t]*(?:>[ \t]*){1,4}|[ \t]{2,16})?(?=[^\W_]|[(+#\"'@])"
)
_FORM: Final = re.compile(r"[|=\t{}]|\S {3,}\S|\.{3}|[^\W\d_][\w.\- ]{0,30}:(?!//)")
_GOES_ON: Final = re.compile(r"[a-zà-ÿ\d(+]")
_OPEN_END: Final = re.compile(r"(?:^|\s)[a-zà-ÿ'\u2019]+$|,$")
_MIN_LINE_CHARS: Final = 18
_MAX_LINE_CHARS: Final = 100
_MIN_WORDS: Final = 3


def without_line_breaks(text: str) -> RewrittenText | None:
    """Join broken lines by a space; ``None`` when a text has none."""
    if "\n" not in text:
        return None
    reading, copied_to = RewrittenText(), 0
    for match in _BREAK.finditer(text):
        before = text[text.rfind("\n", 0, match.start()) + 1 : match.start()].lstrip("> \t")
        end = text.find("\n", match.end())
        after = text[match.end() : end if end >= 0 else len(text)]
        continues = bool(match["quote"]) or bool(_GOES_ON.match(after)) or bool(_OPEN_END.search(before))
        if continues and _is_broken(before, after):
            reading.copy_span(text, copied_to, match.start())
            reading.write(" ", *match.span())
            copied_to = match.end()
    if not copied_to:
        return None
    reading.copy_span(text, copied_to, len(text))
    reading.pieces = [to_plain(reading.text)]
    return reading


def _is_broken(before: str, after: str) -> bool:
    """Check that a line is long enough to be broken, and that neither it nor the next is a row of a form."""
    return (
        _MIN_LINE_CHARS <= len(before) <= _MAX_LINE_CHARS
        and len(before.split()) >= _MIN_WORDS
        and not _FORM.search(before)
        and not _FORM.search(after)
    )
