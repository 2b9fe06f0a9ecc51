"""From a Dagster run to OpenLineage run events: the run, each step that materializes assets, and its checks. Pure.

A step's run has the Dagster run as its parent. Its checks are a run of their own, for they read the step's output: in
the step's own run the asset would be its own input.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Final
from uuid import NAMESPACE_URL, UUID, uuid5

import dagster as dg
from openlineage.client.event_v2 import Job, RunEvent, RunState

from mmplatform.lineage import facets, names
from mmplatform.lineage.code_version import CodeVersion
from mmplatform.lineage.columns import COLUMN_SOURCES
from mmplatform.lineage.datasets import Assertion, Datasets, WriteStatistics
from resources.failures import ERROR_TYPE

RUN_ENDS: Final[Mapping[dg.DagsterEventType, RunState]] = {
    dg.DagsterEventType.RUN_SUCCESS: RunState.COMPLETE,
    dg.DagsterEventType.RUN_FAILURE: RunState.FAIL,
    dg.DagsterEventType.RUN_CANCELED: RunState.ABORT,
}
_STEP_ENDS: Final[Mapping[dg.DagsterEventType, RunState]] = {
    dg.DagsterEventType.STEP_SUCCESS: RunState.COMPLETE,
    dg.DagsterEventType.STEP_FAILURE: RunState.FAIL,
}
EVENT_TYPES: Final[frozenset[dg.DagsterEventType]] = frozenset(
    {
        *RUN_ENDS,
        *_STEP_ENDS,
        dg.DagsterEventType.RUN_START,
        dg.DagsterEventType.STEP_START,
        dg.DagsterEventType.ASSET_MATERIALIZATION_PLANNED,
        dg.DagsterEventType.ASSET_MATERIALIZATION,
        dg.DagsterEventType.ASSET_CHECK_EVALUATION,
    }
)
"""The types of events in a run's log that lineage is made from."""

_JOB: Final = "dagster"
_PATH: Final = "definitions.py"
_INPUT: Final = "dagster/input_data_version/"
_HOUR: Final = "%Y-%m-%d-%H:%M"
_ROWS: Final = ("rows", "dagster/partition_row_count", "dagster/row_count")
_SIZE: Final = ("bytes", "size_bytes")


@dataclass(frozen=True, slots=True)
class LineageContext:
    """Names of jobs and datasets in this installation, and the source of the code, if known."""

    namespace: str
    datasets: Datasets
    source: CodeVersion | None = None


@dataclass(slots=True)
class _StepLog:
    """One step in the log of a run."""

    started_at: datetime | None = None
    ended_at: datetime | None = None
    state: RunState | None = None
    failure: str = ""
    planned: set[str] = field(default_factory=set)
    materializations: dict[str, list[dg.AssetMaterialization]] = field(default_factory=lambda: defaultdict(list))
    evaluations: list[tuple[datetime, dg.AssetCheckEvaluation]] = field(default_factory=list)


def run_events(run: dg.DagsterRun, log: Sequence[dg.EventLogEntry], context: LineageContext) -> list[RunEvent]:
    """All events of a run's log so far: the run's START first, its end last when it has one.

    A longer log yields the same events again, and more. A run that never started has its START at its end.

    Args:
        run: the run.
        log: its events, oldest first; only those of :data:`EVENT_TYPES` are needed.
        context: names in lineage.
    """
    entries = [entry for entry in log if entry.dagster_event is not None and _type(entry) in EVENT_TYPES]
    started_at = next((_timestamp(entry) for entry in entries if _type(entry) == dg.DagsterEventType.RUN_START), None)
    end = next((entry for entry in entries if _type(entry) in RUN_ENDS), None)
    if started_at is None:
        if end is None:
            return []
        started_at = _timestamp(end)
    builder = _RunEventBuilder(run, context)
    events = [builder.run_event(RunState.START, started_at)]
    for key, step in _steps(entries).items():
        if step.started_at is not None:
            events += builder.step_events(key, step, end)
            events += builder.check_events(key, step)
    if end is not None:
        state = RUN_ENDS[_type(end)]
        failure = run.tags.get("dagster/failure_reason", "the run failed") if state == RunState.FAIL else ""
        events.append(builder.run_event(state, _timestamp(end), failure))
    return events


