"""The client of a source: typed, synchronous or asyncio, with retries that are safe to repeat."""

from mmplatform.client.client import AsyncGatewayClient, GatewayClient

__all__ = ["AsyncGatewayClient", "GatewayClient"]
