"""From a Dagster run to OpenLineage run events: the run, each step that materializes assets, and its checks. Pure.

A step's run has the Dagster run as its parent. Its checks are a run of their own, for they read what the step wrote:
in the step's own run the asset would be made of itself.
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
READ: Final[frozenset[dg.DagsterEventType]] = frozenset(
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
"""The events of a run's log that lineage is made of."""

_JOB: Final = "dagster"
_PATH: Final = "definitions.py"
_INPUT: Final = "dagster/input_data_version/"
_HOUR: Final = "%Y-%m-%d-%H:%M"
_ROWS: Final = ("rows", "dagster/partition_row_count", "dagster/row_count")
_SIZE: Final = ("bytes", "size_bytes")


@dataclass(frozen=True, slots=True)
class Words:
    """What lineage calls things in this installation, and where the code comes from, where that is known."""

    namespace: str
    datasets: Datasets
    source: CodeVersion | None = None


@dataclass(slots=True)
class _Step:
    """What the log says of one step."""

    began: datetime | None = None
    ended: datetime | None = None
    state: RunState | None = None
    failure: str = ""
    planned: set[str] = field(default_factory=set)
    made: dict[str, list[dg.AssetMaterialization]] = field(default_factory=lambda: defaultdict(list))
    checked: list[tuple[datetime, dg.AssetCheckEvaluation]] = field(default_factory=list)


def lineage_of(run: dg.DagsterRun, log: Sequence[dg.EventLogEntry], words: Words) -> list[RunEvent]:
    """Everything that a run's log tells so far; first of all the run's START, last of all its end when it has one.

    A log that grew tells the same again, and more. A run that never started has its START at its end.

    Args:
        run: the run.
        log: its events, oldest first; of other types than :data:`READ` none is needed.
        words: what things are called.
    """
    entries = [entry for entry in log if entry.dagster_event is not None and _type(entry) in READ]
    began = next((_at(entry) for entry in entries if _type(entry) == dg.DagsterEventType.RUN_START), None)
    end = next((entry for entry in entries if _type(entry) in RUN_ENDS), None)
    if began is None:
        if end is None:
            return []
        began = _at(end)
    telling = _Telling(run, words)
    found = [telling.run(RunState.START, began)]
    for key, step in _steps(entries).items():
        if step.began is not None:
            found += telling.step(key, step, end)
            found += telling.checks(key, step)
    if end is not None:
        state = RUN_ENDS[_type(end)]
        failure = run.tags.get("dagster/failure_reason", "the run failed") if state == RunState.FAIL else ""
        found.append(telling.run(state, _at(end), failure))
    return found


@dataclass(frozen=True, slots=True)
class _Telling:
    """Makes the events of one run."""

    dagster_run: dg.DagsterRun
    words: Words

    def run(self, state: RunState, at: datetime, failure: str = "") -> RunEvent:
        own = _engine() | _nominal(self.dagster_run.tags) | facets.error(failure)
        return facets.run_event(state, at, _uuid(self.dagster_run.run_id), self._job("JOB"), own)

    def step(self, key: str, step: _Step, end: dg.EventLogEntry | None) -> Iterator[RunEvent]:
        """A step that makes no asset has no lineage."""
        assets = sorted({*step.planned, *step.made})
        if not assets or step.began is None:
            return
        yield self._part(key, "ASSET", RunState.START, step.began, *self._data(assets, step, made=False))
        state, at = step.state, step.ended
        if state is None and end is not None:  # cut short with its run
            state, at = RUN_ENDS[_type(end)], _at(end)
        if state is not None and at is not None:
            data = self._data(assets, step, made=state == RunState.COMPLETE)
            yield self._part(key, "ASSET", state, at, *data, failure=step.failure)

    def checks(self, key: str, step: _Step) -> Iterator[RunEvent]:
        """A check that did not pass is a verdict, not a failure of what ran it."""
        if not step.checked or step.began is None:
            return
        verdicts: dict[str, list[Assertion]] = defaultdict(list)
        for _, check in step.checked:
            verdicts[check.asset_key.to_user_string()].append(_verdict(check))
        inputs = [self.words.datasets.input_dataset(asset, found) for asset, found in sorted(verdicts.items())]
        for state, at in ((RunState.START, step.began), (RunState.COMPLETE, step.checked[-1][0])):
            yield self._part(f"{key}.checks", "CHECKS", state, at, inputs, [])

    def _data(self, assets: Iterable[str], step: _Step, *, made: bool) -> tuple[list[Any], list[Any]]:
        """Inputs and outputs: as Dagster saw them when the step is done, and as we know them before."""
        sources = {asset: _sources(asset, step.made.get(asset, ())) for asset in assets}
        read = sorted({source for found in sources.values() for source in found} - set(sources))
        outputs = [
            self.words.datasets.output_dataset(
                asset, sources[asset], _written(step.made.get(asset, ())) if made else None
            )
            for asset in sources
        ]
        return [self.words.datasets.input_dataset(source) for source in read], outputs

    def _part(
        self,
        key: str,
        kind: str,
        state: RunState,
        at: datetime,
        inputs: list[Any],
        outputs: list[Any],
        failure: str = "",
    ) -> RunEvent:
        of = facets.parent(_uuid(self.dagster_run.run_id), self._name())
        own = of | _engine() | _nominal(self.dagster_run.tags) | facets.error(failure)
        run_id = str(uuid5(NAMESPACE_URL, f"urn:dagster:{self.dagster_run.run_id}:{key}"))
        return facets.run_event(state, at, run_id, self._job(kind, key), own, inputs, outputs)

    def _job(self, kind: str, *key: str) -> Job:
        return facets.job(
            self._name(*key),
            kind=kind,
            processing="BATCH",
            integration="DAGSTER",
            code_version=self.words.source,
            path=_PATH,
        )

    def _name(self, *key: str) -> names.LineageName:
        return names.LineageName(self.words.namespace, ".".join((_JOB, self.dagster_run.job_name, *key)))


