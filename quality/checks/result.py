"""The result of a check: the fields of Dagster's ``AssetCheckResult``, without Dagster."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final

RawMetadataValue = float | int | str | list[str] | dict[str, float]
"""Dagster's name for a value that is not wrapped in a ``MetadataValue`` yet."""

MAX_NAMED_IDS: Final = 10
"""Ids in a result: enough to investigate, and Dagster keeps every one for ever."""


@dataclass(frozen=True, slots=True)
class CheckResult:
    """Outcome, reason in one sentence, and the figures behind it. Contains ids at most, never a text."""

    passed: bool
    description: str
    metadata: Mapping[str, RawMetadataValue] = field(default_factory=dict)


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
