"""SIGTERM under load: what was taken is finished and committed, the end is 0, and nothing is derived twice."""

from __future__ import annotations

import os
import signal
import threading
from collections import Counter

import httpx
import pytest

from mmplatform.artifacts import Message, decode_artifact
from mmplatform.errors import Rejected
from mmplatform.kafka.reader import ReplayLog
from mmplatform.modalities import ARTIFACTS_TOPIC
from tests.operations.page import on_demand
from tests.waiting import eventually

pytestmark = [
    pytest.mark.system,
    pytest.mark.stack,
    pytest.mark.models,
    pytest.mark.slow,
    pytest.mark.timeout(600),
    on_demand,
]
MAX_CHATS = 90
"""Chats of one source: one search returns them all."""

STOPPED_SERVICES = ("gateway", "derive-chat", "index", "archive")


class Source(threading.Thread):
    """Posts chats in sequence, each once, and records every answer."""

    def __init__(self, url: str, number: int) -> None:
        super().__init__(daemon=True)
        self._url, self._number = url, number
        self._over = threading.Event()
        self.acknowledged: set[str] = set()
        self.other_answers: list[httpx.Response] = []
        self.unanswered: set[str] = set()

    def run(self) -> None:
        with httpx.Client(base_url=self._url, timeout=30) as http:
            sent = 0
            while not self._over.wait(0.2):
                if not self.full:
                    sent += 1
                    self._post(http, f"drain-{self._number}-{sent}")

    @property
    def full(self) -> bool:
        return len(self.acknowledged) + len(self.unanswered) >= MAX_CHATS

    def _post(self, http: httpx.Client, event_id: str) -> None:
        subject = f"drain-{self._number}"
        body = {
            "event_id": event_id,
            "conversation_id": subject,
            "subject_id": subject,
            "role": "customer",
            "text": event_id,
        }
        try:
            answer = http.post("/v1/events/chat", json=body)
        except httpx.ConnectError:
            return  # it was refused before anything was sent
        except httpx.TransportError:
            self.unanswered.add(event_id)
            return
        if answer.status_code == 202:
            self.acknowledged.add(event_id)
        else:
            self.other_answers.append(answer)

    def stop(self) -> None:
        self._over.set()
        self.join(timeout=60)
        assert not self.is_alive()


def is_back(service, restarts: int) -> bool:
    return service.state == "ready" and service.restarts > restarts


@pytest.fixture(scope="module")
def drained(stack):
    """The sources, after each process was stopped while they sent, and the stack has settled."""
    sources = [Source(stack.now().gateway, number) for number in range(3)]
    for source in sources:
        source.start()
    before = {name: stack.now().services[name].restarts for name in STOPPED_SERVICES}
    eventually(lambda: all(len(source.acknowledged) >= 5 for source in sources), within_s=120)
    for name in STOPPED_SERVICES:
        pid = stack.now().services[name].pid
        assert pid is not None
        os.kill(pid, signal.SIGTERM)
    eventually(
        lambda: all(is_back(stack.now().services[name], before[name]) for name in STOPPED_SERVICES), within_s=240
    )
    counts = [len(source.acknowledged) for source in sources]
    goes_on = list(zip(sources, counts, strict=True))
    eventually(lambda: all(source.full or len(source.acknowledged) > was for source, was in goes_on), within_s=120)
    for source in sources:
        source.stop()
    stack.settle()
    return sources


@pytest.mark.usefixtures("drained")
def test_every_process_ends_by_itself_with_0(stack):
    journal = (stack.settings.data_dir / "logs" / "supervisor.log").read_text()
    for name in STOPPED_SERVICES:
        assert f"{name}: ended with exit code 0" in journal, journal
        assert f"{name}: did not stop within" not in journal


def test_a_source_is_acknowledged_or_asked_to_retry(drained):
    """Or its connection was closed before the request was read: then nothing was acknowledged."""
    assert all(
        answer.status_code == 503 and answer.headers["Retry-After"]
        for source in drained
        for answer in source.other_answers
    )


def test_every_acknowledged_event_is_derived_exactly_once(stack, drained):
    counts: Counter[str] = Counter()
    for entry in ReplayLog(stack.addressed).read(ARTIFACTS_TOPIC):
        try:
            artifact = decode_artifact(entry.value, entry.headers)
        except Rejected:
            continue
        if isinstance(artifact, Message) and artifact.subject_id.startswith("drain-"):
            counts[artifact.provenance.event_ids[0]] += 1
    acknowledged = set().union(*(source.acknowledged for source in drained))
    unanswered = set().union(*(source.unanswered for source in drained))
    assert acknowledged <= set(counts) <= acknowledged | unanswered
    assert {event: count for event, count in counts.items() if count != 1} == {}


def test_every_acknowledged_event_is_found_and_archived_once(stack, drained):
    for source in drained:
        subject = f"drain-{source._number}"
        eventually(lambda who=source, of=subject: who.acknowledged <= set(stack.count_by_event("raw_chats", of)))
        assert set(stack.count_by_event("raw_chats", subject).values()) == {1}
        hits = stack.passages(subject).values()
        events = {event for hit in hits for event in hit["event_ids"]}
        assert source.acknowledged <= events <= source.acknowledged | source.unanswered
