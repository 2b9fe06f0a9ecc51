"""The tail on a running stack: what is derived is found, also while the indexer stands still or the index is away."""

from __future__ import annotations

import os
import secrets
import signal
from contextlib import contextmanager

import httpx
import pytest

from tests.integration.conftest import running_stack
from tests.waiting import eventually

pytestmark = [pytest.mark.stack, pytest.mark.models, pytest.mark.slow]


@pytest.fixture(scope="module")
def own(tmp_path_factory):
    """A stack of its own: its index is stopped."""
    with running_stack(tmp_path_factory.mktemp("tail")) as running:
        yield running


@contextmanager
def stopped(stack, service):
    """A process that stands still until the block ends."""
    pid = stack.now().services[service].pid
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


def say(stack, subject, text, event_id=None):
    with stack.client() as client:
        client.chat(
            conversation_id=subject, subject_id=subject, role="customer", text=text, event_id=event_id or text[:20]
        )


def answer(stack, subject, query="what happened to the parcel"):
    found = httpx.post(f"{stack.run.gateway}/v1/search", json={"query": query, "subject_id": subject}, timeout=60)
    return found.raise_for_status().json()


def test_while_the_indexer_stands_still_a_chat_is_found_and_says_that_it_is_of_the_tail(own):
    subject = f"tail-{secrets.token_hex(3)}"
    eventually(lambda: answer(own, subject)["coverage"] == {"index": "searched", "tail": "current"})
    with stopped(own, "index"):
        say(own, subject, "the parcel was left in the rain")
        (hit,) = eventually(lambda: answer(own, subject)["hits"])
        assert (hit["found_in"], hit["indexed_at"]) == ("tail", None)
        assert hit["text"] == "the parcel was left in the rain"
    eventually(lambda: [each["found_in"] for each in answer(own, subject)["hits"]] == ["index"])
    (indexed,) = answer(own, subject)["hits"]
    assert indexed["score"] == pytest.approx(hit["score"], abs=2e-4)
    assert (indexed["retrievable_at"], indexed["passage_id"]) == (hit["retrievable_at"], hit["passage_id"])
    assert indexed["retrievable_at"] < indexed["indexed_at"]


def texts(stack, subject):
    return sorted(hit["text"] for hit in answer(stack, subject)["hits"])


def test_an_edit_and_a_deletion_that_are_only_on_the_tail_hide_what_the_index_has(own):
    subject = f"tail-{secrets.token_hex(3)}"
    say(own, subject, "the parcel is at the door", "edited")
    say(own, subject, "the parcel is in the cellar", "deleted")
    eventually(lambda: [hit["found_in"] for hit in answer(own, subject)["hits"]] == ["index"] * 2)
    whose = {"conversation_id": subject, "subject_id": subject}
    with stopped(own, "index"):
        with own.client() as client:
            client.edit_chat("edited", text="the parcel is at the neighbour's", **whose)
            client.delete_chat("deleted", **whose)
        eventually(lambda: texts(own, subject) == ["the parcel is at the neighbour's"])
        (hit,) = answer(own, subject, "the parcel is at the door")["hits"]
        assert hit["found_in"] == "tail"
    eventually(lambda: [hit["found_in"] for hit in answer(own, subject)["hits"]] == ["index"])
    assert texts(own, subject) == ["the parcel is at the neighbour's"]


def test_without_the_index_fresh_passages_are_found_and_the_answer_says_so(own):
    subject = f"tail-{secrets.token_hex(3)}"
    say(own, subject, "an old message")
    eventually(lambda: [each["found_in"] for each in answer(own, subject)["hits"]] == ["index"])
    with stopped(own, "chroma"):
        say(own, subject, "a fresh message")

        def fresh():  # the old one may still be in the tail: it leaves behind the index's committed position
            found = answer(own, subject)
            return found if "a fresh message" in [each["text"] for each in found["hits"]] else None

        found = eventually(fresh, within_s=120)
        assert found["coverage"] == {"index": "unavailable", "tail": "current"}
        assert {each["found_in"] for each in found["hits"]} == {"tail"}
    eventually(lambda: len(answer(own, subject)["hits"]) == 2, within_s=120)
