"""A source's side of the gateway, for plain code and asyncio: slowed when the gateway says so, patient when it is away.

Repeated, a bounded number of times: 429 after its Retry-After, 503 and failed connections with growing waits. A repeat
is safe, since every post names its event.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from types import TracebackType
from typing import Any, Final, Self, TypeVar

import httpx
from pydantic import TypeAdapter, ValidationError
from tenacity import (
    AsyncRetrying,
    RetryCallState,
    Retrying,
    retry_if_exception_type,
    stop_after_attempt,
    wait_exponential_jitter,
)

from mmplatform.client.requests import Post, Posts
from mmplatform.errors import (
    Busy,
    Conflict,
    Permanent,
    PlatformError,
    Rejected,
    TooLarge,
    Unavailable,
    UnsupportedMedia,
)
from mmplatform.ingest.schemas import Accepted
from mmplatform.proxy import direct

A = TypeVar("A")
OnWait = Callable[[PlatformError, float], None]
"""Told why, and for how many seconds, a repeat waits."""

ATTEMPTS: Final = 8
_MOST_WAIT_S: Final = 120.0
_UNKNOWN_WAIT_S: Final = 5.0
_BACKOFF = wait_exponential_jitter(initial=0.2, max=10.0, jitter=0.3)
_JITTER = wait_exponential_jitter(initial=0.05, max=1.0, jitter=0.5)
_REFUSALS: Final[dict[int, type[Rejected]]] = {409: Conflict, 413: TooLarge, 415: UnsupportedMedia}
_AWAY: Final = frozenset({502, 503, 504})
_HINTS: Final = ("lag", "oldest_s", "low_water")
_ONE: TypeAdapter[Accepted] = TypeAdapter(Accepted)
_MANY: TypeAdapter[list[Accepted]] = TypeAdapter(list[Accepted])


class GatewayClient(Posts[Accepted, list[Accepted]]):
    """For plain code; thread-safe. Close it, or use it as a context manager.

    Every call raises:
        Rejected: the gateway refuses for good (TooLarge, UnsupportedMedia and Conflict among it).
        Permanent: the gateway is misconfigured, or this is no gateway.
        Busy: it was still too busy at the last attempt.
        Unavailable: it did not answer, or could not write, at the last attempt.
    """

    def __init__(
        self,
        url: str,
        *,
        attempts: int = ATTEMPTS,
        timeout_s: float = 30.0,
        on_wait: OnWait | None = None,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        self._http = httpx.Client(base_url=url, timeout=timeout_s, transport=transport, mounts=direct(url))
        self._policy = _policy(attempts, on_wait)

    def post(self, post: Post) -> Accepted:
        """Send, again when that can help."""
        return _accepted(_ONE, self._send(post))

    def post_many(self, post: Post) -> list[Accepted]:
        """Send, again when that can help."""
        return _accepted(_MANY, self._send(post))

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def _send(self, post: Post) -> Any:
        # Every post retries by itself: a shared Retrying keeps its counts per thread, not per call.
        return Retrying(**self._policy)(self._once, post)

    def _once(self, post: Post) -> Any:
        try:
            answer = self._http.post(
                post.path, content=post.body, params=post.params, headers={"Content-Type": post.media_type}
            )
        except httpx.TransportError as error:
            raise _no_answer(self._http.base_url, error) from None
        return _read(answer)


class AsyncGatewayClient(Posts[Awaitable[Accepted], Awaitable[list[Accepted]]]):
    """For asyncio: ``await client.chat(...)``. The same arguments and errors as :class:`GatewayClient`."""

    def __init__(
        self,
        url: str,
        *,
        attempts: int = ATTEMPTS,
        timeout_s: float = 30.0,
        on_wait: OnWait | None = None,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        self._http = httpx.AsyncClient(base_url=url, timeout=timeout_s, transport=transport, mounts=direct(url))
        self._policy = _policy(attempts, on_wait)

    async def post(self, post: Post) -> Accepted:
        """Send, again when that can help."""
        return _accepted(_ONE, await self._send(post))

    async def post_many(self, post: Post) -> list[Accepted]:
        """Send, again when that can help."""
        return _accepted(_MANY, await self._send(post))

    async def check(self) -> None:
        """Return when something answers at the address; asked once. Raises Unavailable."""
        try:
            await self._http.get("/healthz")
        except httpx.TransportError as error:
            raise _no_answer(self._http.base_url, error) from None

    async def close(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None:
        await self.close()

    async def _send(self, post: Post) -> Any:
        # Every post retries by itself: many run at once in one thread.
        return await AsyncRetrying(**self._policy)(self._once, post)

    async def _once(self, post: Post) -> Any:
        try:
            answer = await self._http.post(
                post.path, content=post.body, params=post.params, headers={"Content-Type": post.media_type}
            )
        except httpx.TransportError as error:
            raise _no_answer(self._http.base_url, error) from None
        return _read(answer)


def _policy(attempts: int, on_wait: OnWait | None) -> dict[str, Any]:
    def tell(state: RetryCallState) -> None:
        error = state.outcome.exception() if state.outcome is not None else None
        if on_wait is not None and isinstance(error, PlatformError) and state.next_action is not None:
            on_wait(error, state.next_action.sleep)

    return {
        "retry": retry_if_exception_type((Busy, Unavailable)),
        "stop": stop_after_attempt(attempts),
        "wait": _wait,
        "before_sleep": tell,
        "reraise": True,
    }


def _wait(state: RetryCallState) -> float:
    error = state.outcome.exception() if state.outcome is not None else None
    if isinstance(error, Busy):
        # Not sooner than told; a little later, each source by another bit, so that they do not all come back at once.
        return min(error.retry_after, _MOST_WAIT_S) + _JITTER(state)
    return _BACKOFF(state)


def _no_answer(url: httpx.URL, error: httpx.TransportError) -> Unavailable:
    return Unavailable(f"the gateway at {url} does not answer ({type(error).__name__}): see `mmplatform status`")


def _accepted(adapter: TypeAdapter[A], body: Any) -> A:
    try:
        return adapter.validate_python(body)
    except ValidationError:
        raise Permanent("what answers at this address is no gateway of this version: check the URL") from None


def _read(answer: httpx.Response) -> Any:
    """The JSON of an acceptance; a problem as the error that it is."""
    try:
        body = answer.json()
    except ValueError:
        body = None
    if answer.is_success:
        return body
    detail = str(body.get("detail", "")) if isinstance(body, dict) else ""
    said = f"the gateway answered {answer.status_code}{f': {detail}' if detail else ''}"
    if answer.status_code == Busy.status:
        raise Busy(said, retry_after=_retry_after(answer), hint=_hint(body))
    if answer.status_code in _AWAY:
        raise Unavailable(said)
    if answer.is_server_error:
        raise Permanent(said)
    raise _REFUSALS.get(answer.status_code, Rejected)(said)


def _hint(body: Any) -> dict[str, float]:
    """How far behind the platform says that it is."""
    said = body if isinstance(body, dict) else {}
    return {name: said[name] for name in _HINTS if isinstance(said.get(name), int | float)}


def _retry_after(answer: httpx.Response) -> float:
    try:
        return max(0.0, float(answer.headers.get("retry-after", _UNKNOWN_WAIT_S)))
    except ValueError:  # an HTTP date, which our gateway never sends
        return _UNKNOWN_WAIT_S
