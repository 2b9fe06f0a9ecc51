"""Compares a live call's utterances with the spoken words, and against the same model on the whole recording.

The product's own path: chunks of a second through the call deriver, windows, words, what is published last under each
utterance's id. Only the redactor is left out, because a name that was hidden would count as a word that was missed.
"""

from __future__ import annotations

import io
import math
import tempfile
import wave
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from functools import cached_property
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from benchmarks.accuracy.corpora import Speech
from benchmarks.accuracy.score import Errors, word_errors
from examples.make.score_speech import normalise
from mmplatform.artifacts import Retraction, Utterance
from mmplatform.derive.adapters.model_files import locate_model
from mmplatform.derive.adapters.whisper import HallucinationFilter, WhisperTranscriber
from mmplatform.derive.call.deriver import CallDeriver
from mmplatform.derive.media.audio import SAMPLE_RATE, decode, split
from mmplatform.events import Arrival, CallChunk, CallEnd, Position
from mmplatform.land.blobs.file_store import FileBlobs
from mmplatform.memo import MemoryMemo
from mmplatform.pipeline.factories import open_embedder
from mmplatform.ports import Audio, Redacted
from mmplatform.settings import Settings

CHUNK_S: Final = 1.0
_TYPES: Final = {".wav": "audio/wav", ".flac": "audio/flac", ".mp3": "audio/mpeg", ".opus": "audio/ogg"}
_BEGAN: Final = datetime(2026, 8, 1, 10, 0, tzinfo=UTC)
_TELEPHONE_HZ: Final = 3400
_MU: Final = 255
_ACCEPT_ALL: Final = HallucinationFilter(
    no_speech_threshold=2.0,
    suspect_no_speech=2.0,
    max_no_speech=2.0,
    log_probability_threshold=-math.inf,
    min_log_probability=-math.inf,
    compression_ratio_threshold=math.inf,
    min_word_probability=-1.0,
    max_words_per_second=math.inf,
)


class Unredacted:
    """A redactor that hides nothing: hearing is what is measured."""

    name, version = "none", "1"

    def redact(self, texts: Sequence[str], *, spoken: bool = False) -> list[Redacted]:  # noqa: ARG002 - the port's
        """Every text as it is."""
        return [Redacted(text, (), ()) for text in texts]


class Hearing:
    """The models, loaded once; ``whole`` asks the same model as ``live``, without the hallucination filter."""

    def __init__(self, settings: Settings) -> None:
        directory = locate_model(settings.asr_model, settings.models_path)
        self._options: dict[str, Any] = {
            "beam_size": settings.asr_beam_size,
            "threads": settings.asr_threads,
            "language": settings.asr_language or None,
        }
        self._directory = directory
        self._live = WhisperTranscriber(directory, **self._options)
        self._embedder = open_embedder(settings)
        self._gap_s = settings.call_gap_timeout_s

    @cached_property
    def _bare(self) -> WhisperTranscriber:
        return WhisperTranscriber(self._directory, **self._options, hallucination_filter=_ACCEPT_ALL)

    def full_text(self, audio: Audio) -> str:
        """The bare model, with all of the audio at once."""
        return " ".join(segment.text for segment in self._bare.transcribe(audio))

    def live(self, audio: Audio) -> list[Utterance]:
        """Transcribe a call in chunks, as it would come from a live source: its last versions, in time order.

        Args:
            audio: of shape ``(samples,)``, or ``(channels, samples)``.
        """
        with tempfile.TemporaryDirectory() as folder:
            blobs = FileBlobs(Path(folder))
            deriver = CallDeriver(
                self._live, self._embedder, Unredacted(), MemoryMemo(), blobs, gap_timeout_s=self._gap_s
            )
            state, transcripts = None, {}
            for arrival in _arrivals(audio, blobs):
                state, derived = deriver.advance(state, arrival)
                assert not derived.quarantined, derived.quarantined[0].reasons
                for artifact in derived.artifacts:
                    if isinstance(artifact, Utterance):
                        transcripts[artifact.artifact_id] = artifact
                    elif isinstance(artifact, Retraction):
                        transcripts.pop(artifact.artifact_id, None)
        return sorted(transcripts.values(), key=lambda utterance: utterance.start_s)


