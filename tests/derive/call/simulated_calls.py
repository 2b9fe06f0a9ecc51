"""Simulated calls: audio, blobs and events of one call, scripted models, and a fold over its events."""

from __future__ import annotations

import io
import re
import wave
from datetime import timedelta

import numpy as np

from mmplatform.artifacts import Retraction, Utterance
from mmplatform.derive.call.deriver import CallDeriver
from mmplatform.derive.call.state import CallState
from mmplatform.errors import Rejected, Unavailable
from mmplatform.events import Arrival, Position
from mmplatform.memo import MemoryMemo
from mmplatform.ports import Redacted, Segment, SpokenWord
from tests.builders import NOW, blob, chunk

RATE = 8000
SPEECH = [(0.5, 1.8), (3.2, 4.6), (6.3, 7.7), (9.1, 10.4)]
LENGTH_S = 12
CHUNK_S = 1.0

COST = frozenset({"seconds", "source_seconds", "memo_hit", "derived_at"})
"""Fields that measure a run: every run has its own."""


class MemoryBlobs:
    def __init__(self) -> None:
        self.data: dict[str, bytes] = {}
        self.away = False

    def put(self, data, *, media_type):
        ref = blob(data, media_type)
        self.data[ref.sha256] = data
        return ref

    def get(self, ref):
        if self.away:
            raise Unavailable("away")
        if ref.sha256 not in self.data:
            raise Rejected("blob is missing")
        return self.data[ref.sha256]


class ScriptedTranscriber:
    """Transcribes each window as its length in seconds: a window that is cut elsewhere has another text."""

    name, version = "scripted", "1"

    def __init__(self) -> None:
        self.calls = 0

    def transcribe(self, audio, *, language=None):  # noqa: ARG002
        self.calls += 1
        length = audio.size / 16_000
        words = tuple(
            SpokenWord(n * length / 3, (n + 1) * length / 3, text, 0.9)
            for n, text in enumerate(("heard", f"{length:.2f}", "seconds"))
        )
        return [Segment(0.0, length, "ignored", words, 0.01, -0.2, 1.0, "en")]


class PlainRedactor:
    name, version = "plain", "1"

    def redact(self, texts, *, spoken=False):
        assert spoken or texts[0].startswith("This is "), "only the label of a speaker is no speech"
        return [Redacted(text, (), ()) for text in texts]


class FlatEmbedder:
    name, version, dimensions = "flat", "1", 4

    def embed(self, texts):
        return np.tile(np.array([1, 0, 0, 0], dtype=np.float32), (len(texts), 1))


def tone_like_speech() -> np.ndarray:
    """Bursts of a voiced sound (harmonics of 140 Hz, swelling), silence between: speech to the detector."""
    t = np.arange(LENGTH_S * RATE) / RATE
    voice = sum(np.sin(2 * np.pi * 140 * n * t) / n for n in range(1, 14)) * (0.6 + 0.4 * np.sin(2 * np.pi * 4 * t))
    on = np.zeros_like(t)
    for start, end in SPEECH:
        on[(t >= start) & (t < end)] = 1.0
    return (voice * on * 6000).astype("<i2")


def wav(channels: np.ndarray, rate: int) -> bytes:
    """16-bit samples, shape ``(channels, samples)``."""
    out = io.BytesIO()
    with wave.open(out, "wb") as file:
        file.setnchannels(len(channels))
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes(channels.T.astype("<i2").tobytes())
    return out.getvalue()


