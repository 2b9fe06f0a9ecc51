"""Foreign text for a terminal: what would control the terminal becomes visible.

A customer's text, a file's name or a server's message may hold escape sequences: colours, a window title, a hyperlink
under other words (OSC 8), a cursor that moves up. Bidirectional controls show a text in another order than it has
("Trojan Source", CVE-2021-42574).
"""

from __future__ import annotations

import re
from typing import Final

# C0 and C1 controls, line and paragraph separators, bidirectional and interlinear controls, lone surrogates.
_CONTROL: Final = re.compile(
    "[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028\u2029\u202a-\u202e\u2066-\u2069\ufff9-\ufffb\ud800-\udfff]"
)


_COLOUR: Final = re.compile(r"(\x1b\[[0-9;]{0,20}m)")


def printable(text: str, *, colours: bool = False) -> str:
    r"""Return one line of text in which every control is its escape: ``\x1b``, ``\u202e``.

    ``colours``: those of a program's own log lines stay.
    """
    if not colours:
        return _CONTROL.sub(_escape, text)
    pieces = _COLOUR.split(text)  # every second one is a colour
    return "".join(piece if number % 2 else _CONTROL.sub(_escape, piece) for number, piece in enumerate(pieces))


def _escape(control: re.Match[str]) -> str:
    code = ord(control[0])
    return f"\\x{code:02x}" if code <= 0xFF else f"\\u{code:04x}"  # noqa: PLR2004 - one byte
