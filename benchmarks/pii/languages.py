"""Detected languages of a labelled set, by language: right, another one, or none."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence

from benchmarks.pii.samples import Sample
from mmplatform.derive.pii.coverage import written_coverage
from mmplatform.ports import LanguageDetector


def language_table(samples: Sequence[Sample], detector: LanguageDetector) -> str:
    """Table of the shares of each language. A false alarm: a covered text is rated as one that no finder knows."""
    rows: defaultdict[str, Counter[str]] = defaultdict(Counter)
    for language, text in _texts(samples):
        found = detector.detect(text)
        rows[language]["right" if found.code == language else "another" if found.code else "none"] += 1
        rows[language]["false alarm"] += written_coverage(found) == "language_independent"
    lines = ["| language | texts | right | another | none | false alarms |", "|---|---|---|---|---|---|"]
    for language, counts in sorted(rows.items()):
        total = counts["right"] + counts["another"] + counts["none"]
        shares = " | ".join(f"{counts[name] / total:.3f}" for name in ("right", "another", "none", "false alarm"))
        lines.append(f"| {language} | {total} | {shares} |")
    return "\n".join(lines)


def _texts(samples: Sequence[Sample]) -> Iterator[tuple[str, str]]:
    """Yield texts without their personal values; records are left out, since many have English labels only."""
    for sample in samples:
        if sample.style in {"form", "lines", "pipe table", "HTML table", "JSON", "CSV", "log line"}:
            continue
        pieces, copied_to = [], 0
        for label in sample.values():
            pieces.append(sample.text[copied_to : label.start])
            copied_to = label.end
        yield sample.language, " ".join([*pieces, sample.text[copied_to:]])
