"""Derivers that fall behind, each policy in turn, in a stack with two derivers of chats and of calls."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from contextlib import contextmanager

import httpx
import pytest

from benchmarks.load import call_chunks, screenshots
from benchmarks.surge import Surge, run_surge
from mmplatform.client.client import GatewayClient
from mmplatform.errors import Busy
from mmplatform.events import utc_now
from mmplatform.ingest.schemas import ChatBody
from mmplatform.local.run_file import StackRun
from mmplatform.pipeline.reprocess.reprocess import HOUR_FORMAT
from tests.integration.conftest import running_stack
from tests.integration.stack import Stack
from tests.waiting import eventually, eventually_equal

pytestmark = [pytest.mark.system, pytest.mark.stack, pytest.mark.models, pytest.mark.slow, pytest.mark.timeout(900)]
HIGH = 40
COMPLETE = bool(os.environ.get("MMPLATFORM_TEST_FLOW_WHOLE"))
on_demand = pytest.mark.skipif(not COMPLETE, reason="takes a minute: `make test-flow` runs it")
"""Two more policies, each worker is replaced, and topic partitions are raised: three minutes more."""

DERIVERS = {
    "chat": ("derive-chat", "derive-chat-1"),
    "call": ("derive-call", "derive-call-1"),
    "screenshot": ("derive-screenshot",),
}


@pytest.fixture(scope="module")
def flow(tmp_path_factory):
    environment = {
        "MMPLATFORM_CHAT_HIGH_WATER": str(HIGH),
        "MMPLATFORM_CHAT_LOW_WATER": "5",
        "MMPLATFORM_CALL_BACKPRESSURE_POLICY": "buffer",
        "MMPLATFORM_CALL_HIGH_WATER": "4",
        "MMPLATFORM_SCREENSHOT_BACKPRESSURE_POLICY": "shed",
        "MMPLATFORM_SCREENSHOT_HIGH_WATER": "1000",
        "MMPLATFORM_SCREENSHOT_HIGH_WATER_AGE_S": "2",
        "MMPLATFORM_SCREENSHOT_LOW_WATER_AGE_S": "1",
    }
    arguments = ("--no-dagster", "--derivers", "chat=2,call=2")
    with running_stack(tmp_path_factory.mktemp("flow"), arguments=arguments, **environment) as running:
        yield running


@pytest.fixture
def client(flow):
    """Closed also when a test fails: a socket that is left open fails the next one."""
    with flow.client() as opened:
        yield opened


@contextmanager
def standing_still(stack: Stack, modality: str):
    """The derivers of a modality are stopped, and go on at the end."""
    pids = [pid for name in DERIVERS[modality] if (pid := stack.now().services[name].pid)]
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        for pid in pids:
            os.kill(pid, signal.SIGCONT)


def figure(run: StackRun, name: str, modality: str) -> float:
    """A figure of the gateway's ``/metrics``; 0 while it has none."""
    for line in httpx.get(f"{run.gateway}/metrics").text.splitlines():
        if line.startswith(f"mmplatform_gateway_{name}{{") and f'modality="{modality}"' in line:
            return float(line.rpartition(" ")[2])
    return 0.0


def over(stack: Stack, modality: str) -> bool:
    return figure(stack.run, "over_high_water", modality) == 1.0


def chats(name: str, count: int) -> list[ChatBody]:
    return [
        ChatBody(
            event_id=f"{name}-{n}", conversation_id=f"{name}-{n % 7}", subject_id=name, role="customer", text=f"t {n}"
        )
        for n in range(count)
    ]


def found(stack: Stack, subject: str) -> set[str]:
    return {event for hit in stack.passages(subject).values() for event in hit["event_ids"]}


def cli(stack: Stack, *words: str) -> str:
    """Output of a command; an error fails the test with its message."""
    environment = {**os.environ, "MMPLATFORM_DATA_DIR": str(stack.settings.data_dir), "COLUMNS": "200"}
    command = [sys.executable, "-m", "mmplatform", *words]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr + done.stdout
    return done.stdout


