"""The check of languages that no finder of personal data knows."""

from __future__ import annotations

import pytest

from quality.checks.redaction_coverage import MAX_UNCOVERED_SHARE, MIN_TEXTS, check_redaction_coverage


def rows(**counts):
    languages = {"full": "en", "partial": "uk", "language_independent": "vi", "unknown": ""}
    return [
        {"text": "words", "language": languages[coverage], "redaction_coverage": coverage}
        for coverage, count in counts.items()
        for _ in range(count)
    ]


@pytest.mark.parametrize(
    ("counts", "passed"),
    [
        ({"full": 100}, True),
        ({"full": 95, "language_independent": 5}, True),
        ({"full": 94, "language_independent": 6}, False),
        ({"language_independent": MIN_TEXTS}, False),
        ({"language_independent": MIN_TEXTS - 1}, True),
        ({"unknown": 80, "partial": 20}, True),
    ],
)
def test_the_check_fails_above_the_threshold(counts, passed):
    result = check_redaction_coverage(rows(**counts))
    assert result.passed is passed
    share = counts.get("language_independent", 0) / sum(counts.values())
    assert result.metadata["uncovered_share"] == share
    assert (share > MAX_UNCOVERED_SHARE) >= (not passed)


def test_the_result_names_languages_and_shares():
    result = check_redaction_coverage(rows(full=6, unknown=2, language_independent=2))
    assert "2 of 10 texts are in languages that no finder of personal data knows: vi" in result.description
    assert result.metadata["coverage"] == {"full": 0.6, "unknown": 0.2, "language_independent": 0.2}
    assert result.metadata["uncovered_languages"] == {"vi": 0.2}


def test_rows_without_text_and_rows_of_an_earlier_release_do_not_count():
    old = [{"text": "words", "language": None, "redaction_coverage": None}]
    gap = [{"text": "", "language": "", "redaction_coverage": ""}]
    assert check_redaction_coverage([*old, *gap]).metadata == {"texts": 0}
    assert check_redaction_coverage([*old, *gap, *rows(full=1)]).metadata["texts"] == 1
