"""Dagster's web server, asked as its own pages ask it: over GraphQL."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import httpx

from tests.waiting import eventually

_BACKFILL = """mutation ($asked: LaunchBackfillParams!) { launchPartitionBackfill(backfillParams: $asked) {
  __typename ... on LaunchBackfillSuccess { backfillId } ... on PythonError { message } } }"""
_A_RUN = "runId status creationTime startTime endTime stepStats { stepKey status startTime endTime }"
_RUNS = f"""query ($tags: [ExecutionTag!]) {{ runsOrError(filter: {{tags: $tags}}) {{
  ... on Runs {{ results {{ {_A_RUN} }} }} }} }}"""
_RUN = """mutation ($asked: ExecutionParams!) { launchRun(executionParams: $asked) {
  __typename ... on LaunchRunSuccess { run { runId } } ... on PythonError { message }
  ... on InvalidSubsetError { message } } }"""
_STOP = """mutation ($id: String!) { terminateRun(runId: $id) { __typename ... on PythonError { message } } }"""
ENDED = ("SUCCESS", "FAILURE", "CANCELED")


class DagsterUi:
    """Actions of the UI, sent to the running web server."""

    def __init__(self, url: str) -> None:
        self.url = url

    def query(self, query: str, **variables: Any) -> dict[str, Any]:
        answer = httpx.post(f"{self.url}/graphql", json={"query": query, "variables": variables}, timeout=60)
        found = answer.raise_for_status().json()
        assert not found.get("errors"), found["errors"]
        return found["data"]

    def wait_until_loaded(self, within_s: float = 180.0) -> None:
        def loaded() -> bool:
            try:
                nodes = self.query("{ assetNodes { id } }")["assetNodes"]
            except httpx.HTTPError:
                return False
            return bool(nodes)

        eventually(loaded, within_s)

    def backfill(self, asset: str, partitions: Sequence[str]) -> str:
        parameters = {"assetSelection": [{"path": [asset]}], "partitionNames": list(partitions), "title": "in a test"}
        found = self.query(_BACKFILL, asked=parameters)["launchPartitionBackfill"]
        assert found["__typename"] == "LaunchBackfillSuccess", found
        return found["backfillId"]

    def wait_for_runs(self, backfill: str, *, count: int, within_s: float) -> list[dict[str, Any]]:
        """All runs of a backfill, once they have ended."""

        def ended() -> list[dict[str, Any]]:
            runs = self.runs(backfill=backfill)
            return runs if len(runs) == count and all(run["status"] in ENDED for run in runs) else []

        return eventually(ended, within_s, every_s=1.0)

    def runs(self, **tags: str) -> list[dict[str, Any]]:
        wanted = [{"key": f"dagster/{name}", "value": value} for name, value in tags.items()]
        return self.query(_RUNS, tags=wanted)["runsOrError"]["results"]

    def launch(self, asset: str, partition: str, *, checks: bool = False) -> str:
        """Start a run of one asset and hour; ``checks``: with all checks of the asset."""
        asked: dict[str, Any] = {
            "selector": {
                "repositoryLocationName": "mmplatform",
                "repositoryName": "__repository__",
                "pipelineName": "__ASSET_JOB",
                "assetSelection": [{"path": [asset]}],
                "assetCheckSelection": None if checks else [],
            },
            "mode": "default",
            "executionMetadata": {"tags": [{"key": "dagster/partition", "value": partition}]},
        }
        found = self.query(_RUN, asked=asked)["launchRun"]
        assert found["__typename"] == "LaunchRunSuccess", found
        return found["run"]["runId"]

    def terminate(self, run: str) -> None:
        found = self.query(_STOP, id=run)["terminateRun"]
        assert found["__typename"] == "TerminateRunSuccess", found

    def run(self, run: str) -> dict[str, Any]:
        return self.query(f"query ($id: ID!) {{ runOrError(runId: $id) {{ ... on Run {{ {_A_RUN} }} }} }}", id=run)[
            "runOrError"
        ]

    def status(self, run: str) -> str:
        return self.run(run)["status"]
