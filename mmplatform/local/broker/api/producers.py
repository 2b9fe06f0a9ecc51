"""Ids for idempotent producers."""

from __future__ import annotations

from kio.schema.errors import ErrorCode
from kio.schema.init_producer_id.v4.request import InitProducerIdRequest
from kio.schema.init_producer_id.v4.response import InitProducerIdResponse
from kio.schema.types import ProducerId
from kio.static.primitive import i16

from mmplatform.local.broker.api.call import NO_THROTTLE, Call
from mmplatform.local.broker.errors import StorageFailedError
from mmplatform.local.broker.node import Node


async def init_producer_id(node: Node, _call: Call, request: InitProducerIdRequest) -> InitProducerIdResponse:
    """A fresh id with epoch 0; transactional producers are refused."""
    if request.transactional_id is not None:
        return InitProducerIdResponse(
            throttle_time=NO_THROTTLE,
            error_code=ErrorCode.transactional_id_authorization_failed,
            producer_epoch=i16(-1),
        )
    try:
        producer_id = ProducerId(await node.producer_ids.allocate())
    except StorageFailedError:
        return InitProducerIdResponse(
            throttle_time=NO_THROTTLE, error_code=ErrorCode.kafka_storage_error, producer_epoch=i16(-1)
        )
    return InitProducerIdResponse(
        throttle_time=NO_THROTTLE, error_code=ErrorCode.none, producer_id=producer_id, producer_epoch=i16(0)
    )
