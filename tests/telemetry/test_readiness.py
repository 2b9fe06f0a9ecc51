from __future__ import annotations

import httpx
import pytest
from quixstreams.sinks.base import SinkBackpressureError

from mmplatform.consumers.batch_sink import BatchSink
from mmplatform.errors import Unavailable
from mmplatform.settings import load
from mmplatform.telemetry.readiness import ASSIGNMENT, BROKER, INITIAL_BLOCKERS, LOOP, MODELS, STORE, Readiness
from mmplatform.telemetry.status_server import WorkerStatus, serve_status
from tests.waiting import eventually


class Clock:
    now = 0.0

    def __call__(self):
        return self.now


def test_a_worker_is_not_ready_before_anybody_has_looked_and_says_everything_that_is_missing():
    ready = Readiness()
    assert set(ready.reasons()) == {BROKER, MODELS, ASSIGNMENT} == set(INITIAL_BLOCKERS)
    for what in INITIAL_BLOCKERS:
        ready.unblock(what)
    assert ready.reasons() == {}


def test_an_obstacle_is_reported_with_its_newest_words_and_since_it_began():
    clock = Clock()
    ready = Readiness({}, clock=clock)
    ready.block(STORE, "unavailable: first")
    clock.now = 7.0
    ready.block(STORE, "unavailable: second")
    clock.now = 12.0
    assert ready.reasons() == {STORE: "unavailable: second (for 12 s)"}
    ready.unblock(STORE)
    ready.block(STORE, "unavailable: again")
    assert ready.reasons() == {STORE: "unavailable: again (for 0 s)"}


def test_a_store_that_is_away_makes_the_worker_unready_until_the_next_micro_batch_lands():
    ready = Readiness({})
    failing = True

    def land(_):
        if failing:
            raise Unavailable("the index is away")

    sink = BatchSink(load(), land, ready)

    def one_batch():
        sink.add(b"{}", None, 0, [], "interactions.chat", 0, 1)
        sink.flush()

    with pytest.raises(SinkBackpressureError):
        one_batch()
    assert "the index is away" in ready.reasons()[STORE]
    failing = False
    one_batch()
    assert ready.reasons() == {}


def test_a_loop_that_hangs_is_reported_and_one_that_has_not_begun_or_rests_is_not():
    clock = Clock()
    ready = Readiness({}, clock=clock)
    clock.now = 1000.0
    assert ready.hang_reason() == ""
    ready.heartbeat(600)
    clock.now = 1600.0
    assert ready.reasons() == {}
    clock.now = 1601.0
    assert ready.reasons() == {LOOP: "takes up nothing (for 601 s)"}
    ready.heartbeat(600)
    assert ready.reasons() == {}
    ready.pause_heartbeat()
    clock.now = 9999.0
    assert ready.reasons() == {}


@pytest.fixture
def served():
    status = WorkerStatus("index")
    server = serve_status(status, 0)
    yield status, f"http://127.0.0.1:{server.server_address[1]}"
    status.close()
    server.shutdown()
    server.server_close()


def test_the_page_answers_503_with_reasons_and_200_without(served):
    status, url = served
    answer = httpx.get(f"{url}/readyz")
    assert answer.status_code == 503
    assert set(answer.json()["reasons"]) == set(INITIAL_BLOCKERS)
    assert 'mmplatform_ready{worker="index"} 0.0' in httpx.get(f"{url}/metrics").text
    for what in INITIAL_BLOCKERS:
        status.readiness.unblock(what)
    answer = httpx.get(f"{url}/readyz")
    assert answer.status_code == 200
    assert answer.json() == {"ready": True, "reasons": {}}
    assert 'mmplatform_ready{worker="index"} 1.0' in httpx.get(f"{url}/metrics").text


def test_a_broker_that_answers_no_question_about_lag_is_a_reason_and_one_that_does_is_none(served):
    status, url = served
    answers = [ConnectionError("secret-host"), 3]

    def lag():
        found = answers[0] if len(answers) == 1 else answers.pop(0)
        if isinstance(found, Exception):
            raise found
        return found

    status.watch_lag(lag)
    eventually(lambda: BROKER not in httpx.get(f"{url}/readyz").json()["reasons"], within_s=10)
    answers[0] = ConnectionError("secret-host")
    found = eventually(lambda: httpx.get(f"{url}/readyz").json()["reasons"].get(BROKER), within_s=10)
    assert "does not answer" in found
    assert "secret-host" not in found


def test_a_worker_that_hangs_is_not_alive_and_one_that_waits_is(served):
    status, url = served
    status.readiness = Readiness(INITIAL_BLOCKERS, clock=(clock := Clock()))
    answer = httpx.get(f"{url}/livez")
    assert (answer.status_code, answer.text) == (200, "ok")
    status.readiness.heartbeat(600)
    clock.now = 700.0
    answer = httpx.get(f"{url}/livez")
    assert (answer.status_code, answer.text) == (503, "takes up nothing (for 700 s)")
    assert httpx.get(f"{url}/readyz").json()["reasons"][LOOP] == answer.text
