"""Structured log lines, with ids and counts, never with a payload's text.

An unexpected exception may contain customer text, so only its type and code locations are logged. The message is added
for errors about files, ports and modules and for the platform's own, which quote nothing.
"""

from __future__ import annotations

import logging
import sys
import threading
import traceback
from collections.abc import Iterator, Mapping, Sequence
from types import TracebackType
from typing import Final

import structlog

from mmplatform.errors import PlatformError
from mmplatform.settings import Settings

_SAFE_MESSAGE_ERRORS: Final = (PlatformError, OSError, ImportError, MemoryError)


def configure_logging(settings: Settings, **bound: str) -> None:
    """Configure logging of this process; ``bound`` is added to every line (the worker's name).

    Uncaught errors that end the process or a thread are logged in the same form.
    """
    level = logging.getLevelNamesMapping()[settings.log_level.upper()]
    as_json = settings.log_format == "json"
    # Also on lines of libraries and their threads, which have no context of the platform.
    bound_fields = _BoundFields(bound)
    shared: list[structlog.types.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.ExceptionRenderer(lambda info: format_safe(info[1])),
    ]
    structlog.configure(
        processors=[
            *shared,
            *(
                [bound_fields, structlog.processors.JSONRenderer()]
                if as_json
                else [structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())]
            ),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.WriteLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        _json_formatter(shared, bound_fields) if as_json else _SafeFormatter("%(levelname)s %(name)s %(message)s")
    )
    logging.basicConfig(level=max(level, logging.WARNING), handlers=[handler])
    logging.captureWarnings(capture=as_json)
    sys.excepthook = _log_uncaught if as_json else _print_uncaught
    threading.excepthook = _log_uncaught_in_thread if as_json else _print_uncaught_in_thread
    structlog.contextvars.clear_contextvars()
    structlog.contextvars.bind_contextvars(**bound)


def format_safe(error: BaseException | None) -> str:
    """Format an error with its causes as Python does, but without messages that may quote a payload."""
    if error is None:
        return ""
    chain = [error, *_causes(error)]
    return "\nwhich led to\n".join(_format_one(link) for link in reversed(chain))


def code_locations(error: BaseException, limit: int = 8) -> list[str]:
    """The innermost code locations of an error's traceback: ``file:line function``."""
    frames = [(frame.f_code, line) for frame, line in traceback.walk_tb(error.__traceback__)]
    return [f"{code.co_filename}:{line} {code.co_name}" for code, line in frames[-limit:]]


def safe_error_fields(error: Exception) -> dict[str, str]:
    """Log fields of an error: its type, cause and code locations, and the system's reason where there is one."""
    fields = {"error": type(error).__name__}
    if error.__cause__ is not None:
        fields["cause"] = type(error.__cause__).__name__
    if isinstance(error, OSError) and error.strerror:
        fields["reason"] = error.strerror
    if isinstance(error, ModuleNotFoundError):
        fields["reason"] = f"No module named '{error.name}'"
    return fields | {"at": "; ".join(code_locations(error))}


def _format_one(error: BaseException) -> str:
    frames = "".join(traceback.format_tb(error.__traceback__))
    message = f": {error}" if isinstance(error, _SAFE_MESSAGE_ERRORS) else ""
    return f"Traceback (most recent call last):\n{frames}{type(error).__name__}{message}"


def _causes(error: BaseException) -> Iterator[BaseException]:
    seen = {id(error)}
    while True:
        cause = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
        if cause is None or id(cause) in seen:
            return
        seen.add(id(cause))
        yield cause
        error = cause


class _BoundFields:
    """Adds the bound fields to a line that does not have them."""

    def __init__(self, bound: Mapping[str, str]) -> None:
        self._bound = dict(bound)

    def __call__(self, _: object, __: str, line: structlog.types.EventDict) -> structlog.types.EventDict:
        return {**self._bound, **line}


def _json_formatter(shared: Sequence[structlog.types.Processor], bound_fields: _BoundFields) -> logging.Formatter:
    """Formatter for libraries' log records, in the same JSON form."""
    return structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=[structlog.stdlib.add_logger_name, *shared],
        processors=[
            structlog.stdlib.ProcessorFormatter.remove_processors_meta,
            bound_fields,
            structlog.processors.JSONRenderer(),
        ],
    )


class _SafeFormatter(logging.Formatter):
    """Formatter for libraries' log records (the HTTP server, Quix)."""

    def formatException(  # noqa: N802 - logging's name
        self, ei: tuple[type[BaseException], BaseException, TracebackType | None] | tuple[None, None, None]
    ) -> str:
        return format_safe(ei[1])


def _print_uncaught(_: type[BaseException], error: BaseException, __: TracebackType | None) -> None:
    if not isinstance(error, KeyboardInterrupt):
        sys.stderr.write(f"{format_safe(error)}\n")


def _print_uncaught_in_thread(arguments: threading.ExceptHookArgs) -> None:
    if not issubclass(arguments.exc_type, SystemExit):
        name = arguments.thread.name if arguments.thread is not None else "a thread"
        sys.stderr.write(f"Exception in {name}:\n{format_safe(arguments.exc_value)}\n")


def _log_uncaught(_: type[BaseException], error: BaseException, __: TracebackType | None) -> None:
    if not isinstance(error, KeyboardInterrupt):
        structlog.get_logger(__name__).critical("the process ends", exception=format_safe(error))


def _log_uncaught_in_thread(arguments: threading.ExceptHookArgs) -> None:
    if not issubclass(arguments.exc_type, SystemExit):
        name = arguments.thread.name if arguments.thread is not None else ""
        structlog.get_logger(__name__).error("a thread ends", thread=name, exception=format_safe(arguments.exc_value))
