"""From paths on a disk to what can be sent: which files are calls, screenshots and chats, and what they will be called.

Ids come from what a file holds (and whom it is said to be about), never from its name or the time: ingesting the same
file again finds every event there already.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Final, Literal

from mmplatform.ingest.bodies import media_type_of_name

Kind = Literal["chats", "call", "screenshot"]

CHAT_SUFFIXES: Final[dict[str, str]] = {
    ".jsonl": "application/jsonl",
    ".ndjson": "application/jsonl",
    ".csv": "text/csv",
}
_ORDER: Final[dict[Kind, int]] = {"chats": 0, "screenshot": 1, "call": 2}


@dataclass(frozen=True, slots=True)
class Work:
    """One file to send; ``size`` in bytes."""

    path: Path
    kind: Kind
    media_type: str
    size: int


@dataclass(frozen=True, slots=True)
class Refusal:
    """What will not be on the log, and why; ``line`` counts from 1, None for a whole file. Quotes no content."""

    path: Path
    line: int | None
    reason: str


@dataclass(frozen=True, slots=True)
class Plan:
    """``refused`` were named and cannot be taken; ``skipped`` lay in a folder and are of no kind that we take."""

    work: tuple[Work, ...]
    refused: tuple[Refusal, ...]
    skipped: tuple[Path, ...]

    @property
    def size(self) -> int:
        """Bytes to send."""
        return sum(work.size for work in self.work)


@dataclass(frozen=True, slots=True)
class Origin:
    """What the one who ingests says about all files; a chat line that says it itself is believed.

    Attributes:
        subject_id: whom the data is about; needed for calls and screenshots.
        conversation_id: what they belong to; None: each call and screenshot is a conversation of its own.
        at: when it happened, for a call when it began; None: now.
    """

    subject_id: str | None = None
    conversation_id: str | None = None
    at: datetime | None = None
    source: str = "files"


def plan(paths: Iterable[Path]) -> Plan:
    """Look at files and folders (with all that is in them, hidden files left out); nothing is read yet.

    Chats come first, then screenshots, then calls, each in the order of their names: what is quick is there early.
    """
    work: dict[Path, Work] = {}
    refused: list[Refusal] = []
    skipped: list[Path] = []
    for path, named in _candidates(paths):
        found = _look(path)
        if isinstance(found, Work):
            work.setdefault(path.resolve(), found)
        elif named or found.reason != _UNKNOWN:
            refused.append(found)
        else:
            skipped.append(path)
    ordered = sorted(work.values(), key=lambda item: (_ORDER[item.kind], str(item.path)))
    return Plan(tuple(ordered), tuple(refused), tuple(skipped))


def content_id(prefix: str, *parts: str | bytes) -> str:
    """The same parts always have the same id, e.g. ``call-0a1b…``."""
    digest = hashlib.sha256()
    for part in parts:
        data = part if isinstance(part, bytes) else part.encode("utf-8", "surrogatepass")
        digest.update(len(data).to_bytes(8, "big") + data)
    return f"{prefix}-{digest.hexdigest()[:24]}"


def file_digest(path: Path) -> bytes:
    """SHA-256 of a file, read in pieces. Raises OSError."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").digest()


_UNKNOWN: Final = (
    "its kind is not taken: wav, mp3, flac, ogg, opus, m4a (calls), png, jpg, webp (screenshots), jsonl, csv (chats)"
)


def _look(path: Path) -> Work | Refusal:
    suffix = path.suffix.lower()
    media_type = CHAT_SUFFIXES.get(suffix) or media_type_of_name(path.name)
    if not path.exists():
        return Refusal(path, None, "there is no such file or folder")
    if media_type is None:
        return Refusal(path, None, _UNKNOWN)
    if not path.is_file():
        return Refusal(path, None, "it is no regular file")
    try:
        size = path.stat().st_size
    except OSError as error:
        return Refusal(path, None, f"it cannot be read: {error.strerror}")
    if size == 0:
        return Refusal(path, None, "it is empty")
    kind: Kind = "chats" if suffix in CHAT_SUFFIXES else "call" if media_type.startswith("audio/") else "screenshot"
    return Work(path, kind, media_type, size)


def _candidates(paths: Iterable[Path]) -> Iterator[tuple[Path, bool]]:
    """Files, and whether they were named themselves."""
    for path in paths:
        if not path.is_dir():
            yield path, True
            continue
        for inside in sorted(path.rglob("*")):
            hidden = any(part.startswith(".") for part in inside.relative_to(path).parts)
            if not hidden and not inside.is_dir():
                yield inside, False
