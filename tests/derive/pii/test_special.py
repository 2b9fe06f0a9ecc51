"""Codes, secrets, dates, addresses and documents leave every text; talk about them stays."""

import pytest

from tests.derive.pii import special_texts
from tests.derive.pii.texts import redact_one

pytestmark = pytest.mark.models

LEAKS = [row for name, rows in vars(special_texts).items() if name.endswith("_LEAKS") for row in rows]
TALK = [
    (text, name == "SPOKEN_TALK")
    for name, texts in vars(special_texts).items()
    if name.endswith("_TALK")
    for text in texts
]
OTHERS = {"PERSON", "PHONE"}
"""Entities of other finders, which have tests of their own."""


@pytest.mark.parametrize(("text", "values"), [(text, values) for text, *values in LEAKS])
def test_no_part_of_a_value_survives(redactor, text, values):
    assert all(value in text for value in values), "the row is wrong"
    result = redact_one(redactor, text)
    assert not [value for value in values if value in result.text], result.text


@pytest.mark.parametrize(("text", "values"), [(text, values) for text, *values in special_texts.SPOKEN])
def test_no_part_of_a_dictated_value_survives(redactor, text, values):
    assert all(value in text for value in values), "the row is wrong"
    result = redact_one(redactor, text, spoken=True)
    assert not [value for value in values if value in result.text], result.text


@pytest.mark.parametrize(("text", "spoken"), TALK)
def test_talk_about_codes_and_documents_stays(redactor, text, spoken):
    assert set(redact_one(redactor, text, spoken=spoken).entities) <= OTHERS


def test_redacting_again_changes_nothing(redactor):
    once = [result.text for result in redactor.redact([text for text, *_ in LEAKS])]
    assert [result.text for result in redactor.redact(once)] == once
