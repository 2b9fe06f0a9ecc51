"""Log of a loop that survives every error: an outage is one line, however often the loop tries again."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from mmplatform.errors import PlatformError
from mmplatform.telemetry.logs import safe_error_fields


class OutageLog:
    """Runs the steps of a loop and logs what stops them. Several threads may share it: they see the same outage.

    Args:
        log: gets the lines.
        outage: text of the warning when a part of the platform does not answer.
        failure: text of the error line when a step fails otherwise; each failure is logged.
        fields: more fields of the warning.
    """

    def __init__(self, log: Any, *, outage: str, failure: str, **fields: object) -> None:
        self._log = log
        self._outage = outage
        self._failure = failure
        self._fields = fields
        self._logged_reason = ""

    def attempt(self, step: Callable[[], None]) -> Exception | None:
        """Run a step; return the error that stopped it, after its log line, or None."""
        try:
            step()
        except PlatformError as error:
            if self._logged_reason != (reason := str(error)):
                self._log.warning(self._outage, reason=reason, **self._fields)
            self._logged_reason = reason
            return error
        except Exception as error:  # noqa: BLE001 - the thread that calls must not end
            self._log.error(self._failure, **safe_error_fields(error))
            return error
        self.end()
        return None

    def end(self) -> None:
        """End the outage, as a step that returns does: the next one is logged, though its reason is the same."""
        self._logged_reason = ""
