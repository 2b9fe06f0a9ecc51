"""Remedies for audio that is refused, in words that a sender understands."""

from __future__ import annotations

from typing import Final

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


def decoding_fault(error: Exception) -> str:
    """The fault of the bytes in words, with the remedy; FFmpeg's own names mean nothing to a sender."""
    import av

    match error:
        case av.error.DecoderNotFoundError() | av.error.PatchWelcomeError() | NotImplementedError():
            return "its codec, or this variant of it, has no decoder; convert it to WAV (PCM), FLAC or Ogg Opus"
        case EOFError():
            return "it ends too early; send the complete file"
        case _:
            return "the file is damaged or incomplete; record or export it again"
