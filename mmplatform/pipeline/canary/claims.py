"""Answer of a search to the question about one canary, and the claims of its receipt that are not true. Pure."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from datetime import datetime
from typing import Final, Literal, get_args

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from mmplatform.events import Modality

Claim = Literal["fence", "complete_until"]
"""``fence``: the search waited for the canary's token, and says that it is in reach. ``complete_until``: everything of
the modality that was acknowledged until then is in reach, and the canary was appended before."""

CLAIMS: Final[tuple[Claim, ...]] = get_args(Claim)


class _Payload(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")


class HitPayload(_Payload):
    """A hit."""

    event_ids: tuple[str, ...]


class ModalityPayload(_Payload):
    """Part of a receipt about one modality."""

    modality: Modality
    complete_until: AwareDatetime | None = None


class SubjectPayload(_Payload):
    """Part of a receipt about the subject, whom only this canary is about."""

    open_calls: tuple[Mapping[str, object], ...] | None = None
    refused: Mapping[str, int] = Field(default_factory=dict)


class ReceiptPayload(_Payload):
    """Receipt of an answer."""

    modalities: tuple[ModalityPayload, ...] = ()
    subject: SubjectPayload | None = None


class FencePayload(_Payload):
    """End of the wait for a token."""

    reached: bool


class CanaryAnswer(_Payload):
    """Answer of the public search."""

    hits: tuple[HitPayload, ...]
    receipt: ReceiptPayload | None = None
    fence: FencePayload | None = None

    def has_event(self, event_ids: Collection[str]) -> bool:
        """True when a hit is of one of these events."""
        return any(event_id in event_ids for hit in self.hits for event_id in hit.event_ids)

    @property
    def refused(self) -> bool:
        """True when an event of the subject is in the quarantine: no search finds it, and no receipt claims it."""
        return bool(self.receipt and self.receipt.subject and self.receipt.subject.refused)

    @property
    def is_open(self) -> bool:
        """True when its call is being spoken, or when that is not known: its last audio is claimed by no receipt."""
        subject = self.receipt.subject if self.receipt else None
        return subject is None or subject.open_calls is None or bool(subject.open_calls)


def false_claims(
    answer: CanaryAnswer,
    modality: Modality,
    event_ids: Collection[str],
    appended_at: Callable[[], datetime | None],
) -> frozenset[Claim]:
    """Claims of an answer that are not true: it says that the canary is in reach, and does not have it.

    Args:
        answer: of a search for nothing but this canary.
        modality: of the canary.
        event_ids: of the canary.
        appended_at: when the broker appended its last event, by the log's clock; None: not known.
    """
    if answer.has_event(event_ids) or answer.refused or (modality == "call" and answer.is_open):
        return frozenset()
    claims: set[Claim] = set()
    if answer.fence is not None and answer.fence.reached:
        claims.add("fence")
    complete_until = _complete_until(answer, modality)
    if complete_until is not None:
        moment = appended_at()
        if moment is not None and complete_until > moment:
            claims.add("complete_until")
    return frozenset(claims)


def _complete_until(answer: CanaryAnswer, modality: Modality) -> datetime | None:
    modalities = answer.receipt.modalities if answer.receipt else ()
    return next((found.complete_until for found in modalities if found.modality == modality), None)
