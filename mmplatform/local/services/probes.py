"""Readiness probes: a TCP connection that is accepted, or an HTTP answer below 400."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import dataclass

import httpx

PROBE_TIMEOUT_S = 2.0
STANDBY = "standby"
STOPPED = "stopped"


@dataclass(frozen=True, slots=True)
class TcpProbe:
    """Ready when a connection is accepted."""

    host: str
    port: int

    async def ready(self, client: httpx.AsyncClient) -> bool:  # noqa: ARG002 - the same shape as the HTTP probe
        """Try once."""
        try:
            async with asyncio.timeout(PROBE_TIMEOUT_S):
                _, writer = await asyncio.open_connection(self.host, self.port)
        except (OSError, TimeoutError):
            return False
        writer.close()
        with suppress(OSError):
            await writer.wait_closed()
        return True


@dataclass(frozen=True, slots=True)
class HttpProbe:
    """Ready when a GET is answered with a success."""

    url: str

    async def ready(self, client: httpx.AsyncClient) -> bool:
        """Try once."""
        try:
            answer = await client.get(self.url, timeout=PROBE_TIMEOUT_S)
        except httpx.HTTPError:
            return False
        return answer.status_code < httpx.codes.BAD_REQUEST


@dataclass(frozen=True, slots=True)
class StatusTextProbe:
    """Ready when a worker's ``/healthz`` answers this text, with any status code."""

    url: str
    text: str

    async def ready(self, client: httpx.AsyncClient) -> bool:
        """Try once."""
        try:
            answer = await client.get(self.url, timeout=PROBE_TIMEOUT_S)
        except httpx.HTTPError:
            return False
        return answer.text == self.text


Probe = TcpProbe | HttpProbe | StatusTextProbe


def local_client() -> httpx.AsyncClient:
    """HTTP client for addresses of this machine: it ignores proxies of the environment."""
    return httpx.AsyncClient(trust_env=False, timeout=PROBE_TIMEOUT_S)
