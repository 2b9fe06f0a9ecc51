"""Opens audio: the type is checked by the first bytes, joined files follow each other, and the limits are applied."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from email.message import Message
from pathlib import Path
from typing import Any, Final

from mmplatform.derive.media.audio_advice import ADVICE
from mmplatform.derive.media.audio_types import ALIASES, DEMUXERS, HEADERLESS
from mmplatform.derive.media.container import (
    HEAD_BYTES,
    MAX_CHANNELS,
    SAMPLE_RATE_RANGE,
    AudioContainer,
    LiveAudio,
    open_container,
    open_file,
)
from mmplatform.derive.media.mpeg_frames import find_frames
from mmplatform.derive.media.parts import Part, split_parts
from mmplatform.derive.media.signatures import identify
from mmplatform.derive.media.tally import Tally
from mmplatform.derive.media.timeline import Hole
from mmplatform.derive.media.wav import add_header
from mmplatform.errors import Rejected, UnsupportedMedia

_LIVE_HEAD_BYTES: Final = 16
_REWRITTEN: Final = frozenset(DEMUXERS) - {"audio/mpeg", "audio/aac"}
_MAX_REWRITTEN_BYTES: Final = 1 << 28
"""A larger file is read as it is, though a WAV header states no length, and only the first of joined files is read."""


@dataclass(frozen=True, slots=True)
class OpenedAudio:
    """Open file.

    Attributes:
        first: the first of the files that are joined in it, open.
        media_type: the accepted type of its bytes.
        earlier: holes before the first.
        later: files and holes behind it, not yet open.
    """

    first: AudioContainer
    media_type: str
    earlier: tuple[Part, ...] = ()
    later: tuple[Part, ...] = ()

    @property
    def codec(self) -> str:
        """FFmpeg's name of the codec of the first file."""
        return str(self.first.stream.codec_context.name)

    def items(self, max_s: float | None) -> Iterator[Any]:
        """Yield frames and holes of all joined files, each checked against the limits.

        Raises:
            TooLarge: it is longer than ``max_s``.
            Rejected: of a part nothing can be decoded, more than half of all is missing, or samples are NaN.
        """
        tally = Tally(max_s)
        last = len(self.later)
        for number, item in self._numbered_items():
            tally.add(item)
            ends_early = isinstance(item, Hole) and number < last
            yield Hole(item.seconds) if ends_early else item
        tally.check_damage()

    def _numbered_items(self) -> Iterator[tuple[int, Any]]:
        """Yield each item with the number of its part: 0 for the first, above for later ones."""
        yield from ((0, hole) for hole in self.earlier)
        yield from ((0, item) for item in self.first.items())
        for number, part in enumerate(self.later, start=1):
            if isinstance(part, Hole):
                yield number, Hole(part.seconds, at_end=True)
            else:
                with open_file(part, self.media_type) as opened:
                    yield from ((number, item) for item in opened.items())


@contextmanager
def open_bytes(data: bytes, media_type: str) -> Iterator[OpenedAudio]:
    """Open the container and its audio stream; the bytes must be of the declared type."""
    content_type = Message()
    content_type["content-type"] = media_type
    base_type = media_type.split(";", 1)[0].strip().lower()
    base_type = ALIASES.get(base_type, base_type)
    if base_type not in DEMUXERS and base_type not in HEADERLESS:
        accepted = ", ".join(sorted((*DEMUXERS, *HEADERLESS)))
        raise UnsupportedMedia(f"audio of type {base_type[:100] or 'unknown'} is not accepted: send {accepted}")
    if not data:
        raise Rejected("audio of zero bytes: send the complete file")
    if base_type == "audio/basic" and data.startswith(b".snd"):
        base_type = "audio/au"  # Sun's file, whose samples alone the type means
    if base_type in HEADERLESS:
        data = add_header(data, base_type, content_type, max_channels=MAX_CHANNELS, rates=SAMPLE_RATE_RANGE)
        base_type = "audio/wav"
    with open_stream(data, base_type) as opened:
        yield opened


@contextmanager
def open_stream(source: Path | bytes | LiveAudio, declared: str | None) -> Iterator[OpenedAudio]:
    """Open the audio stream of a source, whose bytes must be of the declared type; None: of any accepted one.

    Raises:
        UnsupportedMedia: the bytes are of another type.
        Rejected: they cannot be decoded.
    """
    head = _read_head(source)
    if isinstance(source, bytes) and declared is not None and identify(head) is None:
        # A slice of a stream begins in the middle of a frame.
        source = source[find_frames(head, declared) or 0 :]
        head = source[:HEAD_BYTES]
    media_type = _identify_audio(head, declared)
    if isinstance(source, Path) and _is_read_at_once(source, media_type, head):
        source = source.read_bytes()
    if isinstance(source, bytes):
        parts = split_parts(source, media_type)
        number, first = next((number, part) for number, part in enumerate(parts) if isinstance(part, bytes))
        with open_file(first, media_type) as opened:
            yield OpenedAudio(opened, media_type, parts[:number], parts[number + 1 :])
        return
    with open_container(source, media_type, head) as opened:
        yield OpenedAudio(opened, media_type)


def _is_read_at_once(path: Path, media_type: str, head: bytes) -> bool:
    return head.startswith(b"RIFX") or (media_type in _REWRITTEN and path.stat().st_size <= _MAX_REWRITTEN_BYTES)


def _identify_audio(head: bytes, declared: str | None) -> str:
    """Name the type of the bytes. Raises UnsupportedMedia for another than the declared one."""
    found = identify(head)
    if declared is not None and found != declared:
        advice = "declare what is sent" if found else ADVICE.get(declared, "send a complete file, header and all")
        raise UnsupportedMedia(f"declared as {declared}, but the bytes are {found or 'of no accepted type'}: {advice}")
    if found not in DEMUXERS:
        raise UnsupportedMedia(f"no audio of an accepted type: send {', '.join(sorted(DEMUXERS))}")
    return found


def _read_head(source: Path | bytes | LiveAudio) -> bytes:
    """Read the first bytes of a source, without consuming those of a live one."""
    if isinstance(source, bytes):
        return source[:HEAD_BYTES]
    if not isinstance(source, Path):
        return source.peek(_LIVE_HEAD_BYTES)
    with source.open("rb") as file:
        return file.read(HEAD_BYTES)
