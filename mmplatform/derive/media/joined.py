"""Files that are several recordings one after the other: joined by ``cat``, by internet radio, by a resumed recorder.

FFmpeg reads the first one of such a file and reports its end, so that the others would be lost without a trace. MP3 and
AAC need nothing: their frames continue. A later recording is found by its first bytes and not where the one
before states its end: one that was cut off would count the next one, header and all, as the rest of its own samples.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import islice
from typing import Final

from mmplatform.derive.media import ogg
from mmplatform.derive.media.signatures import ID3_HEAD, id3_bytes, identify
from mmplatform.errors import Rejected

MAX_JOINED_FILES: Final = 64
_STARTS: Final = {
    "audio/amr": re.compile(rb"#!AMR(?:-WB)?\n"),
    "audio/wav": re.compile(rb"RI(?:FF|FX).{4}WAVE|RF64.{4}WAVE", re.DOTALL),
    "audio/aiff": re.compile(rb"FORM.{4}AIF[FC]", re.DOTALL),
    "audio/au": re.compile(rb"\.snd\x00\x00.{6}\x00\x00\x00[\x01-\x1b]", re.DOTALL),
    "audio/flac": re.compile(rb"fLaC[\x00\x80]\x00\x00\x22"),
    "audio/x-caf": re.compile(rb"caff\x00\x01\x00\x00desc"),
}
"""First bytes of a file: six at least are fixed, which samples have by a chance of 1 in 10^14."""

_MOVIE: Final = re.compile(rb"ftyp[ -~]{4}")
_MOVIE_SIZE_BYTES: Final = 4
_MOVIE_HEAD: Final = 16
_WEBM: Final = b"\x1a\x45\xdf\xa3"
_WEBM_NAMES: Final = (b"webm", b"matroska")
_WEBM_HEAD: Final = 64


def joined_files(data: bytes, media_type: str) -> tuple[bytes, ...]:
    """Split a file into the recordings that it consists of; usually the file itself alone. Raises Rejected."""
    starts = [0, *islice(_later_starts(data, media_type), MAX_JOINED_FILES)]
    if len(starts) == 1:
        return (data,)
    if len(starts) > MAX_JOINED_FILES:
        raise Rejected(f"more than {MAX_JOINED_FILES} audio files joined in one: split it")
    return tuple(data[start:end] for start, end in zip(starts, [*starts[1:], len(data)], strict=True))


def _later_starts(data: bytes, media_type: str) -> Iterator[int]:
    finders = {"audio/ogg": ogg.link_starts, "audio/webm": _webm_starts, "audio/mp4": _movie_starts}
    if media_type in finders:
        yield from finders[media_type](data)
    elif media_type in _STARTS:
        first = ID3_HEAD + id3_bytes(data) if data.startswith(b"ID3") else 0
        yield from (found.start() for found in _STARTS[media_type].finditer(data, first + 1))


def _movie_starts(data: bytes) -> Iterator[int]:
    """Find each later box that begins a file (``ftyp``): it is short, and names a brand of audio or video."""
    for found in _MOVIE.finditer(data, _MOVIE_HEAD):
        start = found.start() - _MOVIE_SIZE_BYTES
        if not any(data[start : start + 3]) and identify(data[start : start + _MOVIE_HEAD]) == "audio/mp4":
            yield start


def _webm_starts(data: bytes) -> Iterator[int]:
    """Find each later header: FFmpeg takes what follows for audio of the same moment, and drops it."""
    position = 1
    while (found := data.find(_WEBM, position)) > 0:
        head = data[found : found + _WEBM_HEAD]
        if any(name in head for name in _WEBM_NAMES):
            yield found
        position = found + 1