def test_all_derivers_of_a_modality_are_seen(flow):
    status = cli(flow, "status").splitlines()
    for names in DERIVERS.values():
        assert all(any(line.startswith(f"{name} ") for line in status) for name in names)
        for name in names:
            page = httpx.get(f"{flow.now().services[name].metrics_url}/metrics").text
            assert f'worker="{name}"' in page
    assert "chat 2 for 4 topic partitions, call 2 for 4 topic partitions" in cli(flow, "doctor")
    states = sorted(path.name for path in (flow.settings.data_dir / "state").iterdir())
    assert states == sorted({"derive-call-0", "derive-call-1"} | set(states)), "each has a state directory of its own"


def _send_and_close(client: GatewayClient, bodies: list[ChatBody]) -> None:
    with client:
        client.chats(bodies)


def test_a_throttled_source_waits_as_requested_and_nothing_is_lost(flow, client):
    waits: list[Busy] = []
    patient = GatewayClient(flow.run.gateway, max_attempts=60, on_retry=lambda error, _: waits.append(error))
    with standing_still(flow, "chat"):
        client.chats(chats("slow-a", HIGH))
        eventually(lambda: over(flow, "chat"))
        one = chats("slow-b", 1)[0].model_dump(mode="json", exclude_none=True)
        answer = httpx.post(f"{flow.run.gateway}/v1/events/chat", json=one)
        assert answer.status_code == 429
        assert int(answer.headers["retry-after"]) >= 1
        assert answer.json()["lag"] >= HIGH
        source = threading.Thread(target=_send_and_close, args=(patient, chats("slow-b", 20)))
        source.start()
        eventually(lambda: waits)
    source.join(timeout=120)
    assert not source.is_alive()
    assert waits[0].hint["lag"] >= HIGH
    eventually_equal(lambda: found(flow, "slow-a"), {body.event_id for body in chats("slow-a", HIGH)})
    eventually_equal(lambda: found(flow, "slow-b"), {body.event_id for body in chats("slow-b", 20)})
    assert not over(flow, "chat")


@on_demand
def test_a_modality_that_buffers_accepts_all_and_catches_up(flow, client):
    chunks = call_chunks(seed=3)[:10]
    with standing_still(flow, "call"):
        for index, start_s, wav in chunks:
            if index == len(chunks) - 2:
                eventually(lambda: over(flow, "call"))
            said = client.chunk("buffered", wav, "audio/wav", index=index, start_s=start_s, subject_id="buffered")
            assert not said.shed
        assert figure(flow.run, "lag", "call") >= 4
        assert figure(flow.run, "buffered_total", "call") >= 2
    client.end_call("buffered", subject_id="buffered", chunks=len(chunks))
    eventually(lambda: found(flow, "buffered"), within_s=120)
    flow.settle()
    statuses = {row["status"] for row in flow.rows("transcripts", "buffered", "status")}
    assert statuses == {"final"}, "nothing of the call is missing"


@on_demand
def test_shed_events_are_named_counted_and_derived_when_their_hour_is_reprocessed(flow, client):
    images, began = screenshots(seed=5), utc_now()

    def post(name: str):
        return client.screenshot(
            next(images), "image/png", conversation_id="shed", subject_id="shed", event_id=name, event_time=began
        )

    with standing_still(flow, "screenshot"):
        assert not post("kept").shed
        eventually(lambda: over(flow, "screenshot"))
        assert post("shed").shed
    eventually_equal(lambda: found(flow, "shed"), {"kept"})
    eventually(lambda: not over(flow, "screenshot"))
    flow.settle()
    [row] = flow.rows("quarantine", "shed", "event_id", "contract", "reasons")
    assert (row["event_id"], row["contract"]) == ("shed", "shed")
    assert row["reasons"] == ["the oldest event had waited too long for its deriver"]
    lines = [" ".join(line.split()) for line in cli(flow, "freshness").splitlines()]
    assert any(words[:1] == ["screenshot"] and words[2:4] == ["1", "5"] for words in map(str.split, lines))
    cli(flow, "reprocess", "captions", began.replace(minute=0).strftime(HOUR_FORMAT))
    eventually_equal(lambda: found(flow, "shed"), {"kept", "shed"})


def test_a_short_surge_loses_nothing(flow):
    surge = Surge(chats_per_s=5, times=10, seconds=5, before_s=1, after_s=2, name="surge")
    outcome = run_surge(flow.run.gateway, surge)
    assert len(outcome.accepted) == len(surge.due(1))
    assert outcome.failed == 0
    assert outcome.shed == set()
    assert outcome.lost == set()
    flow.settle()
    rows = flow.rows("messages", None, "event_ids", "subject_id")
    events = [event for row in rows for event in row["event_ids"] if event.startswith("surge-")]
    assert sorted(events) == sorted(outcome.accepted)


