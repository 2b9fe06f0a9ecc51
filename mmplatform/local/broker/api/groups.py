"""Group administration: describe, list, delete."""

from __future__ import annotations

from collections.abc import Iterable

from kio.schema.delete_groups.v2.request import DeleteGroupsRequest
from kio.schema.delete_groups.v2.response import DeletableGroupResult, DeleteGroupsResponse
from kio.schema.describe_groups.v5.request import DescribeGroupsRequest
from kio.schema.describe_groups.v5.response import DescribedGroup, DescribedGroupMember, DescribeGroupsResponse
from kio.schema.errors import ErrorCode
from kio.schema.list_groups.v4.request import ListGroupsRequest
from kio.schema.list_groups.v4.response import ListedGroup, ListGroupsResponse
from kio.schema.types import GroupId

from mmplatform.local.broker.api.call import NO_THROTTLE, Call
from mmplatform.local.broker.groups.group import ConsumerGroup, GroupState
from mmplatform.local.broker.node import Node


async def describe_groups(node: Node, _call: Call, request: DescribeGroupsRequest) -> DescribeGroupsResponse:
    """Each group's state and members; an unknown group is described as dead, as Kafka does."""
    groups = tuple(_described(group_id, node.coordinator.get(group_id)) for group_id in request.groups)
    return DescribeGroupsResponse(throttle_time=NO_THROTTLE, groups=groups)


def _described(group_id: GroupId, group: ConsumerGroup | None) -> DescribedGroup:
    if group is None:
        return DescribedGroup(
            error_code=ErrorCode.none,
            group_id=group_id,
            group_state=GroupState.DEAD,
            protocol_type="",
            protocol_data="",
            members=(),
        )
    protocol = group.protocol or ""
    members = tuple(
        DescribedGroupMember(
            member_id=member.id,
            group_instance_id=member.instance_id,
            client_id=member.client_id,
            client_host=member.client_host,
            member_metadata=member.protocols.get(protocol, b""),
            member_assignment=member.assignment if group.state is GroupState.STABLE else b"",
        )
        for member in group.members.values()
    )
    return DescribedGroup(
        error_code=ErrorCode.none,
        group_id=group_id,
        group_state=group.state.value,
        protocol_type=group.protocol_type,
        protocol_data=protocol if group.state is GroupState.STABLE else "",
        members=members,
    )


async def list_groups(node: Node, _call: Call, request: ListGroupsRequest) -> ListGroupsResponse:
    """All groups, or those in the states asked for."""
    groups: Iterable[ConsumerGroup] = node.coordinator
    listed = tuple(
        ListedGroup(group_id=GroupId(group.id), protocol_type=group.protocol_type, group_state=group.state.value)
        for group in groups
        if not request.states_filter or group.state.value in request.states_filter
    )
    return ListGroupsResponse(throttle_time=NO_THROTTLE, error_code=ErrorCode.none, groups=listed)


async def delete_groups(node: Node, _call: Call, request: DeleteGroupsRequest) -> DeleteGroupsResponse:
    """Delete groups without members, with their offsets."""
    results = [
        DeletableGroupResult(group_id=group_id, error_code=await node.coordinator.delete(group_id))
        for group_id in request.groups_names
    ]
    return DeleteGroupsResponse(throttle_time=NO_THROTTLE, results=tuple(results))
