"""Checks that the servers configured in place of the embedded ones can be reached.

Only connects: sends no credentials and reads nothing. A malformed address is reported without its text, which may
contain a password.
"""

from __future__ import annotations

import socket
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

from mmplatform.settings import Settings

_TIMEOUT_S: Final = 3.0
_HTTP: Final = {"http": 80, "https": 443}
_DEFAULT_PORTS: Final = {**_HTTP, "postgresql": 5432, "rest": 443}


@dataclass(frozen=True, slots=True)
class ExternalServer:
    """One configured server.

    Attributes:
        address: ``host:port,…``, never a password; empty when the setting has no valid address.
        error: empty when it answers.
    """

    setting: str
    address: str
    error: str


def probe_external_servers(settings: Settings) -> list[ExternalServer]:
    """Connect to each configured server; one of several Kafka bootstrap servers is enough."""
    return [_probe(setting, addresses) for setting, addresses in _configured(settings)]


def _probe(setting: str, addresses: list[tuple[str, int]]) -> ExternalServer:
    if not addresses:
        like = "host:port" if setting == "kafka_bootstrap_servers" else "http://host:port"
        return ExternalServer(setting, "", f"not an address; an example is {like}")
    return ExternalServer(
        setting, ", ".join(f"{host}:{port}" for host, port in addresses), _connection_error(addresses)
    )


def _configured(settings: Settings) -> Iterator[tuple[str, list[tuple[str, int]]]]:
    """Yield each setting that names a server, with no address when it is malformed."""
    if settings.kafka_bootstrap_servers:
        servers = [server.strip() for server in settings.kafka_bootstrap_servers.split(",") if server.strip()]
        yield "kafka_bootstrap_servers", _addresses([f"kafka://{server}" for server in servers], {"kafka": 9092})
    for setting, url in (("chroma_url", settings.chroma_url), ("s3_endpoint", settings.s3_endpoint)):
        if url:
            yield setting, _addresses([url], _HTTP)
    # `glue://` and files have no server.
    if settings.iceberg_catalog.startswith(("postgresql", "rest+")):
        yield "iceberg_catalog", _addresses([settings.iceberg_catalog], _DEFAULT_PORTS)
    if database := settings.dagster_postgres_url.get_secret_value():
        yield "dagster_postgres_url", _addresses([database], _DEFAULT_PORTS)


def _addresses(urls: list[str], default_ports: Mapping[str, int]) -> list[tuple[str, int]]:
    """Host and port of each URL; empty when one of them is malformed."""
    found = []
    for url in urls:
        try:
            parts = urlsplit(url)
            host, port = parts.hostname, parts.port
        except ValueError:
            return []
        # `postgresql+psycopg2://`, `rest+https://`: the last known part of the scheme gives the port.
        schemes = parts.scheme.split("+")
        default = next((default_ports[scheme] for scheme in reversed(schemes) if scheme in default_ports), None)
        if not host or default is None:
            return []
        found.append((host, port or default))
    return found


def _connection_error(addresses: list[tuple[str, int]]) -> str:
    reason = ""
    for host, port in addresses:
        try:
            with socket.create_connection((host, port), timeout=_TIMEOUT_S):
                return ""
        except OSError as error:
            reason = error.strerror or str(error) or type(error).__name__
    return reason
