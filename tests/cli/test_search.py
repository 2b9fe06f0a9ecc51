"""``mmplatform search`` and ``freshness`` against an application that listens, and a status page like the indexer's."""

from __future__ import annotations

import json
import os
from datetime import timedelta

import pytest
from fastapi import FastAPI
from typer.testing import CliRunner

from mmplatform.cli.main import app
from mmplatform.errors import Misconfigured, Rejected, Unavailable
from mmplatform.events import utc_now
from mmplatform.local import run_file
from mmplatform.local.run_file import ServiceRun, StackLock, StackRun
from mmplatform.retrieve.endpoints import search_router
from mmplatform.retrieve.search.fenced_search import FencedSearch
from mmplatform.retrieve.search.search import Searcher
from mmplatform.telemetry.freshness import FreshnessTracker
from mmplatform.telemetry.status_server import WorkerStatus, serve_status
from mmplatform.web.problems import install_problem_handlers
from tests.builders import NOW, stamps
from tests.doubles.embedder import SeededEmbedder
from tests.doubles.memory_index import MemoryIndex
from tests.land.records import NOON, passage
from tests.retrieve.tail.model import overlay_of
from tests.servers.proxy import answering
from tests.servers.web import serving

MINUTE = timedelta(minutes=1)


@pytest.fixture(autouse=True)
def data(monkeypatch, tmp_path):
    monkeypatch.setenv("MMPLATFORM_DATA_DIR", str(tmp_path))
    monkeypatch.setenv("COLUMNS", "200")
    return tmp_path


@pytest.fixture
def index():
    made = MemoryIndex()
    made.upsert(
        [passage(1), passage(2, modality="call", at=NOON + MINUTE), passage(3, subject="zoe", at=NOON + 2 * MINUTE)],
        NOON + 2 * MINUTE,
    )
    return made


@pytest.fixture
def gateway(index):
    made = FastAPI()
    install_problem_handlers(made)
    embedder = SeededEmbedder()
    searcher = Searcher(overlay_of(index), lambda: embedder)
    made.include_router(search_router(lambda: FencedSearch(searcher)))
    with serving(made) as url:
        yield url


@pytest.fixture
def status():
    worker = WorkerStatus("index", freshness=FreshnessTracker())
    worker.state = "running"
    server = serve_status(worker, 0)
    yield worker, f"http://127.0.0.1:{server.server_address[1]}"
    worker.close()
    server.shutdown()
    server.server_close()


@pytest.fixture
def stack(data, gateway, status):
    """A stack as its run file and lock show it, with a gateway and an indexer's page that answer."""
    _, url = status
    lock = StackLock(data)
    lock.acquire()
    index = ServiceRun(pid=os.getpid(), state="ready", restarts=0, metrics_url=url, log="")
    run = StackRun(
        pid=os.getpid(),
        started_at=utc_now(),
        data_dir=str(data),
        gateway=gateway,
        kafka="127.0.0.1:1",
        chroma="",
        dagster="",
        services={"index": index},
    )
    run_file.write(data, run)
    yield run
    lock.release()


def invoke(*words):
    return CliRunner().invoke(app, [str(word) for word in words])


def texts(*words):
    result = invoke("search", *words, "--json")
    assert result.exit_code == 0, result.exception
    return sorted(hit["text"] for hit in json.loads(result.output)["hits"])


def failure(*words):
    """The error that the entry point would print as one line."""
    result = invoke(*words)
    assert result.exit_code == 1
    return result.exception


def test_hits_are_printed_with_source_event_time_and_indexed_time(gateway):
    result = invoke("search", "passage number 2", "--url", gateway)
    assert result.exit_code == 0
    first, second, *rest = result.output.splitlines()
    assert first == "1.00  passage number 2"
    assert second.strip().startswith("chat message event-2 (customer) · 2026-03-05 12:01:00 UTC, ")
    assert second.strip().endswith(" ago · indexed 2026-03-05 12:02:00 UTC, after 60.0 s")
    assert rest[-1].startswith("3 passages in ")


def test_every_option_reaches_the_search(gateway):
    first, second, third = (f"passage number {number}" for number in (1, 2, 3))
    address = ("--url", gateway)
    assert texts("x", *address) == [first, second, third]
    assert texts("x", *address, "--subject", "zoe") == [third]
    assert texts("x", *address, "--modality", "call") == [second]
    assert texts("x", *address, "--modality", "call", "--modality", "chat") == [first, second, third]
    assert texts("x", *address, "--since", "2026-03-05T12:01:00") == [second, third]
    assert texts("x", *address, "--until", "2026-03-05T12:01:00") == [first]
    assert texts(third, *address, "-k", 1) == [third]


def test_the_running_stacks_gateway_is_asked_when_none_is_named(stack):
    assert len(texts("x")) == 3
    assert texts("x", "--url", f"{stack.gateway}/", "--subject", "zoe") == ["passage number 3"]


