"""Redaction of speech, utterance by utterance, with the one before as context.

A number that is dictated in two breaths is two utterances, and neither half looks like a number. So each is redacted
alone and once more together with what the same speaker said just before; what the second reading finds is added to
both. A half that was published already is published again under the same id, without it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from mmplatform.ports import Redacted, Redactor

Span = tuple[int, int, str]
"""Where, in characters of what was said, and of which kind."""

NEAR_S: Final = 6.0
"""Speaker's pauses up to this may lie inside a number: the other side says "yes" in between."""


@dataclass(frozen=True, slots=True)
class Saying:
    """What was really said between two pauses; ``spans``: what is personal in it, None when it was not read yet."""

    text: str
    start_s: float
    end_s: float
    spans: tuple[Span, ...] | None = None


@dataclass(frozen=True, slots=True)
class Clean:
    """A saying without its personal data."""

    text: str
    spans: tuple[Span, ...]


def redact_in_turn(sayings: Sequence[Saying], redactor: Redactor) -> list[Clean]:
    """Redact what one speaker said, in time order; a result for each saying, those with known spans included."""
    unread = [n for n, saying in enumerate(sayings) if saying.spans is None]
    near = [n for n in range(1, len(sayings)) if sayings[n].start_s - sayings[n - 1].end_s <= NEAR_S]
    if not unread:
        return [Clean(_rendered(saying.text, saying.spans or ()), saying.spans or ()) for saying in sayings]
    pairs = [f"{sayings[n - 1].text} {sayings[n].text}" for n in near]
    read = redactor.redact([*(sayings[n].text for n in unread), *pairs], spoken=True)
    alone = dict(zip(unread, read[: len(unread)], strict=True))
    found = [_spans(alone[n]) if n in alone else list(sayings[n].spans or ()) for n in range(len(sayings))]
    more: list[list[Span]] = [[] for _ in sayings]
    for n, together in zip(near, read[len(unread) :], strict=True):
        border = len(sayings[n - 1].text)
        for start, end, kind in _spans(together):
            more[n - 1] += [(start, min(end, border), kind)] if start < border else []
            more[n] += [(max(start - border - 1, 0), end - border - 1, kind)] if end > border + 1 else []
    return [_clean(saying, found[n], more[n], alone.get(n)) for n, saying in enumerate(sayings)]


def touches(spans: Sequence[Span], start: int, end: int) -> bool:
    """Whether something personal lies in these characters."""
    return any(first < end and start < last for first, last, _ in spans)


def _clean(saying: Saying, found: Sequence[Span], more: Sequence[Span], alone: Redacted | None) -> Clean:
    spans = _union(found, more)
    if alone is not None and spans == tuple(found):
        return Clean(alone.text, spans)
    return Clean(_rendered(saying.text, spans), spans)


def _spans(redacted: Redacted) -> list[Span]:
    return [(start, end, kind) for (start, end), kind in zip(redacted.spans, redacted.entities, strict=True)]


def _union(found: Sequence[Span], more: Sequence[Span]) -> tuple[Span, ...]:
    """Sorted and disjoint. Overlapping spans become one; the kind that was found in the saying itself stays."""
    merged: list[tuple[int, int, int, str]] = []
    ranked = [(start, end, 0, kind) for start, end, kind in found] + [
        (start, end, 1, kind) for start, end, kind in more
    ]
    for start, end, rank, kind in sorted(ranked):
        if merged and start < merged[-1][1]:
            first, last, known, name = merged[-1]
            merged[-1] = (first, max(last, end), min(known, rank), kind if rank < known else name)
        else:
            merged.append((start, end, rank, kind))
    return tuple((start, end, kind) for start, end, _, kind in merged)


def _rendered(text: str, spans: Sequence[Span]) -> str:
    pieces, behind = [], 0
    for start, end, kind in spans:
        pieces += [text[behind:start], f"[{kind}]"]
        behind = end
    return "".join([*pieces, text[behind:]])
