"""Rebalances a group from one generation to the next: the transitions that several requests share.

    Empty ──join──▶ PreparingRebalance ──all joined or time is up──▶ CompletingRebalance ──leader synced──▶ Stable
                          ▲                                                │                                 │
                          └──────────── a member joins, leaves, expires ───┴─────────────────────────────────┘

Every member has one expiry timer; it checks the deadline that heartbeats move, so a heartbeat costs nothing.
"""

from __future__ import annotations

import asyncio

import structlog
from kio.schema.errors import ErrorCode

from mmplatform.local.broker.groups import persistence
from mmplatform.local.broker.groups.group import ConsumerGroup, GroupState, Joined, Member, Synced
from mmplatform.local.broker.store import Store

_log = structlog.get_logger(__name__)


class Rebalancer:
    """The transitions of groups; runs on the event loop."""

    def __init__(self, store: Store, initial_delay: float) -> None:
        self._store = store
        self._initial_delay = initial_delay

    # --- members -------------------------------------------------------------------------------------------------

    def refresh(self, group: ConsumerGroup, member: Member) -> None:
        """Extend the member's session by another timeout."""
        loop = asyncio.get_running_loop()
        member.deadline = loop.time() + member.session_timeout
        if member.expiry is None:
            member.expiry = loop.call_at(member.deadline, self._check_expiry, group, member)

    def _check_expiry(self, group: ConsumerGroup, member: Member) -> None:
        loop = asyncio.get_running_loop()
        member.expiry = None
        if group.members.get(member.id) is not member:
            return
        if member.joining is not None or member.syncing is not None:
            # The member waits for the broker, not the broker for it.
            member.deadline = loop.time() + member.session_timeout
        if member.deadline > loop.time():
            member.expiry = loop.call_at(member.deadline, self._check_expiry, group, member)
            return
        _log.info("member_expired", group=group.id, member=member.id)
        self.remove(group, member)

    def remove(self, group: ConsumerGroup, member: Member) -> None:
        """Remove a member; the rest of the group is rebalanced."""
        group.members.pop(member.id, None)
        if member.expiry is not None:
            member.expiry.cancel()
            member.expiry = None
        answer_join(member, Joined(ErrorCode.unknown_member_id, member.id))
        answer_sync(member, Synced(ErrorCode.unknown_member_id))
        if group.state in {GroupState.STABLE, GroupState.COMPLETING}:
            self.prepare(group)
        elif group.state is GroupState.PREPARING:
            self.complete_if_all_joined(group)

    # --- transitions ---------------------------------------------------------------------------------------------

    def prepare(self, group: ConsumerGroup) -> None:
        """Make all members join again: they learn it from their next heartbeat."""
        for member in group.members.values():
            answer_sync(member, Synced(ErrorCode.rebalance_in_progress))
        loop = asyncio.get_running_loop()
        if group.state is GroupState.EMPTY:
            group.state = GroupState.PREPARING
            group.rebalance_timer = loop.call_later(self._initial_delay, self._on_timeout, group)
            return
        if group.state is not GroupState.PREPARING:
            group.state = GroupState.PREPARING
            timeout = max((member.rebalance_timeout for member in group.members.values()), default=0.0)
            group.rebalance_timer = loop.call_later(timeout, self._on_timeout, group)
            # Without the first delay the rebalance completes as soon as all members have joined.
            self.complete_if_all_joined(group)

    def complete_if_all_joined(self, group: ConsumerGroup) -> None:
        """Complete early when all members have joined (not during the delay of a new group)."""
        if group.state is not GroupState.PREPARING or self._is_first_delay(group):
            return
        if all(member.joining is not None for member in group.members.values()):
            self._complete(group)

    def _is_first_delay(self, group: ConsumerGroup) -> bool:
        return group.rebalance_timer is not None and group.protocol is None

    def _on_timeout(self, group: ConsumerGroup) -> None:
        group.rebalance_timer = None
        if group.state is GroupState.PREPARING:
            self._complete(group)

    def _complete(self, group: ConsumerGroup) -> None:
        if group.rebalance_timer is not None:
            group.rebalance_timer.cancel()
            group.rebalance_timer = None
        for member in [m for m in group.members.values() if m.joining is None and m.instance_id is None]:
            _log.info("member_did_not_rejoin", group=group.id, member=member.id)
            del group.members[member.id]
        joined = [member for member in group.members.values() if member.joining is not None]
        if group.members and not joined:
            # Only static members that are offline: their sessions decide, not this rebalance.
            timeout = max(member.rebalance_timeout for member in group.members.values())
            group.rebalance_timer = asyncio.get_running_loop().call_later(timeout, self._on_timeout, group)
            return
        group.generation += 1
        if not joined:
            self._become_empty(group)
            return
        if group.leader not in {member.id for member in joined}:
            group.leader = joined[0].id
        group.protocol = group.choose_protocol()
        group.state = GroupState.COMPLETING
        _log.info("generation_formed", group=group.id, generation=group.generation, members=len(group.members))
        for member in joined:
            answer_join(member, current_generation(group, member.id))
            self.refresh(group, member)

    def _become_empty(self, group: ConsumerGroup) -> None:
        group.state, group.protocol, group.leader = GroupState.EMPTY, None, None
        persistence.save(self._store, group)

    def assign(self, group: ConsumerGroup, assignments: dict[str, bytes]) -> None:
        """Apply the leader's assignment: the generation is stable, and waiting members get theirs."""
        for member in group.members.values():
            member.assignment = assignments.get(member.id, b"")
        group.state = GroupState.STABLE
        persistence.save(self._store, group)
        for member in group.members.values():
            answer_sync(member, Synced(ErrorCode.none, member.assignment))
            self.refresh(group, member)


def current_generation(group: ConsumerGroup, member_id: str) -> Joined:
    """Return the join answer of a member; only the leader's lists the other members."""
    members: tuple[tuple[str, str | None, bytes], ...] = ()
    if member_id == group.leader and group.protocol is not None:
        members = tuple((m.id, m.instance_id, m.protocols.get(group.protocol, b"")) for m in group.members.values())
    return Joined(ErrorCode.none, member_id, group.generation, group.protocol, group.leader or "", members)


def answer_join(member: Member, answer: Joined) -> None:
    """Answer the member's waiting join, if there is one."""
    waiting, member.joining = member.joining, None
    if waiting is not None and not waiting.done():
        waiting.set_result(answer)


def answer_sync(member: Member, answer: Synced) -> None:
    """Answer the member's waiting sync, if there is one."""
    waiting, member.syncing = member.syncing, None
    if waiting is not None and not waiting.done():
        waiting.set_result(answer)
