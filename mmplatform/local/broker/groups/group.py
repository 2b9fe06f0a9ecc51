"""State of one consumer group: its members, its generation, and the waiting joins and syncs."""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import dataclass, field
from enum import StrEnum

from kio.schema.errors import ErrorCode
from kio.serial import entity_reader
from kio.serial.errors import SerialError


class GroupState(StrEnum):
    """The protocol's names for the state of a group."""

    EMPTY = "Empty"
    PREPARING = "PreparingRebalance"
    COMPLETING = "CompletingRebalance"
    STABLE = "Stable"
    DEAD = "Dead"


@dataclass(frozen=True, slots=True)
class Joined:
    """The answer to a join: an error, or the generation that was agreed on."""

    error: ErrorCode
    member_id: str
    generation: int = -1
    protocol: str | None = None
    leader: str = ""
    # (member id, instance id, metadata) of all members, for the leader only
    members: tuple[tuple[str, str | None, bytes], ...] = ()


@dataclass(frozen=True, slots=True)
class Synced:
    """The answer to a sync: an error, or this member's assignment."""

    error: ErrorCode
    assignment: bytes = b""


@dataclass(slots=True)
class Member:
    """One member; timeouts in seconds; `protocols` in the member's order of preference."""

    id: str
    instance_id: str | None
    client_id: str
    client_host: str
    session_timeout: float
    rebalance_timeout: float
    protocols: dict[str, bytes]
    assignment: bytes = b""
    deadline: float = 0.0
    expiry: asyncio.TimerHandle | None = None
    joining: asyncio.Future[Joined] | None = None
    syncing: asyncio.Future[Synced] | None = None


@dataclass(slots=True)
class ConsumerGroup:
    """A group and its members, in the order in which they joined."""

    id: str
    protocol_type: str = ""
    state: GroupState = GroupState.EMPTY
    generation: int = 0
    protocol: str | None = None
    leader: str | None = None
    members: dict[str, Member] = field(default_factory=dict)
    # Ids given out to members that have to join again with them (id → expiry time).
    pending: dict[str, float] = field(default_factory=dict)
    rebalance_timer: asyncio.TimerHandle | None = None

    def by_instance(self, instance_id: str | None) -> Member | None:
        """The static member with this instance id."""
        if instance_id is None:
            return None
        return next((member for member in self.members.values() if member.instance_id == instance_id), None)

    def accepts(self, protocol_type: str, protocols: set[str]) -> bool:
        """Check that a member with these protocols can join the others."""
        if not self.members:
            return bool(protocols)
        return protocol_type == self.protocol_type and any(
            all(name in member.protocols for member in self.members.values()) for name in protocols
        )

    def choose_protocol(self) -> str:
        """Return the protocol that all support and most prefer."""
        shared = set.intersection(*(set(member.protocols) for member in self.members.values()))
        votes = Counter(next(name for name in m.protocols if name in shared) for m in self.members.values())
        return votes.most_common(1)[0][0]

    def check_member(self, member_id: str, instance_id: str | None, generation: int | None) -> ErrorCode:
        """Return `none` for a request of a current member of the current generation, else the error."""
        static = self.by_instance(instance_id)
        if instance_id is not None and static is not None and static.id != member_id:
            return ErrorCode.fenced_instance_id
        if member_id not in self.members or (instance_id is not None and static is None):
            return ErrorCode.unknown_member_id
        if generation is not None and generation != self.generation:
            return ErrorCode.illegal_generation
        return ErrorCode.none

    def subscribed_topics(self) -> set[str]:
        """The topics that the members of a consumer group have subscribed to."""
        if self.protocol_type != "consumer" or self.protocol is None:
            return set()
        return set().union(*(_topics(member.protocols.get(self.protocol, b"")) for member in self.members.values()))


def _topics(subscription: bytes) -> set[str]:
    from kio.schema.consumer_protocol_subscription.v0.data import ConsumerProtocolSubscription

    # The first two bytes are the version; every version begins like version 0.
    try:
        return set(entity_reader(ConsumerProtocolSubscription)(subscription, 2)[0].topics)
    except (SerialError, ValueError, IndexError):
        return set()
