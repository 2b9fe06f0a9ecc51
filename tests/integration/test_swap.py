"""The embedder of the running stack is swapped and swapped back: no process is restarted, and no search finds less."""

from __future__ import annotations

import threading
from datetime import UTC, datetime
from pathlib import Path

import httpx
import pytest

from mmplatform.identity import DEFAULT_TENANT, subject_key
from mmplatform.land.index.embedder_registry import EmbedderRegistry
from mmplatform.land.index.store import ChromaIndex
from mmplatform.pipeline.factories import open_embedder_swap, resolve_space
from tests.waiting import eventually, eventually_equal

pytestmark = [pytest.mark.stack, pytest.mark.models, pytest.mark.slow]
NEW = "minilm-fp32"
SUBJECT = "swap-subject"
SUBJECT_KEY = subject_key(DEFAULT_TENANT, SUBJECT)
FIRST = 12


class Source:
    """Sends chats, one after the other, and remembers those that were acknowledged."""

    def __init__(self, stack):
        self.stack, self.sent = stack, set()

    def send(self, count=1):
        for _ in range(count):
            event_id = f"swap-{len(self.sent)}"
            body = {
                "event_id": event_id,
                "conversation_id": "swap",
                "subject_id": SUBJECT,
                "event_time": datetime.now(UTC).isoformat(),
                "role": "customer",
                "text": f"parcel number {len(self.sent)} has not come",
            }
            httpx.post(f"{self.stack.run.gateway}/v1/events/chat", json=body, timeout=30).raise_for_status()
            self.sent.add(event_id)

    def missing(self, known=None):
        """Acknowledged events that the public search does not find."""
        hits = self.stack.search("where is my parcel", subject_id=SUBJECT, k=100)
        return (self.sent if known is None else known) - {event for hit in hits for event in hit["event_ids"]}


def test_the_embedder_of_a_running_stack_is_swapped_and_swapped_back(stack):
    source = Source(stack)
    source.send(FIRST)
    eventually_equal(source.missing, set(), within_s=60)
    before = stack.now().services
    settings = stack.addressed
    old, new = resolve_space(settings), resolve_space(settings, NEW)
    known, lost, stop = set(source.sent), [], threading.Event()

    def ask():
        while not stop.is_set():
            lost.extend(source.missing(known))

    asker = threading.Thread(target=ask)
    asker.start()
    try:
        with open_embedder_swap(settings) as swapping:
            swapping.build(new, on_bucket=lambda *_: source.send())
            assert swapping.ensure_serving().serving == new
            eventually(lambda: "serving embedder changed" in _log(stack, "gateway"), within_s=60)
            source.send(4)
            eventually_equal(source.missing, set(), within_s=60)
            swapping.roll_back()
            source.send(4)
            eventually_equal(source.missing, set(), within_s=60)
            eventually_equal(lambda: [len(_ids(settings, space)) for space in (old, new)], [len(source.sent)] * 2)
            assert _ids(settings, new) == _ids(settings, old)
            eventually_equal(lambda: _ids(settings, new, subject=None) ^ _ids(settings, old, subject=None), set())
            assert swapping.retire() == [new.name]
            source.send(2)
            eventually_equal(source.missing, set(), within_s=60)
            assert EmbedderRegistry(swapping.index).latest().active == (old,)
    finally:
        stop.set()
        asker.join(60)
    assert lost == []
    after = stack.now().services
    assert {name: run.pid for name, run in after.items()} == {name: run.pid for name, run in before.items()}


def _log(stack, service):
    return Path(stack.now().services[service].log).read_text()


def _ids(settings, space, subject=SUBJECT_KEY):
    index = ChromaIndex.open(settings)
    try:
        return set(index.ids(subject=subject, embedder=space.name))
    finally:
        index.close()
