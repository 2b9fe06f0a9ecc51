"""Client SDK of a source: typed, synchronous or asyncio, with safe retries."""

from mmplatform.client.client import AsyncGatewayClient, GatewayClient

__all__ = ["AsyncGatewayClient", "GatewayClient"]
