"""Windows of speech to words: ASR once for each audio ever heard.

The memo keeps what was really said (segments with words, never audio): it is part of the private vault, like the blobs,
and an erasure empties it.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import orjson

from mmplatform.ports import Audio, Memo, Segment, SpokenWord, Transcriber

_FULL_SCALE: Final = 32767


@dataclass(frozen=True, slots=True)
class Transcription:
    """What ASR made of a window; ``key`` is where the memo keeps it."""

    key: str
    segments: tuple[Segment, ...]
    seconds: float
    memo_hit: bool

    @property
    def words(self) -> tuple[SpokenWord, ...]:
        """All of them, in order; times from the start of the window."""
        return tuple(word for segment in self.segments for word in segment.words)

    @property
    def text(self) -> str:
        """Made of the words, so that a redacted span of the text finds the words that it covers."""
        return " ".join(word.text for word in self.words)


class CachedTranscriber:
    """A transcriber with a memo. Raises ``Unavailable`` when the memo does not answer, and what the model raises."""

    def __init__(self, transcriber: Transcriber, memo: Memo) -> None:
        self._transcriber = transcriber
        self._memo = memo
        self._space = f"asr/{transcriber.name}@{transcriber.version}"

    def transcribe(self, audio: Audio, language: str | None) -> Transcription:
        """What is said in a window; ``language`` None: let the model tell."""
        # As 16-bit samples: the key must not depend on the last bits of a resampler, and is what the model hears.
        pcm = np.round(audio * _FULL_SCALE).astype("<i2")
        key = hashlib.sha256(pcm.tobytes()).hexdigest() + f" {language or ''}".rstrip()
        known = self.cached([key])
        if key in known:
            return known[key]
        started = time.perf_counter()
        segments = self._transcriber.transcribe(pcm.astype(np.float32) / np.float32(_FULL_SCALE), language=language)
        seconds = time.perf_counter() - started
        self._memo.put_many(self._space, {key: orjson.dumps(segments)})
        return Transcription(key, tuple(segments), seconds, memo_hit=False)

    def cached(self, keys: Sequence[str]) -> dict[str, Transcription]:
        """What was said in windows that were heard before, without those that the memo forgot."""
        packed = self._memo.get_many(self._space, keys)
        return {
            key: Transcription(key, tuple(_segment(each) for each in orjson.loads(found)), 0.0, memo_hit=True)
            for key, found in packed.items()
        }


def _segment(known: dict[str, Any]) -> Segment:
    words = tuple(SpokenWord(**word) for word in known["words"])
    return Segment(**{**known, "words": words})
