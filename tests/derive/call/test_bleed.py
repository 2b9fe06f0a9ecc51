"""Two channels with one voice on both: each sentence comes once, from the louder channel; two voices stay two."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import numpy as np
import pytest

from mmplatform.artifacts import Utterance
from mmplatform.derive.call.bleed import silence_copies
from mmplatform.derive.media.audio import SAMPLE_RATE, decode, probe
from tests.builders import NOW, call_end
from tests.derive.call.simulated_calls import SimulatedCall, spoken
from tests.derive.media.audio_files import encoded

CASE = Path(__file__).parents[3] / "examples" / "payment-failed"
LAST = call_end(ingested_at=NOW + timedelta(hours=1), event_time=NOW + timedelta(hours=1))
SPEAKERS = ("agent", "customer")
DELAY = round(0.003 * SAMPLE_RATE)


@pytest.fixture(scope="module")
def sides() -> np.ndarray:
    """Half a minute of a call: agent and customer in turn, without bleed."""
    return decode((CASE / "call.flac").read_bytes(), "audio/flac")[:, : 30 * SAMPLE_RATE]


def delayed(channel: np.ndarray, samples: int = DELAY) -> np.ndarray:
    return np.concatenate([np.zeros(samples, dtype=np.float32), channel[:-samples]])


def with_noise(channels: np.ndarray) -> np.ndarray:
    return (channels + np.random.default_rng(1).normal(size=channels.shape) * 3e-4).astype(np.float32)


def derive(channels: np.ndarray, size_s: float = 1.0, speakers=SPEAKERS) -> list[Utterance]:
    call = SimulatedCall()
    pcm = np.clip(channels, -1, 1) * 32_767
    events = call.chunk_events(pcm, size_s=size_s, rate=SAMPLE_RATE, speakers=speakers)
    artifacts, quarantined, _ = call.fold([*events, LAST])
    assert quarantined == []
    return sorted((a for a in artifacts.values() if isinstance(a, Utterance)), key=lambda a: (a.channel, a.start_s))


def extents(utterances, channel: int) -> list[tuple[float, float]]:
    return [(round(a.start_s, 1), round(a.end_s, 1)) for a in utterances if a.channel == channel]


@pytest.mark.parametrize("size_s", [0.5, 1.0, 10.0])
@pytest.mark.parametrize("gain", [0.69, 0.2, 0.05])
def test_a_quieter_copy_adds_no_utterance(sides, gain, size_s):
    left = sides[0]
    alone = derive(with_noise(np.stack([left, np.zeros_like(left)])), size_s)
    both = derive(with_noise(np.stack([left, gain * delayed(left)])), size_s)
    assert extents(both, 0) == extents(alone, 0)
    assert extents(both, 1) == []
    assert {a.speaker for a in both} == {"agent"}


def test_the_louder_channel_may_be_the_second(sides):
    voice = sides[0]
    utterances = derive(with_noise(np.stack([0.4 * delayed(voice), voice])))
    assert {(a.channel, a.speaker) for a in utterances} == {(1, "customer")}


@pytest.mark.parametrize("gain", [0.69, 0.2])
def test_a_copy_through_a_joint_stereo_mp3_adds_no_utterance(sides, gain):
    call = SimulatedCall()
    data = encoded("mp3", "libmp3lame", np.stack([sides[0], gain * delayed(sides[0])]), SAMPLE_RATE)
    event = call.events[0].model_copy(
        update={
            "blob": call.blobs.put(data, media_type="audio/mpeg"),
            "duration_s": probe(data, "audio/mpeg").duration_s,
            "channels": 2,
            "speakers": SPEAKERS,
        }
    )
    artifacts, _, _ = call.fold([event, LAST])
    assert {channel for channel, *_ in spoken(artifacts)} == {0}


def test_of_two_people_who_hear_each_other_each_stays_on_their_channel(sides):
    bled = np.stack([sides[0] + 0.2 * delayed(sides[1]), sides[1] + 0.2 * delayed(sides[0])])
    utterances, wanted = derive(with_noise(bled)), derive(with_noise(sides))
    for channel in (0, 1):
        assert len(extents(utterances, channel)) == len(extents(wanted, channel))
        found, right = extents(utterances, channel), extents(wanted, channel)
        # Up to a second: where both talk within one window, the other's last syllable before it is not told apart.
        assert [start for start, _ in found] == pytest.approx([start for start, _ in right], abs=1.0)
        assert [end for _, end in found] == pytest.approx([end for _, end in right], abs=1.0)


def test_two_people_who_talk_at_once_both_stay(sides):
    customer = np.roll(sides[1], -4 * SAMPLE_RATE)
    together = np.stack([sides[0], customer]).astype(np.float32)
    untouched = together.copy()
    assert silence_copies(together) is False
    assert np.array_equal(together, untouched)
    bled = np.stack([sides[0] + 0.1 * delayed(customer), customer + 0.1 * delayed(sides[0])]).astype(np.float32)
    before = bled.copy()
    silence_copies(bled)
    talking = np.abs(sides[0]) + np.abs(customer)
    loud = (np.abs(sides[0]) > 0.02) & (np.abs(customer) > 0.02)
    assert loud.sum() > 1000
    assert np.mean(bled[:, loud] == before[:, loud]) > 0.95
    assert talking.max() > 0.1


@pytest.mark.parametrize("gain", [1.0, 0.95])
def test_of_equally_loud_copies_one_is_left_and_no_speaker_is_named(sides, gain):
    utterances = derive(np.stack([sides[0], gain * sides[0]]))
    assert {a.channel for a in utterances} == {0}
    assert {a.speaker for a in utterances} == {"channel-0"}


def test_silence_and_one_channel_are_left_alone(sides):
    for channels in (np.zeros((2, SAMPLE_RATE), dtype=np.float32), sides[:1].copy(), sides[:, :100].copy()):
        before = channels.copy()
        assert silence_copies(channels) is False
        assert np.array_equal(channels, before)
