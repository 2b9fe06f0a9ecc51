"""Discovers files to upload: finds calls, screenshots and chats under paths, and derives their ids.

Ids come from a file's content (and its subject), never from its name or the time of the upload. An event without its
own time gets the file's: uploading the same file again gives identical events.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from mmplatform.sources.files.file_kind import HEAD_BYTES, UNKNOWN_KIND, FileKind, UnsupportedKind, detect_kind
from quality.contracts import MIN_EVENT_TIME

_ORDER: Final[dict[FileKind, int]] = {"chats": 0, "screenshot": 1, "call": 2}


@dataclass(frozen=True, slots=True)
class SourceFile:
    """One file to upload.

    Attributes:
        size: in bytes.
        written_at: modification time; None where it is implausible as an event time (1970, after year 9999).
    """

    path: Path
    kind: FileKind
    media_type: str
    size: int
    written_at: datetime | None


@dataclass(frozen=True, slots=True)
class Rejection:
    """A rejected file or line with the reason; never quotes content.

    Attributes:
        line: its first line, from 1; None for a whole file.
        lines: number of lines rejected with it.
    """

    path: Path
    line: int | None
    reason: str
    lines: int = 1


@dataclass(frozen=True, slots=True)
class ForeignFile(Rejection):
    """A file that is no conversation: rejected when it is named, skipped within a folder."""


@dataclass(frozen=True, slots=True)
class UploadPlan:
    """Files to upload; ``skipped`` were found in a folder and are of an unsupported kind, or are links to folders."""

    files: tuple[SourceFile, ...]
    rejected: tuple[Rejection, ...]
    skipped: tuple[Path, ...]

    @property
    def size(self) -> int:
        """Bytes to upload."""
        return sum(file.size for file in self.files)


@dataclass(frozen=True, slots=True)
class UploadDefaults:
    """Values for all files, from the caller; a chat line's own values take precedence.

    Attributes:
        subject_id: the person that the data is about; required for calls and screenshots.
        conversation_id: their conversation; None: each call and screenshot is a conversation of its own.
        event_time: start of a call, time of anything else; None: the file's modification time, for a call its end.
    """

    subject_id: str | None = None
    conversation_id: str | None = None
    event_time: datetime | None = None
    source: str = "files"


def plan_upload(paths: Iterable[Path]) -> UploadPlan:
    """Inspect files and folders, recursively and without hidden files, by name and by their first bytes.

    Chats come first, then screenshots, then calls, each by name: what is derived quickly is found early.
    """
    files: dict[Path, SourceFile] = {}
    rejected: list[Rejection] = []
    skipped: list[Path] = []
    for path, named in _walk(paths, rejected):
        found = _inspect(path)
        if isinstance(found, SourceFile):
            files.setdefault(path.resolve(), found)
        elif named or not isinstance(found, ForeignFile):
            rejected.append(found)
        else:
            skipped.append(path)
    ordered = sorted(files.values(), key=lambda file: (_ORDER[file.kind], str(file.path)))
    return UploadPlan(tuple(ordered), tuple(rejected), tuple(skipped))


def content_id(prefix: str, *parts: str | bytes) -> str:
    """Id of these parts, always the same, e.g. ``call-0a1b…``."""
    digest = hashlib.sha256()
    for part in parts:
        data = part if isinstance(part, bytes) else part.encode("utf-8", "surrogatepass")
        digest.update(len(data).to_bytes(8, "big") + data)
    return f"{prefix}-{digest.hexdigest()[:24]}"


def file_digest(path: Path) -> bytes:
    """SHA-256 of a file, read in pieces. Raises OSError."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").digest()


UNKNOWN_TIME: Final = "its event time is unknown: the file's own time is implausible; add --at"


def _inspect(path: Path) -> SourceFile | Rejection:
    try:
        found = path.stat()
        if not path.is_file():
            reason = "it is not a regular file"
            return ForeignFile(path, None, UNKNOWN_KIND) if path.is_dir() else Rejection(path, None, reason)
        with path.open("rb") as file:
            head = file.read(HEAD_BYTES)
    except FileNotFoundError:
        return Rejection(path, None, "no such file or folder")
    except OSError as error:
        return Rejection(path, None, f"it cannot be read: {error.strerror}")
    detected = detect_kind(path.name, head)
    if isinstance(detected, UnsupportedKind):
        return (ForeignFile if detected.foreign else Rejection)(path, None, detected.reason)
    if not head:
        return Rejection(path, None, "it is empty")
    return SourceFile(path, detected.kind, detected.media_type, found.st_size, _written_at(found))


def _written_at(found: os.stat_result) -> datetime | None:
    try:
        written_at = datetime.fromtimestamp(found.st_mtime, UTC)
    except (ValueError, OverflowError, OSError):
        return None
    return written_at if written_at >= MIN_EVENT_TIME else None


def _walk(paths: Iterable[Path], rejected: list[Rejection]) -> Iterator[tuple[Path, bool]]:
    """Files, each with True if the caller named it; unreadable folders are added to ``rejected``."""

    def unreadable(error: OSError) -> None:
        rejected.append(Rejection(Path(error.filename), None, f"the folder cannot be read: {error.strerror}"))

    for path in paths:
        if not os.path.isdir(path):  # noqa: PTH112 - Path.is_dir raises where a folder above may not be read
            yield path, True
            continue
        for parent, folders, files in os.walk(path, onerror=unreadable):
            folders[:] = sorted(name for name in folders if not name.startswith("."))
            links = [name for name in folders if (Path(parent) / name).is_symlink()]  # not followed: possible cycles
            for name in sorted([*files, *links]):
                if not name.startswith("."):
                    yield Path(parent) / name, False