class Talk(threading.Thread):
    """Numbered chats in three conversations, and a call, without pause until it is stopped.

    Attributes:
        sent: what was acknowledged: event id → conversation, in the order of the answers.
        chunks: how many pieces of the call were.
    """

    def __init__(self, stack: Stack, name: str) -> None:
        super().__init__(daemon=True, name=name)
        self._client, self._stopping = stack.client(), threading.Event()
        self.sent: dict[str, str] = {}
        self.chunks = 0

    def run(self) -> None:
        pieces = iter(call_chunks(seed=9)[:12])
        number = 0
        while not self._stopping.is_set():
            conversation, event = f"{self.name}-{number % 3}", f"{self.name}-{number:05}"
            said = {"role": "customer", "text": f"ticket {number}", "event_id": event}
            self._client.chat(conversation_id=conversation, subject_id=self.name, **said)
            self.sent[event] = conversation
            if number % 10 == 0 and (piece := next(pieces, None)):
                index, start_s, wav = piece
                self._client.chunk(
                    f"{self.name}-call", wav, "audio/wav", index=index, start_s=start_s, subject_id=f"{self.name}-call"
                )
                self.chunks += 1
            number += 1
            time.sleep(0.25)
        self._client.end_call(f"{self.name}-call", subject_id=f"{self.name}-call", chunks=self.chunks)
        self._client.close()

    def stop(self) -> None:
        self._stopping.set()
        self.join(timeout=120)
        assert not self.is_alive()


@on_demand
def test_a_rolling_restart_loses_doubles_and_disorders_nothing(flow):
    before = {name: service.pid for name, service in flow.now().services.items()}
    talk = Talk(flow, "rolling")
    talk.start()
    eventually(lambda: len(talk.sent) >= 5)
    workers = set(before) - {"broker", "chroma"}
    lines = cli(flow, "restart").splitlines()
    restarted = len(talk.sent)
    eventually(lambda: len(talk.sent) >= restarted + 5)
    talk.stop()
    assert {line.partition(":")[0] for line in lines} == workers
    after = flow.now().services
    assert {name for name, service in after.items() if service.pid != before[name]} == workers
    assert {service.restarts for service in after.values()} == {0}, "nobody died"
    flow.settle()
    _all_is_there_in_order(flow, talk)
    assert {row["status"] for row in flow.rows("transcripts", "rolling-call", "status")} == {"final"}


def _all_is_there_in_order(stack: Stack, talk: Talk) -> None:
    rows = stack.rows("messages", talk.name, "event_ids", "conversation_id", "topic_partition", "log_offset")
    assert Counter(event for row in rows for event in row["event_ids"]) == dict.fromkeys(talk.sent, 1)
    found_there: set[str] = set()
    for hit in stack.search("ticket", subject_id=talk.name, k=100):
        found_there |= set(hit["event_ids"])
    assert len(found_there) == min(100, len(talk.sent))
    assert found_there <= set(talk.sent)
    for conversation in set(talk.sent.values()):
        own = sorted((row for row in rows if row["conversation_id"] == conversation), key=lambda row: row["log_offset"])
        assert len({row["topic_partition"] for row in own}) == 1
        events = [event for row in own for event in row["event_ids"]]
        assert events == sorted(events), "derived in the order in which it was said"


@on_demand
def test_a_modality_gets_more_topic_partitions_and_uses_them(flow, client):
    flow.settle()
    assert "chat: 4 → 6 topic partitions" in cli(flow, "topics", "--partitions", "chat=6")
    cli(flow, "restart", "gateway", *DERIVERS["chat"])
    client.chats(
        chats := [
            ChatBody(
                event_id=f"more-{n}", conversation_id=f"more-{n}", subject_id="more", role="customer", text=f"t {n}"
            )
            for n in range(40)
        ]
    )
    eventually_equal(lambda: found(flow, "more"), {body.event_id for body in chats})
    flow.settle()
    there = {row["topic_partition"] for row in flow.rows("raw_chats", "more", "topic_partition")}
    assert there == set(range(6))
