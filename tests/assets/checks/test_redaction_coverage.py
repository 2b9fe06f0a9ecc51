"""The check of a text's language as Dagster runs it, over real tables."""

from __future__ import annotations

import pytest

from tests.assets.checks.check_runs import check, metadata
from tests.land.records import message

pytestmark = pytest.mark.broker


def spoken_of(number, language, coverage):
    return message(number).model_copy(update={"language": language, "redaction_coverage": coverage})


def test_the_share_of_texts_in_languages_without_a_finder_is_shown_and_fails_the_check(stores):
    stores.land(*(spoken_of(number, "en", "full") for number in range(20)))
    found = check("messages", "redaction_coverage")
    assert found.passed
    assert metadata(found)["coverage"] == {"full": 1.0}
    stores.land(*(spoken_of(number, "vi", "language_independent") for number in range(20, 25)))
    found = check("messages", "redaction_coverage")
    assert not found.passed
    assert metadata(found)["uncovered_languages"] == {"vi": 0.2}
    assert "message number" not in str(metadata(found)) + str(found.description)
