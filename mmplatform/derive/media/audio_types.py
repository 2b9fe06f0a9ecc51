"""Media types of audio: which are accepted, under which names, and what to do about others."""

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
    "video/webm": "audio/webm",
}
HEADERLESS: Final = ("audio/basic", "audio/pcmu", "audio/pcma", "audio/l16")
ADVICE: Final = {
    "audio/webm": "only the first slice of a recording has a header: stop and start the recorder for each chunk, or "
    "send all slices to /v1/calls/{call_id}/stream",
    "audio/ogg": "only the first page of a recording has a header: make each chunk a file of its own, or send the "
    "recording to /v1/calls/{call_id}/stream",
    "audio/mp4": "only the first fragment of a recording has a header: make each chunk a file of its own, or send the "
    "recording to /v1/calls/{call_id}/stream",
    "audio/wav": "for samples without a header declare audio/PCMU, audio/PCMA or audio/L16;rate=8000;channels=1",
}
"""Remedy for bytes of no accepted type, by the declared one."""
