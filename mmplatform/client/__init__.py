"""Client SDK of a source: typed, synchronous or asyncio, with safe retries."""

from mmplatform.client.call_stream import StreamedCall
from mmplatform.client.client import AsyncGatewayClient, GatewayClient
from mmplatform.ingest.schemas import Accepted, ChatBody, DeleteBody, EditBody, RedactBody

__all__ = [
    "Accepted",
    "AsyncGatewayClient",
    "ChatBody",
    "DeleteBody",
    "EditBody",
    "GatewayClient",
    "RedactBody",
    "StreamedCall",
]
