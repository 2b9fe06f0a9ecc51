"""Gateway clients for plain code and asyncio: they honour backpressure and retry while the gateway is unavailable.

Retries, up to ``max_attempts``: 429 after its Retry-After, 503 and failed connections with exponential backoff. A retry
is safe, since every request names its event.
"""

from __future__ import annotations

from collections.abc import AsyncIterable, Awaitable, Callable, Mapping, Sequence
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

from mmplatform.client.call_stream import CallStream, StreamedCall
from mmplatform.client.requests import GatewayApi, GatewayRequest
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
from mmplatform.proxy import loopback_mounts

A = TypeVar("A")
OnRetry = Callable[[PlatformError, float], None]
"""(error, seconds): called before each wait for a retry."""

DEFAULT_MAX_ATTEMPTS: Final = 8
_MAX_RETRY_AFTER_S: Final = 120.0
_DEFAULT_RETRY_AFTER_S: Final = 5.0
_BACKOFF = wait_exponential_jitter(initial=0.2, max=10.0, jitter=0.3)
_JITTER = wait_exponential_jitter(initial=0.05, max=1.0, jitter=0.5)
_REJECTIONS: Final[dict[int, type[Rejected]]] = {409: Conflict, 413: TooLarge, 415: UnsupportedMedia}
_UNAVAILABLE_STATUSES: Final = frozenset({502, 503, 504})
_HINT_FIELDS: Final = ("lag", "oldest_s", "low_water")
_ONE: TypeAdapter[Accepted] = TypeAdapter(Accepted)
_MANY: TypeAdapter[list[Accepted]] = TypeAdapter(list[Accepted])