def test_nothing_found_is_reported(gateway):
    assert invoke("search", "x", "--subject", "nobody", "--url", gateway).output == "nothing found\n"


def test_a_wrong_option_is_refused_with_its_name(gateway):
    for words, field in ((("--modality", "video"), "modalities"), (("-k", 0), "k")):
        error = failure("search", "x", *words, "--url", gateway)
        assert isinstance(error, Rejected)
        assert field in str(error)


def test_an_index_that_is_away_is_named(index, gateway):
    index.down = True
    error = failure("search", "x", "--url", gateway)
    assert isinstance(error, Unavailable)
    assert "the search index does not answer" in str(error)
    assert "events" not in str(error)


def test_no_gateway_is_reported_with_the_verb_that_looks_further():
    error = failure("search", "x", "--url", "http://127.0.0.1:9")
    assert isinstance(error, Unavailable)
    assert "mmplatform status" in str(error)


def test_what_is_no_gateway_and_what_is_no_address_are_reported():
    with answering(b"<html>", kind="text/html") as other:
        assert isinstance(failure("search", "x", "--url", other.url), Misconfigured)
    assert isinstance(failure("search", "x", "--url", "localhost:8080"), Misconfigured)


@pytest.mark.usefixtures("stack")
def test_freshness_shows_each_modality_and_since_when_it_is_measured(status):
    worker, _ = status
    worker.freshness.record("chat", stamps(), NOW + timedelta(seconds=10))
    result = invoke("freshness")
    assert result.exit_code == 0
    figures = next(line for line in result.output.splitlines() if line.startswith("chat"))
    assert " ".join(figures.split()) == "chat 10.0 s 10.0 s 10.0 s 10.0 s 1.0 s 2.0 s 3.0 s 4.0 s*"
    assert "since this indexer started, at " in result.output
    page = json.loads(invoke("freshness", "--json").output)
    assert (page["chat"]["slowest"], page["chat"]["gap"]["max"]) == ("publish", 10.0)


def test_freshness_counts_what_was_shed_and_has_no_gap(stack, data, status):
    worker, _ = status
    worker.freshness.record("chat", stamps(), NOW + timedelta(seconds=10))
    derivers = {}
    for name, count in (("derive-chat", 3), ("derive-chat-1", 4), ("derive-screenshot", 2), ("derive-call", 0)):
        status = WorkerStatus(name)
        status.record_batch(count, 0.1, shed=count)
        derivers[name] = serve_status(status, 0)
    services = stack.services | {
        name: ServiceRun(
            pid=None, state="ready", restarts=0, metrics_url=f"http://127.0.0.1:{server.server_address[1]}", log=""
        )
        for name, server in derivers.items()
    }
    run_file.write(data, stack.model_copy(update={"services": services}))
    page = json.loads(invoke("freshness", "--json").output)
    assert {modality: found["shed"] for modality, found in page.items()} == {"chat": 7, "screenshot": 2}
    lines = [" ".join(line.split()) for line in invoke("freshness").output.splitlines()]
    assert any(line.startswith("chat 1 7 2 s") for line in lines)
    assert any(line.startswith("screenshot 0 2 5 s") for line in lines)
    for server in derivers.values():
        server.shutdown()
        server.server_close()


@pytest.mark.usefixtures("stack")
def test_status_shows_the_very_same_figures_under_the_services(status):
    worker, _ = status
    worker.freshness.record("chat", stamps(), NOW + timedelta(seconds=10))
    figures = next(line for line in invoke("freshness").output.splitlines() if line.startswith("chat"))
    assert figures in invoke("status").output.splitlines()
    found = json.loads(invoke("status", "--json").output)["services"]["index"]["status"]
    assert found["freshness"]["chat"]["stages"]["derive"]["p95"] == 3.0
    assert found["measured_since"]


@pytest.mark.usefixtures("stack")
def test_after_a_restart_an_empty_window_is_reported_as_young():
    output = " ".join(invoke("freshness").output.split())
    assert "since this indexer started, at " in output
    assert "15 minutes" not in output


def test_freshness_without_a_stack_says_how_to_start_one():
    error = failure("freshness")
    assert isinstance(error, Unavailable)
    assert "mmplatform up" in str(error)


@pytest.mark.usefixtures("data")
def test_the_gaps_are_asked_for_where_the_settings_say(status, monkeypatch):
    worker, url = status
    monkeypatch.setenv("MMPLATFORM_INDEX_STATUS_URL", url)
    worker.freshness.record("chat", stamps(), NOW + timedelta(seconds=7))
    result = invoke("freshness", "--json")
    assert result.exit_code == 0, result.exception
    assert json.loads(result.output)["chat"]["gap"]["p50"] == pytest.approx(7.0)
