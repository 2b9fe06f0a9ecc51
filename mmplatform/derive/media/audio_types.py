"""Media types of audio: which are accepted, and under which names."""

from __future__ import annotations

from typing import Final

DEMUXERS: Final[dict[str, str]] = {
    "audio/wav": "wav",
    "audio/mpeg": "mp3",
    "audio/flac": "flac",
    "audio/ogg": "ogg",
    "audio/mp4": "mp4",
    "audio/webm": "webm",
    "audio/aac": "aac",
    "audio/amr": "amr",
    "audio/aiff": "aiff",
    "audio/x-caf": "caf",
    "audio/au": "au",
}
ALIASES: Final[dict[str, str]] = {
    "audio/x-wav": "audio/wav",
    "audio/wave": "audio/wav",
    "audio/vnd.wave": "audio/wav",
    "audio/mp3": "audio/mpeg",
    "audio/x-flac": "audio/flac",
    "audio/opus": "audio/ogg",
    "application/ogg": "audio/ogg",
    "audio/m4a": "audio/mp4",
    "audio/x-m4a": "audio/mp4",
    "video/mp4": "audio/mp4",
    "video/quicktime": "audio/mp4",
    "audio/amr-wb": "audio/amr",
    "video/webm": "audio/webm",
}
HEADERLESS: Final = ("audio/basic", "audio/pcmu", "audio/pcma", "audio/l16")
