"""Group coordinator: applies each group request to its group."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Iterator
from dataclasses import dataclass

from kio.schema.errors import ErrorCode

from mmplatform.local.broker.errors import StorageFailedError
from mmplatform.local.broker.groups import persistence
from mmplatform.local.broker.groups.group import ConsumerGroup, GroupState, Joined, Member, Synced
from mmplatform.local.broker.groups.offsets import CommittedOffset, Offsets, TopicPartition
from mmplatform.local.broker.groups.rebalance import Rebalancer, answer_join, answer_sync, current_generation
from mmplatform.local.broker.store import Store

MIN_SESSION_S = 1.0
MAX_SESSION_S = 1800.0


@dataclass(frozen=True, slots=True)
class JoinRequest:
    """A join, free of protocol versions; `member_id_required`: a new member first gets an id to join with."""

    group_id: str
    member_id: str
    instance_id: str | None
    client_id: str
    client_host: str
    session_timeout: float
    rebalance_timeout: float
    protocol_type: str
    protocols: dict[str, bytes]
    member_id_required: bool


class Coordinator:
    """All consumer groups of this broker; runs on the event loop."""

    def __init__(self, store: Store, offsets: Offsets, initial_delay: float) -> None:
        self._store = store
        self._offsets = offsets
        self._groups: dict[str, ConsumerGroup] = {}
        self._rebalancer = Rebalancer(store, initial_delay)

    def load(self) -> None:
        """Read the groups; before the store is started."""
        self._groups = persistence.load(self._store)

    def start(self) -> None:
        """Give the loaded members one session timeout to send a heartbeat."""
        for group in self._groups.values():
            for member in group.members.values():
                self._rebalancer.refresh(group, member)

    # --- membership ----------------------------------------------------------------------------------------------

    async def join(self, request: JoinRequest) -> Joined:
        """Join or rejoin; returns when the next generation has formed."""
        refusal = self._refusal(request)
        if refusal is not ErrorCode.none:
            return Joined(refusal, request.member_id)
        group = self._groups.setdefault(request.group_id, ConsumerGroup(request.group_id))
        if not group.accepts(request.protocol_type, set(request.protocols)):
            return Joined(ErrorCode.inconsistent_group_protocol, request.member_id)
        outcome = self._join_new(group, request) if not request.member_id else self._rejoin(group, request)
        return outcome if isinstance(outcome, Joined) else await outcome

    @staticmethod
    def _refusal(request: JoinRequest) -> ErrorCode:
        if not request.group_id:
            return ErrorCode.invalid_group_id
        if not MIN_SESSION_S <= request.session_timeout <= MAX_SESSION_S:
            return ErrorCode.invalid_session_timeout
        return ErrorCode.none

    def _join_new(self, group: ConsumerGroup, request: JoinRequest) -> Joined | asyncio.Future[Joined]:
        static = group.by_instance(request.instance_id)
        new_id = f"{request.instance_id or request.client_id}-{uuid.uuid4()}"
        if static is not None:
            return self._replace_static(group, static, new_id, request)
        if request.member_id_required and request.instance_id is None:
            now = asyncio.get_running_loop().time()
            group.pending = {member: until for member, until in group.pending.items() if until > now}
            group.pending[new_id] = now + request.session_timeout
            return Joined(ErrorCode.member_id_required, new_id)
        return self._add(group, new_id, request)

    def _rejoin(self, group: ConsumerGroup, request: JoinRequest) -> Joined | asyncio.Future[Joined]:
        if group.pending.pop(request.member_id, None) is not None:
            return self._add(group, request.member_id, request)
        error = group.check_member(request.member_id, request.instance_id, None)
        if error is not ErrorCode.none:
            return Joined(error, request.member_id)
        member = group.members[request.member_id]
        unchanged = member.protocols == request.protocols
        # A leader that joins again requests a new assignment; another member has only lost the answer.
        settled = group.state is GroupState.STABLE and group.leader != member.id
        if unchanged and (settled or group.state is GroupState.COMPLETING):
            self._rebalancer.refresh(group, member)
            return current_generation(group, member.id)
        _update(member, request)
        return self._wait_to_join(group, member)

    def _add(self, group: ConsumerGroup, member_id: str, request: JoinRequest) -> asyncio.Future[Joined]:
        member = Member(
            member_id,
            request.instance_id,
            request.client_id,
            request.client_host,
            request.session_timeout,
            request.rebalance_timeout,
            request.protocols,
        )
        if not group.members:
            group.protocol_type = request.protocol_type
        group.members[member_id] = member
        return self._wait_to_join(group, member)

    def _wait_to_join(self, group: ConsumerGroup, member: Member) -> asyncio.Future[Joined]:
        answer_join(member, Joined(ErrorCode.unknown_member_id, member.id))  # an older request of the same member
        waiting: asyncio.Future[Joined] = asyncio.get_running_loop().create_future()
        member.joining = waiting
        self._rebalancer.refresh(group, member)
        self._rebalancer.prepare(group)
        self._rebalancer.complete_if_all_joined(group)
        return waiting

    def _replace_static(
        self, group: ConsumerGroup, old: Member, new_id: str, request: JoinRequest
    ) -> Joined | asyncio.Future[Joined]:
        """Replace a static member that returned as a new process; in a stable group it gets the old assignment.

        The answer has the old leader id, so that a returning leader does not assign again.
        """
        answer_join(old, Joined(ErrorCode.fenced_instance_id, old.id))
        answer_sync(old, Synced(ErrorCode.fenced_instance_id))
        answer = current_generation(group, new_id)
        same = group.protocol is not None and old.protocols == request.protocols
        order = list(group.members.values())
        old_id, old.id = old.id, new_id
        group.members = {member.id: member for member in order}
        if group.leader == old_id:
            group.leader = new_id
        _update(old, request)
        self._rebalancer.refresh(group, old)
        if group.state is GroupState.STABLE and same:
            persistence.save(self._store, group)
            return answer
        return self._wait_to_join(group, old)

    async def sync(
        self, group_id: str, member_id: str, instance_id: str | None, generation: int, assignments: dict[str, bytes]
    ) -> Synced:
        """Return this member's assignment; the leader sends those of all members."""
        group, error = self._find_member(group_id, member_id, instance_id, generation)
        if group is None or error is not ErrorCode.none:
            return Synced(error)
        member = group.members[member_id]
        self._rebalancer.refresh(group, member)
        if group.state is GroupState.PREPARING:
            return Synced(ErrorCode.rebalance_in_progress)
        if group.state is GroupState.STABLE:
            return Synced(ErrorCode.none, member.assignment)
        answer_sync(member, Synced(ErrorCode.rebalance_in_progress))
        waiting: asyncio.Future[Synced] = asyncio.get_running_loop().create_future()
        member.syncing = waiting
        if member_id == group.leader:
            self._rebalancer.assign(group, assignments)
        return await waiting

    def heartbeat(self, group_id: str, member_id: str, instance_id: str | None, generation: int) -> ErrorCode:
        """Refresh the member; the answer makes it join again when a rebalance has started."""
        group, error = self._find_member(group_id, member_id, instance_id, generation)
        if group is None or error is not ErrorCode.none:
            return error
        self._rebalancer.refresh(group, group.members[member_id])
        return ErrorCode.rebalance_in_progress if group.state is GroupState.PREPARING else ErrorCode.none

    def leave(self, group_id: str, member_id: str, instance_id: str | None) -> ErrorCode:
        """Remove a member at its own or an administrator's request (by instance id alone)."""
        group = self._groups.get(group_id)
        if group is None:
            return ErrorCode.unknown_member_id
        if instance_id is not None and not member_id:
            static = group.by_instance(instance_id)
            member_id = static.id if static else ""
        if group.pending.pop(member_id, None) is not None:
            return ErrorCode.none
        error = group.check_member(member_id, instance_id, None)
        if error is ErrorCode.none:
            self._rebalancer.remove(group, group.members[member_id])
        return error

    def _find_member(
        self, group_id: str, member_id: str, instance_id: str | None, generation: int
    ) -> tuple[ConsumerGroup | None, ErrorCode]:
        group = self._groups.get(group_id)
        if group is None:
            return None, ErrorCode.unknown_member_id
        return group, group.check_member(member_id, instance_id, generation)

    # --- offsets and administration ------------------------------------------------------------------------------

    async def commit(
        self,
        group_id: str,
        member_id: str,
        instance_id: str | None,
        generation: int,
        positions: dict[TopicPartition, CommittedOffset],
    ) -> ErrorCode:
        """Commit offsets for a member of the generation, or (generation -1) for a group without members."""
        group = self._groups.get(group_id)
        if generation >= 0 or member_id:
            group, error = self._find_member(group_id, member_id, instance_id, generation)
            if group is None or error is not ErrorCode.none:
                return error
            self._rebalancer.refresh(group, group.members[member_id])
        elif group is not None and group.members:
            return ErrorCode.unknown_member_id
        if group is None:
            group = self._groups[group_id] = ConsumerGroup(group_id)
            persistence.save(self._store, group)
        try:
            await self._offsets.commit(group_id, positions)
        except StorageFailedError:
            return ErrorCode.kafka_storage_error
        return ErrorCode.none

    def get(self, group_id: str) -> ConsumerGroup | None:
        """The group of this name, if it has or had members or offsets."""
        return self._groups.get(group_id)

    def __iter__(self) -> Iterator[ConsumerGroup]:
        return iter(list(self._groups.values()))

    async def delete(self, group_id: str) -> ErrorCode:
        """Delete a group without members, with its offsets."""
        group = self._groups.get(group_id)
        if group is None:
            return ErrorCode.group_id_not_found
        if group.members:
            return ErrorCode.non_empty_group
        group.state = GroupState.DEAD
        del self._groups[group_id]
        try:
            await self._store.write(persistence.forget(group_id))
        except StorageFailedError:
            group.state = GroupState.EMPTY
            self._groups.setdefault(group_id, group)  # unless it was created again meanwhile
            return ErrorCode.kafka_storage_error
        self._offsets.drop_group(group_id)
        return ErrorCode.none


def _update(member: Member, request: JoinRequest) -> None:
    member.protocols = request.protocols
    member.session_timeout = request.session_timeout
    member.rebalance_timeout = request.rebalance_timeout
    member.client_id = request.client_id
    member.client_host = request.client_host
