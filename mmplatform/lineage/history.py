"""Lineage events read back: jobs with their runs, and datasets, in the form in which Marquez shows them.

Marquez' web API is the model: a job has a namespace, a name, a type, inputs, outputs and its latest run; a dataset has
its fields, the jobs that write and that read it, and its facets. Pure: lines in, records out.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

from mmplatform.lineage.names import LineageName

_STATES: Final[dict[str, str]] = {
    "START": "RUNNING",
    "RUNNING": "RUNNING",
    "COMPLETE": "COMPLETED",
    "FAIL": "FAILED",
    "ABORT": "ABORTED",
}
"""Marquez' state of a run, by the type of its last event."""

_ENDS: Final = frozenset({"COMPLETE", "FAIL", "ABORT"})
_ADDS_METADATA: Final = "OTHER"
"""Type of an event that says nothing about the state of its run."""

_INPUT: Final = ("inputs", "inputFacets")
_OUTPUT: Final = ("outputs", "outputFacets")


@dataclass(slots=True)
class JobRun:
    """A run of a job.

    Attributes:
        run_id: its UUID.
        state: as Marquez names it.
        started_at: time of its START; ``None`` where the file begins after it.
        ended_at: time of its end; ``None`` while it runs, and after a kill.
        facets: of the run.
        facets_by_dataset: of what it read and wrote.
    """

    run_id: str
    state: str = "NEW"
    started_at: datetime | None = None
    ended_at: datetime | None = None
    facets: dict[str, Any] = field(default_factory=dict)
    facets_by_dataset: dict[LineageName, dict[str, Any]] = field(default_factory=dict)

    @property
    def duration_s(self) -> float | None:
        """Seconds from START to the end."""
        return (self.ended_at - self.started_at).total_seconds() if self.ended_at and self.started_at else None


@dataclass(slots=True)
class Job:
    """A job: its datasets, its facets, and its runs, the oldest first."""

    name: LineageName
    inputs: set[LineageName] = field(default_factory=set)
    outputs: set[LineageName] = field(default_factory=set)
    facets: dict[str, Any] = field(default_factory=dict)
    runs: dict[str, JobRun] = field(default_factory=dict)

    @property
    def latest_run(self) -> JobRun:
        """The run of the newest event."""
        return list(self.runs.values())[-1]


@dataclass(slots=True)
class Dataset:
    """A dataset: the jobs that write and read it, and its facets."""

    name: LineageName
    written_by: set[LineageName] = field(default_factory=set)
    read_by: set[LineageName] = field(default_factory=set)
    facets: dict[str, Any] = field(default_factory=dict)

    @property
    def fields(self) -> list[dict[str, Any]]:
        """Its columns, from the facet ``schema``."""
        found: list[dict[str, Any]] = (self.facets.get("schema") or {}).get("fields") or []
        return found


@dataclass(slots=True)
class LineageHistory:
    """Jobs and datasets by their names, the number of events, and the number of lines that are none."""

    jobs: dict[LineageName, Job] = field(default_factory=dict)
    datasets: dict[LineageName, Dataset] = field(default_factory=dict)
    events: int = 0
    unreadable_lines: int = 0

    @classmethod
    def read(cls, lines: Iterable[str]) -> LineageHistory:
        """Read events in their order, one a line. A line that is no run event is counted: a disk may have been full."""
        history = cls()
        for line in lines:
            try:
                history._add(json.loads(line))
            except (ValueError, KeyError, TypeError):
                history.unreadable_lines += 1
        return history

    def find(self, text: str) -> list[Job | Dataset]:
        """Jobs and datasets of this name, or whose name ends with it behind a dot."""
        found: list[Job | Dataset] = [*self.jobs.values(), *self.datasets.values()]
        return [item for item in found if item.name.name == text or item.name.name.endswith(f".{text}")]

    def _add(self, event: Mapping[str, Any]) -> None:
        job_name, happened_at = _name(event["job"]), datetime.fromisoformat(event["eventTime"])
        if happened_at.tzinfo is None:
            raise ValueError("a time without a zone")
        run_id, kind = event["run"]["runId"], event["eventType"]
        if kind not in _STATES and kind != _ADDS_METADATA:
            raise ValueError("an unknown type of event")
        job = self.jobs.setdefault(job_name, Job(job_name))
        job.facets |= event["job"].get("facets") or {}
        run = job.runs.pop(run_id, None) or JobRun(run_id)
        job.runs[run_id] = run  # the run of the newest event is the last one
        if kind != _ADDS_METADATA:
            run.state = _STATES[kind]
        run.facets |= event["run"].get("facets") or {}
        if kind == "START":
            run.started_at = happened_at
        elif kind in _ENDS:
            run.ended_at = happened_at
        for group, statistics in (_INPUT, _OUTPUT):
            for given in event.get(group) or []:
                self._add_dataset(job, run, given, group, statistics)
        self.events += 1

    def _add_dataset(self, job: Job, run: JobRun, given: Mapping[str, Any], group: str, statistics: str) -> None:
        name = _name(given)
        dataset = self.datasets.setdefault(name, Dataset(name))
        dataset.facets |= given.get("facets") or {}
        run.facets_by_dataset.setdefault(name, {}).update(given.get(statistics) or {})
        (job.inputs if group == "inputs" else job.outputs).add(name)
        (dataset.read_by if group == "inputs" else dataset.written_by).add(job.name)


def _name(given: Mapping[str, Any]) -> LineageName:
    return LineageName(str(given["namespace"]), str(given["name"]))
