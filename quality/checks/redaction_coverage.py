"""Check ``redaction_coverage``: the share of an hour's texts whose language no finder of personal data knows. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Final

from quality.checks.result import CheckResult, RawMetadataValue
from quality.rows import Row

LANGUAGE_INDEPENDENT: Final = "language_independent"

MAX_UNCOVERED_SHARE: Final = 0.05
"""Above it customers write in a language whose names stay in the texts. A lower share is also that of texts whose
language was detected wrong: 6 of 463 templates of the benchmark."""

MIN_TEXTS: Final = 20
"""With fewer texts one of them decides."""


def check_redaction_coverage(rows: Sequence[Row]) -> CheckResult:
    """Fails when more than a few of the texts are in languages that no finder knows.

    Args:
        rows: of a derived table, with ``text``, ``language`` and ``redaction_coverage``. Rows without a text, and rows
            of an earlier release, which have no coverage, do not count.
    """
    rated = [row for row in rows if row["text"] and row["redaction_coverage"]]
    if not rated:
        return CheckResult(passed=True, description="no text of the hour has a coverage", metadata={"texts": 0})
    coverage = Counter(str(row["redaction_coverage"]) for row in rated)
    uncovered = Counter(str(row["language"]) for row in rated if row["redaction_coverage"] == LANGUAGE_INDEPENDENT)
    share = uncovered.total() / len(rated)
    metadata: dict[str, RawMetadataValue] = {
        "texts": len(rated),
        "uncovered_share": round(share, 4),
        "coverage": {name: round(count / len(rated), 4) for name, count in coverage.most_common()},
        "uncovered_languages": {name: round(count / len(rated), 4) for name, count in uncovered.most_common()},
    }
    passed = share <= MAX_UNCOVERED_SHARE or len(rated) < MIN_TEXTS
    languages = ", ".join(name for name, _ in uncovered.most_common(3))
    described = f"{uncovered.total()} of {len(rated)} texts are in languages that no finder of personal data knows"
    return CheckResult(
        passed=passed, description=f"{described}: {languages}" if uncovered else described, metadata=metadata
    )
