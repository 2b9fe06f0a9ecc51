"""``up --detach`` returns once everything that it started answers, the Dagster UI with its code location too."""

from __future__ import annotations

import httpx

from tests.integration.conftest import running_stack

LOCATIONS = "{ workspaceOrError { ... on Workspace { locationEntries { name loadStatus } } } }"


def test_dagster_answers_when_a_detached_start_returns(tmp_path):
    arguments = ("--derivers", "chat=0,call=0,screenshot=0")
    with running_stack(tmp_path, arguments=arguments, MMPLATFORM_DAGSTER_PORT="0") as stack:
        assert set(stack.run.services) == {"broker", "chroma", "gateway", "index", "archive", "dagster"}
        assert {service.state for service in stack.run.services.values()} == {"ready"}
        answer = httpx.post(f"{stack.run.dagster}/graphql", json={"query": LOCATIONS}, trust_env=False, timeout=60)
        [location] = answer.json()["data"]["workspaceOrError"]["locationEntries"]
        assert location["loadStatus"] == "LOADED"