def _steps(entries: Iterable[dg.EventLogEntry]) -> dict[str, _Step]:
    """The log by step, in the order in which steps are first named. A step that is tried again is one step."""
    found: dict[str, _Step] = defaultdict(_Step)
    for entry in entries:
        event = entry.get_dagster_event()
        if event.step_key is None:
            continue
        step, kind, data = found[event.step_key], _type(entry), event.event_specific_data
        if kind == dg.DagsterEventType.STEP_START:
            step.began = step.began or _at(entry)
        elif kind in _STEP_ENDS:
            step.ended, step.state = _at(entry), _STEP_ENDS[kind]
            step.failure = error_type(data) if kind == dg.DagsterEventType.STEP_FAILURE else ""
        elif kind == dg.DagsterEventType.ASSET_MATERIALIZATION_PLANNED:
            step.planned.add(event.asset_materialization_planned_data.asset_key.to_user_string())
        elif kind == dg.DagsterEventType.ASSET_MATERIALIZATION:
            made = event.step_materialization_data.materialization
            step.made[made.asset_key.to_user_string()].append(made)
        elif isinstance(data, dg.AssetCheckEvaluation):
            step.checked.append((_at(entry), data))
    return found


def _sources(asset: str, made: Iterable[dg.AssetMaterialization]) -> set[str]:
    """What Dagster noted that an asset was made of; before that, what our tables are made of."""
    noted = {tag.removeprefix(_INPUT) for each in made for tag in (each.tags or {}) if tag.startswith(_INPUT)}
    return noted or set(COLUMN_SOURCES.get(asset, {}))


def _written(made: Iterable[dg.AssetMaterialization]) -> WriteStatistics:
    """What a step wrote to an asset, all partitions of it together."""
    each = list(made)
    return WriteStatistics(rows=_sum(each, _ROWS), size=_sum(each, _SIZE))


def _sum(made: Iterable[dg.AssetMaterialization], keys: Iterable[str]) -> int | None:
    found = []
    for each in made:
        values = (each.metadata[key].value for key in keys if key in each.metadata)
        found += [value for value in values if isinstance(value, int)][:1]
    return sum(found) if found else None


def _verdict(check: dg.AssetCheckEvaluation) -> Assertion:
    """The check's name and outcome; what it says in words may quote a row."""
    return Assertion(rule=check.check_name, passed=check.passed, severity=check.severity.value.lower())


def error_type(data: Any) -> str:
    """The type of the error at the bottom: its message may quote what was sent."""
    failure = getattr(data, "user_failure_data", None)
    if failure is not None and ERROR_TYPE in failure.metadata:
        return str(failure.metadata[ERROR_TYPE].value)
    error = getattr(data, "error", None)
    while error is not None and error.cause is not None:
        error = error.cause
    return (error.cls_name if error is not None else None) or "the step failed"


def _nominal(tags: Mapping[str, str]) -> dict[str, Any]:
    """The hours that a run is about, where it is about hours."""
    key = tags.get("dagster/partition", "")
    first = tags.get("dagster/asset_partition_range_start", key)
    last = tags.get("dagster/asset_partition_range_end", key)
    try:
        start, end = (datetime.strptime(each, _HOUR).replace(tzinfo=UTC) for each in (first, last))
    except ValueError:
        return {}
    return facets.nominal_time(start, end + timedelta(hours=1))


def _engine() -> dict[str, Any]:
    return facets.engine("Dagster", dg.__version__)


def _uuid(run_id: str) -> str:
    """Dagster's own run ids are uuids; whoever launches a run may have given it another."""
    try:
        return str(UUID(run_id))
    except ValueError:
        return str(uuid5(NAMESPACE_URL, f"urn:dagster:{run_id}"))


def _type(entry: dg.EventLogEntry) -> dg.DagsterEventType:
    return entry.get_dagster_event().event_type


def _at(entry: dg.EventLogEntry) -> datetime:
    return datetime.fromtimestamp(entry.timestamp, UTC)
