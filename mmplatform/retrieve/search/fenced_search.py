"""Fenced search: a question that names an acknowledged event, or a time, is answered once that is in reach."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta

from anyio import to_thread

from mmplatform.errors import Rejected
from mmplatform.events import Position, utc_now
from mmplatform.identity import DEFAULT_TENANT, subject_key
from mmplatform.kafka.position_token import PositionTokens
from mmplatform.modalities import MODALITIES
from mmplatform.retrieve.receipt.fence import Bound, Fence
from mmplatform.retrieve.search.search import FenceReport, SearchAnswer, Searcher, SearchQuery
from mmplatform.web.validation import InvalidRequest


class FencedSearch:
    """Answers questions, the fenced ones after a wait on the event loop that holds no thread.

    Args:
        searcher: answers.
        fence: waits; None: this gateway does not follow the log.
        tokens: reads the tokens of acknowledgements.
        pseudonym: of a subject's key.
        tenant: the tenant of every answer.
        clock: the current time, aware of UTC.
    """

    def __init__(
        self,
        searcher: Searcher,
        *,
        fence: Fence | None = None,
        tokens: PositionTokens | None = None,
        pseudonym: Callable[[str], str] = str,
        tenant: str = DEFAULT_TENANT,
        clock: Callable[[], datetime] = utc_now,
    ) -> None:
        self._searcher = searcher
        self._fence = fence
        self._tokens = tokens
        self._pseudonym = pseudonym
        self._tenant = tenant
        self._clock = clock

    async def search(
        self, query: SearchQuery, disconnected: Callable[[], Awaitable[object]] | None = None
    ) -> SearchAnswer:
        """Wait for what the question names, then answer; at the limit the answer says that it was not reached.

        Args:
            query: the question.
            disconnected: returns when the client has gone; None: it is not watched.

        Raises:
            InvalidRequest: a token or a time that cannot be waited for.
            Busy: too many searches wait.
            Unavailable: as :meth:`Searcher.search`.
            Misconfigured: as :meth:`Searcher.search`.
        """
        report: FenceReport | None = None
        if query.after or query.min_fresh is not None:
            report = await self._wait(query, disconnected)
        # On a thread: model and index block, and the event loop stays free for ingest.
        return await to_thread.run_sync(self._searcher.search, query, report)

    async def _wait(self, query: SearchQuery, disconnected: Callable[[], Awaitable[object]] | None) -> FenceReport:
        if self._fence is None or self._tokens is None:
            raise _invalid("after" if query.after else "min_fresh", "needs the tail, which is off at this gateway")
        self._check_time(query)
        key = subject_key(self._tenant, query.subject_id) if query.subject_id is not None else None
        topics = [spec.topic for name, spec in MODALITIES.items() if not query.modalities or name in query.modalities]
        bound = Bound(
            [_position(self._tokens, number, token) for number, token in enumerate(query.after)],
            query.min_fresh,
            self._pseudonym(key) if key is not None else None,
            topics,
        )
        passed = await self._fence.wait(bound, query.max_wait_ms / 1000, disconnected)
        if passed.is_disconnected:  # without an answer: its search would only cost
            raise Rejected("the client disconnected while its search waited")
        return FenceReport(reached=passed.reached, waited_ms=round(passed.waited_s * 1000, 2))

    def _check_time(self, query: SearchQuery) -> None:
        """Refuse a time that cannot come within the wait."""
        if query.min_fresh is None:
            return
        try:
            latest = self._clock() + timedelta(milliseconds=query.max_wait_ms)
            is_late = query.min_fresh > latest
        except OverflowError:
            is_late = True
        if is_late:
            raise _invalid("min_fresh", "is further in the future than max_wait_ms: send a time that has come by then")


def _position(tokens: PositionTokens, number: int, token: str) -> Position:
    try:
        return tokens.read(token)
    except Rejected as error:
        raise _invalid(f"after.{number}", str(error)) from None


def _invalid(field: str, detail: str) -> InvalidRequest:
    errors = [{"field": field, "type": "value_error", "detail": detail}]
    return InvalidRequest(f"1 invalid field(s) in the request: {field} {detail}", errors)
