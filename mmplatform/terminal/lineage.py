"""Lineage on a terminal: jobs and datasets in tables, and both as JSON of Marquez' API."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Any, Final

from rich.console import Console
from rich.table import Table
from rich.text import Text

from mmplatform.errors import Unavailable
from mmplatform.lineage.history import Dataset, Job, JobRun, LineageHistory
from mmplatform.lineage.names import LineageName

MAX_RUNS: Final = 10
"""Runs that are shown of one job, the newest first."""

_ROWS: Final = ("inputStatistics", "rowCount"), ("outputStatistics", "rowCount")
_STYLES: Final = {"COMPLETED": "green", "FAILED": "red", "ABORTED": "yellow", "RUNNING": "cyan"}


def print_history(history: LineageHistory, console: Console) -> None:
    """Print all jobs with their latest run, then all datasets."""
    jobs = Table("job", "runs", "state", "started at", "seconds", "reads", "writes", title="Jobs", title_justify="left")
    for job in sorted(history.jobs.values(), key=lambda job: job.name.name):
        run = job.latest_run
        jobs.add_row(
            f"{job.name.namespace}:{job.name.name}", str(len(job.runs)), _state(run), _time(run.started_at),
            _seconds(run), _names(job.inputs), _names(job.outputs),
        )  # fmt: skip
    datasets = Table("dataset", "namespace", "columns", "written by", "read by", title="Datasets", title_justify="left")
    for dataset in sorted(history.datasets.values(), key=lambda dataset: dataset.name.name):
        datasets.add_row(
            dataset.name.name, dataset.name.namespace, str(len(dataset.fields) or ""),
            _names(dataset.written_by), _names(dataset.read_by),
        )  # fmt: skip
    console.print(jobs, datasets, sep="\n")
    unreadable = f", {history.unreadable_lines} lines could not be read" if history.unreadable_lines else ""
    console.print(f"{history.events} events{unreadable}", style="dim")


def print_named(history: LineageHistory, name: str, console: Console) -> None:
    """Print the jobs and datasets of one name: runs with rows, columns with their sources, and facets.

    Raises:
        Unavailable: no event names it.
    """
    for item in _find(history, name):
        if isinstance(item, Job):
            _print_job(item, console)
        else:
            _print_dataset(item, console)


def as_marquez(history: LineageHistory, name: str = "") -> dict[str, Any]:
    """Return jobs and datasets as Marquez' API shows them; with a name only those of that name."""
    items = _find(history, name) if name else [*history.jobs.values(), *history.datasets.values()]
    return {
        "jobs": [_job_json(item) for item in items if isinstance(item, Job)],
        "datasets": [_dataset_json(item) for item in items if isinstance(item, Dataset)],
    }


def _find(history: LineageHistory, name: str) -> list[Job | Dataset]:
    found = history.find(name)
    if not found:
        raise Unavailable(f"no event names {name}: `mmplatform lineage` lists all jobs and datasets")
    return found


def _print_job(job: Job, console: Console) -> None:
    title = f"Job {job.name.namespace}:{job.name.name} ({_job_type(job)})"
    table = Table("run", "state", "started at", "seconds", "rows by dataset", title=title, title_justify="left")
    for run in reversed(list(job.runs.values())[-MAX_RUNS:]):
        rows = [(name.name, _rows(facets)) for name, facets in run.facets_by_dataset.items()]
        text = ", ".join(f"{name} {count}" for name, count in rows if count is not None)
        table.add_row(run.run_id, _state(run), _time(run.started_at), _seconds(run), text)
    console.print(table)
    console.print(f"reads {_names(job.inputs) or 'nothing'}; writes {_names(job.outputs) or 'nothing'}")
    console.print(f"facets: job {', '.join(sorted(job.facets))}; run {', '.join(sorted(job.latest_run.facets))}\n")


def _print_dataset(dataset: Dataset, console: Console) -> None:
    title = f"Dataset {dataset.name.name} in {dataset.name.namespace}"
    table = Table("column", "type", "comes from", title=title, title_justify="left")
    lineage = dataset.facets.get("columnLineage", {}).get("fields", {})
    for column in dataset.fields:
        sources = lineage.get(column["name"], {}).get("inputFields", [])
        text = ", ".join(f"{source['name']}.{source['field']}" for source in sources)
        table.add_row(column["name"], str(column.get("type", "")), text)
    console.print(table)
    console.print(f"written by {_names(dataset.written_by) or 'no job'}; read by {_names(dataset.read_by) or 'no job'}")
    console.print(f"facets: {', '.join(sorted(dataset.facets))}\n")


def _job_json(job: Job) -> dict[str, Any]:
    run = job.latest_run
    return {
        "id": _id_json(job.name),
        "type": _job_type(job),
        "name": job.name.name,
        "namespace": job.name.namespace,
        "inputs": [_id_json(name) for name in _sorted(job.inputs)],
        "outputs": [_id_json(name) for name in _sorted(job.outputs)],
        "latestRun": {
            "id": run.run_id,
            "state": run.state,
            "startedAt": run.started_at.isoformat() if run.started_at else None,
            "endedAt": run.ended_at.isoformat() if run.ended_at else None,
            "durationMs": None if run.duration_s is None else round(run.duration_s * 1000),
            "facets": run.facets,
        },
        "facets": job.facets,
    }


def _dataset_json(dataset: Dataset) -> dict[str, Any]:
    return {
        "id": _id_json(dataset.name),
        "name": dataset.name.name,
        "namespace": dataset.name.namespace,
        "fields": dataset.fields,
        "producedBy": [_id_json(name) for name in _sorted(dataset.written_by)],
        "consumedBy": [_id_json(name) for name in _sorted(dataset.read_by)],
        "facets": dataset.facets,
    }


def _id_json(name: LineageName) -> dict[str, str]:
    return {"namespace": name.namespace, "name": name.name}


def _job_type(job: Job) -> str:
    return str(job.facets.get("jobType", {}).get("processingType", "BATCH"))


def _rows(facets: dict[str, Any]) -> int | None:
    return next((facets[facet][key] for facet, key in _ROWS if key in facets.get(facet, {})), None)


def _state(run: JobRun) -> Text:
    return Text(run.state, style=_STYLES.get(run.state, ""))


def _time(happened_at: datetime | None) -> str:
    return f"{happened_at:%Y-%m-%d %H:%M:%S}" if happened_at else ""


def _seconds(run: JobRun) -> str:
    return "" if run.duration_s is None else f"{run.duration_s:.2f}"


def _names(names: Iterable[LineageName]) -> str:
    return ", ".join(name.name for name in _sorted(names))


def _sorted(names: Iterable[LineageName]) -> list[LineageName]:
    return sorted(names, key=lambda name: (name.name, name.namespace))
