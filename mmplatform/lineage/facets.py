"""Jobs, runs and their facets in OpenLineage's types. Importing this module imports that package."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Any, Final, Literal

from openlineage.client.event_v2 import Job, Run, RunEvent, RunState
from openlineage.client.facet_v2 import (
    JobFacet,
    RunFacet,
    error_message_run,
    job_type_job,
    nominal_time_run,
    parent_run,
    processing_engine_run,
    source_code_location_job,
)

import mmplatform
from mmplatform.errors import PlatformError
from mmplatform.lineage.code_version import CodeVersion, find_code_version
from mmplatform.lineage.names import LineageName

PRODUCER: Final = f"pkg:generic/mmplatform@{mmplatform.__version__}"
"""A package URL, because the repository's address is not known everywhere."""

ProcessingType = Literal["BATCH", "STREAMING"]


def own_code_version() -> CodeVersion | None:
    """Repository and commit of this installation; reads a few small files."""
    return find_code_version("mmplatform", Path(mmplatform.__file__).parents[1])


def job(
    name: LineageName,
    *,
    kind: str,
    processing: ProcessingType,
    integration: str,
    code_version: CodeVersion | None,
    path: str,
) -> Job:
    """A job; ``path`` is its file in the repository."""
    facets: dict[str, JobFacet] = {
        "jobType": job_type_job.JobTypeJobFacet(
            processingType=processing, integration=integration, jobType=kind, producer=PRODUCER
        )
    }
    if code_version is not None:
        facets["sourceCodeLocation"] = source_code_location_job.SourceCodeLocationJobFacet(
            type="git",
            url=code_version.url,
            repoUrl=code_version.url,
            path=path,
            version=code_version.version,
            producer=PRODUCER,
        )
    return Job(namespace=name.namespace, name=name.name, facets=facets)


def engine(name: str, version: str) -> dict[str, RunFacet]:
    """Processing engine of a run."""
    facet = processing_engine_run.ProcessingEngineRunFacet(
        version=version, name=name, openlineageAdapterVersion=mmplatform.__version__, producer=PRODUCER
    )
    return {"processing_engine": facet}


def parent(run_id: str, name: LineageName) -> dict[str, RunFacet]:
    """Parent run; runs have one level of nesting, so that the parent is the root too."""
    facet = parent_run.ParentRunFacet(
        run=parent_run.Run(run_id, facets=None),
        job=parent_run.Job(name.namespace, name.name, facets=None),
        root=parent_run.Root(
            run=parent_run.RootRun(run_id, facets=None),
            job=parent_run.RootJob(name.namespace, name.name, facets=None),
        ),
        producer=PRODUCER,
    )
    return {"parent": facet}


def error(message: str) -> dict[str, RunFacet]:
    """Error of a failed run; ``message`` must not quote a payload (:func:`safe_error_message`)."""
    if not message:
        return {}
    facet = error_message_run.ErrorMessageRunFacet(message=message, programmingLanguage="PYTHON", producer=PRODUCER)
    return {"errorMessage": facet}


def nominal_time(start: datetime, end: datetime) -> dict[str, RunFacet]:
    """The period of the data that a run processes."""
    facet = nominal_time_run.NominalTimeRunFacet(
        nominalStartTime=start.isoformat(), nominalEndTime=end.isoformat(), producer=PRODUCER
    )
    return {"nominalTime": facet}


def safe_error_message(raised: BaseException) -> str:
    """Type of an error, with the message only for platform errors, which never quote a payload."""
    kind = type(raised).__name__
    return f"{kind}: {raised}" if isinstance(raised, PlatformError) else kind


def run_event(
    state: RunState,
    event_time: datetime,
    run_id: str,
    what: Job,
    facets: dict[str, RunFacet],
    inputs: list[Any] | None = None,
    outputs: list[Any] | None = None,
) -> RunEvent:
    """A run event; ``at`` is aware of UTC."""
    return RunEvent(
        eventType=state,
        eventTime=event_time.isoformat(),
        run=Run(runId=run_id, facets=facets),
        job=what,
        inputs=inputs or [],
        outputs=outputs or [],
        producer=PRODUCER,
    )
