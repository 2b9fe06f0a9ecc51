"""Lines of the table that the benchmark prints."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Row:
    """A line of the table; ``reached`` None where there is no aim."""

    what: str
    size: str
    figures: str
    aim: str = ""
    reached: bool | None = None

    def __str__(self) -> str:
        verdict = {None: "", True: "reached", False: "**missed**"}[self.reached]
        return f"| {self.what} | {self.size} | {self.figures} | {': '.join(filter(None, (self.aim, verdict)))} |"
