"""Canaries for ever: which ones run, and that their threads end with the worker."""

from __future__ import annotations

import threading

import pytest

from mmplatform.pipeline.canary import service
from mmplatform.pipeline.canary.service import run_for_ever
from mmplatform.settings import load


class Runner:
    """Notes the modalities of its canaries."""

    def __init__(self):
        self.modalities = []

    def run(self, modality):
        self.modalities.append(modality)


class Beats:
    """Heartbeats until there were so many; then it stops the loop, or raises an error."""

    def __init__(self, count, stopped, error=None):
        self.left, self.stopped, self.error = count, stopped, error

    def __call__(self):
        self.left -= 1
        if self.left == 0:
            if self.error:
                raise self.error
            self.stopped.set()


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr(service, "_POLL_S", 0.05)


def run(error=None, **settings):
    runner, stopped = Runner(), threading.Event()
    run_for_ever(load(**settings), runner, stopped, Beats(5, stopped, error))
    return set(runner.modalities)


def test_an_interval_of_zero_turns_off_media_too():
    assert run(canary_interval_s=0, canary_media_interval_s=0.01) == set()
    assert run(canary_interval_s=0.01, canary_media_interval_s=0.01) == {"chat", "screenshot", "call"}
    assert run(canary_interval_s=0.01, canary_media_interval_s=0) == {"chat"}


def test_an_error_of_the_loop_ends_its_threads():
    with pytest.raises(RuntimeError, match="status page"):
        run(RuntimeError("status page"), canary_interval_s=60)
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("canary-")]


def test_a_deletion_that_fails_does_not_end_the_canaries(monkeypatch):
    deletions = []

    def fail(*_):
        deletions.append(1)
        raise OSError("disk")

    monkeypatch.setattr(service, "delete_old_canaries", fail)
    monkeypatch.setattr(service, "_RETENTION_FIRST_S", 0.0)
    assert run(canary_interval_s=0.01, canary_media_interval_s=0) == {"chat"}
    assert deletions == [1]
