"""A floor under recall and precision, by entity, on a small set of ``benchmarks.pii``."""

import pytest

from benchmarks.pii.report import failure_list
from benchmarks.pii.score import score_texts
from benchmarks.pii.typed import SEED, typed_samples
from mmplatform.derive.pii.entities import ENTITIES

pytestmark = pytest.mark.models

SIZE = 600
MAX_LISTED_CHARS = 4000

FLOORS = {
    "CARD": (0.97, 0.96),
    "CVV": (0.94, 0.97),
    "CARD_EXPIRY": (0.93, 0.93),
    "PIN": (0.97, 0.97),
    "SECRET": (0.97, 0.97),
    "PASSWORD": (0.97, 0.92),
    "ONE_TIME_CODE": (0.91, 0.97),
    "CRYPTO_WALLET": (0.97, 0.97),
    "IBAN": (0.96, 0.97),
    "BANK_ACCOUNT": (0.93, 0.97),
    "SSN": (0.97, 0.97),
    "NATIONAL_ID": (0.97, 0.97),
    "TAX_ID": (0.97, 0.97),
    "PASSPORT": (0.88, 0.97),
    "DRIVING_LICENCE": (0.97, 0.91),
    "BIRTH_DATE": (0.97, 0.97),
    "EMAIL": (0.97, 0.97),
    "PHONE": (0.96, 0.97),
    "IP": (0.97, 0.81),
    "HANDLE": (0.78, 0.97),
    "ADDRESS": (0.94, 0.95),
    "PERSON": (0.97, 0.96),
}
"""Minimum of recall and of precision, by entity, a little under the measured figures; a better finder raises them.

Some values stand in templates on which no rule is tuned. Those hold the figures of CVV and handles down.
"""


@pytest.fixture(scope="module")
def score(redactor):
    samples = typed_samples(SIZE, SEED)
    return score_texts("typed", samples, redactor.redact([sample.text for sample in samples]))


def failures(score, kind, entity):
    """The failures behind a figure, as an assertion shows them."""
    listed = [failure for failure in score.failures if (failure.kind, failure.entity) == (kind, entity)]
    return failure_list(listed)[:MAX_LISTED_CHARS]


@pytest.mark.parametrize("entity", ENTITIES)
def test_personal_data_is_removed_as_often_as_before(score, entity):
    counts = score.by_entity[entity]
    assert counts.values >= 5
    assert counts.recall >= FLOORS[entity][0], failures(score, "miss", entity)


@pytest.mark.parametrize("entity", ENTITIES)
def test_harmless_text_stays_as_often_as_before(score, entity):
    assert score.by_entity[entity].precision >= FLOORS[entity][1], failures(score, "false", entity)
