"""Raw OCR lines → redacted OCR lines, for a whole micro-batch in one call of the redactor.

Each line is redacted alone, and all lines of an image again as one joined text, because OCR splits what belongs
together: a card number in four boxes is four harmless numbers. The joined text adds only spans with a digit or an ``@``
(names are found better in their own line), and only where the line alone has no span of that entity: else an e-mail
would include the first word of the next line.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Final

from mmplatform.artifacts import RedactionCoverage
from mmplatform.derive.pii.replacement import ReplaceValue, by_kind, replace_spans
from mmplatform.ports import NO_LANGUAGE, DetectedLanguage, RecognisedLine, Redacted, Redactor

_SEPARATOR: Final = " "


@dataclass(frozen=True, slots=True)
class RedactedLines:
    """Lines of one image without personal data; ``entities`` has one entry for each redacted span.

    ``language`` is that of all lines together.
    """

    lines: tuple[RecognisedLine, ...]
    entities: tuple[str, ...]
    language: DetectedLanguage = NO_LANGUAGE
    coverage: RedactionCoverage = ""


@dataclass(frozen=True, slots=True)
class _Span:
    start: int
    end: int
    entity: str


def redact_screens(
    screens: Sequence[Sequence[RecognisedLine]], redactor: Redactor, replacements: Sequence[ReplaceValue] | None = None
) -> list[RedactedLines]:
    """Redact the lines of each image; order and boxes stay.

    Args:
        screens: lines of each image.
        redactor: the redactor.
        replacements: for each image, what replaces a value; by default its kind.
    """
    texts: list[str] = []
    for lines in screens:
        texts += [line.text for line in lines]
        texts.append(_SEPARATOR.join(line.text for line in lines))
    results = iter(redactor.redact(texts))
    return [
        _redact_lines(lines, [next(results) for _ in lines], next(results), replace_value)
        for lines, replace_value in zip(screens, replacements or [by_kind] * len(screens), strict=True)
    ]


def _redact_lines(
    lines: Sequence[RecognisedLine], alone: Sequence[Redacted], joined: Redacted, replace_value: ReplaceValue
) -> RedactedLines:
    starts = list(accumulate((len(line.text) + len(_SEPARATOR) for line in lines), initial=0))
    text = _SEPARATOR.join(line.text for line in lines)
    spans = [
        _Span(start + offset, end + offset, entity)
        for offset, own in zip(starts, alone, strict=False)
        for (start, end), entity in zip(own.spans, own.entities, strict=True)
    ]
    merged = _merge([*spans, *_only_joined(text, joined, spans)])
    return RedactedLines(
        lines=tuple(
            RecognisedLine(_hide(line.text, offset, merged, replace_value), line.box, line.confidence)
            for line, offset in zip(lines, starts, strict=False)
        ),
        entities=tuple(span.entity for span in merged),
        language=joined.language,
        coverage=joined.coverage,
    )


def _only_joined(text: str, joined: Redacted, alone: Sequence[_Span]) -> list[_Span]:
    """Select the spans that only the joined text shows."""
    joined_spans = [_Span(start, end, kind) for (start, end), kind in zip(joined.spans, joined.entities, strict=True)]
    return [
        span
        for span in joined_spans
        if any(c.isdigit() or c == "@" for c in text[span.start : span.end])
        and not any(s.entity == span.entity and s.start < span.end and span.start < s.end for s in alone)
    ]


def _merge(spans: Sequence[_Span]) -> list[_Span]:
    """Merge overlapping spans, named after the longest."""
    merged: list[_Span] = []
    for span in sorted(spans, key=lambda s: (s.start, -s.end)):
        if merged and span.start < merged[-1].end:
            last = merged[-1]
            widest = max(last, span, key=lambda s: s.end - s.start)
            merged[-1] = _Span(last.start, max(last.end, span.end), widest.entity)
        else:
            merged.append(span)
    return merged


def _hide(text: str, offset: int, spans: Sequence[_Span], replace_value: ReplaceValue) -> str:
    """Redact the parts of all spans that lie in one line; a part of a value is named by its kind."""
    inside = [
        (max(0, span.start - offset), min(len(text), span.end - offset), span)
        for span in spans
        if span.start < offset + len(text) and span.end > offset
    ]
    parts = {start for start, end, span in inside if end - start < span.end - span.start}
    return replace_spans(text, [(start, end, span.entity) for start, end, span in inside], replace_value, parts=parts)
