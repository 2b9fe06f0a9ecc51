"""Snapshot of a stack that another process runs, from its run file and its workers' status."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from typing import Any, Final

from mmplatform.local.run_file import DAGSTER, StackRun
from mmplatform.local.services.probes import local_client
from mmplatform.local.status.live_table import ServiceRow, StackSnapshot
from mmplatform.local.status.worker_status import ProcessMeter, ProcessUsage, WorkerStatusPayload, query_workers

_CPU_WINDOW_S: Final = 0.3


def collect_snapshot(run: StackRun) -> StackSnapshot:
    """Query every worker and measure every process."""
    statuses = asyncio.run(query_ready_workers(run))
    usage = _measure(run)
    rows = [
        ServiceRow(
            name, service.state, service.restarts, service.pid, usage.get(name), statuses.get(name), service.note
        )
        for name, service in run.services.items()
    ]
    urls = {"gateway": run.gateway, "dagster": run.dagster, "kafka": run.kafka, "chroma": run.chroma}
    return StackSnapshot(rows, urls)


def snapshot_to_json(run: StackRun, snapshot: StackSnapshot) -> dict[str, Any]:
    """Return the run file, with status, CPU and memory of each service."""
    document = run.model_dump(mode="json")
    for row in snapshot.rows:
        service = document["services"][row.name]
        service["status"] = row.status.model_dump(mode="json") if row.status else None
        service["cpu"] = round(row.usage.cpu, 3) if row.usage else None
        service["rss"] = row.usage.rss if row.usage else None
    return document


async def query_ready_workers(run: StackRun) -> dict[str, WorkerStatusPayload]:
    """Query the status of every ready worker."""
    urls = {
        name: service.metrics_url
        for name, service in run.services.items()
        if service.metrics_url and service.state == "ready"
    }
    async with local_client() as client:
        return await query_workers(client, urls)


def _measure(run: StackRun) -> Mapping[str, ProcessUsage]:
    meter = ProcessMeter()
    pids = {name: service.pid for name, service in run.services.items() if service.pid is not None}
    for name, pid in pids.items():
        meter.measure(pid, include_children=name == DAGSTER)
    time.sleep(_CPU_WINDOW_S)  # CPU is the mean since the measurement before
    measured = {name: meter.measure(pid, include_children=name == DAGSTER) for name, pid in pids.items()}
    return {name: usage for name, usage in measured.items() if usage is not None}
