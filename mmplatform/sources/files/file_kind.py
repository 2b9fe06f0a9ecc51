"""Kind of a file: by its content, or by its name where the content has no signature, as names are often wrong."""

from __future__ import annotations

import codecs
from dataclasses import dataclass
from pathlib import PurePath
from typing import Final, Literal

from mmplatform.derive.media.signatures import identify
from mmplatform.sources.files.chat_json import has_chat_records
from mmplatform.sources.files.chat_lines import detect_encoding
from mmplatform.sources.files.chat_tables import has_chat_header
from mmplatform.web.media_types import AUDIO_TYPES, IMAGE_TYPES, format_remedy, media_type_from_name

FileKind = Literal["chats", "call", "screenshot"]

HEAD_BYTES: Final = 65_536
JSON: Final = "application/json"
CSV: Final = "text/csv"
CHAT_SUFFIXES: Final[dict[str, str]] = {
    ".jsonl": JSON,
    ".ndjson": JSON,
    ".json": JSON,
    ".csv": CSV,
    ".tsv": CSV,
    ".tab": CSV,
}
_AMBIGUOUS_SUFFIXES: Final = frozenset({".json"})
"""Names that many files have which are no chats: only the content decides."""
_FOREIGN_IMAGES: Final = frozenset({"image/svg+xml", "image/vnd.microsoft.icon"})
UNKNOWN_KIND: Final = (
    "its kind is not supported: send calls as wav, mp3, flac, ogg, opus, m4a or webm, screenshots as png, jpg, webp, "
    "avif, gif, bmp or tiff, chats as jsonl, json or csv with the columns role and text"
)
_MIN_LINE: Final = 2


@dataclass(frozen=True, slots=True)
class ContentKind:
    """Kind and media type of a file."""

    kind: FileKind
    media_type: str


@dataclass(frozen=True, slots=True)
class UnsupportedKind:
    """Reason for which a file is not supported; ``foreign``: it is no call and no screenshot in another format."""

    reason: str
    foreign: bool = True


def detect_kind(name: str, head: bytes) -> ContentKind | UnsupportedKind:
    """The kind of a file with this name that begins with these bytes."""
    found = identify(head)
    if found is None:
        return _detect_text(name, head)
    if found in AUDIO_TYPES:
        return ContentKind("call", AUDIO_TYPES[found])
    if found in IMAGE_TYPES:
        return ContentKind("screenshot", IMAGE_TYPES[found])
    foreign = found in _FOREIGN_IMAGES or not found.startswith(("audio/", "image/"))
    return UnsupportedKind(f"it is {format_remedy(found)}", foreign=foreign)


def _detect_text(name: str, head: bytes) -> ContentKind | UnsupportedKind:
    """The kind of a file without a signature."""
    suffix = PurePath(name).suffix.lower()
    chats = _chat_type(head)
    if chats is None and suffix not in _AMBIGUOUS_SUFFIXES:
        chats = CHAT_SUFFIXES.get(suffix)
    if chats is not None:
        return ContentKind("chats", chats)
    named = media_type_from_name(name)
    if named is None:
        return UnsupportedKind(UNKNOWN_KIND)
    return ContentKind("call" if named.startswith("audio/") else "screenshot", named)


def _chat_type(head: bytes) -> str | None:
    """Media type of a chat's records; None where the beginning of the file has none."""
    decoder = codecs.getincrementaldecoder(detect_encoding(head))(errors="ignore")
    text = decoder.decode(head)
    if text.lstrip()[:1] in {"{", "["}:
        return JSON if has_chat_records(text) else None
    lines = [line for line in text.splitlines()[: _MIN_LINE + 1] if line.strip()]
    return CSV if any(has_chat_header(line) for line in lines[:_MIN_LINE]) else None
