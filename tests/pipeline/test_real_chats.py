"""Chats through the whole path with the real redactor and embedder: what is no personal data is found."""

from __future__ import annotations

import random

import pytest

from mmplatform.events import encode
from mmplatform.memo import MemoryMemo
from mmplatform.modalities import CHAT
from mmplatform.pipeline.consumed_record import ConsumedRecord
from mmplatform.pipeline.factories import chat_deriver
from mmplatform.pipeline.process import process
from mmplatform.settings import load
from quality.card_numbers import passes_luhn
from quality.contracts import ContractLimits
from tests.builders import NOW, chat, position

pytestmark = pytest.mark.models
LIMITS = ContractLimits()


@pytest.fixture(scope="module")
def deriver():
    return chat_deriver(load(), MemoryMemo())


def outcome_of(texts, deriver):
    records = [
        ConsumedRecord(position(number), encode(chat(number, text=text)), NOW) for number, text in enumerate(texts)
    ]
    return process(records, deriver, CHAT, LIMITS)


def passages(outcome):
    return [artifact.text for artifact in outcome.artifacts if artifact.kind == "passage"]


@pytest.mark.parametrize(
    "text",
    [
        "my refund, reference 4532015112830367, has not arrived",
        "transfer 5212345678901235 failed three times",
        "transaction id 2345678901234567",
        "tracking 4000 1234 5678 9012 3456",
    ],
)
def test_a_reference_in_a_card_schemes_range_is_found_as_it_was_written(deriver, text):
    outcome = outcome_of([text], deriver)
    assert outcome.quarantined == ()
    assert passages(outcome) == [text]


def test_what_the_redactor_leaves_is_what_the_contract_takes(deriver):
    """300 references that start as cards do; one in ten has a card's check digit by chance and is redacted."""
    digits = random.Random(16)
    starts = ("4", "51", "55", "2345", "6011", "65")
    numbers = ["".join([start := digits.choice(starts), *digits.choices("0123456789", k=16 - len(start))])
               for _ in range(300)]  # fmt: skip
    shapes = ("reference {}", "it says {}.", "order no. {}, please", "{} failed")
    texts = [shapes[place % len(shapes)].format(number) for place, number in enumerate(numbers)]
    outcome = outcome_of(texts, deriver)
    assert outcome.quarantined == ()
    kept = [number for number in numbers if any(number in text for text in passages(outcome))]
    assert kept == [number for number in numbers if not passes_luhn(number)]
