"""Redaction of speech, utterance by utterance, with the previous ones as context.

A number dictated with pauses is several utterances, and none of them looks like a number. So each is redacted alone and
again together with the same speaker's previous ones; what a joint reading finds is added to each. An utterance that was
published already is published again under the same id, without it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from mmplatform.derive.pii.replacement import ReplaceValue, Span, by_kind, merge_spans, replace_spans
from mmplatform.ports import Redactor

MAX_CONTEXT_PAUSE_S: Final = 6.0
"""Pauses up to this may lie inside a number: the other side says "yes" in between."""

MAX_CONTEXT_UTTERANCES: Final = 6
"""Utterances of one number: an IBAN in groups, an e-mail address as "dana / b / at / example / dot / com"."""

MAX_FRAGMENT_CHARS: Final = 60
"""Between the two ends of a number all text is number: a longer utterance may be an end, never a fragment in between.
So whole sentences are read in pairs only, which bounds the cost."""


@dataclass(frozen=True, slots=True)
class SpokenText:
    """Unredacted text of an utterance; ``spans``: its personal data, None when it was not analysed yet."""

    text: str
    start_s: float
    end_s: float
    spans: tuple[Span, ...] | None = None


@dataclass(frozen=True, slots=True)
class RedactedText:
    """Text of an utterance without its personal data."""

    text: str
    spans: tuple[Span, ...]


def redact_with_context(
    utterances: Sequence[SpokenText], redactor: Redactor, replace_value: ReplaceValue = by_kind
) -> list[RedactedText]:
    """Redact one speaker's utterances, in time order; a result for each, including those with known spans."""

    def render(spoken: SpokenText, spans: tuple[Span, ...]) -> RedactedText:
        return RedactedText(replace_spans(spoken.text, spans, replace_value), spans)

    unread = [n for n, utterance in enumerate(utterances) if utterance.spans is None]
    if not unread:
        return [render(spoken, spoken.spans or ()) for spoken in utterances]
    runs = [run for run in _context_runs(utterances) if any(n in run for n in unread)]
    joined = [" ".join(utterances[n].text for n in run) for run in runs]
    redacted = redactor.redact([*(utterances[n].text for n in unread), *joined], spoken=True)
    alone = dict(zip(unread, redacted[: len(unread)], strict=True))
    own_spans = [
        alone[n].entity_spans if n in alone else list(utterances[n].spans or ()) for n in range(len(utterances))
    ]
    joint_spans: list[list[Span]] = [[] for _ in utterances]
    for run, joint in zip(runs, redacted[len(unread) :], strict=True):
        offset = 0
        for n in run:
            length = len(utterances[n].text)
            clipped = (
                (max(start - offset, 0), min(end - offset, length), entity) for start, end, entity in joint.entity_spans
            )
            joint_spans[n] += [(start, end, entity) for start, end, entity in clipped if start < end]
            offset += length + 1
    return [render(spoken, merge_spans(own_spans[n], joint_spans[n])) for n, spoken in enumerate(utterances)]


def _context_runs(utterances: Sequence[SpokenText]) -> Iterator[range]:
    """Yield runs of two or more neighbours that are read together."""
    for last in range(1, len(utterances)):
        for first in range(last - 1, max(last - MAX_CONTEXT_UTTERANCES, -1), -1):
            if utterances[first + 1].start_s - utterances[first].end_s > MAX_CONTEXT_PAUSE_S:
                break
            yield range(first, last + 1)
            if len(utterances[first].text) > MAX_FRAGMENT_CHARS:
                break
