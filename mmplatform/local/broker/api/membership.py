"""Group membership: find the coordinator, join, sync, heartbeat, leave."""

from __future__ import annotations

from datetime import timedelta

from kio.schema.errors import ErrorCode
from kio.schema.find_coordinator.v3.request import FindCoordinatorRequest
from kio.schema.find_coordinator.v3.response import FindCoordinatorResponse
from kio.schema.heartbeat.v4.request import HeartbeatRequest
from kio.schema.heartbeat.v4.response import HeartbeatResponse
from kio.schema.join_group.v7.request import JoinGroupRequest
from kio.schema.join_group.v7.response import JoinGroupResponse, JoinGroupResponseMember
from kio.schema.leave_group.v4.request import LeaveGroupRequest
from kio.schema.leave_group.v4.response import LeaveGroupResponse, MemberResponse
from kio.schema.sync_group.v5.request import SyncGroupRequest
from kio.schema.sync_group.v5.response import SyncGroupResponse
from kio.schema.types import BrokerId
from kio.static.primitive import i32

from mmplatform.local.broker.api.call import BROKER_ID, NO_THROTTLE, Call
from mmplatform.local.broker.groups.coordinator import JoinRequest
from mmplatform.local.broker.groups.group import Joined
from mmplatform.local.broker.node import Node

_GROUP = 0
# From this version on a new member is first given an id, so that a lost answer leaves no ghost behind (KIP-394).
_MEMBER_ID_REQUIRED_FROM = 4


async def find_coordinator(node: Node, _call: Call, request: FindCoordinatorRequest) -> FindCoordinatorResponse:
    """This node coordinates every group; transactions have no coordinator here."""
    if request.key_type != _GROUP:
        return FindCoordinatorResponse(
            throttle_time=NO_THROTTLE,
            # The only error that clients treat as final; others they retry until their timeout.
            error_code=ErrorCode.transactional_id_authorization_failed,
            error_message="transactions are not supported by the embedded broker",
            node_id=BrokerId(-1),
            host="",
            port=i32(-1),
        )
    return FindCoordinatorResponse(
        throttle_time=NO_THROTTLE,
        error_code=ErrorCode.none,
        error_message=None,
        node_id=BROKER_ID,
        host=node.options.host,
        port=i32(node.port),
    )


async def join_group(node: Node, call: Call, request: JoinGroupRequest) -> JoinGroupResponse:
    """Answered when the next generation has formed."""
    session = request.session_timeout
    # Version 0 knew no rebalance timeout: the session timeout stood for both.
    rebalance = request.rebalance_timeout if request.rebalance_timeout >= timedelta(0) else session
    joined = await node.coordinator.join(
        JoinRequest(
            group_id=request.group_id,
            member_id=request.member_id,
            instance_id=request.group_instance_id,
            client_id=call.client_id,
            client_host=f"/{call.client_host}",
            session_timeout=session.total_seconds(),
            rebalance_timeout=rebalance.total_seconds(),
            protocol_type=request.protocol_type,
            protocols={protocol.name: protocol.metadata for protocol in request.protocols},
            member_id_required=call.api_version >= _MEMBER_ID_REQUIRED_FROM,
        )
    )
    return _joined(joined, request.protocol_type)


def _joined(joined: Joined, protocol_type: str) -> JoinGroupResponse:
    return JoinGroupResponse(
        throttle_time=NO_THROTTLE,
        error_code=joined.error,
        generation_id=i32(joined.generation),
        protocol_type=protocol_type if joined.protocol is not None else None,
        protocol_name=joined.protocol,
        leader=joined.leader,
        member_id=joined.member_id,
        members=tuple(
            JoinGroupResponseMember(member_id=member_id, group_instance_id=instance_id, metadata=metadata)
            for member_id, instance_id, metadata in joined.members
        ),
    )


async def sync_group(node: Node, _call: Call, request: SyncGroupRequest) -> SyncGroupResponse:
    """Answered when the leader has brought the assignment."""
    synced = await node.coordinator.sync(
        request.group_id,
        request.member_id,
        request.group_instance_id,
        request.generation_id,
        {share.member_id: share.assignment for share in request.assignments},
    )
    group = node.coordinator.get(request.group_id)
    return SyncGroupResponse(
        throttle_time=NO_THROTTLE,
        error_code=synced.error,
        protocol_type=group.protocol_type if group else None,
        protocol_name=group.protocol if group else None,
        assignment=synced.assignment,
    )


async def heartbeat(node: Node, _call: Call, request: HeartbeatRequest) -> HeartbeatResponse:
    """Refresh the member; the answer says whether it must join again."""
    error = node.coordinator.heartbeat(
        request.group_id, request.member_id, request.group_instance_id, request.generation_id
    )
    return HeartbeatResponse(throttle_time=NO_THROTTLE, error_code=error)


async def leave_group(node: Node, _call: Call, request: LeaveGroupRequest) -> LeaveGroupResponse:
    """Each member leaves for itself; with a single one its error is also the answer's."""
    members = tuple(
        MemberResponse(
            member_id=member.member_id,
            group_instance_id=member.group_instance_id,
            error_code=node.coordinator.leave(request.group_id, member.member_id, member.group_instance_id),
        )
        for member in request.members
    )
    return LeaveGroupResponse(throttle_time=NO_THROTTLE, error_code=ErrorCode.none, members=members)
