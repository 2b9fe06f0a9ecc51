"""How a run fails: with words of ours, and with nothing that an error may quote.

Dagster keeps a failure with its message, its traceback and whatever led to it, shows it in the UI and never forgets it
on its own. An error of a library may quote a row, and with it what a customer said.
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
"""In the metadata of a failure: the type of the error that it stands for."""


@contextmanager
def failing(doing: str = "", *, retries: bool = True) -> Iterator[None]:
    """What cannot be done fails the run with the words that say what; it never passes for nothing to do.

    Our own errors quote nothing and are told as they are; of any other one its type and the places in the code. What
    led to either is left out.

    Args:
        doing: stands before the words.
        retries: whether trying again may help at all; of our own errors only ``Unavailable`` may go away by itself.

    Raises:
        dagster.Failure: for every error but Dagster's own, which pass.
    """
    try:
        yield
    except (dg.Failure, dg.RetryRequested, DagsterError):
        raise
    except PlatformError as error:
        words = f"{doing}{type(error).__name__}: {error}"
        metadata = {ERROR_TYPE: type(error).__name__}
        raise dg.Failure(words, metadata, allow_retries=retries and isinstance(error, Unavailable)) from None
    except Exception as error:  # noqa: BLE001 - whatever it is, Dagster would keep what it quotes
        told = safe_error_fields(error)
        words = "; ".join(f"{name}: {value}" for name, value in told.items() if name != "error")
        metadata = {ERROR_TYPE: type(error).__name__}
        raise dg.Failure(f"{doing}{told['error']}; {words}", metadata, allow_retries=retries) from None
