"""The product on the same chats: its whole stack, through the gateway, watched from outside."""

from __future__ import annotations

import asyncio
import json
import multiprocessing
import os
import random
import signal
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import httpx

from benchmarks.load import Load, Rates
from benchmarks.machine import cpu_seconds, resident_bytes
from benchmarks.peers.outcome import Ledger, Outcome, format_changes, texts
from benchmarks.reader import Seen, read
from mmplatform.artifacts import artifact_id
from mmplatform.client import ChatBody, DeleteBody, EditBody
from mmplatform.client.client import GatewayClient
from mmplatform.events import utc_now
from mmplatform.identity import DEFAULT_TENANT, event_uid
from mmplatform.land.index.store import ChromaIndex
from mmplatform.local import launch, run_file
from mmplatform.settings import Settings, load

PATIENCE_S: Final = 900.0
_AT_ONCE: Final = 200
_LONG_AGO: Final = datetime(2000, 1, 1, tzinfo=UTC)
_KILLED: Final = ("derive-chat", "index")


def measure(chats: int, rates: list[int], seconds: float, seed: int) -> Outcome:
    """All of it, one after the other."""
    description = "whole stack without Dagster, one chat deriver, gateway, log, redaction, Chroma, Iceberg, as it comes"
    found = Outcome("mmplatform", description, chats)
    with _stack() as (settings, run):
        _throughput(settings, run, found, seed)
        for rate in rates:
            found.gaps[rate] = _gaps(run, rate, seconds, seed + rate)
        found.changes = _changes(settings, run, chats, seed)
    with _stack() as (settings, run):
        found.killed = _killed(settings, run, chats, seed + 1)
    return found


@contextmanager
def _stack() -> Iterator[tuple[Settings, run_file.StackRun]]:
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        settings = load(data_dir=Path(folder), gateway_port=0)
        arguments = ["--no-dagster", "--derivers", "chat=1,call=0,screenshot=0"]
        run = launch.run_detached(settings, arguments, lambda _: None)
        try:
            yield settings.model_copy(update={"chroma_url": run.chroma, "kafka_bootstrap_servers": run.kafka}), run
        finally:
            launch.stop_stack(settings.data_dir.absolute(), force=True, timeout_s=60)


def _throughput(settings: Settings, run: run_file.StackRun, found: Outcome, seed: int) -> None:
    with closing(ChromaIndex.open(settings)) as index:
        _send(run, texts(1, seed - 1), "warm")
        _until(lambda: index.count() >= 1)
        pids = [service.pid for service in run.services.values() if service.pid]
        before, begun = sum(map(cpu_seconds, pids)), time.time()
        _send(run, texts(found.chats, seed), "chat")
        _until(lambda: index.count() >= found.chats + 1)
        found.until_all = time.time() - begun
        found.cpu = sum(map(cpu_seconds, pids)) - before
        found.memory_mb = resident_bytes([run.pid]) / 2**20


def _gaps(run: run_file.StackRun, rate: int, seconds: float, seed: int) -> list[float]:
    """By the reader that polls the public search for the canaries among the chats.

    It looks back a few seconds, as the peers' reader reads from the oldest chat on that it has not got: to ask for all
    at every turn would load the machine more than the chats do. What an overload makes late comes at the last look.
    """
    subject = f"canary-{rate}"
    context = multiprocessing.get_context("spawn")
    started, stop, results = context.Event(), context.Event(), context.Queue()
    reader_arguments = (run.gateway, subject, ("chat",), started, stop, results)
    reader = context.Process(target=read, args=reader_arguments, kwargs={"last_poll_s": PATIENCE_S})
    reader.start()
    started.wait(PATIENCE_S)
    sent = asyncio.run(Load(run.gateway, Rates(rate, 0, 0, seconds), subject, canaries=0.15, seed=seed).run())
    _drain(run)
    time.sleep(2.0)  # one more look for the reader
    stop.set()
    seen: Seen = results.get(timeout=PATIENCE_S)
    reader.join()
    if len(seen.gaps) < len(sent.acknowledged["chat"]):
        print(f"at {rate}/s the reader got {len(seen.gaps)} of {len(sent.acknowledged['chat'])} canaries")
    return [gap for _, gap in seen.gaps.values()]


def _drain(run: run_file.StackRun) -> None:
    """Until the deriver and the indexer have said twice that nothing waits for them."""
    names, quiet = [name for name in run.services if name.startswith(_KILLED)], 0

    def still() -> bool:
        nonlocal quiet
        time.sleep(2.1)
        pages = [httpx.get(f"{run.services[name].metrics_url}/status", trust_env=False).json() for name in names]
        quiet = 0 if any(page["lag"] for page in pages) else quiet + 1
        return quiet > 1

    _until(still)


