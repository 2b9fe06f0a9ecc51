"""The search of one gateway: the index, the log's tail and the serving embedder, opened and closed together."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Self

from mmplatform.errors import Unavailable
from mmplatform.gateway.followed_log import FollowedLog, follow_log
from mmplatform.gateway.search_metrics import RetrievableGaps
from mmplatform.identity import CANARY_TENANT
from mmplatform.kafka.headers import open_pseudonyms
from mmplatform.kafka.position_token import open_tokens
from mmplatform.retrieve.tail.tail import Tail, TailState
from mmplatform.settings import Settings

if TYPE_CHECKING:
    from mmplatform.land.index.store import ChromaIndex
    from mmplatform.retrieve.search.fenced_search import FencedSearch
    from mmplatform.retrieve.search.serving_embedder import ServingEmbedder
    from mmplatform.retrieve.tail.follower import TailFigures


@dataclass(frozen=True, slots=True)
class GatewaySearch:
    """Search of a gateway; the log is followed while it is entered. ``log`` is None when the tail is off.

    ``canary_search`` answers from the canaries alone, over the same index, tail and fence.
    """

    search: FencedSearch
    canary_search: FencedSearch
    index: ChromaIndex
    serving: ServingEmbedder
    log: FollowedLog | None

    def __enter__(self) -> Self:
        if self.log is not None:
            self.log.__enter__()
        return self

    def __exit__(self, *_: object) -> None:
        if self.log is not None:
            self.log.__exit__()
        self.index.close()

    def check_ready(self) -> None:
        """Return when questions can be answered, by the tail alone too. Raises Unavailable, Misconfigured."""
        follower = self.log.tail if self.log is not None else None
        if follower is not None and follower.is_catching_up:
            raise Unavailable("the tail of the log is not read to its end yet")
        try:
            self.index.check_reachable()
            self.serving()
        except Unavailable:
            if follower is None or follower.state is not TailState.CURRENT or self.serving.loaded is None:
                raise

    def figures(self) -> tuple[TailFigures, int] | None:
        """Figures of the tail, and the number of searches that wait; None when it is off."""
        return (self.log.tail.figures(), self.log.fence.waits) if self.log is not None else None


def open_search(settings: Settings, gaps: RetrievableGaps | None = None) -> GatewaySearch:
    """Open index, embedder and tail; the broker is not asked yet.

    Args:
        settings: the tail's bound, and the addresses of broker and index.
        gaps: gets each passage that comes.

    Raises:
        Misconfigured: a setting is wrong.
    """
    from mmplatform.land.index.embedder_registry import EmbedderRegistry
    from mmplatform.land.index.newest_versions import newest_versions
    from mmplatform.land.index.store import ChromaIndex
    from mmplatform.pipeline.factories import open_space_embedder, resolve_space
    from mmplatform.retrieve.search.fenced_search import FencedSearch
    from mmplatform.retrieve.search.overlay import Overlay
    from mmplatform.retrieve.search.search import Searcher
    from mmplatform.retrieve.search.serving_embedder import ServingEmbedder

    index = ChromaIndex.open(settings)
    serving = ServingEmbedder(
        EmbedderRegistry(index).latest, partial(open_space_embedder, settings), resolve_space(settings)
    )
    serving.warm_up()
    tail = Tail(settings.tail_max_bytes)
    log = follow_log(settings, tail, gaps) if settings.tail_max_bytes else None
    overlay = Overlay(index, tail, partial(newest_versions, index))

    def open_fenced(tenant: str) -> FencedSearch:
        searcher = Searcher(
            overlay,
            serving,
            tenant=tenant,
            tail_state=(lambda: log.tail.state) if log is not None else (lambda: TailState.OFF),
            loaded_embedder=lambda: serving.loaded,
            receipts=log.receipts if log is not None else None,
        )
        return FencedSearch(
            searcher,
            fence=log.fence if log is not None else None,
            tokens=open_tokens(settings.model_copy(update={"tenant": tenant})),
            pseudonym=open_pseudonyms(settings).of_subject,
            tenant=tenant,
        )

    return GatewaySearch(open_fenced(settings.tenant), open_fenced(CANARY_TENANT), index, serving, log)
