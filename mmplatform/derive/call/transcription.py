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
    """Transcriber with a memo. Raises the model's errors, and ``Unavailable`` when the memo does not answer."""

    def __init__(self, transcriber: Transcriber, memo: Memo) -> None:
        self._transcriber = transcriber
        self._memo = memo
        self._space = f"asr/{transcriber.name}@{transcriber.version}"

    def transcribe(self, audio: Audio, language: str | None) -> Transcription:
        """Transcribe a window; ``language`` None: the model detects it."""
        # As 16-bit samples: the key must not depend on the last bits of a resampler, and the model gets the same audio.
        pcm = np.round(audio * _FULL_SCALE).astype("<i2")
        key = hashlib.sha256(pcm.tobytes()).hexdigest() + f" {language or ''}".rstrip()

        def compute(missing: dict[str, npt.NDArray[np.int16]]) -> dict[str, tuple[Segment, ...]]:
            samples = missing[key].astype(np.float32) / np.float32(_FULL_SCALE)
            return {key: tuple(self._transcriber.transcribe(samples, language=language))}

        batch = memoised_batch(self._memo, self._space, {key: pcm}, compute, pack=orjson.dumps, unpack=_unpack)
        return Transcription(key, batch.outputs[key], batch.seconds, memo_hit=key not in batch.computed)

    def cached(self, keys: Sequence[str]) -> dict[str, Transcription]:
        """Read earlier transcriptions; a key that the memo lost is left out."""
        found = self._memo.get_many(self._space, keys)
        return {key: Transcription(key, _unpack(key, packed), 0.0, memo_hit=True) for key, packed in found.items()}


def _unpack(_: str, packed: bytes) -> tuple[Segment, ...]:
    return tuple(_segment(fields) for fields in orjson.loads(packed))


def _segment(fields: dict[str, Any]) -> Segment:
    words = tuple(SpokenWord(**word) for word in fields["words"])
    return Segment(**{**fields, "words": words})
