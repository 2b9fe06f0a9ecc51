"""Names of datasets and jobs in lineage events, by OpenLineage's conventions: a shared namespace, and a name in it.

A table has one name everywhere: Dagster asset, Iceberg table, OpenLineage dataset. Its namespace is the address of the
warehouse or the REST catalog, followed by the Iceberg namespace.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import unquote, urlsplit

from mmplatform.identity import DEFAULT_TENANT
from mmplatform.modalities import TABLES
from mmplatform.settings import Settings

INDEX: Final = "index"
"""Asset key of the hot vector index."""

ARCHIVE_JOB: Final = "archive"
LINEAGE_TOPIC: Final = "openlineage"
_KAFKA: Final = "kafka"
_REST: Final = "rest+"
_SIGNED: Final = "sigv4+"


@dataclass(frozen=True, slots=True)
class LineageName:
    """Name of a dataset or job; both parts together are unique."""

    namespace: str
    name: str


@dataclass(frozen=True, slots=True)
class CatalogAddress:
    """The Iceberg catalog without its secrets: ``kind`` is ``sql``, ``rest`` or ``glue``."""

    kind: str
    uri: str
    warehouse: str


def table(settings: Settings, name: str) -> LineageName:
    """An Iceberg table."""
    return LineageName(f"{_store_uri(settings)}/{settings.iceberg_namespace}", name)


def table_in_catalog(settings: Settings, name: str) -> LineageName:
    """The same table as named by engines with catalogs and namespaces: ``namespace.table``."""
    return LineageName(_store_uri(settings), f"{settings.iceberg_namespace}.{name}")


def file_location(location: str) -> LineageName:
    """The folder of a table's files: a bucket and a key, or ``file`` and a path."""
    parts = urlsplit(location)
    if parts.scheme in {"", "file"}:
        return LineageName("file", unquote(parts.path))
    return LineageName(f"{parts.scheme}://{parts.netloc}", parts.path.strip("/"))


def topic(settings: Settings, name: str) -> LineageName:
    """A topic, by its name on the broker."""
    return LineageName(
        f"kafka://{settings.kafka_bootstrap_servers.split(',')[0].strip()}", f"{settings.topic_prefix}{name}"
    )


def lineage_topic(settings: Settings) -> str:
    """The topic of lineage events, by its name on the broker; empty when they do not go to Kafka."""
    kind, _, topic = settings.openlineage_url.partition(":")
    return f"{settings.topic_prefix}{topic or LINEAGE_TOPIC}" if kind == _KAFKA else ""


def asset(settings: Settings, key: str) -> LineageName:
    """A Dagster asset: a table, the index, or something that only Dagster knows."""
    if key in TABLES:
        return table(settings, key)
    if key == INDEX:
        return LineageName(f"chroma://{urlsplit(settings.chroma_url).netloc or 'localhost'}", key)
    return LineageName(_own_namespace(settings), key)


def job(settings: Settings, *parts: str) -> LineageName:
    """A job; ``parts`` are a process, then its step."""
    return LineageName(_own_namespace(settings), ".".join(parts))


def _own_namespace(settings: Settings) -> str:
    """The installation's namespace; another tenant than the default one has a part of its own."""
    namespace, tenant = settings.openlineage_namespace, settings.tenant
    return namespace if tenant == DEFAULT_TENANT else f"{namespace}/{tenant}"


def catalog(settings: Settings) -> CatalogAddress:
    """The catalog of the tables."""
    if settings.iceberg_catalog.startswith(_REST):
        return CatalogAddress("rest", _rest_uri(settings), settings.iceberg_warehouse)
    kind = "glue" if settings.iceberg_catalog.startswith("glue:") else "sql"
    return CatalogAddress(kind, _without_credentials(settings.iceberg_catalog), _uri(settings.warehouse_location))


def _store_uri(settings: Settings) -> str:
    if not settings.iceberg_catalog.startswith(_REST):
        return _uri(settings.warehouse_location).rstrip("/")
    named = settings.iceberg_warehouse if "://" not in settings.iceberg_warehouse else ""
    return "/".join(part.strip("/") for part in (_rest_uri(settings), named) if part)


def _rest_uri(settings: Settings) -> str:
    return _without_credentials(settings.iceberg_catalog.removeprefix(_REST).removeprefix(_SIGNED))


def _without_credentials(address: str) -> str:
    """An address without the user, the password and the options in it."""
    parts = urlsplit(address)
    return parts._replace(netloc=parts.netloc.rpartition("@")[2], query="", fragment="").geturl()


def _uri(location: str) -> str:
    return location if "://" in location else Path(location).as_uri()
