"""Failures of runs: a message of the platform's own, and nothing that an error may quote.

Dagster keeps a failure with its message, its traceback and its causes, shows it in the UI and never deletes it on its
own. An error of a library may quote a row, and with it customer text.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import dagster as dg
from dagster import DagsterError

from mmplatform.errors import PlatformError, Unavailable
from mmplatform.telemetry.logs import safe_error_fields

ERROR_TYPE: Final = "error_type"
"""Metadata key of a failure: the type of the original error."""


@contextmanager
def as_dagster_failure(prefix: str = "", *, retries: bool = True) -> Iterator[None]:
    """Converts errors to a failure of the run; an error never passes for a run with nothing to do.

    The platform's errors quote nothing, and their message is kept. Of any other error only its type and its stack
    locations are kept. The causes of either are dropped.

    Args:
        prefix: precedes the message.
        retries: whether a retry may help at all; of the platform's errors only ``Unavailable`` may go away by itself.

    Raises:
        dagster.Failure: for every error but Dagster's own, which pass.
    """
    try:
        yield
    except (dg.Failure, dg.RetryRequested, DagsterError):
        raise
    except PlatformError as error:
        message = f"{prefix}{type(error).__name__}: {error}"
        metadata = {ERROR_TYPE: type(error).__name__}
        raise dg.Failure(message, metadata, allow_retries=retries and isinstance(error, Unavailable)) from None
    except Exception as error:  # noqa: BLE001 - Dagster would keep whatever the error quotes
        fields = safe_error_fields(error)
        details = "; ".join(f"{name}: {value}" for name, value in fields.items() if name != "error")
        metadata = {ERROR_TYPE: type(error).__name__}
        raise dg.Failure(f"{prefix}{fields['error']}; {details}", metadata, allow_retries=retries) from None
