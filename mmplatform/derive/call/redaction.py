"""Redaction of speech, utterance by utterance, with those before as context.

A number that is dictated in several breaths is several utterances, and none of them looks like a number. So each is
redacted alone and again together with what the same speaker said just before; what a reading of several finds is added
to each. A part that was published already is published again under the same id, without it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from mmplatform.ports import Redacted, Redactor

Span = tuple[int, int, str]
"""Where, in characters of what was said, and of which kind."""

MAX_CONTEXT_PAUSE_S: Final = 6.0
"""Speaker's pauses up to this may lie inside a number: the other side says "yes" in between."""

MAX_CONTEXT_UTTERANCES: Final = 6
"""Breaths of one number, at most: an IBAN in groups, an e-mail address as "dana / b / at / example / dot / com"."""

MAX_FRAGMENT_CHARS: Final = 60
"""What lies between the two ends of a number is all number: a longer saying may be an end of one, no piece of it. So
what is said in whole sentences is read in pairs only, which is what it costs."""


@dataclass(frozen=True, slots=True)
class SpokenText:
    """What was really said between two pauses; ``spans``: what is personal in it, None when it was not read yet."""

    text: str
    start_s: float
    end_s: float
    spans: tuple[Span, ...] | None = None


@dataclass(frozen=True, slots=True)
class RedactedText:
    """A saying without its personal data."""

    text: str
    spans: tuple[Span, ...]


def redact_with_context(sayings: Sequence[SpokenText], redactor: Redactor) -> list[RedactedText]:
    """Redact what one speaker said, in time order; a result for each saying, those with known spans included."""
    unread = [n for n, saying in enumerate(sayings) if saying.spans is None]
    if not unread:
        return [RedactedText(_render(saying.text, saying.spans or ()), saying.spans or ()) for saying in sayings]
    runs = [run for run in _context_runs(sayings) if any(n in run for n in unread)]
    together = [" ".join(sayings[n].text for n in run) for run in runs]
    read = redactor.redact([*(sayings[n].text for n in unread), *together], spoken=True)
    alone = dict(zip(unread, read[: len(unread)], strict=True))
    found = [_spans(alone[n]) if n in alone else list(sayings[n].spans or ()) for n in range(len(sayings))]
    more: list[list[Span]] = [[] for _ in sayings]
    for run, whole in zip(runs, read[len(unread) :], strict=True):
        at = 0
        for n in run:
            length = len(sayings[n].text)
            inside = ((max(start - at, 0), min(end - at, length), kind) for start, end, kind in _spans(whole))
            more[n] += [(start, end, kind) for start, end, kind in inside if start < end]
            at += length + 1
    return [_redacted_text(saying, found[n], more[n], alone.get(n)) for n, saying in enumerate(sayings)]


def _context_runs(sayings: Sequence[SpokenText]) -> Iterator[range]:
    """Neighbours that are read together, two at the least."""
    for last in range(1, len(sayings)):
        for first in range(last - 1, max(last - MAX_CONTEXT_UTTERANCES, -1), -1):
            if sayings[first + 1].start_s - sayings[first].end_s > MAX_CONTEXT_PAUSE_S:
                break
            yield range(first, last + 1)
            if len(sayings[first].text) > MAX_FRAGMENT_CHARS:
                break


def overlaps_any(spans: Sequence[Span], start: int, end: int) -> bool:
    """Whether something personal lies in these characters."""
    return any(first < end and start < last for first, last, _ in spans)


def _redacted_text(
    saying: SpokenText, found: Sequence[Span], more: Sequence[Span], alone: Redacted | None
) -> RedactedText:
    spans = _merge(found, more)
    if alone is not None and spans == tuple(found):
        return RedactedText(alone.text, spans)
    return RedactedText(_render(saying.text, spans), spans)


def _spans(redacted: Redacted) -> list[Span]:
    return [(start, end, kind) for (start, end), kind in zip(redacted.spans, redacted.entities, strict=True)]


def _merge(found: Sequence[Span], more: Sequence[Span]) -> tuple[Span, ...]:
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


def _render(text: str, spans: Sequence[Span]) -> str:
    pieces, behind = [], 0
    for start, end, kind in spans:
        pieces += [text[behind:start], f"[{kind}]"]
        behind = end
    return "".join([*pieces, text[behind:]])
