"""A card in two messages, on a running stack: neither half is found once the second one has come."""

from __future__ import annotations

import secrets

import httpx
import pytest

from mmplatform.land.lakehouse.store import Lakehouse
from tests.waiting import eventually_equal

pytestmark = [pytest.mark.stack, pytest.mark.models, pytest.mark.slow]
HALVES = ("my card is 4111 1111", "1111 1111")


def test_a_card_in_two_messages_leaves_search_and_tables(stack):
    subject = f"spread-{secrets.token_hex(3)}"

    def found():
        query = {"query": "my card", "subject_id": subject}
        answer = httpx.post(f"{stack.run.gateway}/v1/search", json=query, timeout=60).raise_for_status().json()
        return {hit["event_ids"][0]: hit["text"] for hit in answer["hits"]}

    def landed():
        lakehouse = Lakehouse.open(stack.addressed)
        rows = lakehouse.scan("messages", columns=("event_ids", "subject_id", "text")).to_pylist()
        return {row["event_ids"][0]: row["text"] for row in rows if row["subject_id"] == subject}

    with stack.client() as client:
        for number, text in enumerate(HALVES):
            client.chat(
                conversation_id=subject, subject_id=subject, role="customer", text=text, event_id=f"half-{number}"
            )
            eventually_equal(lambda seen=number: f"half-{seen}" in found(), wanted=True)
    redacted = {"half-0": "my card is [CARD]", "half-1": "[CARD]"}
    eventually_equal(found, redacted)
    eventually_equal(landed, redacted)
