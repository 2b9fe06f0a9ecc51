"""Every process is killed, servers stay away, the disk of the blobs fills up, while chats, screenshots and a call come.

One stack and one ledger for all of it: each test breaks one thing and sees that the load goes on behind it; the last
one compares what was acknowledged with what is there.
"""

from __future__ import annotations

import io
import os
import wave
from functools import partial

import pytest
from PIL import Image

from benchmarks.faults.ledger import Ledger
from benchmarks.faults.stack import SERVICES, Broken, broken_stack
from benchmarks.faults.verdict import compare
from mmplatform.client.client import GatewayClient
from mmplatform.errors import Unavailable
from mmplatform.events import utc_now
from tests.faults.small_disk import fill, small_disk
from tests.waiting import eventually

pytestmark = [pytest.mark.system, pytest.mark.stack, pytest.mark.models, pytest.mark.slow, pytest.mark.timeout(1800)]
LONG = bool(os.environ.get("MMPLATFORM_TEST_FAULTS"))
KILLED = SERVICES if LONG else ("broker", "derive-chat", "archive")
AWAY_S = 20.0 if LONG else 8.0
"""Longer than a session of a consumer group, 6 s: the broker has to take its members in again."""


@pytest.fixture(scope="module")
def attacked(tmp_path_factory):
    data_dir = tmp_path_factory.mktemp("attacked")
    with small_disk(data_dir / "blobs") as is_small, broken_stack(data_dir) as stack:
        ledger = Ledger(stack)
        ledger.start()
        ledger.wait_for(20)
        yield stack, ledger, is_small
        ledger.abandon()


def newest_is_found(stack: Broken, ledger: Ledger) -> None:
    """The path holds again, all of it: a chat that is acknowledged from now on comes out of the search."""
    ledger.wait_for(5)
    event, person = list(ledger.chats.items())[-1]
    eventually(lambda: any(event in hit["event_ids"] for hit in stack.passages(person).values()), within_s=300)


@pytest.mark.parametrize("service", KILLED)
def test_a_killed_process_comes_back_and_the_path_works(attacked, service):
    stack, ledger, _ = attacked
    stack.kill(service)
    stack.wait_ready(service)
    newest_is_found(stack, ledger)


def test_without_the_index_events_are_still_accepted_and_found_once_it_is_back(attacked):
    stack, ledger, _ = attacked
    stack.board.hold("chroma")
    try:
        stack.kill("chroma")
        began = utc_now()
        while (utc_now() - began).total_seconds() < AWAY_S:
            ledger.wait_for(5)
    finally:
        stack.board.let_go("chroma")
    stack.wait_ready("chroma")
    newest_is_found(stack, ledger)


def test_without_the_log_nothing_is_acknowledged_and_sources_that_wait_lose_nothing(attacked):
    stack, ledger, _ = attacked
    stack.keep_down("broker", AWAY_S)
    stack.wait_ready("broker")
    newest_is_found(stack, ledger)
    assert ledger.refused == {}


def test_a_full_disk_refuses_screenshots_and_audio_accepts_chats_and_loses_nothing_pending(attacked):
    stack, ledger, is_small = attacked
    if not is_small:
        pytest.skip("needs root that may mount a small disk")
    with GatewayClient(stack.now().gateway, max_attempts=1) as hasty:
        show = partial(hasty.screenshot, picture(), "image/png", conversation_id="new", subject_id="new")
        filler = fill(stack.settings.blobs_dir)
        try:
            with pytest.raises(Unavailable):
                show(event_id="shot-new")
            with pytest.raises(Unavailable):
                hasty.chunk("call-new", noise(), "audio/wav", index=0, start_s=0.0, subject_id="call-new")
            ledger.wait_for(40)
        finally:
            filler.unlink()
        show(event_id="shot-new")
    ledger.shots["shot-new"] = "new"
    newest_is_found(stack, ledger)


def picture() -> bytes:
    """Bytes that are not there yet: what lies among the blobs already needs no room."""
    out = io.BytesIO()
    Image.effect_noise((320, 240), 50).save(out, "PNG")
    return out.getvalue()


def noise() -> bytes:
    """A second of audio that is not there yet."""
    out = io.BytesIO()
    with wave.open(out, "wb") as sound:
        sound.setnchannels(1)
        sound.setsampwidth(2)
        sound.setframerate(8000)
        sound.writeframes(os.urandom(16_000))
    return out.getvalue()


def test_in_the_end_every_acknowledged_event_is_present_once_and_nothing_else(attacked):
    stack, ledger, _ = attacked
    ledger.stop()
    assert ledger.refused == {}, "a patient source is refused nothing"
    verdicts = compare(stack, ledger)
    assert all(verdict.sent for verdict in verdicts.values())
    assert {modality: verdict.faults for modality, verdict in verdicts.items() if verdict.faults} == {}
    assert {modality: verdict.named for modality, verdict in verdicts.items() if verdict.named} == {}
