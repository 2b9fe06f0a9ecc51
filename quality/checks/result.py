"""The result of a check: the fields of Dagster's ``AssetCheckResult``, without Dagster."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Literal


@dataclass(frozen=True, slots=True)
class Markdown:
    """A text that Dagster's UI renders, with images in data URIs."""

    text: str


@dataclass(frozen=True, slots=True)
class MetadataTable:
    """Rows that Dagster's UI shows as a table; all have the same columns."""

    rows: Sequence[Mapping[str, str | float | int]]


RawMetadataValue = float | int | str | list[str] | dict[str, float] | Markdown | MetadataTable
"""Dagster's name for a value that is not wrapped in a ``MetadataValue`` yet."""

Severity = Literal["ERROR", "WARN"]
"""Dagster's names of its severities."""

MAX_NAMED_IDS: Final = 10
"""Ids in a result: enough to investigate, and Dagster keeps every one for ever."""


INCOMPLETE_PARTITIONS: Final = "incomplete_partitions"
"""Metadata key of a failed check: partitions that a run would complete. The sensor of that name reads it."""


@dataclass(frozen=True, slots=True)
class CheckResult:
    """Outcome, reason in one sentence, and the figures behind it. Contains ids at most, never a text.

    A failure is an error where consumers of the table get broken rows, and a warning where the hour is unusual.
    """

    passed: bool
    description: str
    metadata: Mapping[str, RawMetadataValue] = field(default_factory=dict)
    severity: Severity = "ERROR"


def first_ids(ids: Iterable[str]) -> list[str]:
    """The first ids in sorted order, so that two runs name the same."""
    return sorted(ids)[:MAX_NAMED_IDS]


def changed_results(
    results: Mapping[str, CheckResult], passed_before: Mapping[str, bool]
) -> tuple[dict[str, CheckResult], dict[str, bool]]:
    """The results that differ from the last reported outcome, and all outcomes after them.

    The first result of a name counts as a change.
    """
    changed = {name: result for name, result in results.items() if passed_before.get(name) != result.passed}
    return changed, {**passed_before, **{name: result.passed for name, result in results.items()}}
