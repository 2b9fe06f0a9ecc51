"""Serving embedder: embeds questions, always with the model whose collections are searched, also during a swap.

The registry is read again every two seconds, so that a swap takes effect without a restart. The new model is loaded in
the background. Until then the old one answers from its own collections, which are written as long as they are in use.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Final

import structlog

from mmplatform.derive.passages import space_name
from mmplatform.errors import PlatformError
from mmplatform.land.index.embedder_registry import EmbedderRevision, Space
from mmplatform.ports import Embedder

_log = structlog.get_logger(__name__)
REFRESH_INTERVAL_S: Final = 2.0
RELOAD_DELAY_S: Final = 30.0
"""Delay before a model that could not be loaded is loaded again."""


class ServingEmbedder:
    """Provides the serving embedder. Thread-safe.

    Args:
        read: the newest registry revision, ``None`` when there is none. Raises Unavailable.
        open_space: loads a model. Raises Misconfigured.
        default: serves when there is no revision.
    """

    def __init__(
        self,
        read: Callable[[], EmbedderRevision | None],
        open_space: Callable[[Space], Embedder],
        default: Space,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._read = read
        self._open_space = open_space
        self._default = default
        self._clock = clock
        self._lock = threading.Lock()
        self._load_lock = threading.Lock()
        self._current: Embedder | None = None
        self._refreshed_at: float | None = None
        self._failed: tuple[str, float] | None = None

    def warm_up(self) -> None:
        """Load the serving model before the first question; with an unreachable index, the settings' embedder.

        Raises:
            Misconfigured: the model is missing.
        """
        try:
            self._read()
        except PlatformError as error:
            _log.warning(
                "the index does not answer which embedder serves: starts with the settings'", reason=str(error)
            )
            self._current = self._open_space(self._default)
        else:
            self()

    @property
    def loaded(self) -> Embedder | None:
        """The embedder that was loaded last."""
        return self._current

    def __call__(self) -> Embedder:
        """The embedder whose collections must be searched now.

        Raises:
            Unavailable: the index does not answer.
            Misconfigured: the model is missing, and the previous one is no longer in use.
        """
        current = self._current
        if current is None or self._refreshed_at is None:
            self._lock.acquire()
        # One thread refreshes and the others answer meanwhile: they must not queue behind a server that hangs.
        elif self._is_fresh() or not self._lock.acquire(blocking=False):
            return current
        try:
            return self._refresh()
        finally:
            self._lock.release()

    def _is_fresh(self) -> bool:
        return self._refreshed_at is not None and self._clock() - self._refreshed_at < REFRESH_INTERVAL_S

    def _refresh(self) -> Embedder:
        current = self._current
        if current is not None and self._is_fresh():
            return current
        spaces = self._read()
        self._refreshed_at = self._clock()
        wanted = spaces.serving if spaces else self._default
        active = {space.name for space in spaces.active} if spaces else {self._default.name}
        if current is not None and space_name(current) in active:
            if space_name(current) != wanted.name:
                self._load_in_background(wanted)
            return current
        self._current = None  # callers wait meanwhile: the previous collections may be deleted
        self._current = loaded = self._open_space(wanted)
        return loaded

    def _load_in_background(self, wanted: Space) -> None:
        """Load a model on a thread, so that no question waits for it."""
        if self._failed is not None:
            name, failed_at = self._failed
            if name == wanted.name and self._clock() - failed_at < RELOAD_DELAY_S:
                return
        if self._load_lock.acquire(blocking=False):
            threading.Thread(target=self._load, args=(wanted,), name="embedder", daemon=True).start()

    def _load(self, wanted: Space) -> None:
        try:
            loaded = self._open_space(wanted)
        except Exception as error:  # noqa: BLE001 - a damaged model raises any error of its runtime
            reason = str(error) if isinstance(error, PlatformError) else type(error).__name__
            _log.error("the serving embedder cannot be loaded: the previous one answers", reason=reason)
            self._failed = (wanted.name, self._clock())
        else:
            with self._lock:
                self._current = loaded
                self._refreshed_at = float("-inf")  # another swap may have happened meanwhile
            _log.info("serving embedder changed", space=wanted.name)
        finally:
            self._load_lock.release()
