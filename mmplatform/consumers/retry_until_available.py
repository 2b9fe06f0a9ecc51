"""Retries of a function that Quix calls for each record."""

from __future__ import annotations

from collections.abc import Callable
from typing import ParamSpec, TypeVar

from tenacity import RetryCallState, Retrying, retry_if_exception_type, stop_after_delay, wait_exponential

from mmplatform.errors import Busy, Unavailable
from mmplatform.settings import Settings
from mmplatform.telemetry.readiness import STORE, Readiness

P = ParamSpec("P")
R = TypeVar("R")


class RetryUntilAvailable:
    """Retries a call while a store or the broker does not answer, and blocks readiness meanwhile.

    A function that Quix calls per record has no sink with backpressure: an error that it raises ends the worker.
    """

    def __init__(self, settings: Settings, readiness: Readiness) -> None:
        self._readiness = readiness
        # Long enough for a store to recover, short enough that Kafka does not revoke the topic partitions.
        self._retrying = Retrying(
            retry=retry_if_exception_type((Unavailable, Busy)),
            wait=wait_exponential(multiplier=0.2, max=5),
            stop=stop_after_delay(settings.kafka_max_poll_interval_s / 2),
            before_sleep=self._report_wait,
            reraise=True,
        )

    def __call__(self, call: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        """Return the call's result. Raises Unavailable or Busy after half of ``kafka_max_poll_interval_s``."""
        result = self._retrying(call, *args, **kwargs)
        self._readiness.unblock(STORE)
        return result

    def _report_wait(self, state: RetryCallState) -> None:
        reason = state.outcome.exception() if state.outcome else None
        self._readiness.block(STORE, f"unavailable: {reason}")