@dataclass(frozen=True, slots=True)
class _RunEventBuilder:
    """Builds the events of one run."""

    dagster_run: dg.DagsterRun
    context: LineageContext

    def run_event(self, state: RunState, timestamp: datetime, failure: str = "") -> RunEvent:
        run_facets = _engine() | _nominal(self.dagster_run.tags) | facets.error(failure)
        return facets.run_event(state, timestamp, _uuid(self.dagster_run.run_id), self._job("JOB"), run_facets)

    def step_events(self, key: str, step: _StepLog, end: dg.EventLogEntry | None) -> Iterator[RunEvent]:
        """Start and end of a step; a step without assets has no lineage."""
        assets = sorted({*step.planned, *step.materializations})
        if not assets or step.started_at is None:
            return
        yield self._child_event(
            key, "ASSET", RunState.START, step.started_at, *self._datasets(assets, step, complete=False)
        )
        state, ended_at = step.state, step.ended_at
        if state is None and end is not None:  # ended with its run
            state, ended_at = RUN_ENDS[_type(end)], _timestamp(end)
        if state is not None and ended_at is not None:
            datasets = self._datasets(assets, step, complete=state == RunState.COMPLETE)
            yield self._child_event(key, "ASSET", state, ended_at, *datasets, failure=step.failure)

    def check_events(self, key: str, step: _StepLog) -> Iterator[RunEvent]:
        """Start and end of a step's checks; a failed check is an assertion, not a failure of the step."""
        if not step.evaluations or step.started_at is None:
            return
        assertions: dict[str, list[Assertion]] = defaultdict(list)
        for _, evaluation in step.evaluations:
            assertions[evaluation.asset_key.to_user_string()].append(_assertion(evaluation))
        inputs = [
            self.context.datasets.input_dataset(asset, of_asset) for asset, of_asset in sorted(assertions.items())
        ]
        for state, timestamp in ((RunState.START, step.started_at), (RunState.COMPLETE, step.evaluations[-1][0])):
            yield self._child_event(f"{key}.checks", "CHECKS", state, timestamp, inputs, [])

    def _datasets(self, assets: Iterable[str], step: _StepLog, *, complete: bool) -> tuple[list[Any], list[Any]]:
        """Inputs and outputs: from Dagster's materializations when the step is complete, else from the table graph."""
        sources = {asset: _sources(asset, step.materializations.get(asset, ())) for asset in assets}
        inputs = sorted({source for of_asset in sources.values() for source in of_asset} - set(sources))
        outputs = [
            self.context.datasets.output_dataset(
                asset, sources[asset], _written(step.materializations.get(asset, ())) if complete else None
            )
            for asset in sources
        ]
        return [self.context.datasets.input_dataset(source) for source in inputs], outputs

    def _child_event(
        self,
        key: str,
        kind: str,
        state: RunState,
        timestamp: datetime,
        inputs: list[Any],
        outputs: list[Any],
        failure: str = "",
    ) -> RunEvent:
        parent = facets.parent(_uuid(self.dagster_run.run_id), self._name())
        run_facets = parent | _engine() | _nominal(self.dagster_run.tags) | facets.error(failure)
        run_id = str(uuid5(NAMESPACE_URL, f"urn:dagster:{self.dagster_run.run_id}:{key}"))
        return facets.run_event(state, timestamp, run_id, self._job(kind, key), run_facets, inputs, outputs)

    def _job(self, kind: str, *key: str) -> Job:
        return facets.job(
            self._name(*key),
            kind=kind,
            processing="BATCH",
            integration="DAGSTER",
            code_version=self.context.source,
            path=_PATH,
        )

    def _name(self, *key: str) -> names.LineageName:
        return names.LineageName(self.context.namespace, ".".join((_JOB, self.dagster_run.job_name, *key)))


