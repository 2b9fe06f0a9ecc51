"""A receipt that says more than its answer has is named, and one that says less never."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from mmplatform.pipeline.canary.claims import CanaryAnswer, false_claims

APPENDED = datetime(2026, 3, 1, 12, tzinfo=UTC)
LATER = APPENDED + timedelta(milliseconds=1)
EVENT = ("canary-1",)


def answer(*, hit=None, complete_until=None, reached=None, refused=None, open_calls=(), modality="chat"):
    receipt = {
        "modalities": [{"modality": modality, "complete_until": complete_until}],
        "subject": {"refused": refused or {}, "open_calls": open_calls},
    }
    fence = None if reached is None else {"reached": reached}
    hits = [{"event_ids": [hit]}] if hit else []
    return CanaryAnswer.model_validate({"hits": hits, "receipt": receipt, "fence": fence})


def claims(found, modality="chat", appended_at=APPENDED):
    return false_claims(found, modality, EVENT, lambda: appended_at)


def test_a_fence_that_is_reached_without_the_canary_is_a_false_claim():
    assert claims(answer(reached=True)) == {"fence"}
    assert claims(answer(reached=False)) == set()


def test_the_time_is_exclusive_so_only_a_later_one_claims_the_canary():
    assert claims(answer(complete_until=APPENDED)) == set()
    assert claims(answer(complete_until=LATER)) == {"complete_until"}
    assert claims(answer(complete_until=LATER, reached=True)) == {"complete_until", "fence"}


def test_an_answer_with_the_canary_claims_nothing_false():
    assert claims(answer(hit=EVENT[0], complete_until=LATER, reached=True)) == set()
    assert claims(answer(hit="another", reached=True)) == {"fence"}


def test_a_refused_canary_is_claimed_by_no_receipt():
    assert claims(answer(complete_until=LATER, reached=True, refused={"identity": 1})) == set()


@pytest.mark.parametrize("open_calls", [None, ({"conversation_id": "c"},)])
def test_a_call_that_may_be_open_is_claimed_by_no_receipt(open_calls):
    found = answer(complete_until=LATER, reached=True, open_calls=open_calls, modality="call")
    assert claims(found, "call") == set()
    ended = answer(complete_until=LATER, reached=True, modality="call")
    assert claims(ended, "call") == {"complete_until", "fence"}


def test_the_time_of_another_modality_is_no_claim():
    assert claims(answer(complete_until=LATER, modality="call")) == set()


def test_without_the_logs_time_nothing_is_judged_by_time():
    assert claims(answer(complete_until=LATER), appended_at=None) == set()


def test_the_log_is_not_asked_while_nothing_is_claimed():
    def ask():
        raise AssertionError

    assert false_claims(answer(reached=False), "chat", EVENT, ask) == frozenset()