def read(path: Path) -> Audio:
    """A recording as the product decodes it; its channels, if it has several, as one."""
    samples: Audio = decode(path.read_bytes(), _TYPES[path.suffix]).mean(axis=0)
    return samples.astype(np.float32)


def telephone(audio: Audio) -> Audio:
    """The sound of a telephone: 8 kHz, µ-law of 8 bits."""
    spectrum = np.fft.rfft(audio)
    spectrum[np.fft.rfftfreq(audio.size, 1 / SAMPLE_RATE) > _TELEPHONE_HZ] = 0
    heard = np.fft.irfft(spectrum, audio.size)
    packed = np.round(np.sign(heard) * np.log1p(_MU * np.abs(heard).clip(max=1)) / np.log1p(_MU) * 127) / 127
    return np.asarray(np.sign(packed) * np.expm1(np.abs(packed) * np.log1p(_MU)) / _MU, dtype=np.float32)


def in_one(recordings: Sequence[Audio], seed: int) -> Audio:
    """All recordings as one call, with pauses of half a second to three between them, on a quiet line."""
    noise = np.random.default_rng(seed)
    parts: list[npt.NDArray[Any]] = []
    for audio in recordings:
        parts += [audio, np.zeros(round(noise.uniform(0.5, 3.0) * SAMPLE_RATE))]
    joined = np.concatenate(parts)
    return np.asarray(joined + noise.normal(0, 3e-4, joined.size), dtype=np.float32)


def compare(hearing: Hearing, audio: Audio, text: str) -> tuple[Errors, Errors]:
    """The errors of the live call, and those of the whole recording."""
    reference = normalise(text)
    live = " ".join(utterance.text for utterance in hearing.live(audio))
    return word_errors(reference, normalise(live)), word_errors(reference, normalise(hearing.full_text(audio)))


def texts_of(recordings: Sequence[Speech]) -> str:
    """The spoken words of all of them, one after the other."""
    return " ".join(recording.text for recording in recordings)


def _arrivals(audio: Audio, blobs: FileBlobs) -> Iterator[Any]:
    count, channels = 0, len(np.atleast_2d(audio))
    for index, start_s, wav in split(_wav(audio), CHUNK_S):
        length_s = (len(wav) - 44) / 2 / channels / SAMPLE_RATE
        moment = _BEGAN + timedelta(seconds=start_s + length_s)
        event = CallChunk(
            event_id=f"call:{index}",
            conversation_id="call",
            subject_id="bench",
            event_time=moment,
            ingested_at=moment,
            chunk_index=index,
            start_s=start_s,
            duration_s=length_s,
            sample_rate=SAMPLE_RATE,
            channels=channels,
            blob=blobs.put(wav, media_type="audio/wav"),
        )
        yield Arrival(event, Position(topic="bench", topic_partition=0, offset=index))
        count = index + 1
    end = CallEnd(
        event_id="call:end",
        conversation_id="call",
        subject_id="bench",
        event_time=_BEGAN,
        ingested_at=_BEGAN + timedelta(seconds=count + 1),
        chunks=count,
    )
    yield Arrival(end, Position(topic="bench", topic_partition=0, offset=count))


def _wav(audio: Audio) -> bytes:
    out, channels = io.BytesIO(), np.atleast_2d(audio)
    with wave.open(out, "wb") as file:
        file.setnchannels(len(channels))
        file.setsampwidth(2)
        file.setframerate(SAMPLE_RATE)
        file.writeframes((np.clip(channels, -1, 1).T * 32767).round().astype("<i2").tobytes())
    return out.getvalue()