class GatewayClient(GatewayApi[Accepted, list[Accepted]]):
    """Synchronous client; thread-safe. Close it, or use it as a context manager.

    Every call raises:
        Rejected: the gateway refuses the request for good; also TooLarge, UnsupportedMedia and Conflict.
        Permanent: the gateway is misconfigured, or the address is not a gateway's.
        Busy: the gateway was still busy at the last attempt.
        Unavailable: the gateway did not answer, or could not write, at the last attempt.
    """

    def __init__(
        self,
        url: str,
        *,
        max_attempts: int = DEFAULT_MAX_ATTEMPTS,
        timeout_s: float = 30.0,
        on_retry: OnRetry | None = None,
        transport: httpx.BaseTransport | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        self._http = httpx.Client(
            base_url=url, timeout=timeout_s, transport=transport, mounts=loopback_mounts(url), headers=headers
        )
        self._retry_policy = _retry_policy(max_attempts, on_retry)

    def send(self, request: GatewayRequest) -> Accepted:
        """Send, and retry where that can help."""
        return _validate(_ONE, self._send(request))

    def send_batch(self, request: GatewayRequest) -> list[Accepted]:
        """Send, and retry where that can help."""
        return _validate(_MANY, self._send(request))

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def _send(self, request: GatewayRequest) -> Any:
        # A Retrying for each call: a shared one keeps its counts per thread, not per call.
        return Retrying(**self._retry_policy)(self._attempt, request)

    def _attempt(self, request: GatewayRequest) -> Any:
        try:
            answer = self._http.request(
                request.method,
                request.path,
                content=request.body,
                params=request.params,
                headers={"Content-Type": request.media_type},
            )
        except httpx.TransportError as error:
            raise _unreachable(self._http.base_url, error) from None
        return _parse_response(answer)


class AsyncGatewayClient(GatewayApi[Awaitable[Accepted], Awaitable[list[Accepted]]]):
    """Asyncio client: ``await client.chat(...)``. The same arguments and errors as :class:`GatewayClient`."""

    def __init__(
        self,
        url: str,
        *,
        max_attempts: int = DEFAULT_MAX_ATTEMPTS,
        timeout_s: float = 30.0,
        on_retry: OnRetry | None = None,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        self._http = httpx.AsyncClient(
            base_url=url, timeout=timeout_s, transport=transport, mounts=loopback_mounts(url)
        )
        self._retry_policy = _retry_policy(max_attempts, on_retry)

    async def send(self, request: GatewayRequest) -> Accepted:
        """Send, and retry where that can help."""
        return _validate(_ONE, await self._send(request))

    async def send_batch(self, request: GatewayRequest) -> list[Accepted]:
        """Send, and retry where that can help."""
        return _validate(_MANY, await self._send(request))

    async def check_reachable(self) -> None:
        """Return when a server answers at the address; one attempt. Raises Unavailable."""
        try:
            await self._http.get("/healthz")
        except httpx.TransportError as error:
            raise _unreachable(self._http.base_url, error) from None

    async def stream_call(
        self,
        call_id: str,
        frames: AsyncIterable[bytes],
        media_type: str,
        *,
        subject_id: str,
        speakers: Sequence[str] = (),
        chunk_s: float = 1.0,
        source: str = "",
        timeout_s: float = 60.0,
    ) -> StreamedCall:
        """Stream a live call in frames of any size, and end it; the gateway makes chunks of ``chunk_s`` of them.

        ``timeout_s`` is how long the gateway may accept nothing. A connection that breaks is resumed.
        """
        fields: dict[str, Any] = {"media_type": media_type, "subject_id": subject_id, "chunk_s": chunk_s}
        fields |= {"source": source} if source else {}
        fields |= {"speakers": list(speakers)} if speakers else {}
        return await CallStream(str(self._http.base_url), call_id, fields, timeout_s=timeout_s).send(frames)

    async def close(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.close()

    async def _send(self, request: GatewayRequest) -> Any:
        # A Retrying for each call: many run at once in one thread.
        return await AsyncRetrying(**self._retry_policy)(self._attempt, request)

    async def _attempt(self, request: GatewayRequest) -> Any:
        try:
            answer = await self._http.request(
                request.method,
                request.path,
                content=request.body,
                params=request.params,
                headers={"Content-Type": request.media_type},
            )
        except httpx.TransportError as error:
            raise _unreachable(self._http.base_url, error) from None
        return _parse_response(answer)


def _retry_policy(max_attempts: int, on_retry: OnRetry | None) -> dict[str, Any]:
    def notify(state: RetryCallState) -> None:
        error = state.outcome.exception() if state.outcome is not None else None
        if on_retry is not None and isinstance(error, PlatformError) and state.next_action is not None:
            on_retry(error, state.next_action.sleep)

    return {
        "retry": retry_if_exception_type((Busy, Unavailable)),
        "stop": stop_after_attempt(max_attempts),
        "wait": _wait,
        "before_sleep": notify,
        "reraise": True,
    }


def _wait(state: RetryCallState) -> float:
    error = state.outcome.exception() if state.outcome is not None else None
    if isinstance(error, Busy):
        # Never before Retry-After; jitter keeps the sources from returning all at once.
        return min(error.retry_after, _MAX_RETRY_AFTER_S) + _JITTER(state)
    return _BACKOFF(state)


def _unreachable(url: httpx.URL, error: httpx.TransportError) -> PlatformError:
    match error:
        case httpx.UnsupportedProtocol():
            return Permanent(f"{url} is no address of a gateway: it must begin with http:// or https://")
        case httpx.TimeoutException():
            cause = "no answer in time"
        case httpx.ConnectError():
            cause = "no connection"
        case _:
            cause = "the connection broke"
    return Unavailable(f"the gateway at {url} does not answer ({cause}): see `mmplatform status`")


def _validate(adapter: TypeAdapter[A], body: Any) -> A:
    try:
        return adapter.validate_python(body)
    except ValidationError:
        raise Permanent("the server at this address is no gateway of this version: check the URL") from None


def _parse_response(answer: httpx.Response) -> Any:
    """Return the JSON of an acceptance; raise a problem document as its error."""
    try:
        body = answer.json()
    except ValueError:
        body = None
    if answer.is_success:
        return body
    detail = str(body.get("detail", "")) if isinstance(body, dict) else ""
    message = f"the gateway answered {answer.status_code}{f': {detail}' if detail else ''}"
    if answer.status_code == Busy.status:
        raise Busy(message, retry_after=_retry_after(answer), hint=_hint(body))
    if answer.status_code in _UNAVAILABLE_STATUSES:
        raise Unavailable(message)
    if answer.is_server_error:
        raise Permanent(message)
    raise _REJECTIONS.get(answer.status_code, Rejected)(message)


def _hint(body: Any) -> dict[str, float]:
    """Backlog figures of a 429 response."""
    fields = body if isinstance(body, dict) else {}
    return {name: fields[name] for name in _HINT_FIELDS if isinstance(fields.get(name), int | float)}


def _retry_after(answer: httpx.Response) -> float:
    try:
        return max(0.0, float(answer.headers.get("retry-after", _DEFAULT_RETRY_AFTER_S)))
    except ValueError:  # an HTTP date, which the gateway never sends
        return _DEFAULT_RETRY_AFTER_S
