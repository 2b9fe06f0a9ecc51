"""Preview of redaction: what a deriver's redaction would make of a text, and why; for a person at a terminal.

The text goes through the functions of the derivers themselves. A call's text has an utterance in each line, of one
speaker and without a pause; a screenshot's has an OCR line in each.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

from mmplatform.artifacts import RedactionCoverage
from mmplatform.derive.call.redaction import SpokenText, redact_with_context
from mmplatform.derive.pii.coverage import spoken_coverage
from mmplatform.derive.pii.redactor import Detection, PresidioRedactor
from mmplatform.derive.pii.replacement import Replacements, ReplaceValue, replace_spans
from mmplatform.derive.screenshot.redaction import redact_screens
from mmplatform.events import Modality
from mmplatform.locators import Box
from mmplatform.pipeline.factories import open_redactor, open_replacements
from mmplatform.ports import RecognisedLine
from mmplatform.settings import Settings

_CONVERSATION: Final = "mmplatform redact"
"""Tags are those of a conversation of its own, so that none of a customer's can be computed here."""


@dataclass(frozen=True, slots=True)
class ExplainedDetection:
    """A finding in one part of the text, and what the policy does with such an entity.

    Attributes:
        part: ``text``, ``line N``, or ``all lines`` for lines that were joined by spaces.
        start: first character, counted in the part from 0.
        end: the character after the last one.
        action: the rule of the policy.
        replacement: what the rule writes in the place of the value; empty where it is kept.
    """

    part: str
    start: int
    end: int
    entity: str
    recognizer: str
    score: float
    reading: str
    action: str
    replacement: str


@dataclass(frozen=True, slots=True)
class RedactionPreview:
    """Redacted text with its explanation.

    ``language`` is detected in the text, also for a call, whose language the speech recogniser hears.
    """

    modality: Modality
    text: str
    policy: str
    redactor: str
    findings: tuple[ExplainedDetection, ...]
    language: str
    language_confidence: float
    redaction_coverage: RedactionCoverage

    def to_json(self) -> dict[str, Any]:
        """Convert to plain values."""
        return asdict(self)


def preview_redaction(settings: Settings, modality: Modality, text: str) -> RedactionPreview:
    """Redact a text and list what was found; no finding has the value itself.

    Raises:
        Misconfigured: the model is missing, or the policy has a mistake.
    """
    redactor, replacements = open_redactor(settings, modality), open_replacements(settings, modality)
    lines = [text] if modality == "chat" else text.split("\n")
    replace_value = replacements.for_conversation(_CONVERSATION)
    findings = [
        _explain(part, finding, replacements, replace_value(finding.entity, content[finding.start : finding.end]))
        for part, content in _parts(modality, lines)
        for finding in redactor.explain(content, spoken=modality == "call")
    ]
    [joined] = redactor.redact([" ".join(lines)])
    language = joined.language
    return RedactionPreview(
        modality=modality,
        text=_redact(modality, lines, redactor, replace_value),
        policy=replacements.policy_version,
        redactor=f"{redactor.name}@{redactor.version}",
        findings=tuple(findings),
        language=language.code,
        language_confidence=language.confidence,
        redaction_coverage=(
            spoken_coverage(language.code, language.confidence) if modality == "call" else joined.coverage
        ),
    )


def _parts(modality: Modality, lines: Sequence[str]) -> Iterator[tuple[str, str]]:
    if modality == "chat":
        yield "text", lines[0]
        return
    yield from ((f"line {number}", line) for number, line in enumerate(lines, start=1))
    if len(lines) > 1:
        yield "all lines", " ".join(lines)


def _redact(modality: Modality, lines: Sequence[str], redactor: PresidioRedactor, replace_value: ReplaceValue) -> str:
    match modality:
        case "call":
            spoken = [SpokenText(line, float(second), float(second)) for second, line in enumerate(lines)]
            return "\n".join(redacted.text for redacted in redact_with_context(spoken, redactor, replace_value))
        case "screenshot":
            box = Box(x0=0, y0=0, x1=0, y1=0)
            [screen] = redact_screens([[RecognisedLine(line, box, 1.0) for line in lines]], redactor, [replace_value])
            return "\n".join(line.text for line in screen.lines)
        case _:
            [redacted] = redactor.redact(lines)
            return replace_spans(lines[0], redacted.entity_spans, replace_value)


def _explain(part: str, finding: Detection, replacements: Replacements, replacement: str) -> ExplainedDetection:
    action = replacements.actions.get(finding.entity, "kind")
    return ExplainedDetection(part, *finding, action, "" if action == "keep" else replacement)
