"""Whether the servers that the user configured in place of the embedded ones can be reached.

Only a connection is tried: no credentials are sent, and nothing is read.
"""

from __future__ import annotations

import socket
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

from mmplatform.settings import Settings

_TIMEOUT_S: Final = 3.0
_DEFAULT_PORTS: Final = {"http": 80, "https": 443, "postgresql": 5432, "rest": 443}


@dataclass(frozen=True, slots=True)
class External:
    """One configured server. ``trouble`` is empty when it answers; ``address`` is ``host:port,…``, never a password."""

    setting: str
    address: str
    trouble: str


def external_services(settings: Settings) -> list[External]:
    """Try each configured address; one of several Kafka bootstrap servers is enough."""
    return [
        External(setting, ", ".join(f"{host}:{port}" for host, port in addresses), _trouble(addresses))
        for setting, addresses in _configured(settings)
    ]


def _configured(settings: Settings) -> Iterator[tuple[str, list[tuple[str, int]]]]:
    if settings.kafka:
        yield "kafka", [_host_port(server, 9092) for server in settings.kafka.split(",") if server.strip()]
    urls = {
        "chroma": settings.chroma,
        "s3_endpoint": settings.s3_endpoint,
        "catalog": settings.catalog,
    }
    for setting, url in urls.items():
        # `postgresql+psycopg2://`, `rest+https://`: the last known word of the scheme says the port.
        words = urlsplit(url).scheme.split("+")
        default = next((_DEFAULT_PORTS[word] for word in reversed(words) if word in _DEFAULT_PORTS), None)
        host = urlsplit(url).hostname
        if default is not None and host:
            yield setting, [(host, _port(url) or default)]


def _host_port(server: str, default: int) -> tuple[str, int]:
    parts = urlsplit(f"//{server.strip()}")
    return parts.hostname or "", _port(f"//{server.strip()}") or default


def _port(url: str) -> int | None:
    try:
        return urlsplit(url).port
    except ValueError:  # not a number from 0 to 65535
        return None


def _trouble(addresses: list[tuple[str, int]]) -> str:
    trouble = "no address in it"
    for host, port in addresses:
        try:
            with socket.create_connection((host, port), timeout=_TIMEOUT_S):
                return ""
        except OSError as error:
            trouble = error.strerror or str(error) or type(error).__name__
    return trouble
