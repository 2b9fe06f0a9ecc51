"""Table of the implemented APIs, versions and handlers; all others are refused by the protocol's own error."""

from __future__ import annotations

import dataclasses
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from kio.index import KioIndexError, load_request_schema, load_response_schema
from kio.schema.api_versions.v3.request import ApiVersionsRequest
from kio.schema.api_versions.v3.response import ApiVersion, ApiVersionsResponse
from kio.schema.errors import ErrorCode
from kio.static.primitive import i16

from mmplatform.local.broker.api import (
    configs,
    fetch,
    groups,
    membership,
    metadata,
    offsets,
    positions,
    produce,
    producers,
    topics,
)
from mmplatform.local.broker.api.call import NO_THROTTLE, Call
from mmplatform.local.broker.node import Node
from mmplatform.local.broker.versions import convert, default_instance
from mmplatform.local.broker.wire import BadFrameError, Frame, Request

Handler = Callable[[Node, Call, Any], Awaitable[object]]
API_VERSIONS: Final = 18
PRODUCE: Final = 0
FETCH: Final = 1
_LEAVE_GROUP: Final = 13
_LEAVE_MANY_FROM: Final = 3


@dataclass(frozen=True, slots=True)
class Api:
    """One implemented API: the versions answered, the one that the handler speaks, and the handler."""

    oldest: int
    newest: int
    handler: Handler


async def _api_versions(_node: Node, _call: Call, _request: ApiVersionsRequest) -> ApiVersionsResponse:
    return supported_versions(ErrorCode.none)


APIS: Final[Mapping[int, Api]] = {
    PRODUCE: Api(3, 9, produce.produce),
    FETCH: Api(4, 12, fetch.fetch),
    2: Api(1, 7, positions.list_offsets),
    3: Api(0, 12, metadata.metadata),
    8: Api(2, 8, offsets.offset_commit),
    9: Api(1, 7, offsets.offset_fetch),
    10: Api(0, 3, membership.find_coordinator),
    11: Api(0, 7, membership.join_group),
    12: Api(0, 4, membership.heartbeat),
    _LEAVE_GROUP: Api(0, 4, membership.leave_group),
    14: Api(0, 5, membership.sync_group),
    15: Api(0, 5, groups.describe_groups),
    16: Api(0, 4, groups.list_groups),
    API_VERSIONS: Api(0, 3, _api_versions),
    19: Api(2, 7, topics.create_topics),
    20: Api(1, 5, topics.delete_topics),
    21: Api(0, 2, positions.delete_records),
    22: Api(0, 4, producers.init_producer_id),
    23: Api(2, 4, positions.offset_for_leader_epoch),
    32: Api(1, 4, configs.describe_configs),
    33: Api(0, 2, configs.alter_configs),
    37: Api(0, 3, topics.create_partitions),
    42: Api(0, 2, groups.delete_groups),
    44: Api(0, 1, configs.incremental_alter_configs),
    47: Api(0, 0, offsets.offset_delete),
    60: Api(0, 1, metadata.describe_cluster),
}


def is_supported(frame: Frame) -> bool:
    """Check that the frame's API is implemented in the frame's version."""
    api = APIS.get(frame.api_key)
    return api is not None and api.oldest <= frame.api_version <= api.newest


def supported_versions(error: ErrorCode) -> ApiVersionsResponse:
    """Response to a client's first request: the implemented APIs and versions."""
    keys = tuple(
        ApiVersion(api_key=i16(key), min_version=i16(api.oldest), max_version=i16(api.newest))
        for key, api in APIS.items()
    )
    return ApiVersionsResponse(error_code=error, api_keys=keys, throttle_time=NO_THROTTLE)


async def dispatch(node: Node, frame: Frame, request: Request, client_host: str) -> object | None:
    """Return the response in the frame's version, or None when the protocol has no answer."""
    api = APIS[frame.api_key]
    call = Call(request.client_id, client_host, frame.api_version)
    spoken = load_request_schema(frame.api_key, api.newest)
    response = await api.handler(node, call, _upgraded(frame, request.message, spoken))
    if response is None:
        return None
    return convert(_downgraded(frame, response), load_response_schema(frame.api_key, frame.api_version))


def refusal(frame: Frame) -> object:
    """The response to an API or version that is not implemented: its own message with UNSUPPORTED_VERSION.

    Raises BadFrameError where the response has no field for it: the connection is then closed, as Kafka does.
    """
    if frame.api_key == API_VERSIONS:
        return convert(supported_versions(ErrorCode.unsupported_version), load_response_schema(API_VERSIONS, 0))
    try:
        schema = load_response_schema(frame.api_key, frame.api_version)
    except (KioIndexError, LookupError) as error:
        raise BadFrameError(f"api {frame.api_key} version {frame.api_version} is unknown") from error
    fields = {field.name for field in dataclasses.fields(schema)}
    if "error_code" not in fields:
        raise BadFrameError(f"api {frame.api_key} version {frame.api_version} is not implemented")
    return dataclasses.replace(default_instance(schema), error_code=ErrorCode.unsupported_version)


def _upgraded(frame: Frame, message: Any, spoken: type[object]) -> object:
    """Convert the request to the handler's version, renamed fields included."""
    if frame.api_key == _LEAVE_GROUP and frame.api_version < _LEAVE_MANY_FROM:
        from kio.schema.leave_group.v4.request import LeaveGroupRequest, MemberIdentity

        return LeaveGroupRequest(group_id=message.group_id, members=(MemberIdentity(member_id=message.member_id),))
    return convert(message, spoken)


def _downgraded(frame: Frame, response: Any) -> Any:
    """Set the member's error as the response's: before version 3 a leave named one member."""
    if frame.api_key == _LEAVE_GROUP and frame.api_version < _LEAVE_MANY_FROM and response.members:
        return dataclasses.replace(response, error_code=response.members[0].error_code)
    return response
