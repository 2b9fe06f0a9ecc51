"""Origin of an utterance: everything of it but its words, and enough to cut its audio out of the blobs again.

It lies in the call's state, so it is short: a chunk is a row of values, about 130 bytes of JSON.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from pydantic import AwareDatetime

from mmplatform.artifacts import artifact_id
from mmplatform.events import BlobRef, Position, Record

_USUAL: Final = "="
_WHOLE: Final = ":"


def stored_blob(sha256: str, size: int, media_type: str, key: str) -> BlobRef:
    """Build a pointer from its parts; ``key`` is from :func:`short_key`."""
    form, rest = key[:1], key[1:]
    full = f"{rest}/{sha256[:2]}/{sha256}" if form == _USUAL else rest
    return BlobRef(key=full, sha256=sha256, size=size, media_type=media_type)


def short_key(blob: BlobRef) -> str:
    """Shorten a key of the usual form to its tenant: the rest follows from the hash.

    The first character tells the forms apart: a foreign client may write any key, one without a slash too.
    """
    tenant = blob.key.partition("/")[0]
    usual = blob.key == f"{tenant}/{blob.sha256[:2]}/{blob.sha256}"
    return f"{_USUAL}{tenant}" if usual else f"{_WHOLE}{blob.key}"


class OriginChunk(NamedTuple):
    """Chunk whose audio is in a window.

    Attributes:
        sha256: of its bytes, with ``size``, ``media_type`` and ``key`` its pointer; ``key`` shortened.
        first_sample: its start in the call, in samples.
        lost_samples: samples of silence in the place of audio that was lost; 0 for a chunk with audio.
        cited: the window lies in its declared time. Of another chunk only an encoder's padding reaches into the window.
        skipped_samples: samples at the start of its audio that are not used; ``first_sample`` is that of the next one.
    """

    event_id: str
    sha256: str
    size: int
    media_type: str
    key: str
    first_sample: int
    lost_samples: int
    cited: bool
    skipped_samples: int = 0

    @classmethod
    def from_blob(
        cls,
        event_id: str,
        blob: BlobRef,
        *,
        first_sample: int,
        lost_samples: int,
        cited: bool,
        skipped_samples: int = 0,
    ) -> OriginChunk:
        """Build the row of a chunk."""
        key, pointer = short_key(blob), (blob.sha256, blob.size, blob.media_type)
        return cls(event_id, *pointer, key, first_sample, lost_samples, cited, skipped_samples)

    @property
    def blob(self) -> BlobRef:
        """Pointer to its bytes."""
        return stored_blob(self.sha256, self.size, self.media_type, self.key)


class UtteranceOrigin(Record):
    """Everything of an utterance but its words.

    Attributes:
        start_s: start of its window, which includes a padding of silence.
        end_s: end of its window.
        first_sample: start of its window in the call, in samples; exact, where ``start_s`` is rounded.
        samples: length of its window.
        chunks_end_s: end of its last chunk, which also gives ``event_time``, ``ingested_at`` and ``position``.
        chunks: chunks whose audio is in its window, in the order of the call.
    """

    channel: int
    speaker: str
    subject_id: str
    start_s: float
    end_s: float
    first_sample: int
    samples: int
    chunks_end_s: float
    event_time: AwareDatetime
    ingested_at: AwareDatetime
    position: Position
    chunks: tuple[OriginChunk, ...]

    @property
    def event_ids(self) -> tuple[str, ...]:
        """Events of the chunks that contain the window."""
        return tuple(chunk.event_id for chunk in self.chunks if chunk.cited)

    @property
    def blobs(self) -> tuple[BlobRef, ...]:
        """Audio of these chunks."""
        return tuple(chunk.blob for chunk in self.chunks if chunk.cited)


def utterance_id(conversation_key: str, origin: UtteranceOrigin) -> str:
    """Compute the id from the window's start, not the first word's: a better model then replaces the utterance."""
    return artifact_id("utterance", f"{conversation_key}/{origin.channel}", round(origin.start_s * 1000))
