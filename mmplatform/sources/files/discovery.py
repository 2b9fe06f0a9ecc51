"""From paths on a disk to what can be sent: which files are calls, screenshots and chats, and what they will be called.

Ids come from what a file holds (and whom it is said to be about), never from its name or the time, and what says no
time of its own has the file's: ingesting the same file again gives the very same events.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, Literal

from mmplatform.web.bodies import media_type_of_name
from quality.contracts import EARLIEST

Kind = Literal["chats", "call", "screenshot"]

CHAT_SUFFIXES: Final[dict[str, str]] = {
    ".jsonl": "application/jsonl",
    ".ndjson": "application/jsonl",
    ".csv": "text/csv",
}
_ORDER: Final[dict[Kind, int]] = {"chats": 0, "screenshot": 1, "call": 2}


@dataclass(frozen=True, slots=True)
class Work:
    """One file to send.

    Attributes:
        size: in bytes.
        written_at: when it was last written; None where that cannot be when something happened (1970, after year 9999).
    """

    path: Path
    kind: Kind
    media_type: str
    size: int
    written_at: datetime | None


@dataclass(frozen=True, slots=True)
class Refusal:
    """What will not be on the log, and why. Quotes no content.

    Attributes:
        line: where it begins, from 1; None for a whole file.
        lines: how many lines are lost with it.
    """

    path: Path
    line: int | None
    reason: str
    lines: int = 1


@dataclass(frozen=True, slots=True)
class Plan:
    """``refused`` cannot be taken; ``skipped`` lay in a folder and are of no kind that we take, or links to folders."""

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
        at: when it happened, for a call when it began; None: when the file was last written, for a call when it ended.
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
    for path, named in _candidates(paths, refused):
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


NO_TIME: Final = "when it happened is not known: the file's own time cannot be it; say --at"


def _look(path: Path) -> Work | Refusal:
    suffix = path.suffix.lower()
    media_type = CHAT_SUFFIXES.get(suffix) or media_type_of_name(path.name)
    try:
        found = path.stat()
    except FileNotFoundError:
        return Refusal(path, None, "there is no such file or folder")
    except OSError as error:
        return Refusal(path, None, f"it cannot be read: {error.strerror}")
    if media_type is None:
        return Refusal(path, None, _UNKNOWN)
    if not path.is_file():
        return Refusal(path, None, "it is no regular file")
    if found.st_size == 0:
        return Refusal(path, None, "it is empty")
    kind: Kind = "chats" if suffix in CHAT_SUFFIXES else "call" if media_type.startswith("audio/") else "screenshot"
    return Work(path, kind, media_type, found.st_size, _written_at(found))


def _written_at(found: os.stat_result) -> datetime | None:
    try:
        moment = datetime.fromtimestamp(found.st_mtime, UTC)
    except (ValueError, OverflowError, OSError):
        return None
    return moment if moment >= EARLIEST else None


def _candidates(paths: Iterable[Path], refused: list[Refusal]) -> Iterator[tuple[Path, bool]]:
    """Files, and whether they were named themselves; folders that cannot be read are added to ``refused``."""

    def unreadable(error: OSError) -> None:
        refused.append(Refusal(Path(error.filename), None, f"the folder cannot be read: {error.strerror}"))

    for path in paths:
        if not os.path.isdir(path):  # noqa: PTH112 - Path.is_dir raises where a folder above may not be read
            yield path, True
            continue
        for above, folders, files in os.walk(path, onerror=unreadable):
            folders[:] = sorted(name for name in folders if not name.startswith("."))
            links = [name for name in folders if (Path(above) / name).is_symlink()]  # not followed: they may go round
            for name in sorted([*files, *links]):
                if not name.startswith("."):
                    yield Path(above) / name, False
