"""WAV by hand: headers that state no length, files that end before their stated length, samples without a header."""

from __future__ import annotations

import io
import struct
import wave
from dataclasses import dataclass
from email.message import Message
from typing import Final

import numpy as np
import numpy.typing as npt

from mmplatform.errors import Rejected, UnsupportedMedia

SAMPLE_BYTES: Final = 2
_ALAW: Final = 6
_MULAW: Final = 7
_CHUNK_HEAD: Final = 8
_FORMAT_BYTES: Final = 14
_MIN_PLACEHOLDER: Final = 0x7FFF_0000
"""Writers that cannot seek back state 0, 0x7FFFFFFF, 0xFFFFFFFF or a little less."""

_TRAILER_BYTES: Final = 1 << 20
"""A trailer is searched for in these last bytes: it has titles and cue points, at most a small picture."""

_TRAILERS: Final = frozenset(
    (
        *(b"LIST", b"id3 ", b"ID3 ", b"bext", b"cue ", b"fact", b"PEAK", b"JUNK", b"junk", b"PAD ", b"FLLR", b"iXML"),
        *(b"_PMX", b"afsp", b"DISP", b"plst", b"smpl", b"inst", b"axml", b"umid", b"acid", b"strc", b"levl", b"minf"),
    )
)


@dataclass(frozen=True, slots=True)
class _Layout:
    """Position of the samples and their stated size, in bytes, and their bytes in a second."""

    start: int
    size: int
    byte_rate: int


def complete_header(data: bytes, max_s: float) -> tuple[bytes, float | None]:
    """Put the real length into a header that states none; return the length that an honest header states, in seconds.

    A stream's header states 0 or 0xFFFFFFFF, since its writer could not know. Then all that follows would count as
    audio, and a title at the end with it. A file that states no more than ``max_s`` and has less was cut off.
    """
    layout = _read_layout(data) if data[:4] == b"RIFF" else None
    if layout is None:
        return data, None
    present = len(data) - layout.start
    if 0 < layout.size <= present:
        return data, layout.size / layout.byte_rate
    unknown = layout.size == 0 or layout.size >= _MIN_PLACEHOLDER or layout.size > max_s * layout.byte_rate
    if not unknown:
        return data, layout.size / layout.byte_rate
    size = _trailer_start(data, layout.start) - layout.start
    patched = bytearray(data)
    struct.pack_into("<I", patched, 4, layout.start + size - _CHUNK_HEAD)
    struct.pack_into("<I", patched, layout.start - 4, size)
    return bytes(patched[: layout.start + size]), None


def _read_layout(data: bytes) -> _Layout | None:
    """Walk the chunks up to the samples; None when there are none, or no usable format before them."""
    position, byte_rate = 12, 0
    while position + _CHUNK_HEAD <= len(data):
        name, size = struct.unpack_from("<4sI", data, position)
        body = position + _CHUNK_HEAD
        if name == b"fmt " and body + _FORMAT_BYTES <= len(data):
            rate, byte_rate, block = struct.unpack_from("<4xIIH", data, body)
            byte_rate = byte_rate or rate * block
        if name == b"data":
            return _Layout(body, size, byte_rate) if byte_rate else None
        position = body + size + size % 2
    return None


def _trailer_start(data: bytes, start: int) -> int:
    """Find the start of the chunks after the samples: of known names, one after the other, exactly to the end."""
    reachable = {len(data)}
    found = len(data)
    first = max(start, len(data) - _TRAILER_BYTES)
    for position in range(len(data) - _CHUNK_HEAD, first - 1, -1):
        if data[position : position + 4] not in _TRAILERS:
            continue
        size = int.from_bytes(data[position + 4 : position + 8], "little")
        end = position + _CHUNK_HEAD + size
        if end in reachable or end + size % 2 in reachable:
            reachable.add(position)
            found = position
    return found


def add_header(
    data: bytes, base_type: str, content_type: Message, *, max_channels: int, rates: tuple[int, int]
) -> bytes:
    """Make a WAV file of samples without a header; the media type describes them (RFC 2046, RFC 3551)."""
    linear = base_type == "audio/l16"
    rate = str(content_type.get_param("rate", "" if linear else "8000"))
    channels = str(content_type.get_param("channels", "1"))
    if not rate.isdecimal() or not channels.isdecimal() or not 1 <= int(channels) <= max_channels:
        raise UnsupportedMedia(f"{base_type} needs its parameters, as in `{base_type};rate=8000;channels=2`")
    if not rates[0] <= int(rate) <= rates[1]:
        raise Rejected(f"audio at {rate[:12]} Hz: {rates[0]} to {rates[1]} Hz are accepted")
    sample_bytes = SAMPLE_BYTES if linear else 1
    if len(data) % (sample_bytes * int(channels)):
        raise Rejected(
            f"{len(data)} bytes are not a whole number of {8 * sample_bytes}-bit samples of {channels} channels"
        )
    if linear:
        return to_wav(np.frombuffer(data, dtype=">i2").astype(np.int16), int(rate), int(channels))
    tag = _ALAW if base_type == "audio/pcma" else _MULAW
    count, size = int(channels), len(data)
    head = struct.pack("<4sI4s4sIHHIIHH", b"RIFF", 36 + size, b"WAVE", b"fmt ", 16, tag, count, int(rate),
                       int(rate) * count, count, 8)  # fmt: skip
    return head + struct.pack("<4sI", b"data", size) + data


def to_wav(samples: npt.NDArray[np.int16], rate: int, channels: int) -> bytes:
    """Write interleaved samples as a 16-bit WAV file."""
    out = io.BytesIO()
    with wave.open(out, "wb") as file:
        file.setnchannels(channels)
        file.setsampwidth(SAMPLE_BYTES)
        file.setframerate(rate)
        file.writeframes(samples.astype("<i2").tobytes())
    return out.getvalue()