class SimulatedCall:
    def __init__(self, *, channels: int = 1, asr=None, redactor=None) -> None:
        self.blobs, self.memo, self.asr = MemoryBlobs(), MemoryMemo(), asr or ScriptedTranscriber()
        self.redactor = redactor or PlainRedactor()
        samples = tone_like_speech()
        size = int(CHUNK_S * RATE)
        self.events = [
            chunk(
                n,
                start_s=n * CHUNK_S,
                duration_s=CHUNK_S,
                sample_rate=RATE,
                channels=channels,
                blob=self.blobs.put(
                    wav(np.tile(samples[n * size : (n + 1) * size], (channels, 1)), RATE), media_type="audio/wav"
                ),
                event_time=NOW + timedelta(seconds=n + 1),
                ingested_at=NOW + timedelta(seconds=n + 1, milliseconds=50),
            )
            for n in range(LENGTH_S)
        ]

    def chunk_events(self, channels, *, size_s=CHUNK_S, rate=RATE, **change):
        """Events of other audio, shape ``(channels, samples)``, in chunks of ``size_s``."""
        size = round(size_s * rate)
        pieces = [channels[:, start : start + size] for start in range(0, channels.shape[1], size)]
        return [
            chunk(
                n,
                start_s=n * size_s,
                duration_s=piece.shape[1] / rate,
                sample_rate=rate,
                channels=len(channels),
                blob=self.blobs.put(wav(piece, rate), media_type="audio/wav"),
                event_time=NOW + timedelta(seconds=n * size_s + piece.shape[1] / rate),
                ingested_at=NOW + timedelta(seconds=(n + 1) * size_s, milliseconds=50),
                **change,
            )
            for n, piece in enumerate(pieces)
        ]

    def deriver(self) -> CallDeriver:
        return CallDeriver(self.asr, FlatEmbedder(), self.redactor, self.memo, self.blobs, gap_timeout_s=3.0)

    def fold(self, events, *, restart: bool = False):
        deriver, state, artifacts, quarantined = self.deriver(), None, {}, []
        for offset, event in enumerate(events):
            if restart and state is not None:
                deriver, state = self.deriver(), CallState.model_validate_json(state.model_dump_json())
            state, derived = deriver.advance(
                state, Arrival(event, Position(topic="t", topic_partition=0, offset=offset))
            )
            for artifact in derived.artifacts:
                if isinstance(artifact, Retraction):
                    del artifacts[artifact.artifact_id]
                else:
                    artifacts[artifact.artifact_id] = artifact
            quarantined += derived.quarantined
        return artifacts, quarantined, state


def spoken(artifacts) -> list[tuple[int, float, float, str]]:
    """Utterances, without the times at which they were derived."""
    return sorted(
        (a.channel, round(a.start_s, 3), round(a.end_s, 3), a.text)
        for a in artifacts.values()
        if isinstance(a, Utterance) and a.status == "final"
    )


def gaps(artifacts) -> list[tuple[float, float]]:
    return sorted(
        (round(a.start_s, 1), round(a.end_s, 1))
        for a in artifacts.values()
        if isinstance(a, Utterance) and a.status == "gap"
    )


def one_per_burst(utterances, tolerance=0.1) -> bool:
    """Check for one utterance for each burst, at its time but for the padding."""
    return len(utterances) == len(SPEECH) and all(
        begin - 0.45 - tolerance <= start <= begin + tolerance and stop - tolerance <= end <= stop + 0.45 + tolerance
        for (_, start, end, _), (begin, stop) in zip(utterances, SPEECH, strict=True)
    )


class DictatingTranscriber(ScriptedTranscriber):
    """Transcribes each new window as the next breath."""

    def __init__(self, *breaths: str) -> None:
        super().__init__()
        self.breaths = breaths

    def transcribe(self, audio, *, language=None):  # noqa: ARG002
        breath = self.breaths[self.calls].split()
        self.calls += 1
        words = tuple(SpokenWord(n * 0.2, n * 0.2 + 0.15, text, 0.9) for n, text in enumerate(breath))
        return [Segment(0.0, audio.size / 16_000, " ".join(breath), words, 0.0, -0.1, 1.0, "en")]


class DigitRedactor:
    """Redacts seven digits and more, and records the texts that it gets."""

    name, version = "digits", "1"

    def __init__(self) -> None:
        self.read: list[str] = []

    def redact(self, texts, *, spoken=False):
        assert spoken
        self.read += texts
        found = [[match.span() for match in re.finditer(r"\d(?: ?\d){6,}", text)] for text in texts]
        return [
            Redacted(re.sub(r"\d(?: ?\d){6,}", "[PHONE]", text), ("PHONE",) * len(spans), tuple(spans))
            for text, spans in zip(texts, found, strict=True)
        ]


def utterances_in_order(artifacts):
    return sorted((a for a in artifacts.values() if isinstance(a, Utterance)), key=lambda a: a.start_s)