def _changes(settings: Settings, run: run_file.StackRun, chats: int, seed: int) -> str:
    """Edit and delete some of the chats, and poll the public search about each until it has what was acknowledged."""
    share = max(1, chats // 100)
    chosen = random.Random(seed).sample(range(chats), 2 * share)
    edited = dict(zip(chosen[:share], texts(share, seed + 7), strict=True))
    deleted = chosen[share:]
    changes: list[EditBody | DeleteBody] = [
        EditBody(message_id=f"chat-{n}", event_id=f"edit-{n}", text=text, **_whose(n)) for n, text in edited.items()
    ]
    changes += [DeleteBody(message_id=f"chat-{n}", event_id=f"delete-{n}", **_whose(n)) for n in deleted]
    begun = time.time()
    with GatewayClient(run.gateway, max_attempts=50) as client:
        for first in range(0, len(changes), _AT_ONCE):
            client.chats(changes[first : first + _AT_ONCE])
    with httpx.Client(base_url=run.gateway, timeout=30, trust_env=False) as search:
        edited_s = _poll_until(lambda n: f"edit-{n}" in _event_ids(search, n, edited[n]), edited) - begun
        first_texts = texts(chats, seed)
        deleted_s = _poll_until(lambda n: f"chat-{n}" not in _event_ids(search, n, first_texts[n]), deleted) - begun
    _drain(run)  # a search has both from the tail, up to a second before the index has them
    wanted = {_passage_id(n): 1 + (n in edited) for n in range(chats) if n not in deleted}
    return format_changes(edited_s, deleted_s, Ledger.from_rows(wanted, _present(settings)))


def _poll_until(is_done: Callable[[int], bool], numbers: Iterable[int]) -> float:
    """The moment at which the last of them was done; one after the other, and only those that were not."""
    pending, deadline = list(numbers), time.monotonic() + PATIENCE_S
    while pending := [n for n in pending if not is_done(n)]:
        if time.monotonic() > deadline:
            raise SystemExit(f"{len(pending)} changes are not retrievable in time")
    return time.time()


def _event_ids(search: httpx.Client, n: int, text: str) -> set[str]:
    """Events of what a search for a text finds of the customer of chat ``n``."""
    body = {"query": text, "subject_id": _whose(n)["subject_id"], "k": 100}
    hits = search.post("/v1/search", json=body).raise_for_status().json()["hits"]
    return {event for hit in hits for event in hit["event_ids"]}


def _present(settings: Settings) -> list[tuple[str, int]]:
    """Id and version of each sent chat that the index has; version 2 names its edit."""
    with closing(ChromaIndex.open(settings)) as index:
        rows = index.rows(modality="chat", since=_LONG_AGO, until=utc_now())
        found = [(row_id, json.loads(metadata["event_ids"])) for row_id, _, metadata in rows]
    return [(row_id, len(event_ids)) for row_id, event_ids in found if event_ids[0].startswith("chat-")]


def _whose(n: int) -> dict[str, str]:
    return {"conversation_id": f"conversation-{n % 50}", "subject_id": f"customer-{n % 50}"}


def _passage_id(n: int) -> str:
    uid = event_uid(DEFAULT_TENANT, "", f"conversation-{n % 50}", f"chat-{n}")
    return artifact_id("passage", artifact_id("message", uid, 0), 0)


def _killed(settings: Settings, run: run_file.StackRun, chats: int, seed: int) -> str:
    with closing(ChromaIndex.open(settings)) as index:
        sent = _send(run, texts(chats, seed), "chat")
        _until(lambda: index.count() >= 0.6 * chats)
        now = run_file.read_running(settings.data_dir.absolute())
        assert now is not None
        for service, state in now.services.items():
            if service.startswith(_KILLED) and state.pid:
                os.kill(state.pid, signal.SIGKILL)
        begun = time.time()
        _until(lambda: index.count() >= chats)
        elapsed_s = time.time() - begun
        wanted = {artifact_id("passage", artifact_id("message", uid, 0), 0): 1 for uid in sent}
        return (
            f"whole again after {elapsed_s:.1f} s; {Ledger.from_rows(wanted, [(row_id, 1) for row_id in index.ids()])}"
        )


def _send(run: run_file.StackRun, sent_texts: list[str], kind: str) -> list[str]:
    """Send the texts as chats; returns the events' identities."""
    names = [f"{kind}-{n}" for n in range(len(sent_texts))]
    with GatewayClient(run.gateway, max_attempts=50) as client:
        for first in range(0, len(sent_texts), _AT_ONCE):
            client.chats(
                [
                    ChatBody(
                        event_id=name,
                        role="customer",
                        text=text,
                        **_whose(n),
                    )
                    for n, (name, text) in enumerate(
                        zip(names[first : first + _AT_ONCE], sent_texts[first : first + _AT_ONCE], strict=True),
                        start=first,
                    )
                ]
            )
    return [event_uid(DEFAULT_TENANT, "", f"conversation-{n % 50}", name) for n, name in enumerate(names)]


def _until(done: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not done():
        if time.monotonic() > deadline:
            raise SystemExit("not all chats are retrievable in time")
        time.sleep(1.0)  # a look asks every collection: more often, the looking is what is measured
