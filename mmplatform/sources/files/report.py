"""Report of an upload: the outcome of each event, and the progress of each file."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from mmplatform.ingest.schemas import Accepted
from mmplatform.sources.files.discovery import Rejection
from mmplatform.sources.files.file_kind import FileKind


@dataclass(slots=True)
class UploadReport:
    """Events by kind and outcome, each rejection, and remarks on files that were read, such as ignored columns."""

    accepted: Counter[FileKind] = field(default_factory=Counter)
    duplicate: Counter[FileKind] = field(default_factory=Counter)
    shed: Counter[FileKind] = field(default_factory=Counter)
    rejected: list[tuple[FileKind | None, Rejection]] = field(default_factory=list)
    remarks: list[tuple[Path, str]] = field(default_factory=list)

    def record(self, kind: FileKind, responses: list[Accepted]) -> None:
        """Count responses of the gateway."""
        for response in responses:
            (self.duplicate if response.duplicate else self.accepted)[kind] += 1
            self.shed[kind] += response.shed

    def count_rejected(self, kind: FileKind | None) -> int:
        """Number of rejections of a kind: lines of chats, files and chunks of others."""
        return sum(rejection.lines for rejected_kind, rejection in self.rejected if rejected_kind == kind)

    def rejections_as_json_lines(self) -> Iterator[str]:
        """Every rejection as a line of JSON, for programs."""
        for kind, rejection in self.rejected:
            fields = {"path": str(rejection.path), "kind": kind, "line": rejection.line, "lines": rejection.lines}
            yield f"{json.dumps(fields | {'reason': rejection.reason})}\n"


class FileProgress:
    """Processed bytes of a file; ``advance`` is called with each increase."""

    def __init__(self, size: int, advance: Callable[[float], None]) -> None:
        self._size = size
        self._advance = advance
        self._processed = 0.0

    def advance_to(self, processed: float) -> None:
        """Advance to a number of bytes, at most the file's size; never back."""
        increase = min(processed, self._size) - self._processed
        if increase > 0:
            self._processed += increase
            self._advance(increase)
