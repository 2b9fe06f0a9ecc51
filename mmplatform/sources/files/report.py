"""The books of an ingest: what became of each event, and how much of each file is done with."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from mmplatform.ingest.schemas import Accepted
from mmplatform.sources.files.discovery import Kind, Refusal


@dataclass(slots=True)
class Ledger:
    """What became of everything: events by kind, and each refusal."""

    accepted: Counter[Kind] = field(default_factory=Counter)
    duplicate: Counter[Kind] = field(default_factory=Counter)
    shed: Counter[Kind] = field(default_factory=Counter)
    refused: list[tuple[Kind | None, Refusal]] = field(default_factory=list)

    def note(self, kind: Kind, answers: list[Accepted]) -> None:
        """Answers of the gateway."""
        for answer in answers:
            (self.duplicate if answer.duplicate else self.accepted)[kind] += 1
            self.shed[kind] += answer.shed

    def refused_of(self, kind: Kind | None) -> int:
        """How many of a kind were refused: lines of chats, files and pieces of others."""
        return sum(refusal.lines for each, refusal in self.refused if each == kind)

    def refusals(self) -> Iterator[str]:
        """Every refusal as a line of JSON, for programs."""
        for kind, refusal in self.refused:
            said = {"path": str(refusal.path), "kind": kind, "line": refusal.line, "lines": refusal.lines}
            yield f"{json.dumps(said | {'reason': refusal.reason})}\n"


class Done:
    """How much of a file is done with, in bytes; ``advance`` is told what is added."""

    def __init__(self, size: int, advance: Callable[[float], None]) -> None:
        self._size = size
        self._advance = advance
        self._done = 0.0

    def up_to(self, done: float) -> None:
        """So many bytes of the file, or all of it when it has less."""
        more = min(done, self._size) - self._done
        if more > 0:
            self._done += more
            self._advance(more)
