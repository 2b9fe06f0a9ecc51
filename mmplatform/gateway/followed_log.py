"""The log as one gateway follows it: the tail, the progress of the derivers, and the fence over both."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

from mmplatform.kafka.headers import open_pseudonyms
from mmplatform.settings import Settings

if TYPE_CHECKING:
    from mmplatform.gateway.search_metrics import RetrievableGaps
    from mmplatform.retrieve.receipt.fence import Fence
    from mmplatform.retrieve.receipt.receipt import ReceiptBook
    from mmplatform.retrieve.receipt.source_follower import SourceFollower
    from mmplatform.retrieve.tail.follower import TailFollower
    from mmplatform.retrieve.tail.tail import Tail


@dataclass(frozen=True, slots=True)
class FollowedLog:
    """Followers of one gateway, and what is made of what they read; both run while it is entered."""

    tail: TailFollower
    sources: SourceFollower
    receipts: ReceiptBook
    fence: Fence

    def __enter__(self) -> Self:
        self.tail.start()
        self.sources.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.tail.close()
        self.sources.close()


def follow_log(settings: Settings, tail: Tail, gaps: RetrievableGaps | None = None) -> FollowedLog:
    """Followers that fill a tail, and record the gaps; the broker is not asked yet. Raises Misconfigured."""
    from mmplatform.retrieve.receipt.derivation_progress import DerivationProgress
    from mmplatform.retrieve.receipt.fence import Fence
    from mmplatform.retrieve.receipt.pending_events import PendingEvents
    from mmplatform.retrieve.receipt.receipt import ReceiptBook
    from mmplatform.retrieve.receipt.source_follower import SourceFollower
    from mmplatform.retrieve.tail.follower import TailFollower

    def wake() -> None:
        fence.wake()

    progress, pending = DerivationProgress(), PendingEvents()
    on_passage = {"on_passage": gaps.record} if gaps is not None else {}
    tail_follower = TailFollower(settings, tail, wake, **on_passage)
    receipts = ReceiptBook(progress, pending, tail_follower.positions, open_pseudonyms(settings).of_subject)
    fence = Fence(receipts.derived, pending)
    return FollowedLog(tail_follower, SourceFollower(settings, progress, pending, wake), receipts, fence)
