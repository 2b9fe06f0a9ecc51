"""SIGKILL of each process under load: what was acknowledged is retrievable and in the lakehouse, once, and no more."""

from __future__ import annotations

import json
import os
import signal
from collections import Counter
from collections.abc import Collection, Mapping
from typing import Any

import psutil
import pytest

from mmplatform.local import runfile
from mmplatform.modalities import MODALITIES
from tests.integration.conftest import running_stack
from tests.integration.ledger import CALL, CASE, Ledger
from tests.integration.stack import Stack
from tests.waiting import eventually, eventually_equal

pytestmark = [pytest.mark.stack, pytest.mark.models, pytest.mark.slow, pytest.mark.timeout(900)]
Hit = Mapping[str, Any]
SERVICES = ("derive-chat", "index", "gateway", "archive", "derive-screenshot", "derive-call", "chroma", "broker")
OVERLAP_S = 0.5
TOLD = json.loads((CASE / "ground_truth.json").read_text())["call"]["utterances"]


def test_killing_each_process_under_load_loses_and_doubles_nothing(tmp_path):
    with running_stack(tmp_path / "data") as stack:
        ledger = Ledger(stack)
        ledger.start()
        _wait_for_chats(ledger, 40)
        for service in SERVICES:
            before = stack.now().services[service].restarts
            stack.kill(service)
            stack.wait_ready(service, restarts=before + 1)
            _wait_for_chats(ledger, len(ledger.chats) + 10)
        ledger.stop()
        _compare(stack, ledger)


def test_killing_the_whole_stack_loses_nothing(tmp_path):
    with running_stack(tmp_path / "data") as stack:
        ledger = Ledger(stack)
        ledger.start()
        _wait_for_chats(ledger, 60)
        pids = [service.pid for service in stack.now().services.values() if service.pid]
        for pid in (stack.run.pid, *pids):
            _kill(pid)
        eventually(lambda: not runfile.is_locked(stack.settings.data_dir), within_s=60)
        eventually(lambda: not any(_alive(pid) for pid in pids), within_s=60)
        ledger.abandon()
        with running_stack(tmp_path / "data") as again:
            _compare(again, ledger, exact=False)


def _wait_for_chats(ledger: Ledger, count: int) -> None:
    eventually(lambda: len(ledger.chats) >= count, within_s=120)


def _compare(stack: Stack, ledger: Ledger, *, exact: bool = True) -> None:
    """Sets, both ways; ``exact`` is False where a post whose answer was lost may have landed unacknowledged."""
    _the_call_was_heard(stack, ledger)
    stack.settle()
    sent = {"chat": set(ledger.chats), "screenshot": set(ledger.shots), "call": set(ledger.chunks)}
    for modality, events in sent.items():
        rows = stack.rows(MODALITIES[modality].raw_table, None, "event_id", "kind")
        _once(Counter(row["event_id"] for row in rows if row["kind"] != "call_end"), events, exact=exact)
    for table, events in (("messages", sent["chat"]), ("captions", sent["screenshot"])):
        rows = stack.rows(table, None, "event_ids")
        _once(Counter(event for row in rows for event in row["event_ids"]), events, exact=exact)
    for table in ("transcripts", "passages"):
        _once(stack.count_by_artifact(table), set(), exact=False)
    subjects = sorted({*ledger.chats.values(), *ledger.shots.values(), CALL})
    found = {subject: stack.passages(subject) for subject in subjects}
    _retrievable(found, sent, exact=exact)
    _index_and_table_agree(stack, subjects)


def _once(counts: Counter[str], wanted: set[str], *, exact: bool) -> None:
    """Nothing is missing, nothing is there twice, and, if ``exact``, nothing else is there."""
    assert wanted - set(counts) == set()
    assert {each: count for each, count in counts.items() if count != 1} == {}
    if exact:
        assert set(counts) - wanted == set()


def _retrievable(found: Mapping[str, Mapping[str, Hit]], sent: Mapping[str, set[str]], *, exact: bool) -> None:
    """Every chat and screenshot comes out of the public search."""
    for modality in ("chat", "screenshot"):
        hits = [hit for passages in found.values() for hit in passages.values() if hit["modality"] == modality]
        events = {event for hit in hits for event in hit["event_ids"]}
        assert sent[modality] - events == set()
        if exact:
            assert events - sent[modality] == set()


def _index_and_table_agree(stack: Stack, subjects: Collection[str]) -> None:
    """What is searched is what is kept, for each person; and each thing said in the call is in both.

    Waits: a passage that a killed indexer had in hand comes once more.
    """

    def differing() -> dict[str, set[str]]:
        kept: dict[str, set[str]] = {subject: set() for subject in subjects}
        for row in stack.rows("passages", None, "artifact_id", "subject_id"):
            if row["subject_id"] in kept:
                kept[row["subject_id"]].add(row["artifact_id"])
        found = {subject: set(stack.passages(subject)) for subject in subjects}
        return {subject: kept[subject] ^ found[subject] for subject in subjects if kept[subject] != found[subject]}

    eventually_equal(differing, {}, within_s=60)
    said = {row["artifact_id"] for row in stack.rows("transcripts", CALL, "artifact_id", "text") if row["text"]}
    assert said
    assert {hit["source_artifact_id"] for hit in stack.passages(CALL).values()} == said


def _the_call_was_heard(stack: Stack, ledger: Ledger) -> None:
    """Everything that was said in the acknowledged part of the call is in a transcript, and nothing is marked as lost.

    Waits: a call whose end was never sent is over when nothing came for a while.
    """
    assert sorted(ledger.chunks.values()) == list(range(len(ledger.chunks))), "a patient source is refused nothing"
    told = [each for each in TOLD if each["end_s"] <= len(ledger.chunks)]
    assert told

    def unheard() -> list[str]:
        rows = stack.rows("transcripts", CALL, "channel", "start_s", "end_s", "status")
        assert {row["status"] for row in rows} <= {"final"}
        return [each["id"] for each in told if not any(_overlap_s(row, each) > OVERLAP_S for row in rows)]

    eventually_equal(unheard, [], within_s=240)


def _overlap_s(row: Mapping[str, Any], told: Mapping[str, Any]) -> float:
    if row["channel"] != told["channel"]:
        return 0.0
    return min(row["end_s"], told["end_s"]) - max(row["start_s"], told["start_s"])


def _kill(pid: int) -> None:
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        return


def _alive(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