def _steps(entries: Iterable[dg.EventLogEntry]) -> dict[str, _StepLog]:
    """The log by step, in the order of their first events. A retried step is one step."""
    steps: dict[str, _StepLog] = defaultdict(_StepLog)
    for entry in entries:
        event = entry.get_dagster_event()
        if event.step_key is None:
            continue
        step, kind, data = steps[event.step_key], _type(entry), event.event_specific_data
        if kind == dg.DagsterEventType.STEP_START:
            step.started_at = step.started_at or _timestamp(entry)
        elif kind in _STEP_ENDS:
            step.ended_at, step.state = _timestamp(entry), _STEP_ENDS[kind]
            step.failure = error_type(data) if kind == dg.DagsterEventType.STEP_FAILURE else ""
        elif kind == dg.DagsterEventType.ASSET_MATERIALIZATION_PLANNED:
            step.planned.add(event.asset_materialization_planned_data.asset_key.to_user_string())
        elif kind == dg.DagsterEventType.ASSET_MATERIALIZATION:
            materialization = event.step_materialization_data.materialization
            step.materializations[materialization.asset_key.to_user_string()].append(materialization)
        elif isinstance(data, dg.AssetCheckEvaluation):
            step.evaluations.append((_timestamp(entry), data))
    return steps


def _sources(asset: str, materializations: Iterable[dg.AssetMaterialization]) -> set[str]:
    """The sources that Dagster recorded for an asset; without a record, those of the platform's tables."""
    tags = {tag for materialization in materializations for tag in materialization.tags or {}}
    recorded = {tag.removeprefix(_INPUT) for tag in tags if tag.startswith(_INPUT)}
    return recorded or set(COLUMN_SOURCES.get(asset, {}))


def _written(materializations: Sequence[dg.AssetMaterialization]) -> WriteStatistics:
    """Rows and bytes that a step wrote to an asset, over all of its partitions."""
    return WriteStatistics(rows=_sum(materializations, _ROWS), size=_sum(materializations, _SIZE))


def _sum(materializations: Iterable[dg.AssetMaterialization], keys: Iterable[str]) -> int | None:
    counts = []
    for materialization in materializations:
        values = (materialization.metadata[key].value for key in keys if key in materialization.metadata)
        counts += [value for value in values if isinstance(value, int)][:1]
    return sum(counts) if counts else None


def _assertion(evaluation: dg.AssetCheckEvaluation) -> Assertion:
    """The check's name and outcome; its description may quote a row."""
    return Assertion(rule=evaluation.check_name, passed=evaluation.passed, severity=evaluation.severity.value.lower())


def error_type(data: Any) -> str:
    """The type of the root cause: its message may quote customer text."""
    failure = getattr(data, "user_failure_data", None)
    if failure is not None and ERROR_TYPE in failure.metadata:
        return str(failure.metadata[ERROR_TYPE].value)
    error = getattr(data, "error", None)
    while error is not None and error.cause is not None:
        error = error.cause
    return (error.cls_name if error is not None else None) or "the step failed"


def _nominal(tags: Mapping[str, str]) -> dict[str, Any]:
    """The hours of a run's partitions, where they are hours."""
    key = tags.get("dagster/partition", "")
    first = tags.get("dagster/asset_partition_range_start", key)
    last = tags.get("dagster/asset_partition_range_end", key)
    try:
        start, end = (datetime.strptime(key, _HOUR).replace(tzinfo=UTC) for key in (first, last))
    except ValueError:
        return {}
    return facets.nominal_time(start, end + timedelta(hours=1))


def _engine() -> dict[str, Any]:
    return facets.engine("Dagster", dg.__version__)


def _uuid(run_id: str) -> str:
    """The run id as a uuid: Dagster's own ids are uuids, but a launcher may set another."""
    try:
        return str(UUID(run_id))
    except ValueError:
        return str(uuid5(NAMESPACE_URL, f"urn:dagster:{run_id}"))


def _type(entry: dg.EventLogEntry) -> dg.DagsterEventType:
    return entry.get_dagster_event().event_type


def _timestamp(entry: dg.EventLogEntry) -> datetime:
    return datetime.fromtimestamp(entry.timestamp, UTC)
