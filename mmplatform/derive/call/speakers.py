"""Labels of speakers without personal data: a source may send the name of a person in the place of a role."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache
from typing import Final

from mmplatform.derive.call.context import PLATFORM_ERRORS
from mmplatform.derive.pii.replacement import ReplaceValue, Span, replace_spans
from mmplatform.ports import Redactor

_BEFORE: Final = "This is "
_AFTER: Final = " calling"
"""Words around a label: a name alone, without a sentence, is found less often."""

_MAX_LABEL_CHARS: Final = 64
_MAX_CACHED: Final = 1024
_MAX_ABBREVIATION_CHARS: Final = 4
_MAX_NUMBER_DIGITS: Final = 4
_ROLES: Final = frozenset(
    {
        *("advisor", "agent", "agente", "assistant", "berater", "beraterin", "bot", "call", "callee"),
        *("caller", "center", "centre", "channel", "client", "cliente", "conseiller", "customer", "desk"),
        *("employee", "first", "guest", "help", "host", "interpreter", "ivr", "klant", "kunde", "kundin"),
        *("lead", "left", "level", "line", "manager", "medewerker", "member", "operator", "patient"),
        *("rep", "representative", "right", "sales", "second", "service", "speaker", "supervisor"),
        *("support", "system", "team", "tier", "unknown", "user", "visitor"),
    }
)
_WORDS: Final = re.compile(r"[^\W\d_]+")


class SpeakerLabels:
    """Redacts the labels of speakers; roles are returned as they are, without the redactor."""

    def __init__(self, redactor: Redactor) -> None:
        self._redactor = redactor
        self._find = lru_cache(_MAX_CACHED)(self._find_spans)

    def redact(self, label: str, replace_value: ReplaceValue) -> str:
        """Redact a label; ``replace_value`` is that of its conversation."""
        if all(word.casefold() in _ROLES for word in _WORDS.findall(label)) and not _has_number(label):
            return label
        return replace_spans(label, self._find(label), replace_value)[:_MAX_LABEL_CHARS]

    def _find_spans(self, label: str) -> tuple[Span, ...]:
        try:
            [redacted] = self._redactor.redact([f"{_BEFORE}{label}{_AFTER}"])
        except PLATFORM_ERRORS:
            raise
        except Exception:  # noqa: BLE001 - a model that fails on a label must not stop the call
            return ((0, len(label), "PERSON"),)
        shifted = [
            (max(start - len(_BEFORE), 0), min(end - len(_BEFORE), len(label)), entity)
            for start, end, entity in redacted.entity_spans
        ]
        return _with_name(label, [span for span in shifted if span[0] < span[1]])


def _with_name(label: str, found: Sequence[Span]) -> tuple[Span, ...]:
    """Add the words that are written like a name: in this field the model alone is no judge of names."""
    others = [span for span in found if span[2] != "PERSON"]
    rest = label
    for start, end, _ in others:
        rest = f"{rest[:start]}{' ' * (end - start)}{rest[end:]}"
    words = [word for word in _WORDS.finditer(rest) if word[0].casefold() not in _ROLES]
    named = [word.span() for word in words if len(words) > 1 or _is_capitalised(word[0])]
    named += [(start, end) for start, end, entity in found if entity == "PERSON"]
    if not named:
        return tuple(others)
    first, last = min(start for start, _ in named), max(end for _, end in named)
    outside = [span for span in others if span[1] <= first or span[0] >= last]
    return tuple(sorted([*outside, (first, last, "PERSON")]))


def _is_capitalised(word: str) -> bool:
    """Check for a capital, or a script without capitals; a short word of capitals is an abbreviation."""
    if word.lower() == word.upper():
        return True
    return word[0].isupper() and not (word.isupper() and len(word) <= _MAX_ABBREVIATION_CHARS)


def _has_number(label: str) -> bool:
    """Check for more digits than the number of an agent or a channel has."""
    return sum(character.isdigit() for character in label) > _MAX_NUMBER_DIGITS
