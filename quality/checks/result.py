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
