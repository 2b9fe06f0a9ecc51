"""The embedder that questions are embedded by: always the one whose collections are searched, also while it is swapped.

Who serves is read again every two seconds, so that a swap is seen without a restart. The new model is loaded beside the
old one, which answers until then from its own collections: they are kept in step as long as they are in use.
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
"""How long a model that could not be loaded is left alone."""


class ServingEmbedder:
    """Gives the embedder to ask with. Thread-safe.

    Args:
        read: the newest revision, ``None`` where nothing is written down. Raises Unavailable.
        open_space: loads a model. Raises Misconfigured.
        default: serves where nothing is written down.
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
        """Load what serves before the first question; an index that is away, or wrongly addressed, is asked then.

        Raises:
            Misconfigured: the model is not there.
        """
        try:
            self._read()
        except PlatformError as error:
            _log.warning("the index does not say which embedder serves: starts with the settings'", reason=str(error))
            self._current = self._open_space(self._default)
        else:
            self()

    def __call__(self) -> Embedder:
        """The embedder whose collections are to be searched now.

        Raises:
            Unavailable: the index does not answer.
            Misconfigured: the model is not there, and the one before it is not in use any more.
        """
        current = self._current
        if current is None or self._refreshed_at is None:
            self._lock.acquire()
        # One thread looks, the others answer meanwhile: a server that hangs must not have them queue up behind it.
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
        self._current = None  # whoever asks meanwhile waits: the collections of the one before may be gone
        self._current = loaded = self._open_space(wanted)
        return loaded

    def _load_in_background(self, wanted: Space) -> None:
        """On a thread of its own: a question does not wait for a model."""
        if self._failed is not None:
            name, failed_at = self._failed
            if name == wanted.name and self._clock() - failed_at < RELOAD_DELAY_S:
                return
        if self._load_lock.acquire(blocking=False):
            threading.Thread(target=self._load, args=(wanted,), name="embedder", daemon=True).start()

    def _load(self, wanted: Space) -> None:
        try:
            loaded = self._open_space(wanted)
        except Exception as error:  # noqa: BLE001 - a damaged model raises whatever its runtime has for that
            reason = str(error) if isinstance(error, PlatformError) else type(error).__name__
            _log.error("the embedder that serves cannot be loaded: the one before it answers", reason=reason)
            self._failed = (wanted.name, self._clock())
        else:
            with self._lock:
                self._current = loaded
                self._refreshed_at = float("-inf")  # it may have been swapped again meanwhile
            _log.info("questions are embedded by another embedder", space=wanted.name)
        finally:
            self._load_lock.release()
