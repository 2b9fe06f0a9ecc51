"""Whatever the backend does, whoever has something to tell goes on at once."""

from __future__ import annotations

import threading

import pytest

from mmplatform.errors import Rejected, Unavailable
from mmplatform.lineage.emitter import LineageEmitter
from tests.waiting import eventually


class Backend:
    """Takes events, or does what it was told to first."""

    def __init__(self, *first) -> None:
        self.first = list(first)
        self.sent: list = []
        self.tried = 0
        self.closed = False

    def send(self, event):
        self.tried += 1
        if self.first:
            error = self.first.pop(0)
            if isinstance(error, Exception):
                raise error
            error()
        self.sent.append(event)

    def close(self):
        self.closed = True


@pytest.fixture
def opened():
    emitters: list[LineageEmitter] = []

    def make(backend, **how):
        emitters.append(LineageEmitter(backend, retry_s=0.01, **how))
        return emitters[-1]

    yield make
    for emitter in emitters:
        emitter.close(0)


def counted(emitter, **expected):
    return eventually(lambda: expected.items() <= emitter.counts().items(), within_s=20, every_s=0.01)


def test_events_leave_in_order(opened):
    backend = Backend()
    emitter = opened(backend)
    for number in range(50):
        emitter.emit(lambda number=number: number)
    counted(emitter, sent=50, queued=0)
    assert backend.sent == list(range(50))


def test_an_event_is_tried_until_the_backend_is_back(opened):
    backend = Backend(Unavailable("away"), Unavailable("away"))
    emitter = opened(backend)
    emitter.emit(lambda: "one")
    emitter.emit(lambda: "two")
    counted(emitter, sent=2, dropped=0)
    assert (backend.sent, backend.tried) == (["one", "two"], 4)


@pytest.mark.parametrize(
    ("trouble", "outcome"), [(Rejected("not this one"), "refused"), (ZeroDivisionError("a bug"), "failed")]
)
def test_what_will_never_be_taken_does_not_hold_up_the_next(opened, trouble, outcome):
    backend = Backend(trouble)
    emitter = opened(backend)
    emitter.emit(lambda: "one")
    emitter.emit(lambda: "two")
    counted(emitter, sent=1, **{outcome: 1})
    assert backend.sent == ["two"]


def test_an_event_that_cannot_be_made_is_counted_and_nobody_hears_of_it(opened):
    backend = Backend()
    emitter = opened(backend)
    emitter.emit(lambda: 1 / 0)
    emitter.emit(lambda: "two")
    counted(emitter, sent=1, failed=1)


def test_a_backend_that_hangs_holds_up_nobody_and_what_does_not_fit_is_dropped(opened):
    hanging, let_go = threading.Event(), threading.Event()

    def hang():
        hanging.set()
        let_go.wait(60)

    emitter = opened(Backend(hang), max_queued=3)
    emitter.emit(lambda: 0)
    assert hanging.wait(20)
    for number in range(1, 10):
        emitter.emit(lambda number=number: number)  # returns, or the test's time runs out
    assert emitter.counts() == {"sent": 0, "refused": 0, "dropped": 7, "failed": 0, "queued": 3}
    let_go.set()
    counted(emitter, sent=3, queued=0)


def test_the_end_sends_what_waits(opened):
    begun, let_go = threading.Event(), threading.Event()

    def slow():
        begun.set()
        let_go.wait(60)

    backend = Backend(slow)
    emitter = opened(backend)
    for number in range(3):
        emitter.emit(lambda number=number: number)
    assert begun.wait(20)
    threading.Timer(0.1, let_go.set).start()
    emitter.close(20)
    assert backend.sent == [0, 1, 2]
    assert backend.closed
    emitter.emit(lambda: "too late")
    assert emitter.counts() == {"sent": 3, "refused": 0, "dropped": 1, "failed": 0, "queued": 0}


def test_the_end_waits_no_longer_than_it_was_told_to(opened):
    let_go = threading.Event()
    emitter = opened(Backend(lambda: let_go.wait(60)))
    for number in range(3):
        emitter.emit(lambda number=number: number)
    emitter.close(0.05)
    assert emitter.counts() == {"sent": 0, "refused": 0, "dropped": 3, "failed": 0, "queued": 0}
    let_go.set()


def test_a_backend_that_is_away_at_the_end_is_not_waited_for():
    away = [Unavailable("away")] * 1_000_000
    emitter = LineageEmitter(Backend(*away), retry_s=3600)
    emitter.emit(lambda: "one")
    eventually(lambda: emitter._backend.tried, within_s=20, every_s=0.01)
    emitter.close(60)  # the test's time runs out if it waits for the next try
    assert emitter.counts()["dropped"] == 1
