"""Windows of speech → words: the same audio is transcribed once.

The memo stores unredacted transcriptions (segments with words, never audio). It belongs to the raw vault, like the
blobs, and an erasure empties it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import orjson

from mmplatform.derive.memo_batch import memoised_batch
from mmplatform.ports import Audio, Memo, Segment, SpokenWord, Transcriber

_FULL_SCALE: Final = 32767


@dataclass(frozen=True, slots=True)
class Transcription:
    """ASR result of a window; ``key`` is its key in the memo."""

    key: str
    segments: tuple[Segment, ...]
    seconds: float
    memo_hit: bool

    @property
    def words(self) -> tuple[SpokenWord, ...]:
        """All words, in order; times from the start of the window."""
        return tuple(word for segment in self.segments for word in segment.words)

    @property
    def text(self) -> str:
        """The words, joined: so a redacted span of the text maps to the words that it covers."""
        return " ".join(word.text for word in self.words)


class CachedTranscriber:
    """Transcriber with a memo. Raises the model's errors, and ``Unavailable`` when the memo does not answer.

    Attributes:
        space: the memo's space: name and version of the model.
    """

    def __init__(self, transcriber: Transcriber, memo: Memo) -> None:
        self._transcriber = transcriber
        self._memo = memo
        self.space = f"asr/{transcriber.name}@{transcriber.version}"

    def key(self, audio: Audio, language: str | None) -> str:
        """Compute the key of a window's transcription."""
        return _key(_to_pcm(audio), language)

    def transcribe(self, audio: Audio, language: str | None) -> Transcription:
        """Transcribe a window; ``language`` None: the model detects it."""
        pcm = _to_pcm(audio)
        key = _key(pcm, language)

        def compute(missing: dict[str, npt.NDArray[np.int16]]) -> dict[str, tuple[Segment, ...]]:
            samples = missing[key].astype(np.float32) / np.float32(_FULL_SCALE)
            return {key: tuple(self._transcriber.transcribe(samples, language=language))}

        batch = memoised_batch(self._memo, self.space, {key: pcm}, compute, pack=orjson.dumps, unpack=_unpack)
        return Transcription(key, batch.outputs[key], batch.seconds, memo_hit=key not in batch.computed)

    def cached(self, keys: Sequence[str]) -> dict[str, Transcription]:
        """Read earlier transcriptions; a key that the memo lost is left out."""
        found = self._memo.get_many(self.space, keys)
        return {key: Transcription(key, _unpack(key, packed), 0.0, memo_hit=True) for key, packed in found.items()}


def _to_pcm(audio: Audio) -> npt.NDArray[np.int16]:
    """Round to 16 bits: the key must not depend on the last bits of a resampler, and the model gets the same audio."""
    return np.round(audio * _FULL_SCALE).astype("<i2")


def _key(pcm: npt.NDArray[np.int16], language: str | None) -> str:
    return hashlib.sha256(pcm.tobytes()).hexdigest() + f" {language or ''}".rstrip()


def _unpack(_: str, packed: bytes) -> tuple[Segment, ...]:
    return tuple(_segment(fields) for fields in orjson.loads(packed))


def _segment(fields: dict[str, Any]) -> Segment:
    words = tuple(SpokenWord(**word) for word in fields["words"])
    return Segment(**{**fields, "words": words})
