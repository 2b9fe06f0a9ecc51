"""Files that are joined in one, as parts: those with audio, and holes for those of which only the length is known."""

from __future__ import annotations

from typing import Final

from mmplatform.derive.media import ogg
from mmplatform.derive.media.container import NoAudio, open_file
from mmplatform.derive.media.joined import joined_files
from mmplatform.derive.media.timeline import MAX_HOLE_S, Hole
from mmplatform.errors import Rejected

_MIN_HEADER_BYTES: Final = 44
"""The shortest header, that of WAV: a file that was cut off before has no audio."""

_MIN_FILE_BYTES: Final = {"audio/amr": 0}
"""Those of formats with a shorter one."""

Part = bytes | Hole


def split_parts(data: bytes, media_type: str) -> tuple[Part, ...]:
    """Split a file into its recordings; those without audio, as of a recorder that was stopped at once, are left out.

    A damaged one stays, so that what is before it is derived, and it is refused when its turn comes. There is one part
    of bytes at least. Raises Rejected for too many.
    """
    files = joined_files(data, media_type)
    if len(files) == 1:
        return files
    parts = tuple(part for file in files if (part := _part(file, media_type)) is not None)
    return parts if any(isinstance(part, bytes) for part in parts) else files[:1]


def _part(file: bytes, media_type: str) -> Part | None:
    """Return a file, or the hole in its position; None for less than a header, or one that states no audio.

    A length that is longer than any hole comes from a damaged time stamp: it states nothing.
    """
    if len(file) < _MIN_FILE_BYTES.get(media_type, _MIN_HEADER_BYTES):
        return None
    try:
        with open_file(file, media_type) as opened:
            return None if opened.is_empty() else file
    except NoAudio:
        seconds = ogg.stated_s(file) if media_type == "audio/ogg" else None
        return Hole(seconds) if seconds and seconds <= MAX_HOLE_S else None
    except Rejected:
        return file
